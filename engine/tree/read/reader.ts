/**
 * Point reads without a lock: optimistic lock coupling (Leis et al., "The ART of Practical Synchronization",
 * 2016) at the granularity of frames. A read takes a frame's version, checks that it holds the blob it came for
 * and that the parent did not change meanwhile, walks, copies what it found, and validates. "Not found" too counts
 * only after validation. After MOST_RESTARTS it reads under the tree lock, so that nobody starves.
 */

import type { KeyRecord, TreeRecord } from '../../api.js';
import { findLeaf, findLongest, LEADS_ON, LeadsOn, LongestMatch, NO_LEAF, TORN } from '../../art/descent.js';
import type { Frame } from '../../art/frame.js';
import { LEAF_HEADER_BYTES } from '../../art/layout.js';
import { BLOB_SIZE } from '../../limits.js';
import { C_GRAFTS, S_HITS, S_RESTARTS } from '../../shared/control.js';
import { readFence } from '../../shared/fence.js';
import { Slab } from '../state/slab.js';
import { impossible, Need, type TreeState } from '../state/state.js';
import { CHANGED, ColdReader, TO_BE_LOADED } from './cold-reader.js';

const MOST_RESTARTS = 64;

const FOUND = 0;
const ABSENT = 1;
const RESTART = 2;

/** What a read wants of the leaf. */
const WANT_VALUE = 0;
const WANT_VERSION = 1;
const WANT_RECORD = 2;

export class Reader {
  readonly #state: TreeState;
  readonly #at = new LeadsOn();
  readonly #longest = new LongestMatch();
  readonly #cold: ColdReader;
  /** Frames on the way of a search for the longest key, and their versions. */
  readonly #frames: number[] = [];
  readonly #versions: number[] = [];
  readonly #slab = new Slab();
  #value: Uint8Array | undefined;
  #version = 0;

  /**
   * `makeRoom` is called, without locks, when no frame can be freed for a load; `check` under the tree lock, before
   * anything is loaded, and throws where what has been read so far does not count.
   */
  constructor(
    state: TreeState,
    readonly makeRoom: () => void,
    readonly check: () => void = () => {},
  ) {
    this.#state = state;
    this.#cold = new ColdReader(state, check);
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

  /** The longest key that `key` begins with. */
  longestPrefix(key: Uint8Array): KeyRecord | undefined {
    let outcome = RESTART;
    for (let i = 0; i < MOST_RESTARTS && outcome === RESTART; i++) outcome = this.#attemptLongest(key);
    if (outcome === RESTART) outcome = this.#longestLocked(key);
    if (outcome === ABSENT) return undefined;
    const { length } = this.#longest;
    return {
      key: new Uint8Array(key.subarray(0, length)),
      value: this.#value as Uint8Array,
      version: this.#version,
    };
  }

  #read(key: Uint8Array, want: number): boolean {
    for (let i = 0; i < MOST_RESTARTS; i++) {
      const outcome = this.#attempt(key, want);
      if (outcome !== RESTART) return outcome === FOUND;
      this.#noteRestart();
    }
    return this.#readLocked(key, want) === FOUND;
  }

  #noteRestart(): void {
    const { control, counters } = this.#state;
    control.counters[counters + S_RESTARTS] = (control.counters[counters + S_RESTARTS] as number) + 1;
  }

  #attempt(key: Uint8Array, want: number): number {
    const state = this.#state;
    const { cache, control, counters } = state;
    const at = this.#at;
    const grafts = Atomics.load(control.words, C_GRAFTS);
    let blobId = state.root;
    let depth = 0;
    let parent = -1;
    let parentVersion = 0;
    for (;;) {
      const index = cache.find(blobId);
      if (index < 0) {
        if (parent >= 0) {
          const leaf = this.#cold.find(key, depth, blobId, parent, parentVersion, grafts);
          if (leaf !== TO_BE_LOADED) return this.#answer(leaf, blobId, want);
        } else if (!state.hasRoot) return ABSENT;
        this.#loadOnTheWay(key, depth, blobId, parent, parentVersion);
        return RESTART;
      }
      const version = cache.version(index);
      if ((version & 1) !== 0 || !cache.holds(index, blobId)) return RESTART;
      if (parent >= 0) {
        readFence();
        if (cache.version(parent) !== parentVersion) return RESTART;
      }
      control.counters[counters + S_HITS] = (control.counters[counters + S_HITS] as number) + 1;
      cache.touch(index);
      const frame = cache.frame(index);
      const leaf = findLeaf(at, frame, key, depth);
      if (leaf === LEADS_ON) {
        // Not validated yet: that is done once the version of the next frame is taken, or before it is loaded.
        blobId = at.blobId;
        depth = at.depth;
        parent = index;
        parentVersion = version;
        continue;
      }
      const sound = leaf === NO_LEAF || (leaf !== TORN && this.#copy(frame, leaf, want));
      readFence();
      if (cache.version(index) !== version) return RESTART;
      if (Atomics.load(control.words, C_GRAFTS) !== grafts) return RESTART;
      if (!sound) throw impossible(this.#state.place, blobId);
      return leaf === NO_LEAF ? ABSENT : FOUND;
    }
  }

  /** What came of a look into a blob that is not resident. */
  #answer(leaf: number, blobId: number, want: number): number {
    if (leaf === CHANGED) return RESTART;
    if (leaf === NO_LEAF) return ABSENT;
    if (!this.#copy(this.#cold.frame, leaf, want)) throw impossible(this.#state.place, blobId);
    return FOUND;
  }

  /** A longer match may be in any frame of the way, and the one that counts in one above: so all are validated at the end. */
  #attemptLongest(key: Uint8Array): number {
    const state = this.#state;
    const { cache, control } = state;
    const match = this.#longest;
    const grafts = Atomics.load(control.words, C_GRAFTS);
    let blobId = state.root;
    let depth = 0;
    let found: Frame | undefined;
    let leaf = 0;
    let length = 0;
    this.#frames.length = 0;
    this.#versions.length = 0;
    for (;;) {
      const index = cache.find(blobId);
      if (index < 0) {
        if (blobId === state.root && !state.hasRoot) return ABSENT;
        const last = this.#frames.length - 1;
        this.#loadOnTheWay(key, depth, blobId, this.#frames[last] ?? -1, this.#versions[last] ?? 0);
        return RESTART;
      }
      const version = cache.version(index);
      if ((version & 1) !== 0 || !cache.holds(index, blobId) || !this.#isValid()) return RESTART;
      cache.touch(index);
      this.#frames.push(index);
      this.#versions.push(version);
      const frame = cache.frame(index);
      findLongest(match, frame, key, depth);
      if (match.leaf !== 0) {
        found = frame;
        leaf = match.leaf;
        length = match.length;
      }
      if (match.blobId === 0) break;
      blobId = match.blobId;
      depth = match.depth;
      if (!this.#isValid()) return RESTART;
    }
    const copied = found !== undefined && this.#copy(found, leaf, WANT_RECORD);
    if (!this.#isValid() || Atomics.load(control.words, C_GRAFTS) !== grafts) return RESTART;
    if (found !== undefined && !copied) throw impossible(this.#state.place, blobId);
    match.length = length;
    return copied ? FOUND : ABSENT;
  }

  #isValid(): boolean {
    const { cache } = this.#state;
    readFence();
    for (let i = 0; i < this.#frames.length; i++) {
      if (cache.version(this.#frames[i] as number) !== this.#versions[i]) return false;
    }
    return true;
  }

  /** Copies what is wanted; false where the leaf's lengths cannot be, as in a torn read. */
  #copy(frame: Frame, leaf: number, want: number): boolean {
    if (want !== WANT_VALUE) {
      this.#version = frame.leafVersion(leaf);
      if (want === WANT_VERSION) return true;
    }
    const start = leaf + LEAF_HEADER_BYTES + frame.leafKeyLength(leaf);
    const length = frame.leafValueLength(leaf);
    if (start + length > BLOB_SIZE) return false;
    this.#value = this.#slab.copy(frame.u32, start, length);
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
      this.check();
      if (parent >= 0 && state.cache.version(parent) !== parentVersion) return;
      if (parent < 0 && !state.hasRoot) return;
      state.resident(blobId);
    } catch (error) {
      if (!(error instanceof Need)) throw error;
      full = true;
    } finally {
      state.treeLock.unlock();
    }
    if (full) this.makeRoom();
  }

  /** As `loadBelow`, of the blob that `key` leads to with its first `depth` bytes and the next. */
  #loadOnTheWay(key: Uint8Array, depth: number, blobId: number, parent: number, parentVersion: number): void {
    try {
      this.loadBelow(blobId, parent, parentVersion);
    } catch (error) {
      this.#state.noteUnreadable(error, key, parent < 0 ? 0 : depth + 1);
      throw error;
    }
  }

  #readLocked(key: Uint8Array, want: number): number {
    const { place } = this.#state;
    const at = this.#at;
    return this.#locked((blobId, depth) => {
      const frame = this.#state.frameOf(blobId);
      const leaf = findLeaf(at, frame, key, depth);
      if (leaf === LEADS_ON) return at;
      if (leaf === TORN || (leaf !== NO_LEAF && !this.#copy(frame, leaf, want)))
        throw impossible(place, blobId);
      return leaf !== NO_LEAF;
    });
  }

  #longestLocked(key: Uint8Array): number {
    const match = this.#longest;
    let length = -1;
    const outcome = this.#locked((blobId, depth) => {
      if (blobId === this.#state.root) length = -1;
      const frame = this.#state.frameOf(blobId);
      findLongest(match, frame, key, depth);
      if (match.leaf !== 0) {
        if (!this.#copy(frame, match.leaf, WANT_RECORD)) throw impossible(this.#state.place, blobId);
        length = match.length;
      }
      return match.blobId !== 0 ? match : length >= 0;
    });
    match.length = length;
    return outcome;
  }

  /**
   * Goes down from blob to blob under the tree lock, when nothing changes: so the blobs on the way need not be resident
   * all at once. `step` tells where the way goes on, or whether something was found.
   */
  #locked(
    step: (blobId: number, depth: number) => Readonly<{ blobId: number; depth: number }> | boolean,
  ): number {
    const state = this.#state;
    for (;;) {
      state.lockTree();
      try {
        this.check();
        if (!state.hasRoot) return ABSENT;
        let outcome = step(state.root, 0);
        while (typeof outcome !== 'boolean') outcome = step(outcome.blobId, outcome.depth);
        return outcome ? FOUND : ABSENT;
      } catch (error) {
        if (!(error instanceof Need)) throw error;
      } finally {
        state.treeLock.unlock();
      }
      this.makeRoom();
    }
  }
}
