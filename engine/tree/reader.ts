/**
 * Point reads without a lock: optimistic lock coupling (Leis et al., "The ART of Practical Synchronization",
 * 2016) at the granularity of frames. A read takes a frame's version, checks that it holds the blob it came for
 * and that the parent did not change meanwhile, walks, copies what it found, and validates. "Not found" too counts
 * only after validation. After MOST_RESTARTS it reads under the tree lock, so that nobody starves.
 */

import type { TreeRecord } from '../api.js';
import { Descent, descend, END_CROSSING, END_FOUND } from '../art/descent.js';
import { LEAF_HEADER_BYTES } from '../art/layout.js';
import { BLOB_SIZE } from '../limits.js';
import { C_BLOB_COUNT, C_GRAFTS, S_HITS, S_RESTARTS } from '../shared/control.js';
import { impossible, Need, ROOT_BLOB, type TreeState } from './state.js';

const MOST_RESTARTS = 64;

const FOUND = 0;
const ABSENT = 1;
const RESTART = 2;

/** What a read wants of the leaf. */
const WANT_VALUE = 0;
const WANT_VERSION = 1;
const WANT_RECORD = 2;

/** A fence for readers on weakly ordered machines: a read-modify-write on a word of this thread. */
const fence = new Int32Array(new SharedArrayBuffer(4));
const weaklyOrdered = process.arch !== 'x64' && process.arch !== 'ia32';

/** Orders the plain reads before it before the validation after it. */
export function readFence(): void {
  if (weaklyOrdered) Atomics.exchange(fence, 0, 0);
}

export class Reader {
  readonly #state: TreeState;
  readonly #at = new Descent();
  #value: Uint8Array | undefined;
  #version = 0;

  /** `makeRoom` is called, without locks, when no frame can be freed for a load. */
  constructor(
    state: TreeState,
    readonly makeRoom: () => void,
  ) {
    this.#state = state;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (!this.#read(key, WANT_VALUE)) return undefined;
    return this.#value;
  }

  getVersion(key: Uint8Array): number | undefined {
    return this.#read(key, WANT_VERSION) ? this.#version : undefined;
  }

  getRecord(key: Uint8Array): TreeRecord | undefined {
    if (!this.#read(key, WANT_RECORD)) return undefined;
    return { value: this.#value as Uint8Array, version: this.#version };
  }

  #read(key: Uint8Array, want: number): boolean {
    for (let i = 0; i < MOST_RESTARTS; i++) {
      const outcome = this.#attempt(key, want);
      if (outcome !== RESTART) return outcome === FOUND;
      const { control, counters } = this.#state;
      control.counters[counters + S_RESTARTS] = (control.counters[counters + S_RESTARTS] as number) + 1;
    }
    return this.#readLocked(key, want);
  }

  #attempt(key: Uint8Array, want: number): number {
    const { cache, control, counters } = this.#state;
    const at = this.#at;
    const grafts = Atomics.load(control.words, C_GRAFTS);
    let blobId = ROOT_BLOB;
    let depth = 0;
    let parent = -1;
    let parentVersion = 0;
    for (;;) {
      const index = cache.find(blobId);
      if (index < 0) {
        if (blobId === ROOT_BLOB && Atomics.load(control.words, C_BLOB_COUNT) === 0) return ABSENT;
        this.loadBelow(blobId, parent, parentVersion);
        return RESTART;
      }
      const version = cache.version(index);
      if ((version & 1) !== 0 || !cache.holds(index, blobId)) return RESTART;
      if (parent >= 0 && cache.version(parent) !== parentVersion) return RESTART;
      control.counters[counters + S_HITS] = (control.counters[counters + S_HITS] as number) + 1;
      cache.touch(index);
      const frame = cache.frame(index);
      descend(at, frame, key, depth, blobId === ROOT_BLOB);
      if (at.end === END_CROSSING) {
        readFence();
        if (cache.version(index) !== version) return RESTART;
        blobId = at.blobId;
        depth = at.depth;
        parent = index;
        parentVersion = version;
        continue;
      }
      const found = at.end === END_FOUND;
      const copied = found && this.#copy(want);
      readFence();
      if (cache.version(index) !== version) return RESTART;
      if (Atomics.load(control.words, C_GRAFTS) !== grafts) return RESTART;
      if (found && !copied) throw impossible(this.#state.place, blobId);
      return found ? FOUND : ABSENT;
    }
  }

  /** Copies what is wanted; false where the leaf's lengths cannot be, as in a torn read. */
  #copy(want: number): boolean {
    const { frame, node } = this.#at;
    this.#version = frame.leafVersion(node);
    if (want === WANT_VERSION) return true;
    const start = node + LEAF_HEADER_BYTES + frame.leafKeyLength(node);
    const end = start + frame.leafValueLength(node);
    if (end > BLOB_SIZE) return false;
    this.#value = frame.u8.slice(start, end);
    return true;
  }

  /**
   * Makes a blob resident that a reader found in its parent's frame; does nothing when the parent changed
   * meanwhile, since the blob may be gone. `parent` is -1 for the root.
   */
  loadBelow(blobId: number, parent: number, parentVersion: number): void {
    const state = this.#state;
    let full = false;
    state.lockTree();
    try {
      if (parent >= 0 && state.cache.version(parent) !== parentVersion) return;
      if (parent < 0 && state.blobCount === 0) return;
      state.resident(blobId);
    } catch (error) {
      if (!(error instanceof Need)) throw error;
      full = true;
    } finally {
      state.treeLock.unlock();
    }
    if (full) this.makeRoom();
  }

  #readLocked(key: Uint8Array, want: number): boolean {
    const state = this.#state;
    for (;;) {
      state.lockTree();
      try {
        if (state.blobCount === 0) return false;
        let blobId = ROOT_BLOB;
        let depth = 0;
        for (;;) {
          descend(this.#at, state.frameOf(blobId), key, depth, blobId === ROOT_BLOB);
          if (this.#at.end === END_FOUND && !this.#copy(want)) throw impossible(state.place, blobId);
          if (this.#at.end !== END_CROSSING) return this.#at.end === END_FOUND;
          blobId = this.#at.blobId;
          depth = this.#at.depth;
        }
      } catch (error) {
        if (!(error instanceof Need)) throw error;
      } finally {
        state.treeLock.unlock();
      }
      this.makeRoom();
    }
  }
}
