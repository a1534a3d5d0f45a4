/**
 * An open tree as one thread sees it: what all threads share, and the way to a blob's frame.
 *
 * Lock order: snapshot lock, compact lock, round lock, tree lock, append lock. Every mutation is behind the tree lock from its descent
 * to its last store: alone, or, where it changes one key of a frame that is ready for it, beside others (point-writer.ts).
 * Loads, evictions and the capture of a checkpoint are alone; so a capture sees no half-done mutation. Readers of
 * resident blobs take no lock (see reader.ts). Nothing waits for a round while it holds the tree lock: what a mutation
 * lacks is told by throwing a `Need` before anything is changed.
 */

import type { PreviousEnd } from '../../api.js';
import type { Frame } from '../../art/frame.js';
import { ROOT_BLOB, WAITING_BLOBS, WAITING_ROOTS } from '../../art/layout.js';
import { dropSums, hasSums, hasSumsOf, type Measure, type MeasureName } from '../../art/measure.js';
import type { FrameCache } from '../../cache/frame-cache.js';
import type { PreImages } from '../../cache/pre-images.js';
import { SpinneyError, UnreadableBlobError } from '../../errors.js';
import type { Journal } from '../../journal/journal.js';
import {
  C_APPEND_LOCK,
  C_BLOB_COUNT,
  C_CLOSED,
  C_COMPACT_LOCK,
  C_FREE_SLOTS,
  C_NEXT_BLOB,
  C_NEXT_WAITING,
  C_PENDING,
  C_ROUND_BELL,
  C_ROUND_COUNT,
  C_ROUND_LOCK,
  C_ROUND_WANTED,
  C_SNAPSHOT_LOCK,
  C_TREE_LOCK,
  C_WAITING_BLOBS,
  C_WAITING_ROOT,
  COUNTER_FLOATS,
  type Control,
  F_LSN,
  MAX_THREADS,
  S_MISSES,
} from '../../shared/control.js';
import { Gate } from '../../shared/gate.js';
import { Mutex } from '../../shared/mutex.js';
import { Part, stopwatch } from '../../stopwatch.js';
import type { BlobStore } from '../../store/blob-store.js';

export { isRootBlob, ROOT_BLOB } from '../../art/layout.js';

/**
 * Frames that may leave the cache, a round that keeps step, a slot for a pre-image, room in the journal, slots for images;
 * that nothing waits (see write/waiting).
 */
type Lacking = 'frames' | 'pace' | 'pre-image' | 'journal' | 'slots' | 'merged';

/** Thrown, before anything is changed, by a mutation that must be tried again after `what` has been done. */
export class Need extends Error {
  readonly what: Lacking;
  constructor(what: Lacking) {
    super(`Cannot go on yet: needs ${what}`);
    this.what = what;
  }
}
export const NEED_FRAMES = new Need('frames');
export const NEED_PACE = new Need('pace');
export const NEED_PRE_IMAGE = new Need('pre-image');
export const NEED_JOURNAL = new Need('journal');
export const NEED_SLOTS = new Need('slots');
export const NEED_MERGED = new Need('merged');

/** How much of what a Need names. */
export interface Wanted {
  /** Body bytes of the record, for 'journal'. */
  journalBytes: number;
  /** So many slots must be free, for 'slots'. */
  freeSlots: number;
  /** It takes away, or only changes, what is there: it may use what is kept back for that on a full disk. */
  mayUseReserve: boolean;
}

export class TreeState {
  readonly appendLock: Mutex;
  readonly roundLock: Mutex;
  readonly compactLock: Mutex;
  /** Of whoever asks the maintenance worker about a snapshot. */
  readonly snapshotLock: Mutex;
  /** First of this thread's counters in `control.counters`. */
  readonly counters: number;
  /** Where the tree lives, for messages. */
  readonly place: string;
  /** The tree's first blob; of waiting changes as `look` found it. */
  root = ROOT_BLOB;
  #ended = false;

  constructor(
    readonly control: Control,
    readonly cache: FrameCache,
    readonly preImages: PreImages,
    readonly store: BlobStore,
    readonly journal: Journal | undefined,
    readonly thread: number,
    readonly options: {
      place: string;
      readOnly: boolean;
      previousEnd: PreviousEnd;
      /** Descriptor of the tree's directory, by which it is found wherever it is moved to. */
      anchor: number | undefined;
      /** The measure whose sums blobs carry; undefined: none. */
      measure: (MeasureName & { identity: number }) | undefined;
      /** Changes may wait, where their blobs would have to be made resident or dirty for them. */
      mayWait: boolean;
    },
    /** What records count, where this thread was told; one that was not may not change them. */
    readonly measure: Measure | undefined,
    readonly treeLock = new Gate(control.words, C_TREE_LOCK, control.gate, thread),
    /** It is the tree of changes that wait beside the tree itself. */
    readonly isOfWaiting = false,
  ) {
    this.place = options.place;
    this.appendLock = new Mutex(control.words, C_APPEND_LOCK, thread);
    this.roundLock = new Mutex(control.words, C_ROUND_LOCK, thread);
    this.compactLock = new Mutex(control.words, C_COMPACT_LOCK, thread);
    this.snapshotLock = new Mutex(control.words, C_SNAPSHOT_LOCK, thread);
    this.counters = (thread % MAX_THREADS) * COUNTER_FLOATS;
  }

  /** The same tree for the reads of views: its cache finds the blobs as of the epoch that it is told. */
  forViews(): TreeState {
    const { control, cache, preImages, store, journal, thread, options, measure, treeLock } = this;
    const views = cache.forViews();
    return new TreeState(control, views, preImages, store, journal, thread, options, measure, treeLock);
  }

  /** The tree of waiting changes, as this thread sees it. */
  forWaiting(): TreeState {
    const { control, cache, preImages, store, journal, thread, options, measure, treeLock } = this;
    return new TreeState(control, cache, preImages, store, journal, thread, options, measure, treeLock, true);
  }

  /** Whether changes wait now, or may at any time. */
  get hasWaiting(): boolean {
    return this.options.mayWait || Atomics.load(this.control.words, C_WAITING_ROOT) !== 0;
  }

  /** Of waiting changes: notes which is the first blob now; whether there is one. */
  look(): boolean {
    this.root = Atomics.load(this.control.words, C_WAITING_ROOT);
    return this.root !== 0;
  }

  /** Whether `root` is there. */
  get hasRoot(): boolean {
    const { words } = this.control;
    if (this.isOfWaiting) return Atomics.load(words, C_WAITING_ROOT) === this.root;
    return Atomics.load(words, C_BLOB_COUNT) !== 0;
  }

  /** Id of the next blob. REQUIRES the tree lock. */
  nextBlobId(): number {
    const { words } = this.control;
    const word = this.isOfWaiting ? C_NEXT_WAITING : C_NEXT_BLOB;
    const next = words[word] as number;
    words[word] = next + 1;
    return this.isOfWaiting ? WAITING_BLOBS + next : next;
  }

  /** Id of a first blob, where there is none. REQUIRES the tree lock. */
  nextRootId(): number {
    return this.isOfWaiting ? this.nextBlobId() + (WAITING_ROOTS - WAITING_BLOBS) : ROOT_BLOB;
  }

  /** The first blob was made; of waiting changes also 0: it is gone. REQUIRES the tree lock. */
  rootIs(blobId: number): void {
    this.root = blobId;
    if (this.isOfWaiting) Atomics.store(this.control.words, C_WAITING_ROOT, blobId);
  }

  /** One more blob, or one less. */
  countBlobs(by: 1 | -1): void {
    const { words } = this.control;
    Atomics.add(words, C_BLOB_COUNT, by);
    if (this.isOfWaiting) Atomics.add(words, C_WAITING_BLOBS, by);
  }

  /** Ends this thread's use of an open tree. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.treeLock.close();
  }

  lockTree(): void {
    if (!this.treeLock.lock()) throw poisoned(this.place);
  }

  /** As `lockTree`, for who must not wait where a thread has the lock and the disk hangs. @throws ERR_IO, ERR_POISONED */
  lockTreeWithin(ms: number): void {
    const isMine = this.treeLock.lockWithin(ms);
    if (isMine === true) return;
    if (isMine === false) throw poisoned(this.place);
    throw new SpinneyError(
      'ERR_IO',
      `Cannot look at the tree in ${this.place}: for ${ms / 1000} s another thread has had it to itself; its disk may hang`,
    );
  }

  lsn(): number {
    return this.control.floats[F_LSN] as number;
  }

  /** Slots with disk space that no dirty frame is going to need. */
  get freeSlots(): number {
    return Atomics.load(this.control.words, C_FREE_SLOTS);
  }

  get blobCount(): number {
    return Atomics.load(this.control.words, C_BLOB_COUNT);
  }

  /** Rounds that have ended, modulo 2^32. */
  get roundCount(): number {
    return Atomics.load(this.control.words, C_ROUND_COUNT);
  }

  /** Rounds that have ended since there were so many. */
  roundsSince(count: number): number {
    return (this.roundCount - count) | 0;
  }

  /** Those who wait for a round look again: it has come further. */
  ringRoundBell(): void {
    const { words } = this.control;
    Atomics.add(words, C_ROUND_BELL, 1);
    Atomics.notify(words, C_ROUND_BELL);
  }

  /** Has a round begun soon; once is enough until one has. */
  wantRound(): void {
    const { words } = this.control;
    if (Atomics.load(words, C_ROUND_WANTED) !== 0) return;
    Atomics.store(words, C_ROUND_WANTED, 1);
    this.wakeWorker();
  }

  /** Makes the maintenance worker look at once. */
  wakeWorker(): void {
    const activity = this.journal?.activity;
    if (activity === undefined) return;
    Atomics.add(activity.array, activity.index, 1);
    Atomics.notify(activity.array, activity.index);
  }

  checkOpen(): void {
    if (this.#ended || Atomics.load(this.control.words, C_CLOSED) !== 0) {
      throw new SpinneyError('ERR_CLOSED', `Cannot use the tree in ${this.place}: it is closed`);
    }
  }

  checkWritable(): void {
    this.checkOpen();
    if (this.options.readOnly) {
      throw new SpinneyError('ERR_READ_ONLY', `Cannot write to ${this.place}: it was opened read-only`);
    }
    if (this.lacksMeasure) throw lacksMeasure(this.place, this.options.measure?.name);
  }

  /** Blobs carry sums, and this thread was not told what records count. */
  get lacksMeasure(): boolean {
    return this.measure === undefined && this.options.measure !== undefined;
  }

  /** Index of the frame that holds the blob, which is loaded if need be. REQUIRES the tree lock, and that the blob is in the tree. */
  resident(blobId: number): number {
    const { cache } = this;
    const found = cache.find(blobId);
    if (found >= 0) {
      cache.touch(found);
      return found;
    }
    const counters = this.control.counters;
    counters[this.counters + S_MISSES] = (counters[this.counters + S_MISSES] as number) + 1;
    const index = cache.obtain();
    if (index < 0) throw NEED_FRAMES;
    const before = stopwatch.turn(Part.LOADING);
    const began = performance.now();
    try {
      this.store.readBlob(blobId, cache.frame(index).u8);
    } catch (error) {
      cache.giveBack(index);
      const thrown = UnreadableBlobError.of(blobId, error);
      if (thrown instanceof UnreadableBlobError) this.control.unreadable.failed(blobId);
      throw thrown;
    } finally {
      stopwatch.turn(before);
    }
    this.control.loads.record(performance.now() - began);
    this.control.unreadable.forget(blobId);
    this.#settleSums(cache.frame(index));
    cache.install(index, blobId, false);
    return index;
  }

  /** A blob that was just read has the sums of this tree's measure, or none: not those of another time's. */
  #settleSums(frame: Frame): void {
    const told = this.options.measure;
    if (told === undefined ? hasSums(frame) : !hasSumsOf(frame, told.identity)) dropSums(frame);
    if (told !== undefined && !hasSums(frame)) this.measure?.build(frame);
  }

  /** Whether a blob that once was in the tree still is. REQUIRES the tree lock; ids are never given out twice. */
  isInTree(blobId: number): boolean {
    if (this.cache.find(blobId) >= 0) return true;
    const { pending, words } = this.control;
    return this.store.hasBlob(blobId) && !pending.subarray(0, words[C_PENDING]).includes(blobId);
  }

  /**
   * Notes, where the error is of a blob that could not be read, which keys it stands for: all that begin with the first
   * `length` bytes of `key`, the last of which leads from a node to the blob (0: all keys). To be called without the tree lock.
   */
  noteUnreadable(error: unknown, key: Uint8Array, length: number): void {
    if (!(error instanceof UnreadableBlobError) || error.prefix !== undefined) return;
    error.prefix = key.slice(0, length);
    this.lockTree();
    this.control.unreadable.setPrefix(error.blobId, key.subarray(0, Math.max(0, length - 1)));
    this.treeLock.unlock();
  }

  /** An image that the snapshot with the id `pin` keeps could not be read, or could be. */
  noteImage(blobId: number, pin: number, isReadable: boolean): void {
    const { unreadable } = this.control;
    if (isReadable && !unreadable.has(blobId, pin)) return;
    const isMine = this.treeLock.held;
    if (!isMine) this.lockTree();
    if (isReadable) unreadable.forget(blobId, pin);
    else unreadable.failed(blobId, pin);
    if (!isMine) this.treeLock.unlock();
  }

  frameOf(blobId: number): Frame {
    return this.cache.frame(this.resident(blobId));
  }
}

/** A way down through so many blobs cannot be held in memory as a whole. */
export function tooDeep(state: TreeState): SpinneyError {
  return new SpinneyError(
    'ERR_NO_SPACE',
    `Cannot follow a key in ${state.place}: it lies below more blobs than a cache of ${state.cache.bytes} bytes can hold at once; open with a larger one`,
  );
}

/** A read-only open writes no checkpoint to free frames. */
export function needsRecovery(place: string): SpinneyError {
  return new SpinneyError(
    'ERR_NEEDS_RECOVERY',
    `Cannot open ${place} read-only: its journal holds more than the cache can; open it once for writing, or with a larger cache`,
  );
}

/** Bytes that pass their checksum and yet cannot be: whatever wrote them was broken. */
export function impossible(place: string, blobId: number): SpinneyError {
  return new SpinneyError(
    'ERR_BLOB_CORRUPT',
    `Cannot read blob ${blobId} of ${place}: it has a leaf that ends outside of it`,
  );
}

/** The sums that blobs carry are of a measure that the caller does not mean. */
export function otherMeasure(
  place: string,
  { name, fields }: MeasureName,
  recorded: MeasureName | undefined,
): SpinneyError {
  const has =
    recorded === undefined ? 'no measure' : `the measure "${recorded.name}" of ${recorded.fields} fields`;
  return new SpinneyError(
    'ERR_MEASURE',
    `Cannot open ${place} with the measure "${name}" of ${fields} fields: it has ${has}`,
  );
}

/** A change without its sums would leave wrong ones behind. */
export function lacksMeasure(place: string, name: string | undefined): SpinneyError {
  return new SpinneyError(
    'ERR_MEASURE',
    `Cannot do this with the tree in ${place}: it has the measure "${name}", which this thread must give when it attaches`,
  );
}

export function poisoned(place: string): SpinneyError {
  return new SpinneyError(
    'ERR_POISONED',
    `Cannot use the tree in ${place}: a thread failed in the middle of a change; reopening recovers`,
  );
}
