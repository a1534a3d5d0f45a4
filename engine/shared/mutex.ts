/**
 * A mutual exclusion lock in shared memory, after Drepper, "Futexes Are Tricky" (2011): 0 free, 1 held, 2 held
 * with waiters. The holder wakes a waiter when it releases; so that the death of a holder hangs nobody, the lock
 * knows its holder, and whoever supervises the threads calls `abandonedBy`, after which every lock() fails and the
 * lock is never free again.
 *
 * Three words: state, holder (a thread number from 1), abandoned (0 or 1).
 */
export const MUTEX_WORDS = 3;

const FREE = 0;
const HELD = 1;
const CONTENDED = 2;
/** Tries before a waiter sleeps: critical sections are short. */
const SPINS = 200;
/** A sleeping waiter looks again this often, should a wake-up be lost with the thread that owed it. */
const LOOK_AGAIN_MS = 1000;

export class Mutex {
  readonly #words: Int32Array;
  readonly #state: number;
  readonly #thread: number;

  /** `words[index..index + MUTEX_WORDS)` are the lock's; `thread` is the caller's number. */
  constructor(words: Int32Array, index: number, thread: number) {
    this.#words = words;
    this.#state = index;
    this.#thread = thread;
  }

  /** Waits for the lock; false: a thread died or failed while it held it, and it can never be had again. */
  lock(): boolean {
    const words = this.#words;
    const state = this.#state;
    if (Atomics.compareExchange(words, state, FREE, HELD) !== FREE) {
      let got = false;
      for (let i = 0; i < SPINS && !got; i++) {
        got =
          Atomics.load(words, state) === FREE && Atomics.compareExchange(words, state, FREE, HELD) === FREE;
      }
      while (!got) {
        if (this.abandoned) return false;
        got = Atomics.exchange(words, state, CONTENDED) === FREE;
        if (!got) Atomics.wait(words, state, CONTENDED, LOOK_AGAIN_MS);
      }
    }
    if (this.abandoned) {
      this.#release();
      return false;
    }
    Atomics.store(words, state + 1, this.#thread);
    return true;
  }

  /** Takes the lock if nobody holds it; never waits. */
  tryLock(): boolean {
    const words = this.#words;
    if (Atomics.compareExchange(words, this.#state, FREE, HELD) !== FREE) return false;
    if (this.abandoned) {
      this.#release();
      return false;
    }
    Atomics.store(words, this.#state + 1, this.#thread);
    return true;
  }

  unlock(): void {
    Atomics.store(this.#words, this.#state + 1, 0);
    this.#release();
  }

  #release(): void {
    if (this.abandoned) {
      Atomics.store(this.#words, this.#state, CONTENDED);
      Atomics.notify(this.#words, this.#state);
    } else if (Atomics.exchange(this.#words, this.#state, FREE) === CONTENDED) {
      Atomics.notify(this.#words, this.#state, 1);
    }
  }

  /** Whether nobody holds the lock, at this moment. */
  get isFree(): boolean {
    return Atomics.load(this.#words, this.#state) === FREE;
  }

  /** Whether this thread holds the lock. */
  get held(): boolean {
    return Atomics.load(this.#words, this.#state + 1) === this.#thread;
  }

  get abandoned(): boolean {
    return Atomics.load(this.#words, this.#state + 2) !== 0;
  }

  /** What the lock protects is broken: nobody gets it any more. */
  abandon(): void {
    Atomics.store(this.#words, this.#state + 2, 1);
    Atomics.compareExchange(this.#words, this.#state, FREE, CONTENDED);
    Atomics.notify(this.#words, this.#state);
  }

  /** To be called when thread number `thread` has ended; returns whether it held the lock. */
  abandonedBy(thread: number): boolean {
    if (Atomics.load(this.#words, this.#state + 1) !== thread) return false;
    this.abandon();
    return true;
  }
}
