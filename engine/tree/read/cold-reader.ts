/**
 * Point reads of a blob that is not in memory, by the pages on the key's way through it. To read a blob as a whole for one key
 * would cost a hundred times as much, and take its frame from another.
 *
 * Under the tree lock, in one step: the blob hangs from a frame that has not changed since the reader came by, it is not
 * resident, and the store's image is held. So that image is the blob as it is at this moment, and what is found in it
 * afterwards, without the lock, is an answer as of then, whatever becomes of the blob meanwhile.
 *
 * A blob into which there were many looks is left to be loaded. So is one through which the way leads on to another.
 */
import { LEADS_ON, NO_LEAF, TORN } from '../../art/descent.js';
import { Frame } from '../../art/frame.js';
import {
  H_ROOT,
  HEADER_BYTES,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  KIND_N256,
  LEAF_HEADER_BYTES,
  leafBytes,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  prefixOffset,
} from '../../art/layout.js';
import { findChild } from '../../art/node.js';
import { C_GRAFTS, S_COLD_READS } from '../../shared/control.js';
import { Part, stopwatch } from '../../stopwatch.js';
import type { ImagePages } from '../../store/blob-store.js';
import type { TreeState } from '../state/state.js';
import { Looks } from './looks.js';

/** Of the cache's size, what a thread has for pages with inner nodes. */
const KEPT_SHARE = 1 / 8;
/** After so many looks a blob is loaded: they cost about as much. */
const MOST_LOOKS = 8;
/**
 * Once all frames are in use, looks are counted anew after so many for each of them: so a blob takes the frame of another only
 * where it gets twice as many as are due to it if there are as many blobs as frames. Few of a great many blobs do.
 */
const LOOKS_COUNTED = MOST_LOOKS / 2;

/** Results of `find` beside a leaf and NO_LEAF: the blob is to be loaded; what led to it has changed. */
export const TO_BE_LOADED = -3;
export const CHANGED = -4;

export class ColdReader {
  readonly #state: TreeState;
  readonly #check: () => void;
  readonly #looks = new Looks(MOST_LOOKS);
  #pages: ImagePages | undefined;
  #frame: Frame | undefined;

  /** `check` as for a Reader. */
  constructor(state: TreeState, check: () => void) {
    this.#state = state;
    this.#check = check;
  }

  /** Where the leaf is that was found last, until the next `find`. */
  get frame(): Frame {
    return this.#frame as Frame;
  }

  /**
   * The leaf of the key in a blob below the frame `parent` of this version, where `depth` bytes of the key lead; NO_LEAF,
   * TO_BE_LOADED or CHANGED. `grafts`: of those as many had begun when the reader set out.
   */
  find(
    key: Uint8Array,
    depth: number,
    blobId: number,
    parent: number,
    parentVersion: number,
    grafts: number,
  ): number {
    const state = this.#state;
    const pages = this.#openPages();
    if (pages === undefined) return TO_BE_LOADED;
    state.lockTree();
    try {
      this.#check();
      const { cache, control } = state;
      if (cache.version(parent) !== parentVersion || cache.find(blobId) >= 0) return CHANGED;
      if (Atomics.load(control.words, C_GRAFTS) !== grafts) return CHANGED;
      if (!this.#hold(pages, blobId)) return TO_BE_LOADED;
    } finally {
      state.treeLock.unlock();
    }
    return this.#readHeld(pages, key, depth);
  }

  /**
   * As `find`, under the tree lock: the leaf, NO_LEAF or TO_BE_LOADED. REQUIRES that the blob is not resident, and that the key
   * leads to it.
   */
  findLocked(key: Uint8Array, depth: number, blobId: number): number {
    const pages = this.#openPages();
    if (pages === undefined || !this.#hold(pages, blobId)) return TO_BE_LOADED;
    return this.#readHeld(pages, key, depth);
  }

  #hold(pages: ImagePages, blobId: number): boolean {
    if (this.#state.control.unreadable.has(blobId, 0) || this.#isLookedAtOften(blobId)) return false;
    return pages.hold(blobId);
  }

  #readHeld(pages: ImagePages, key: Uint8Array, depth: number): number {
    const state = this.#state;
    const before = stopwatch.turn(Part.LOADING);
    let leaf: number;
    try {
      leaf = this.#walk(pages, key, depth);
    } finally {
      pages.letGo();
      stopwatch.turn(before);
    }
    if (leaf === LEADS_ON || leaf === TORN) return TO_BE_LOADED;
    const { counters } = state.control;
    counters[state.counters + S_COLD_READS] = (counters[state.counters + S_COLD_READS] as number) + 1;
    return leaf;
  }

  #openPages(): ImagePages | undefined {
    if (this.#pages !== undefined) return this.#pages;
    const { store, cache } = this.#state;
    this.#pages = store.imagePages?.(cache.bytes * KEPT_SHARE);
    if (this.#pages !== undefined) this.#frame = new Frame(this.#pages.image.buffer, 0);
    return this.#pages;
  }

  #isLookedAtOften(blobId: number): boolean {
    const { cache } = this.#state;
    return this.#looks.areMany(
      blobId,
      cache.hasUnused ? Number.POSITIVE_INFINITY : cache.count * LOOKS_COUNTED,
    );
  }

  /** As `findLeaf`, where each page must be asked for before it is looked at; TORN where one cannot be read. */
  #walk(pages: ImagePages, key: Uint8Array, depth: number): number {
    const frame = this.frame;
    const { u8, u16 } = frame;
    const { length } = key;
    if (!pages.need(0, HEADER_BYTES)) return TORN;
    pages.keep(0, HEADER_BYTES);
    let node = u16[H_ROOT >> 1]! << 3;
    for (;;) {
      if (node === 0) return NO_LEAF;
      if (!pages.need(node, 8)) return TORN;
      const kind = u8[node]! & 15;
      if (kind === KIND_CROSSING) return LEADS_ON;
      if (kind === KIND_LEAF) return this.#isLeafOf(pages, node, key, depth);
      if (kind < KIND_N4 || kind > KIND_N256) return TORN;
      const prefixLength = u8[node + N_PREFIX_LENGTH]!;
      const bytes = innerBytes(kind, prefixLength);
      if (!pages.need(node, bytes)) return TORN;
      pages.keep(node, bytes);
      if (prefixLength > length - depth) return NO_LEAF;
      const prefix = node + prefixOffset(kind) - depth;
      for (const end = depth + prefixLength; depth < end; depth++) {
        if (u8[prefix + depth] !== key[depth]) return NO_LEAF;
      }
      if (depth === length) {
        node = u16[(node + N_TERMINATOR) >> 1]! << 3;
        continue;
      }
      const slot = findChild(frame, node, key[depth]!);
      if (slot === 0) return NO_LEAF;
      node = u16[slot >> 1]! << 3;
      depth++;
    }
  }

  /** The leaf, whole, if the rest of the key is its own. */
  #isLeafOf(pages: ImagePages, leaf: number, key: Uint8Array, depth: number): number {
    const frame = this.frame;
    if (!pages.need(leaf, LEAF_HEADER_BYTES)) return TORN;
    const keyLength = frame.leafKeyLength(leaf);
    if (keyLength !== key.length - depth) return NO_LEAF;
    if (!pages.need(leaf, leafBytes(keyLength, frame.leafValueLength(leaf)))) return TORN;
    const rest = leaf + LEAF_HEADER_BYTES - depth;
    for (let i = depth; i < key.length; i++) if (frame.u8[rest + i] !== key[i]) return NO_LEAF;
    return leaf;
  }
}
