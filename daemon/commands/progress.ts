/** Tells on stderr how far long work is: a bar on a terminal, else a line now and then. */
import type { Output } from './output.js';

const BAR_EVERY_MS = 100;
const LINE_EVERY_MS = 5_000;
const WIDTH = 30;

export class Progress {
  readonly #output: Pick<Output, 'err'>;
  readonly #isTerminal: boolean;
  readonly #now: () => number;
  #what = '';
  #steps = 0;
  #done = 0;
  #toldAt: number;
  /** Columns that the bar takes on the terminal. */
  #shown = 0;

  constructor(
    output: Pick<Output, 'err'>,
    isTerminal: boolean = process.stderr.isTTY === true,
    now: () => number = () => performance.now(),
  ) {
    this.#output = output;
    this.#isTerminal = isTerminal;
    this.#now = now;
    this.#toldAt = now();
  }

  /** A new part begins, of so many steps; 0: not known. */
  begin(what: string, steps: number): void {
    this.#what = what;
    this.#steps = steps;
    this.#done = 0;
    this.#tell();
  }

  step(count = 1): void {
    this.#done += count;
    this.#tell();
  }

  /** Takes the bar away, so that other text can follow. */
  clear(): void {
    if (this.#shown === 0) return;
    this.#output.err(`\r${' '.repeat(this.#shown)}\r`);
    this.#shown = 0;
  }

  #tell(): void {
    const now = this.#now();
    if (now - this.#toldAt < (this.#isTerminal ? BAR_EVERY_MS : LINE_EVERY_MS)) return;
    this.#toldAt = now;
    const text = this.#text();
    if (!this.#isTerminal) {
      this.#output.err(`${text}\n`);
      return;
    }
    this.#output.err(`\r${text.padEnd(this.#shown)}`);
    this.#shown = Math.max(this.#shown, text.length);
  }

  #text(): string {
    if (this.#steps === 0) return this.#done === 0 ? this.#what : `${this.#what}: ${this.#done}`;
    const share = Math.min(this.#done / this.#steps, 1);
    const filled = Math.round(share * WIDTH);
    const bar = this.#isTerminal ? ` [${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}]` : '';
    return `${this.#what}:${bar} ${Math.floor(share * 100)}% (${this.#done} of ${this.#steps})`;
  }
}
