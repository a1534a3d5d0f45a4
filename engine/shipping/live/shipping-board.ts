/** What shipping tells threads that have no event loop, in shared memory; and how these wait for it. */
import { waitAsync } from '../../shared/wait-async.js';

/** 0: changes are welcome; LOST: another writer has the remote, nothing may be answered any more; FULL: too much is not shipped yet. */
export const WELCOME = 0;
export const LOST = 1;
export const FULL = 2;
export type Refusal = typeof WELCOME | typeof LOST | typeof FULL;

const REFUSAL = 0;
/** Changes, and is notified, when more is shipped, or nothing will be any more. */
const PROGRESS = 1;
/** Changes, and is notified, when somebody waits. */
const ASKED = 2;
const ENDED = 3;
/** When the thread that ships looked at its lease last: milliseconds since 1970, mod 2^32. Notified. */
const LOOKED_AT = 4;
/** Milliseconds from then on in which answers may be given; UNWATCHED: nobody has begun to look. */
const SERVES_FOR = 5;
const UNWATCHED = -1;
const WORDS = 6;
const BYTES = WORDS * 4 + 8;

/** In case a wake-up was lost with the thread that owed it. */
const RECHECK_MS = 1_000;

export function makeShippingBoard(): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(BYTES);
  new Int32Array(buffer)[SERVES_FOR] = UNWATCHED;
  return buffer;
}

export class ShippingBoard {
  readonly #words: Int32Array;
  readonly #shipped: Float64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer, 0, WORDS);
    this.#shipped = new Float64Array(buffer, WORDS * 4, 1);
  }

  /**
   * To be looked at before each answer, by all but the thread that ships. Waits where that has not looked at the lease for so long that another
   * writer may have begun: after the process stood still or the machine slept. A clock that is set makes it wait for one look more.
   */
  admission(): Refusal {
    const words = this.#words;
    for (;;) {
      const lookedAt = Atomics.load(words, LOOKED_AT);
      const refusal = this.refusal;
      if (refusal === LOST || Atomics.load(words, ENDED) !== 0) return refusal;
      const servesFor = Atomics.load(words, SERVES_FOR);
      if (servesFor === UNWATCHED || ((Date.now() | 0) - lookedAt) >>> 0 < servesFor) return refusal;
      Atomics.wait(words, LOOKED_AT, lookedAt, RECHECK_MS);
    }
  }

  get refusal(): Refusal {
    return Atomics.load(this.#words, REFUSAL) as Refusal;
  }

  /** The remote has all records up to this one. */
  get shippedLsn(): number {
    Atomics.load(this.#words, PROGRESS);
    return this.#shipped[0]!;
  }

  /** Blocks the thread until the remote has the record. For threads that may block; never the one that ships. */
  waitUntilShipped(lsn: number, isCancelled: () => boolean = () => false): 'shipped' | 'lost' | 'cancelled' {
    const words = this.#words;
    for (;;) {
      const seen = Atomics.load(words, PROGRESS);
      if (this.shippedLsn >= lsn) return 'shipped';
      if (Atomics.load(words, ENDED) !== 0) return 'lost';
      if (isCancelled()) return 'cancelled';
      Atomics.add(words, ASKED, 1);
      Atomics.notify(words, ASKED);
      Atomics.wait(words, PROGRESS, seen, RECHECK_MS);
    }
  }

  // Of the thread that ships.

  set refusal(refusal: Refusal) {
    Atomics.store(this.#words, REFUSAL, refusal);
    // Whoever waits to be told that he may answer.
    Atomics.notify(this.#words, LOOKED_AT);
  }

  /** The lease was looked at: answers may be given for so many milliseconds. */
  looked(servesForMs: number): void {
    Atomics.store(this.#words, SERVES_FOR, Math.floor(servesForMs));
    Atomics.store(this.#words, LOOKED_AT, Date.now() | 0);
    Atomics.notify(this.#words, LOOKED_AT);
  }

  progressed(shippedLsn: number): void {
    this.#shipped[0] = shippedLsn;
    Atomics.add(this.#words, PROGRESS, 1);
    Atomics.notify(this.#words, PROGRESS);
  }

  /** Nothing more will be shipped. */
  end(): void {
    Atomics.store(this.#words, ENDED, 1);
    Atomics.notify(this.#words, LOOKED_AT);
    Atomics.add(this.#words, PROGRESS, 1);
    Atomics.notify(this.#words, PROGRESS);
  }

  /** Calls `onAsked` whenever somebody has begun to wait, until it returns false. Blocks nobody. */
  async listen(onAsked: () => boolean): Promise<void> {
    const words = this.#words;
    for (let seen = Atomics.load(words, ASKED); ; seen = Atomics.load(words, ASKED)) {
      const { value } = waitAsync(words, ASKED, seen, RECHECK_MS);
      await value;
      if (!onAsked()) return;
    }
  }
}
