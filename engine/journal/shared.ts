/**
 * The journal's state that all threads share, and its two locks. The records themselves lie in the ring's file, which
 * each thread maps for itself; the atomics here order the accesses to both.
 *
 * Who writes what (nothing else may):
 * - PUBLISHED, CHARGED and the published LSN: the appender, under the tree's writer mutex.
 * - FILE_*, SPACE, WRITTEN, DISCHARGED, the written LSN: the holder of FLUSH_LOCK.
 * - SYNCED, SPARE, the durable LSN, `syncs`: the holder of SYNC_LOCK, which is taken before FLUSH_LOCK, never after.
 * - RING_BYTES changes under FLUSH_LOCK while nobody can append; it is what of the ring's size has disk space.
 * - DURABILITY: any thread, at any time.
 * - HELD_LSN: the one thread that ships records.
 * - FILE and its offset change to another segment only under both locks.
 *
 * Invariants:
 * - durable LSN <= written LSN <= published LSN; the ring holds the records between the last two.
 * - Ring positions are byte counts modulo 2^32, compared by their signed difference.
 * - The charge of a record is its size and a group header. CHARGED - DISCHARGED, the charge of what is in the ring,
 *   never exceeds RING_BYTES nor SPACE: flushing therefore never needs space that the file lacks.
 * - LSNs are 64-bit floats; a load or store of one is a single instruction on the 64-bit machines that Node supports.
 * - DISCHARGED moves after the heads in the ring's file did: what recovery would begin with is not written over.
 * - A flush moves several words: it writes them to NEXT_* first and raises COMMITTING, so that a successor of a
 *   thread that died on the way can finish the move instead of writing the same records twice.
 */
import { threadId } from 'node:worker_threads';
import type { Durability } from '../api.js';
import { SpinneyError } from '../errors.js';
import { HISTOGRAM_SIZE, Histogram } from '../histogram.js';

// One cache line for the appender, one for the flusher, one for those who wait.
export const PUBLISHED = 0;
export const CHARGED = 1;
export const WRITTEN = 16;
export const DISCHARGED = 17;
/** Bytes left in the segment for groups, after what has been flushed. */
export const SPACE = 18;
/** Descriptor of the segment; -1 while there is none. */
export const FILE = 19;
/** Where the next group goes. */
export const FILE_OFFSET = 20;
export const COMMITTING = 21;
const NEXT_WRITTEN = 22;
const NEXT_DISCHARGED = 23;
const NEXT_SPACE = 24;
const NEXT_OFFSET = 25;
export const CHANGING_SEGMENT = 26;
export const SYNCED = 27;
export const FLUSH_LOCK = 32;
export const SYNC_LOCK = 33;
const PROGRESS = 34;
const WAITERS = 35;
export const SLEEPING = 36;
export const ACTIVITY = 37;
const CLOSED = 38;
const FAILED = 39;
const FAILURE_CLAIMED = 40;
const FAILURE_LENGTH = 41;
/** Bytes of the ring that are in use, a power of two; changes while the ring is empty and nobody can append. */
export const RING_BYTES = 42;
/** Bytes of the spare segment; 0 while there is none that is large enough. */
export const SPARE = 43;
/** Index of the durability level in LEVELS. */
const DURABILITY = 44;
const WORDS = 48;

const PUBLISHED_LSN = 0;
const WRITTEN_LSN = 8;
const DURABLE_LSN = 9;
const NEXT_WRITTEN_LSN = 10;
export const OPENED_LSN = 11;
export const SYNC_COUNT = 12;
export const BYTE_COUNT = 13;
/** First LSN of the current segment, which names its file. */
export const FILE_LSN = 14;
/** Records after this one are needed by whoever ships them, whatever checkpoints cover; Infinity: by nobody. */
const HELD_LSN = 15;
const NUMBERS = 16;

const NUMBERS_OFFSET = WORDS * 4;
const SYNCS_OFFSET = NUMBERS_OFFSET + NUMBERS * 8;
const TEXT_OFFSET = SYNCS_OFFSET + HISTOGRAM_SIZE * 8;
const TEXT_BYTES = 1024;

const LEVELS: readonly Durability[] = ['buffered', 'written', 'synced'];

/** Waits end by themselves after this, to look again whether a leader died. */
const RECHECK_MS = 50;

export function controlBytes(): number {
  return TEXT_OFFSET + TEXT_BYTES;
}

export class JournalShared {
  readonly words: Int32Array;
  readonly numbers: Float64Array;
  /** Of the calls that SYNC_COUNT counts. */
  readonly syncs: Histogram;
  readonly #text: Uint8Array;
  /** What this thread writes into a lock that it holds. */
  readonly #owner = threadId + 1;

  constructor(control: SharedArrayBuffer) {
    this.words = new Int32Array(control, 0, WORDS);
    this.numbers = new Float64Array(control, NUMBERS_OFFSET, NUMBERS);
    this.syncs = new Histogram(new Float64Array(control, SYNCS_OFFSET, HISTOGRAM_SIZE));
    this.#text = new Uint8Array(control, TEXT_OFFSET, TEXT_BYTES);
  }

  /** Sets up a journal that has everything before `nextLsn`, no segment, and so many bytes of its ring in use. */
  initialise(nextLsn: number, ringBytes: number, durability: Durability): void {
    Atomics.store(this.words, FILE, -1);
    this.durability = durability;
    Atomics.store(this.words, RING_BYTES, ringBytes);
    for (const index of [PUBLISHED_LSN, WRITTEN_LSN, DURABLE_LSN, OPENED_LSN])
      this.numbers[index] = nextLsn - 1;
    this.heldLsn = Number.POSITIVE_INFINITY;
  }

  /** See HELD_LSN. */
  get heldLsn(): number {
    return this.numbers[HELD_LSN]!;
  }

  set heldLsn(lsn: number) {
    this.numbers[HELD_LSN] = lsn;
  }

  get durability(): Durability {
    return LEVELS[Atomics.load(this.words, DURABILITY)]!;
  }

  set durability(level: Durability) {
    Atomics.store(this.words, DURABILITY, LEVELS.indexOf(level));
  }

  // Reads of an LSN follow an atomic load and its writes precede an atomic store, which orders them.

  get publishedLsn(): number {
    Atomics.load(this.words, PUBLISHED);
    return this.numbers[PUBLISHED_LSN]!;
  }

  get writtenLsn(): number {
    Atomics.load(this.words, WRITTEN);
    return this.numbers[WRITTEN_LSN]!;
  }

  get durableLsn(): number {
    Atomics.load(this.words, SYNCED);
    return this.numbers[DURABLE_LSN]!;
  }

  publish(lsn: number, position: number, charge: number): void {
    this.numbers[PUBLISHED_LSN] = lsn;
    this.words[CHARGED] = charge;
    Atomics.store(this.words, PUBLISHED, position);
  }

  /** Under FLUSH_LOCK: moves on past a group of `length` bytes that has been written and ends with `lsn`. */
  commitFlush(group: { position: number; lsn: number; discharged: number; length: number }): void {
    const words = this.words;
    words[NEXT_WRITTEN] = group.position;
    words[NEXT_DISCHARGED] = group.discharged;
    words[NEXT_SPACE] = words[SPACE]! - group.length;
    words[NEXT_OFFSET] = words[FILE_OFFSET]! + group.length;
    this.numbers[NEXT_WRITTEN_LSN] = group.lsn;
    Atomics.store(words, COMMITTING, 1);
    this.#finishCommit();
  }

  /** The order matters to `reserve`, which reads DISCHARGED before SPACE: space goes down before the charge does. */
  #finishCommit(): void {
    const words = this.words;
    Atomics.store(words, SPACE, words[NEXT_SPACE]!);
    Atomics.store(words, FILE_OFFSET, words[NEXT_OFFSET]!);
    Atomics.store(words, DISCHARGED, words[NEXT_DISCHARGED]!);
    this.numbers[WRITTEN_LSN] = this.numbers[NEXT_WRITTEN_LSN]!;
    Atomics.store(words, WRITTEN, words[NEXT_WRITTEN]!);
    Atomics.store(words, COMMITTING, 0);
  }

  /** Under SYNC_LOCK: everything up to `lsn`, which ends at ring position `position`, is durable. */
  commitSync(position: number, lsn: number): void {
    this.numbers[DURABLE_LSN] = lsn;
    Atomics.store(this.words, SYNCED, position);
  }

  /** To be read before the condition that `pause` waits for is looked at. */
  progress(): number {
    return Atomics.load(this.words, PROGRESS);
  }

  /** Waits until there was progress since `seen`, or a bounded time. */
  pause(seen: number): void {
    Atomics.add(this.words, WAITERS, 1);
    Atomics.wait(this.words, PROGRESS, seen, RECHECK_MS);
    Atomics.sub(this.words, WAITERS, 1);
  }

  tryLock(lock: number): boolean {
    return Atomics.compareExchange(this.words, lock, 0, this.#owner) === 0;
  }

  lock(lock: number): void {
    for (;;) {
      const seen = this.progress();
      if (this.tryLock(lock)) return;
      this.pause(seen);
    }
  }

  /** Gives a lock back and wakes who waits for it or for what its holder did. */
  unlock(lock: number): void {
    Atomics.store(this.words, lock, 0);
    Atomics.add(this.words, PROGRESS, 1);
    if (Atomics.load(this.words, WAITERS) > 0) Atomics.notify(this.words, PROGRESS);
  }

  /** Takes over from a thread that is gone: finishes or abandons what it was doing, and frees its locks. */
  threadDied(deadThreadId: number): void {
    const words = this.words;
    const owner = deadThreadId + 1;
    const flushing = Atomics.load(words, FLUSH_LOCK) === owner;
    if (flushing && Atomics.load(words, CHANGING_SEGMENT) !== 0) {
      this.fail('a thread died while it began a new segment');
    }
    if (flushing && Atomics.load(words, COMMITTING) !== 0) this.#finishCommit();
    if (flushing) this.unlock(FLUSH_LOCK);
    if (Atomics.load(words, SYNC_LOCK) === owner) this.unlock(SYNC_LOCK);
  }

  /** Latches the journal as failed. The first cause is kept. */
  fail(cause: string): void {
    const words = this.words;
    if (Atomics.compareExchange(words, FAILURE_CLAIMED, 0, 1) === 0) {
      // A shared buffer is no valid target for encodeInto.
      const text = new TextEncoder().encode(cause).subarray(0, TEXT_BYTES);
      this.#text.set(text);
      Atomics.store(words, FAILURE_LENGTH, text.length);
    }
    Atomics.store(words, FAILED, 1);
  }

  close(): void {
    Atomics.store(this.words, CLOSED, 1);
  }

  /** Neither failed nor closed. */
  get usable(): boolean {
    return Atomics.load(this.words, FAILED) === 0 && Atomics.load(this.words, CLOSED) === 0;
  }

  get failed(): boolean {
    return Atomics.load(this.words, FAILED) !== 0;
  }

  get closed(): boolean {
    return Atomics.load(this.words, CLOSED) !== 0;
  }

  /** Throws ERR_JOURNAL_FAILED or ERR_CLOSED where nothing may be journalled any more. */
  throwUnlessUsable(): void {
    if (this.failed) throw this.failure();
    if (this.closed) throw new SpinneyError('ERR_CLOSED', 'Cannot use the journal: it is closed');
  }

  failure(): SpinneyError {
    const length = Atomics.load(this.words, FAILURE_LENGTH);
    const cause = new TextDecoder().decode(this.#text.slice(0, length)) || 'the cause is not known';
    return new SpinneyError(
      'ERR_JOURNAL_FAILED',
      `Cannot use the journal: ${cause}; open the store again to recover`,
    );
  }
}
