/**
 * The last requests that one thread has answered, in shared memory: that thread writes, any other reads along, and none waits for
 * the other.
 *
 * - `begun` and `written` count entries and only grow (mod 2^32). Entry number n is at place n modulo the capacity; it is being written
 *   while `begun` is ahead of `written`.
 * - What a reader copies is whole if the entry that comes to the same place next had not been begun by then. Else it is dropped, and
 *   told as missed.
 */
import { ENTRY_BYTES, type Entry, EntryTable } from './entry.js';

const BEGUN = 0;
const WRITTEN = 1;
/** Two counts, padded so that entries are aligned. */
const HEADER_BYTES = 16;

export class Ring {
  readonly #counts: Int32Array;
  readonly #entries: EntryTable;
  readonly #capacity: number;

  static size(capacity: number): number {
    return HEADER_BYTES + capacity * ENTRY_BYTES;
  }

  /** At `offset` of `memory`, a multiple of 8; `capacity` is a power of two. */
  constructor(memory: SharedArrayBuffer, offset: number, capacity: number) {
    this.#counts = new Int32Array(memory, offset, 2);
    this.#entries = new EntryTable(memory, offset + HEADER_BYTES, capacity);
    this.#capacity = capacity;
  }

  /** Entries written so far, mod 2^32. */
  get written(): number {
    return Atomics.load(this.#counts, WRITTEN) >>> 0;
  }

  /** For the one thread that writes. */
  write(entry: Entry): void {
    const number = Atomics.add(this.#counts, BEGUN, 1);
    this.#entries.write(number & (this.#capacity - 1), entry);
    Atomics.add(this.#counts, WRITTEN, 1);
  }

  /** A cursor before the next entry that is written. */
  follow(): RingCursor {
    return new RingCursor(this, this.written);
  }

  /** A cursor before the oldest entry that is there; of a ring that is written too seldom for its counts to begin anew. */
  fromOldest(): RingCursor {
    const { written } = this;
    return new RingCursor(this, Math.max(0, written - this.#capacity));
  }

  /** How many of the oldest entries from `number` on are gone, or about to be. */
  lost(number: number): number {
    const ahead = (Atomics.add(this.#counts, BEGUN, 0) - number) >>> 0;
    return Math.max(0, ahead - this.#capacity);
  }

  /** Copies entry `number`, which must have been written. False: it is gone. */
  read(number: number, into: Entry): boolean {
    this.#entries.read(number & (this.#capacity - 1), into);
    // The read-modify-write also keeps the reads above it before it.
    return this.lost(number) === 0;
  }
}

/** Where one reader is in a ring. */
export class RingCursor {
  readonly #ring: Ring;
  #next: number;
  #end: number;

  constructor(ring: Ring, next: number) {
    this.#ring = ring;
    this.#next = next;
    this.#end = ring.written;
  }

  /** `next` goes as far as what is written now. Returns how many entries were lost before it. */
  catchUp(): number {
    this.#end = this.#ring.written;
    const lost = Math.min(this.#ring.lost(this.#next), this.#left);
    this.#next = (this.#next + lost) >>> 0;
    return lost;
  }

  get #left(): number {
    return (this.#end - this.#next) >>> 0;
  }

  /**
   * Copies the next entry. Returns whether there was one; false too where it has just been lost, which the next `catchUp` tells.
   */
  next(into: Entry): boolean {
    if (this.#left === 0 || !this.#ring.read(this.#next, into)) return false;
    this.#next = (this.#next + 1) >>> 0;
    return true;
  }
}
