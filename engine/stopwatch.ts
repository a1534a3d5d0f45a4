/**
 * What the time of a request goes to. Each thread has one stopwatch with one hand: it counts for one part at a time, so the
 * parts come to the whole. The thread that serves a request starts and stops it; what may take long turns it to its own part
 * and back. All else counts as the tree's, which so needs no clock.
 */
// What Node defines as global is asked for anew at each use.
import { performance } from 'node:perf_hooks';

/** What time is counted for. */
export const Part = {
  /** In memory: the tree, and all that has no part of its own. */
  TREE: 0,
  /** For one's turn, a checkpoint round, or space. */
  WAITING: 1,
  /** Reading blobs. */
  LOADING: 2,
  /** Until the journal is durable. */
  JOURNAL: 3,
  /** System calls on contents. */
  BELOW: 4,
} as const;
export type Part = (typeof Part)[keyof typeof Part];

/** Names of the parts, by their numbers. */
export const PART_NAMES = ['tree', 'waiting', 'loading', 'journal', 'below'] as const;
export type PartName = (typeof PART_NAMES)[number];
export const PARTS = PART_NAMES.length;

// Behind the parts: since when the present one has been counted, and when the request came.
const SINCE = PARTS;
const ARRIVED = PARTS + 1;

class Stopwatch {
  /** Milliseconds of each part, from the first number on; after `stop` all of a request's. */
  readonly times = new Float64Array(PARTS + 2);
  /** Some part but the tree's may have some time. */
  isDivided = false;
  #part: Part = Part.TREE;

  /** A request begins. `arrived` (ms of `performance.now()`): it came before, and has waited since. */
  start(arrived?: number): void {
    const { times } = this;
    if (this.isDivided) times.fill(0);
    const now = performance.now();
    times[Part.TREE] = 0;
    times[SINCE] = now;
    times[ARRIVED] = arrived ?? now;
    this.#part = Part.TREE;
    this.isDivided = arrived !== undefined;
    if (arrived !== undefined) times[Part.WAITING] = now - arrived;
  }

  /** When the present request came, as `start` takes it. */
  get arrived(): number {
    return this.times[ARRIVED]!;
  }

  /** Up to when time was counted: after `stop`, when that was. */
  get countedUntil(): number {
    return this.times[SINCE]!;
  }

  /** Milliseconds from when the request came until `stop`, or `turn`, was last called. */
  get elapsed(): number {
    return this.times[SINCE]! - this.times[ARRIVED]!;
  }

  /** Time is this part's from now on. Returns the part that it was of so far, to be turned back to. */
  turn(part: Part): Part {
    const before = this.#part;
    this.#count(performance.now());
    this.#part = part;
    this.isDivided = true;
    return before;
  }

  /** The request has come to its end: `times` are its own until the next start. */
  stop(): void {
    this.#count(performance.now());
  }

  #count(now: number): void {
    const { times } = this;
    times[this.#part]! += now - times[SINCE]!;
    times[SINCE] = now;
  }
}

/** The calling thread's. */
export const stopwatch: Stopwatch = new Stopwatch();
