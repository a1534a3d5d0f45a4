/**
 * An answer that goes on: lines as they come, until there are no more or the client goes away. It keeps no more in memory than one
 * turn's lines: while a client does not read, the source is told so and counts what is missed.
 */
import { Readable } from 'node:stream';
import type { LineSource } from './reports.js';

/** How late a line may be. */
const TURN_MS = 20;
/** Of a source that goes on. */
const MOST_LAST_TURNS = 16;

export class LineStream extends Readable {
  readonly #source: LineSource;
  readonly #turns: NodeJS.Timeout;
  /** The client has read what it was given. */
  #isWanted = false;
  #isOver = false;

  constructor(source: LineSource) {
    super();
    this.#source = source;
    this.#turns = setInterval(() => this.#turn(), TURN_MS).unref();
  }

  override _read(): void {
    this.#isWanted = true;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#turns);
    this.#source.end();
    done(error);
  }

  /** Gives what there is to a client that reads, and comes to its end. */
  finish(): void {
    if (this.#isOver || this.destroyed) return;
    for (let turn = 0; this.#isWanted && turn < MOST_LAST_TURNS; turn++) {
      const lines = this.#source.take();
      if (lines === '') break;
      this.push(lines);
    }
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    clearInterval(this.#turns);
    this.push(null);
  }

  #turn(): void {
    if (!this.#isWanted) {
      this.#source.skip();
      return;
    }
    const lines = this.#source.take();
    if (lines !== '') {
      this.#isWanted = false;
      this.push(lines);
    }
    if (this.#source.hasEnded) this.#end();
  }
}
