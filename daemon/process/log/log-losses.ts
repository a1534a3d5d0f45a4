/** Lines that could not be written, one after another up to now. */
export interface LostLines {
  count: number;
  since: Date;
  /** What kept the last one from being written. */
  cause: string;
}

/** Counts the lines that a log lost, until one can be written again. */
export class LogLosses {
  #lost: LostLines | undefined;
  /** Called when lines can be written again, after the first; gets those that are missing before it. */
  onRecovered: (lost: LostLines) => void = () => {};

  get current(): LostLines | undefined {
    return this.#lost;
  }

  add(cause: string): void {
    this.#lost = { count: (this.#lost?.count ?? 0) + 1, since: this.#lost?.since ?? new Date(), cause };
  }

  /** A line was written. */
  end(): void {
    const lost = this.#lost;
    this.#lost = undefined;
    if (lost !== undefined) this.onRecovered(lost);
  }
}
