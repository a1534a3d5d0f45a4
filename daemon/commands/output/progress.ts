/** Tells on stderr how far long work is: a bar on a terminal, else a line now and then. */
import { formatBytes } from '../../process/text/bytes-text.js';
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
  /** Files of work whose steps are bytes. */
  #files: { done: number; all: number } | undefined;
  #beganAt = 0;
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
    this.#files = undefined;
    this.#beganAt = this.#now();
    this.#tell();
  }

  /** A new part begins, whose steps are bytes, of so many files. */
  beginBytes(what: string, bytes: number, files: number): void {
    this.begin(what, bytes);
    this.#files = { done: 0, all: files };
  }

  bytes(count: number): void {
    this.step(count);
  }

  file(): void {
    if (this.#files !== undefined) this.#files.done++;
    this.step(0);
  }

  /** A line that stays. */
  note(text: string): void {
    this.clear();
    this.#output.err(`${text}\n`);
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
    const told = this.#files === undefined ? `${this.#done} of ${this.#steps}` : this.#bytesText(this.#files);
    return `${this.#what}:${bar} ${Math.floor(share * 100)}% (${told})`;
  }

  #bytesText(files: { done: number; all: number }): string {
    const seconds = (this.#now() - this.#beganAt) / 1_000;
    const rate = seconds > 0 ? this.#done / seconds : 0;
    const left = rate > 0 ? formatSeconds(Math.max(0, this.#steps - this.#done) / rate) : 'unknown time';
    return (
      `${formatBytes(this.#done)} of ${formatBytes(this.#steps)}, ${files.done} of ${files.all} files, ` +
      `${formatBytes(Math.round(rate))}/s, ${left} left`
    );
  }
}

/** `1:02:03`, or without hours `2:03`. */
function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  const parts = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, index) => (index === 0 ? `${part}` : `${part}`.padStart(2, '0'))).join(':');
}
