/**
 * The requests in a queue that another thread answers, as the log will have them: one place for each place of the queue, so that an
 * entry is there as long as its record is in the queue. Several threads may come to answer one: the first that says so does.
 */
import { ENTRY_BYTES, type Entry, EntryTable } from './entry.js';

export class PendingRequests {
  readonly shared: SharedArrayBuffer;
  /** For each place twice the position of what is there, and one more once it is being answered. */
  readonly #states: Int32Array;
  readonly #entries: EntryTable;
  readonly #capacity: number;

  /** For a queue of `capacity` records (a power of two, 2 at least), or attaches to the memory of one. */
  constructor(capacity: number | SharedArrayBuffer) {
    this.shared =
      typeof capacity === 'number' ? new SharedArrayBuffer(capacity * (4 + ENTRY_BYTES)) : capacity;
    this.#capacity = this.shared.byteLength / (4 + ENTRY_BYTES);
    this.#states = new Int32Array(this.shared, 0, this.#capacity);
    this.#entries = new EntryTable(this.shared, this.#capacity * 4, this.#capacity);
  }

  /** `position`: how many records were put before this one. To be called before that is put. */
  put(position: number, entry: Entry): void {
    const index = position & (this.#capacity - 1);
    this.#entries.write(index, entry);
    Atomics.store(this.#states, index, waiting(position));
  }

  /**
   * The caller is going to answer the request at this position of the queue, and has what is known of it in `into`. False: it is
   * being answered already, or its record is not in the queue any more.
   */
  answer(position: number, into: Entry): boolean {
    const index = position & (this.#capacity - 1);
    this.#entries.read(index, into);
    // As long as the state was this one what was read is of this request.
    return (
      Atomics.compareExchange(this.#states, index, waiting(position), waiting(position) | 1) ===
      waiting(position)
    );
  }
}

function waiting(position: number): number {
  return (position << 1) | 0;
}
