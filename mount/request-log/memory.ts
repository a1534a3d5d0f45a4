/**
 * What the threads of a mount share of its request log: which requests anybody wants to know of, and, for each thread that answers
 * requests, two rings: of what listeners want, and of the slow requests, which are always kept.
 *
 * A request that nobody wants costs one load, of WANTED.
 */
import type { Entry } from './entry.js';
import { Ring } from './ring.js';

/** The threads that answer requests. */
export const Lane = { SESSION: 0, IO: 1, MAIN: 2 } as const;
export type Lane = (typeof Lane)[keyof typeof Lane];

/** Entries in the rings of listeners, by lane: the session answers nearly all. Their memory is taken when it is first written. */
const STREAM_ENTRIES: readonly number[] = [8192, 1024, 64];
/** Slow requests that are kept of each lane. */
export const SLOW_ENTRIES = 256;
/** A request that takes at least so long is slow until something else is set. */
const SLOW_MICROS = 10_000;
/** Longer than any request takes. */
const NEVER = 0x7fff_ffff;

// Microseconds that a request must have taken
/** for anybody to want it: the least of the others; */
const WANTED = 0;
/** for listeners; */
const STREAM = 1;
/** to be kept as slow. */
const SLOW = 2;
/** An even number of words, so that rings are aligned. */
const WORDS = 4;

export class RequestLogMemory {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly streams: readonly Ring[];
  readonly slow: readonly Ring[];

  /** Makes a log, or attaches to the memory of one. */
  constructor(shared?: SharedArrayBuffer) {
    const lanes = STREAM_ENTRIES.length;
    const streamBytes = STREAM_ENTRIES.reduce((sum, entries) => sum + Ring.size(entries), 0);
    this.shared = shared ?? new SharedArrayBuffer(WORDS * 4 + streamBytes + lanes * Ring.size(SLOW_ENTRIES));
    this.#words = new Int32Array(this.shared, 0, WORDS);
    let at = WORDS * 4;
    const ring = (entries: number): Ring => {
      const offset = at;
      at += Ring.size(entries);
      return new Ring(this.shared, offset, entries);
    };
    this.slow = STREAM_ENTRIES.map(() => ring(SLOW_ENTRIES));
    this.streams = STREAM_ENTRIES.map((entries) => ring(entries));
    if (shared === undefined) {
      Atomics.store(this.#words, STREAM, NEVER);
      this.setSlow(SLOW_MICROS);
    }
  }

  /** Whether anybody wants to know of a request that took so long. */
  wants(microseconds: number): boolean {
    return microseconds >= Atomics.load(this.#words, WANTED);
  }

  /** For the thread of the lane alone. */
  write(lane: Lane, entry: Entry): void {
    const { microseconds } = entry;
    if (microseconds >= Atomics.load(this.#words, STREAM)) this.streams[lane]!.write(entry);
    if (microseconds >= Atomics.load(this.#words, SLOW)) this.slow[lane]!.write(entry);
  }

  /** Microseconds. */
  get slowMicros(): number {
    return Atomics.load(this.#words, SLOW);
  }

  /** From now on requests of at least so many microseconds are kept as slow. For main alone. */
  setSlow(microseconds: number): void {
    Atomics.store(this.#words, SLOW, Math.min(microseconds, NEVER));
    this.#setWanted();
  }

  /** What the least demanding listener wants, in microseconds; undefined: nobody listens. For main alone. */
  setListened(microseconds: number | undefined): void {
    Atomics.store(this.#words, STREAM, Math.min(microseconds ?? NEVER, NEVER));
    this.#setWanted();
  }

  #setWanted(): void {
    const words = this.#words;
    Atomics.store(words, WANTED, Math.min(Atomics.load(words, STREAM), Atomics.load(words, SLOW)));
  }
}
