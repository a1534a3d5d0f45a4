/**
 * The tree lock: a gate that any number of threads pass together (writers of single keys, who latch the one frame that
 * they change), or one thread alone (everything that changes which blob is where, or several frames as one).
 *
 * One who wants to be alone takes the mutex and then waits for those inside to leave. One who enters raises the flag of
 * its row first and looks at the mutex afterwards; so of two who come at once at least one sees the other (both are
 * sequentially consistent). Sections inside are short and never wait for another thread but the holder of the append
 * lock, who is inside too.
 *
 * Each thread has a row of its own: { inside (0 or 1), owner (thread number, 0: free), trees that use it }.
 */
import { SpinneyError } from '../errors.js';
import { Mutex } from './mutex.js';

/** Rows are a cache line each. */
export const GATE_ROW = 16;
const INSIDE = 0;
const OWNER = 1;
const USES = 2;

/** Looks before a thread sleeps, and goes at entering before it rather waits to be alone. */
const SPINS = 200;
const TRIES = 8;
/** A sleeping waiter looks again this often, should a wake-up be lost with the thread that owed it. */
const LOOK_AGAIN_MS = 1000;
/** So does one that does not queue. */
const LOOK_SOON_MS = 1;
const pause = new Int32Array(new SharedArrayBuffer(4));

export class Gate {
  readonly #mutex: Mutex;
  readonly #rows: Int32Array;
  readonly #thread: number;
  readonly #inside: number;

  /**
   * `words[index..index + MUTEX_WORDS)` are the mutex's; `rows` has GATE_ROW words for each thread; `thread` is the
   * caller's number.
   * @throws ERR_INVALID_ARGUMENT where all rows are taken
   */
  constructor(words: Int32Array, index: number, rows: Int32Array, thread: number) {
    this.#mutex = new Mutex(words, index, thread);
    this.#rows = rows;
    this.#thread = thread;
    this.#inside = claimRow(rows, thread) + INSIDE;
  }

  /** Enters beside others; false: not now, `lock` is the way. Never while this thread has the gate for itself. */
  enter(): boolean {
    for (let tries = 0; tries < TRIES; tries++) {
      Atomics.store(this.#rows, this.#inside, 1);
      if (this.#mutex.isFree) return true;
      this.leave();
      for (let i = 0; i < SPINS && !this.#mutex.isFree; i++);
    }
    return false;
  }

  leave(): void {
    Atomics.store(this.#rows, this.#inside, 0);
    if (!this.#mutex.isFree) Atomics.notify(this.#rows, this.#inside);
  }

  /** Waits until the gate is this thread's alone; false: a thread died or failed inside, and it can never be had again. */
  lock(): boolean {
    if (!this.#mutex.lock()) return false;
    const rows = this.#rows;
    for (let row = 0; row < rows.length && Atomics.load(rows, row + OWNER) !== 0; row += GATE_ROW) {
      for (let i = 0; i < SPINS && Atomics.load(rows, row + INSIDE) !== 0; i++);
      while (Atomics.load(rows, row + INSIDE) !== 0 && !this.abandoned) {
        Atomics.wait(rows, row + INSIDE, 1, LOOK_AGAIN_MS);
      }
    }
    if (!this.abandoned) return true;
    this.#mutex.unlock();
    return false;
  }

  /** As `lock`, for who must not wait long; undefined: it was not to be had within `ms` milliseconds. */
  lockWithin(ms: number): boolean | undefined {
    const deadline = performance.now() + ms;
    while (!this.#mutex.tryLock()) {
      if (this.abandoned) return false;
      if (performance.now() >= deadline) return undefined;
      Atomics.wait(pause, 0, 0, LOOK_SOON_MS);
    }
    const rows = this.#rows;
    for (let row = 0; row < rows.length && Atomics.load(rows, row + OWNER) !== 0; row += GATE_ROW) {
      while (Atomics.load(rows, row + INSIDE) !== 0 && !this.abandoned) {
        if (performance.now() >= deadline) {
          this.#mutex.unlock();
          return undefined;
        }
        Atomics.wait(rows, row + INSIDE, 1, LOOK_SOON_MS);
      }
    }
    if (!this.abandoned) return true;
    this.#mutex.unlock();
    return false;
  }

  unlock(): void {
    this.#mutex.unlock();
  }

  /** Whether this thread has the gate for itself. */
  get held(): boolean {
    return this.#mutex.held;
  }

  get abandoned(): boolean {
    return this.#mutex.abandoned;
  }

  /** What is behind the gate is broken: nobody gets in any more. */
  abandon(): void {
    this.#mutex.abandon();
  }

  /** To be called when thread number `thread` has ended: where that was inside, or alone, nobody gets in any more. */
  abandonedBy(thread: number): void {
    this.#mutex.abandonedBy(thread);
    const rows = this.#rows;
    for (let row = 0; row < rows.length; row += GATE_ROW) {
      if (Atomics.load(rows, row + OWNER) !== thread) continue;
      if (Atomics.load(rows, row + INSIDE) !== 0) this.abandon();
      Atomics.store(rows, row + INSIDE, 0);
      Atomics.notify(rows, row + INSIDE);
      Atomics.store(rows, row + USES, 0);
      Atomics.store(rows, row + OWNER, RELEASED);
    }
  }

  /** This thread's use of the gate has ended. */
  close(): void {
    const row = this.#inside - INSIDE;
    if (Atomics.load(this.#rows, row + OWNER) !== this.#thread) return;
    if (Atomics.sub(this.#rows, row + USES, 1) === 1) Atomics.store(this.#rows, row + OWNER, RELEASED);
  }
}

/** A row that may be taken again; rows never taken yet are 0, and behind them all are. */
const RELEASED = -1;

/** The row of the thread: the one that it has, or one that is free. */
function claimRow(rows: Int32Array, thread: number): number {
  let row = 0;
  while (row < rows.length && Atomics.load(rows, row + OWNER) !== thread) row += GATE_ROW;
  for (let free = 0; row >= rows.length && free < rows.length; free += GATE_ROW) {
    const owner = Atomics.load(rows, free + OWNER);
    const isFree = owner === 0 || owner === RELEASED;
    if (isFree && Atomics.compareExchange(rows, free + OWNER, owner, thread) === owner) row = free;
  }
  if (row < rows.length) {
    Atomics.add(rows, row + USES, 1);
    return row;
  }
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot attach to the tree: ${rows.length / GATE_ROW} threads have, which is the limit; close() in threads that end, or tell of their end with threadDied()`,
  );
}
