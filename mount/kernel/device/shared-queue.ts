/**
 * A queue of fixed-size records between two threads, one that puts and one that takes, in shared memory.
 *
 * - `written` is changed by the putting thread only, `taken` by the taking one only; both only grow (mod 2^32).
 * - Records taken with `peek` stay in the queue until `drop`, so that what a thread died over is still there.
 * - `events` changes with every put and every wake-up, so that a wait that began with an older value returns.
 * - Putting never waits: a full queue says so and the caller finds another way.
 */

/** Numbers in a record; the first is its kind, as the two threads agree. */
export const RECORD_FIELDS = 12;

const WRITTEN = 0;
const TAKEN = 1;
const EVENTS = 2;
/** Three counts, padded so that the records are aligned. */
const HEADER_BYTES = 16;

export class SharedQueue {
  readonly memory: SharedArrayBuffer;
  readonly #counts: Int32Array;
  readonly #records: Float64Array;
  readonly #capacity: number;

  /** Makes a queue for `capacity` records (a power of two), or attaches to the memory of one. */
  constructor(capacity: number | SharedArrayBuffer) {
    this.memory =
      typeof capacity === 'number'
        ? new SharedArrayBuffer(HEADER_BYTES + capacity * RECORD_FIELDS * 8)
        : capacity;
    this.#counts = new Int32Array(this.memory, 0, 3);
    this.#records = new Float64Array(this.memory, HEADER_BYTES);
    this.#capacity = this.#records.length / RECORD_FIELDS;
  }

  /** Records put and not dropped yet. */
  get length(): number {
    return (Atomics.load(this.#counts, WRITTEN) - Atomics.load(this.#counts, TAKEN)) >>> 0;
  }

  /** Whether a record more can be put. For the putting thread. */
  get isFull(): boolean {
    return this.length === this.#capacity;
  }

  /** How many records more can be put. For the putting thread. */
  get room(): number {
    return this.#capacity - this.length;
  }

  /** Records put so far, mod 2^32: the position of the next one. */
  get written(): number {
    return Atomics.load(this.#counts, WRITTEN) >>> 0;
  }

  /** Records dropped so far, mod 2^32. */
  get taken(): number {
    return Atomics.load(this.#counts, TAKEN) >>> 0;
  }

  /** Appends a record and wakes the other thread. False: the queue is full. */
  put(kind: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, i = 0, j = 0, k = 0): boolean {
    if (this.isFull) return false;
    const written = Atomics.load(this.#counts, WRITTEN);
    const at = (written & (this.#capacity - 1)) * RECORD_FIELDS;
    this.#records[at] = kind;
    this.#records[at + 1] = a;
    this.#records[at + 2] = b;
    this.#records[at + 3] = c;
    this.#records[at + 4] = d;
    this.#records[at + 5] = e;
    this.#records[at + 6] = f;
    this.#records[at + 7] = g;
    this.#records[at + 8] = h;
    this.#records[at + 9] = i;
    this.#records[at + 10] = j;
    this.#records[at + 11] = k;
    Atomics.store(this.#counts, WRITTEN, (written + 1) | 0);
    this.wake();
    return true;
  }

  /** Copies the record `index` places behind the oldest into `into`. False: there is none. */
  peek(index: number, into: Float64Array): boolean {
    if (index >= this.length) return false;
    const at = ((Atomics.load(this.#counts, TAKEN) + index) & (this.#capacity - 1)) * RECORD_FIELDS;
    for (let field = 0; field < RECORD_FIELDS; field++) into[field] = this.#records[at + field]!;
    return true;
  }

  /** Takes the oldest `count` records out. */
  drop(count: number): void {
    Atomics.store(this.#counts, TAKEN, (Atomics.load(this.#counts, TAKEN) + count) | 0);
  }

  /** To be read before looking for something to do; `wait` then misses nothing that came after. */
  get events(): number {
    return Atomics.load(this.#counts, EVENTS);
  }

  /** Waits until `events` is not `seen` any more, or the time is over. May return early. */
  wait(seen: number, timeoutMs: number): void {
    Atomics.wait(this.#counts, EVENTS, seen, timeoutMs);
  }

  /** Ends the other thread's `wait`, also for a reason that is not in the queue. */
  wake(): void {
    Atomics.add(this.#counts, EVENTS, 1);
    Atomics.notify(this.#counts, EVENTS);
  }
}
