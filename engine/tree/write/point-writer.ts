/**
 * Writes of single keys beside other writers, by optimistic lock coupling: pass the tree lock together with others, find
 * the way down as a reader does, and latch the one frame that changes by compare-and-swap on its version. What stands in
 * the frame is then what was found, and the way to it cannot have changed: crossings, grafts, loads and evictions are
 * made by threads that have the tree lock for themselves.
 *
 * This is the way for what needs nothing but the frame: that is resident, dirty already, wanted by no checkpoint and no
 * view as it is, and has room. All else is ELSEWHERE: the caller takes the tree lock for itself.
 *
 * The record is appended before the frame changes, under the append lock, while the frame is latched; so records of one
 * key are in the order of their changes, and an LSN that is given is always used. Nothing fails after the latch but by
 * a defect, and then the tree is poisoned.
 */
import { Descent, descend, END_CROSSING, END_FOUND, END_TORN } from '../../art/descent.js';
import { leafBytes } from '../../art/layout.js';
import { insertAt, removeAt } from '../../art/write.js';
import { operationBodyBytes } from '../../journal/records/record.js';
import { C_REMOVED, C_WAITING_ROOT, F_LSN, S_RESTARTS } from '../../shared/control.js';
import { readFence } from '../../shared/fence.js';
import { poisoned, ROOT_BLOB, type TreeState } from '../state/state.js';
import { ABSENT, sizeOf } from './mutation.js';

/** Outcomes of `attempt`. */
export const DONE = 0;
/** The key is not as the caller expects it. */
export const REFUSED = 1;
export const ELSEWHERE = 2;
const CHANGED = 3;

const MOST_RESTARTS = 16;
/** Room for an inner node that grows on the way, and its prefix. */
const NODE_BYTES = 1024;

export class PointWriter {
  readonly #state: TreeState;
  readonly #at = new Descent();
  /** The frame where the descent ended, and its version then. */
  #index = 0;
  #version = 0;
  #isRoot = false;
  /** LSN of the record that the last DONE appended. */
  lsn = 0;
  /** While the journal is replayed: the LSN of the record, nothing is appended; else 0. */
  replaying = 0;

  constructor(state: TreeState) {
    this.#state = state;
  }

  /** Stores `value` under `key`, or deletes the key; `expected` as in `Writer.write`. */
  attempt(key: Uint8Array, value: Uint8Array | undefined, expected: number): number {
    const { treeLock, control, counters } = this.#state;
    if (!treeLock.enter()) return ELSEWHERE;
    try {
      // What waits comes before the tree, and begins to only while nobody is in here.
      if (Atomics.load(control.words, C_WAITING_ROOT) !== 0) return ELSEWHERE;
      for (let i = 0; i < MOST_RESTARTS; i++) {
        const outcome = this.#descend(key) ? this.#change(key, value, expected) : CHANGED;
        if (outcome !== CHANGED) return outcome;
        control.counters[counters + S_RESTARTS] = (control.counters[counters + S_RESTARTS] as number) + 1;
      }
      return ELSEWHERE;
    } finally {
      treeLock.leave();
    }
  }

  /** False: something changed on the way. #index is -1 where a blob is missing. */
  #descend(key: Uint8Array): boolean {
    const { cache } = this.#state;
    const at = this.#at;
    let blobId = ROOT_BLOB;
    let depth = 0;
    for (;;) {
      const index = cache.find(blobId);
      this.#index = index;
      if (index < 0) return true;
      const version = cache.version(index);
      if ((version & 1) !== 0 || !cache.holds(index, blobId)) return false;
      cache.touch(index);
      descend(at, cache.frame(index), key, depth, blobId === ROOT_BLOB);
      if (at.end !== END_CROSSING) {
        this.#version = version;
        this.#isRoot = blobId === ROOT_BLOB;
        return at.end !== END_TORN;
      }
      readFence();
      if (cache.version(index) !== version) return false;
      blobId = at.blobId;
      depth = at.depth;
    }
  }

  /** Until the frame is latched, what the descent found is a guess. */
  #change(key: Uint8Array, value: Uint8Array | undefined, expected: number): number {
    const { cache } = this.#state;
    const at = this.#at;
    const index = this.#index;
    if (index < 0) return ELSEWHERE;
    const exists = at.end === END_FOUND;
    const isWanted = exists
      ? expected !== ABSENT && (expected < 0 || at.frame.leafVersion(at.node) === expected)
      : value !== undefined && expected < 0;
    if (!isWanted) {
      readFence();
      return cache.version(index) === this.#version ? REFUSED : CHANGED;
    }
    if (!cache.isReady(index) || !this.#fits(key, value)) return ELSEWHERE;
    const { measure } = this.#state;
    if (measure !== undefined) measure.weigh(value);
    if (!cache.tryLatch(index, this.#version)) return CHANGED;
    try {
      if (!this.#append(key, value)) {
        cache.releaseUnchanged(index, this.#version);
        return ELSEWHERE;
      }
      if (measure !== undefined && exists) measure.takeOff(at.frame, at.node);
      if (value === undefined) {
        removeAt(at);
        Atomics.add(this.#state.control.words, C_REMOVED, 1);
      } else if (!insertAt(at, key, value, this.lsn)) {
        throw new Error('Cannot make a change that is journalled: the frame has no room after all');
      }
      if (measure !== undefined) measure.applyTo(at.frame);
      cache.unlatch(index);
      return DONE;
    } catch (error) {
      this.#state.treeLock.abandon();
      throw error;
    }
  }

  /** Whether the change can be made in the frame as it is, and leaves something in it. */
  #fits(key: Uint8Array, value: Uint8Array | undefined): boolean {
    const { frame, end, node } = this.#at;
    if (value === undefined) return this.#isRoot || frame.leaves > 1 || frame.crossings > 0;
    if (end === END_FOUND) {
      const keyLength = frame.leafKeyLength(node);
      const before = leafBytes(keyLength, frame.leafValueLength(node));
      const after = leafBytes(keyLength, value.length);
      return after <= before || frame.bumpBytes >= after;
    }
    return frame.bumpBytes >= sizeOf(key, value) + NODE_BYTES;
  }

  /** Appends the record; false: the journal has no room for it. */
  #append(key: Uint8Array, value: Uint8Array | undefined): boolean {
    const { appendLock, control, journal, place } = this.#state;
    if (this.replaying !== 0) {
      this.lsn = this.replaying;
      return true;
    }
    if (!appendLock.lock()) throw poisoned(place);
    const bytes = operationBodyBytes(key.length, value === undefined ? 0 : value.length);
    const hasRoom = journal === undefined || journal.reserve(bytes);
    if (hasRoom) {
      const lsn = (control.floats[F_LSN] as number) + 1;
      if (value === undefined) journal?.appendDelete(lsn, key);
      else journal?.appendPut(lsn, key, value);
      control.floats[F_LSN] = lsn;
      this.lsn = lsn;
    }
    appendLock.unlock();
    return hasRoom;
  }
}
