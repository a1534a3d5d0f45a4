/** Keeps the last lines of the log in memory, for who looks into what happened. */

const MOST_LINES = 500;
/** Of a line; what is longer is cut. */
const MOST_CHARACTERS = 8_192;

export class LogRing {
  readonly #lines: string[] = [];
  #next = 0;

  /** `line`: with its end. */
  add(line: string): void {
    const kept = line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS)}...` : line.trimEnd();
    this.#lines[this.#next] = kept;
    this.#next = (this.#next + 1) % MOST_LINES;
  }

  /** The oldest first. */
  lines(): string[] {
    return [...this.#lines.slice(this.#next), ...this.#lines.slice(0, this.#next)];
  }
}
