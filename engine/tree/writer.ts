/**
 * Mutations. Each attempt runs under the tree lock: descend (loading what is missing), make sure of everything
 * it will need (frames, pre-image slots, journal space), change, append to the journal. What is missing is told
 * by throwing a Need while nothing is changed yet; it is seen to without the lock, and the attempt starts anew.
 *
 * Frames stay latched from their first change to the end of the operation, so readers see all or nothing. An
 * exception while frames are latched means that the tree in memory may be broken: it is poisoned, and reopening
 * recovers from the store and the journal.
 */
import { Descent, descend, END_CROSSING, END_FOUND } from '../art/descent.js';
import { Frame } from '../art/frame.js';
import { DATA_BYTES, H_BUMP, LEAF_HEADER_BYTES } from '../art/layout.js';
import { crossingHeight, type Merge, writeCrossingHeight } from '../art/rewrite.js';
import { applySplit, planSplit, repack } from '../art/split.js';
import { insertAt, removeAt } from '../art/write.js';
import { CAPTURED, COPIED, DIRTY } from '../cache/frame-cache.js';
import { SpinneyError } from '../errors.js';
import { operationBodyBytes } from '../journal/record.js';
import { BLOB_SIZE } from '../limits.js';
import {
  C_BLOB_COUNT,
  C_NEXT_BLOB,
  C_PENDING,
  C_REMOVED,
  F_COMPACTIONS,
  F_LSN,
  F_SPILLOVERS,
  PENDING_CAPACITY,
} from '../shared/control.js';
import { NEED_FRAMES, NEED_JOURNAL, NEED_PRE_IMAGE, Need, ROOT_BLOB, type TreeState } from './state.js';

/** A full frame is rewritten in place, not split, when that frees at least this much of it. */
const WORTH_REPACKING = Math.floor(DATA_BYTES * 0.15);

/** Any version, for `remove`, and for `write` whether the key exists or not. */
export const ANY_VERSION = -1;
/** For `write`: only where the key is absent. */
export const ABSENT = -2;

const EMPTY = new Uint8Array(0);

/** What a batch does to one key once all its operations have been played: the value it leaves, or none. */
export interface NetChange {
  key: Uint8Array;
  value: Uint8Array | undefined;
}

export class Writer {
  readonly #state: TreeState;
  readonly #at = new Descent();
  /** Frames from the root to where the last descent ended, and the crossings taken on the way (one fewer). */
  readonly #path: number[] = [];
  readonly #crossings: number[] = [];
  /** Frames that this operation has latched. */
  readonly #latched: number[] = [];
  /** Part of the changes is made already: what splits need was made sure of before. */
  #inBatch = false;
  #scratch: Frame | undefined;
  /** Body bytes that the last attempt wanted of the journal. */
  #wanted = 0;
  /** LSN of the record just appended, to be acknowledged after the lock is released; 0: none. */
  #appended = 0;
  /** While the journal is replayed: the LSN of the record, nothing is appended. */
  #replaying = 0;

  /** `satisfy` does, without locks, what a Need asks for, or throws why it cannot be done. */
  constructor(
    state: TreeState,
    readonly satisfy: (need: Need, journalBytes: number) => void,
  ) {
    this.#state = state;
  }

  /**
   * Stores `value` under `key` where the key's version is `expected` (or ANY_VERSION, or ABSENT).
   * Returns whether it was stored.
   */
  write(key: Uint8Array, value: Uint8Array, expected: number): boolean {
    return this.#one(key, value, expected);
  }

  /** Deletes the key where its version is `expected` (or ANY_VERSION). Returns whether it was deleted. */
  remove(key: Uint8Array, expected: number): boolean {
    return this.#one(key, undefined, expected);
  }

  #one(key: Uint8Array, value: Uint8Array | undefined, expected: number): boolean {
    const state = this.#state;
    for (;;) {
      let need: Need;
      state.lockTree();
      try {
        const done = this.#attemptOne(key, value, expected);
        if (!done) return false;
        break;
      } catch (error) {
        need = this.#asNeed(error);
      } finally {
        this.#leave();
      }
      this.satisfy(need, this.#wanted);
    }
    this.#acknowledge();
    return true;
  }

  #attemptOne(key: Uint8Array, value: Uint8Array | undefined, expected: number): boolean {
    const state = this.#state;
    if (this.#replaying === 0) state.checkWritable();
    const at = this.#at;
    for (;;) {
      if (state.blobCount === 0) {
        if (value === undefined || expected >= 0) return false;
        this.#makeRootBlob();
      }
      this.#descend(key);
      const exists = at.end === END_FOUND;
      if (exists ? expected === ABSENT : value === undefined || expected >= 0) return false;
      if (expected >= 0 && at.frame.leafVersion(at.node) !== expected) return false;
      const index = this.#path[this.#path.length - 1] as number;
      this.#prepare(index);
      this.#reserve(operationBodyBytes(key.length, value === undefined ? 0 : value.length));
      const version = this.#nextLsn();
      this.#change(index);
      if (!this.#apply(key, value, version)) {
        this.#endChanges();
        this.#makeRoom(LEAF_HEADER_BYTES + key.length + (value as Uint8Array).length);
        continue;
      }
      this.#endChanges();
      const { floats } = state.control;
      floats[F_LSN] = version;
      const journal = state.journal;
      if (journal !== undefined && this.#replaying === 0) {
        if (value === undefined) journal.appendDelete(version, key);
        else journal.appendPut(version, key, value);
        this.#appended = version;
      }
      return true;
    }
  }

  /** Does one change at the place where the descent ended; false: the frame has no room. */
  #apply(key: Uint8Array, value: Uint8Array | undefined, version: number): boolean {
    if (value !== undefined) return insertAt(this.#at, key, value, version);
    if (this.#at.end === END_FOUND) {
      removeAt(this.#at);
      Atomics.add(this.#state.control.words, C_REMOVED, 1);
    }
    return true;
  }

  /**
   * Plays a batch: `evaluate` reads the tree through `lookup` and gives the net changes, or undefined when a
   * guard failed; they are then made as one mutation with one journal record, whose body `encode` writes.
   */
  batch(
    evaluate: () => NetChange[] | undefined,
    encode: (changes: NetChange[]) => { body: Uint8Array; length: number },
  ): boolean {
    const state = this.#state;
    let waitsForFrames = 0;
    for (;;) {
      let need: Need;
      state.lockTree();
      try {
        if (this.#replaying === 0) state.checkWritable();
        const changes = evaluate();
        state.cache.unpinAll();
        if (changes === undefined) return false;
        if (changes.length === 0) return true;
        this.#attemptBatch(changes, encode(changes));
        break;
      } catch (error) {
        need = this.#asNeed(error);
      } finally {
        this.#leave();
      }
      if (need.what === 'frames' && ++waitsForFrames > 3) throw this.#batchTooWide();
      this.satisfy(need, this.#wanted);
    }
    this.#acknowledge();
    return true;
  }

  #batchTooWide(): SpinneyError {
    return new SpinneyError(
      'ERR_BATCH_TOO_LARGE',
      `Cannot do the batch in ${this.#state.place}: it touches more blobs than half a cache of ${this.#state.cache.bytes} bytes holds`,
    );
  }

  #attemptBatch(changes: NetChange[], record: { body: Uint8Array; length: number }): void {
    const state = this.#state;
    const { cache } = state;
    if (state.blobCount === 0) this.#makeRootBlob();
    const targets = new Set<number>();
    let bytes = 0;
    for (const { key, value } of changes) {
      this.#descend(key);
      for (const index of this.#path) this.#handOver(index);
      const index = this.#path[this.#path.length - 1] as number;
      if (!targets.has(index)) {
        targets.add(index);
        if (targets.size > cache.heldLimit / 2) throw this.#batchTooWide();
        this.#prepare(index);
      }
      if (value !== undefined) bytes += LEAF_HEADER_BYTES + key.length + value.length + 64;
    }
    // Splits on the way: each target once, and once more for each part of a blob that is added.
    const splits = bytes === 0 ? 0 : targets.size + Math.ceil(bytes / (DATA_BYTES / 8)) + 2;
    if (cache.available(splits) < splits) throw NEED_FRAMES;
    this.#reserve(record.length);
    const version = this.#nextLsn();
    this.#inBatch = true;
    for (const { key, value } of changes) {
      for (;;) {
        this.#descend(key);
        this.#change(this.#path[this.#path.length - 1] as number);
        if (this.#apply(key, value, version)) break;
        this.#makeRoom(LEAF_HEADER_BYTES + key.length + (value as Uint8Array).length);
      }
    }
    this.#inBatch = false;
    this.#endChanges();
    state.control.floats[F_LSN] = version;
    const journal = state.journal;
    if (journal !== undefined && this.#replaying === 0) {
      journal.appendBatch(version, record.body, record.length);
      this.#appended = version;
    }
  }

  /** Runs `read` under the tree lock, for what must see one state of the tree and may load blobs. */
  locked<T>(read: () => T): T {
    const state = this.#state;
    for (;;) {
      let need: Need;
      state.lockTree();
      try {
        return read();
      } catch (error) {
        need = this.#asNeed(error);
      } finally {
        this.#leave();
      }
      this.satisfy(need, 0);
    }
  }

  /** Version and value of a key; REQUIRES the tree lock. */
  lookup(key: Uint8Array): { version: number; value: Uint8Array } | undefined {
    if (this.#state.blobCount === 0) return undefined;
    this.#descend(key);
    const at = this.#at;
    if (at.end !== END_FOUND) return undefined;
    const start = at.node + LEAF_HEADER_BYTES + at.frame.leafKeyLength(at.node);
    const value = at.frame.u8.slice(start, start + at.frame.leafValueLength(at.node));
    this.#state.cache.unpinAll();
    return { version: at.frame.leafVersion(at.node), value };
  }

  /** Makes the changes of one replayed record with its LSN. */
  replay(lsn: number, changes: NetChange[]): void {
    this.#replaying = lsn;
    try {
      if (changes.length === 1) {
        const { key, value } = changes[0] as NetChange;
        if (this.#one(key, value, ANY_VERSION)) return;
      } else if (changes.length > 1) {
        this.batch(
          () => changes,
          () => ({ body: EMPTY, length: 0 }),
        );
        return;
      }
      this.#state.control.floats[F_LSN] = lsn;
    } finally {
      this.#replaying = 0;
    }
  }

  // ---- What an attempt is made of. All REQUIRE the tree lock.

  #nextLsn(): number {
    return this.#replaying !== 0 ? this.#replaying : this.#state.lsn() + 1;
  }

  /** Walks to where the key is or would be, and pins the frames on the way. */
  #descend(key: Uint8Array): void {
    const { cache } = this.#state;
    const at = this.#at;
    this.#path.length = 0;
    this.#crossings.length = 0;
    let blobId = ROOT_BLOB;
    let depth = 0;
    for (;;) {
      const index = this.#state.resident(blobId);
      cache.pin(index);
      this.#path.push(index);
      descend(at, cache.frame(index), key, depth, blobId === ROOT_BLOB);
      if (at.end !== END_CROSSING) return;
      this.#crossings.push(at.node);
      blobId = at.blobId;
      depth = at.depth;
    }
  }

  /** If the frame's image of the capture is still needed, keeps it before anything changes. */
  #handOver(index: number): void {
    const { cache, preImages } = this.#state;
    if ((cache.flags(index) & (CAPTURED | COPIED)) !== CAPTURED) return;
    if (!preImages.keep(cache.blobIn(index), cache.frame(index).u8)) throw NEED_PRE_IMAGE;
    cache.setFlags(index, COPIED, 0);
  }

  /** Makes the frame one that may be changed. */
  #prepare(index: number): void {
    const { cache } = this.#state;
    this.#handOver(index);
    const flags = cache.flags(index);
    if ((flags & DIRTY) !== 0) return;
    if ((flags & CAPTURED) === 0 && cache.held >= cache.heldLimit) throw NEED_FRAMES;
    cache.setFlags(index, DIRTY, 0);
  }

  #reserve(bodyBytes: number): void {
    const journal = this.#state.journal;
    this.#wanted = bodyBytes;
    if (journal !== undefined && this.#replaying === 0 && !journal.reserve(bodyBytes)) throw NEED_JOURNAL;
  }

  #change(index: number): void {
    const { cache } = this.#state;
    if (cache.isLatched(index)) return;
    this.#latched.push(index);
    cache.latch(index);
  }

  #endChanges(): void {
    for (let i = this.#latched.pop(); i !== undefined; i = this.#latched.pop()) this.#state.cache.unlatch(i);
  }

  /** Gives the frame at the end of the path room for `bytes` more, by rewriting it or by splitting it. */
  #makeRoom(bytes: number): void {
    const index = this.#path[this.#path.length - 1] as number;
    const frame = this.#state.cache.frame(index);
    if (frame.freeBytes >= WORTH_REPACKING + bytes) this.repack(index, []);
    else this.#split();
  }

  /** Rewrites a prepared frame without gaps, taking in the merged blobs. */
  repack(index: number, merges: readonly Merge[]): void {
    const { cache, control } = this.#state;
    const frame = cache.frame(index);
    this.#scratch ??= new Frame(new ArrayBuffer(BLOB_SIZE), 0);
    const scratch = this.#scratch;
    scratch.format(frame.blobId);
    scratch.height = frame.height;
    repack(frame, scratch, merges, frame.blobId === ROOT_BLOB);
    const wasLatched = cache.isLatched(index);
    if (!wasLatched) cache.latch(index);
    frame.u8.set(scratch.u8.subarray(0, scratch.u32[H_BUMP >> 2] as number));
    if (!wasLatched) cache.unlatch(index);
    control.floats[F_COMPACTIONS] = (control.floats[F_COMPACTIONS] as number) + 1;
  }

  /** Moves a part of the frame at the end of the path to a new blob. */
  #split(): void {
    const { cache, control } = this.#state;
    const { words, floats } = control;
    const end = this.#path.length - 1;
    const index = this.#path[end] as number;
    const frame = cache.frame(index);
    const plan = planSplit(frame);
    // Heights above may grow: those frames change too.
    let rising = 0;
    for (let level = end, height = plan.height + 1; level >= 0; level--, height++) {
      if (cache.frame(this.#path[level] as number).height >= height) break;
      this.#prepareAncestor(this.#path[level] as number);
      if (level > 0) this.#prepareAncestor(this.#path[level - 1] as number);
      rising++;
    }
    const fresh = this.#newBlobFrame();
    const blobId = words[C_NEXT_BLOB] as number;
    const target = cache.frame(fresh);
    target.format(blobId);
    this.#change(index);
    applySplit(frame, plan, target, blobId);
    words[C_NEXT_BLOB] = blobId + 1;
    this.#adopt(fresh, blobId);
    floats[F_SPILLOVERS] = (floats[F_SPILLOVERS] as number) + 1;
    for (let level = end, height = plan.height + 1; rising > 0; level--, height++, rising--) {
      const above = this.#path[level] as number;
      this.#change(above);
      cache.frame(above).height = height;
      if (level === 0) break;
      const parent = this.#path[level - 1] as number;
      const crossing = this.#crossings[level - 1] as number;
      this.#change(parent);
      if (crossingHeight(cache.frame(parent), crossing) < height) {
        writeCrossingHeight(cache.frame(parent), crossing, height);
      }
    }
    // In a batch the latches stay until its end; alone, nothing else is being changed.
    if (!this.#inBatch) this.#endChanges();
  }

  /** Like #prepare, for a frame whose header or crossing changes only a number: never refused in a batch. */
  #prepareAncestor(index: number): void {
    this.#handOver(index);
    this.#state.cache.setFlags(index, DIRTY, 0);
  }

  #newBlobFrame(): number {
    const { cache } = this.#state;
    if (!this.#inBatch && cache.held >= cache.heldLimit) throw NEED_FRAMES;
    const index = cache.obtain();
    if (index < 0) throw NEED_FRAMES;
    return index;
  }

  #adopt(index: number, blobId: number): void {
    const { cache, control } = this.#state;
    cache.install(index, blobId);
    cache.setFlags(index, DIRTY, 0);
    cache.pin(index);
    Atomics.add(control.words, C_BLOB_COUNT, 1);
  }

  #makeRootBlob(): void {
    const { cache, control } = this.#state;
    const index = this.#newBlobFrame();
    cache.frame(index).format(ROOT_BLOB);
    if ((control.words[C_NEXT_BLOB] as number) <= ROOT_BLOB) control.words[C_NEXT_BLOB] = ROOT_BLOB + 1;
    this.#adopt(index, ROOT_BLOB);
  }

  /** Makes sure that `retire` of this frame's blob, after `others` more, cannot fail. */
  prepareToRetire(index: number, others: number): void {
    this.#handOver(index);
    const pending = Atomics.load(this.#state.control.words, C_PENDING);
    if (pending + others >= PENDING_CAPACITY) throw NEED_FRAMES;
  }

  /** A blob has left the tree: its frame is given up and its deletion from the store is due. */
  retire(index: number): void {
    const { cache, control } = this.#state;
    const blobId = cache.blobIn(index);
    cache.drop(index);
    control.pending[control.words[C_PENDING] as number] = blobId;
    Atomics.add(control.words, C_PENDING, 1);
    Atomics.sub(control.words, C_BLOB_COUNT, 1);
  }

  /** Makes the frame one that may be changed; REQUIRES the tree lock. */
  prepare(index: number): void {
    this.#prepare(index);
  }

  /** Ends an attempt, well or badly. An attempt that ends with frames latched has left them half changed. */
  #leave(): void {
    const state = this.#state;
    if (this.#latched.length > 0) state.treeLock.abandon();
    state.cache.unpinAll();
    state.treeLock.unlock();
  }

  #asNeed(error: unknown): Need {
    if (error instanceof Need && this.#latched.length === 0) return error;
    throw error;
  }

  #acknowledge(): void {
    const lsn = this.#appended;
    if (lsn === 0) return;
    this.#appended = 0;
    this.#state.journal?.acknowledge(lsn);
  }
}
