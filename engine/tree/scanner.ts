/**
 * Walks the tree in key order and collects entries, a batch at a time. Optimistic like reader.ts: whatever was
 * read from a frame is acted on only after the versions of all frames on the way have been validated; when one
 * changed, the walk starts again after the last entry it gave out. So a key that was there throughout is neither
 * missed nor repeated.
 */

import type { RangeEntry } from '../api.js';
import {
  KIND_CROSSING,
  KIND_LEAF,
  LEAF_HEADER_BYTES,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  prefixOffset,
  X_BLOB_ID,
} from '../art/layout.js';
import { findChild, nextChildByte } from '../art/node.js';
import { BLOB_SIZE } from '../limits.js';
import { C_BLOB_COUNT, S_RESTARTS } from '../shared/control.js';
import { type Reader, readFence } from './reader.js';
import { impossible, NEED_FRAMES, ROOT_BLOB, type TreeState, tooDeep } from './state.js';

const EMPTY = new Uint8Array(0);
const MOST_RESTARTS = 1000;

/** Where a walk begins: at `key` (inclusive), or after it. */
export interface Bound {
  key: Uint8Array;
  inclusive: boolean;
}

export interface ScanOptions {
  prefix: Uint8Array;
  /** A byte, or -1 for none. */
  delimiter: number;
  keysOnly: boolean;
}

/** The first key after all that begin with `prefix`, or undefined when there is none such. */
export function successor(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const next = prefix.slice(0, length);
  next[length - 1] = (next[length - 1] as number) + 1;
  return next;
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

function startsWith(key: Uint8Array, length: number, prefix: Uint8Array): boolean {
  if (length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (key[i] !== prefix[i]) return false;
  return true;
}

/** Outcome of entering a node. */
const SKIPPED = 0;
const ENTERED = 1;
const IS_LEAF = 2;
const CHANGED = 3;
const MISSING = 4;

export class Scanner {
  readonly #state: TreeState;
  readonly #reader: Reader;
  // One entry for each inner node on the way.
  readonly #nodes: number[] = [];
  readonly #frames: number[] = [];
  readonly #versions: number[] = [];
  /** The next child byte to look at; -1: the terminator comes first. */
  readonly #next: number[] = [];
  /** Bytes of the key up to and with the node's prefix. */
  readonly #lengths: number[] = [];
  #depth = 0;
  #key = new Uint8Array(1024);
  /** The lower bound, while the walk is still on its way to it. */
  #target: Uint8Array = EMPTY;
  #inclusive = true;
  /** Set by #enter for a leaf. */
  #leaf = 0;
  #leafFrame = 0;
  #leafVersion = 0;
  #keyLength = 0;

  constructor(state: TreeState, reader: Reader) {
    this.#state = state;
    this.#reader = reader;
  }

  /**
   * Appends up to `limit` entries from `bound` on to `out`. Returns the bound to go on from, or undefined at the
   * end of the range.
   */
  collect(bound: Bound, limit: number, options: ScanOptions, out: RangeEntry[]): Bound | undefined {
    let from = bound;
    const full = out.length + limit;
    let loads = 0;
    for (let restarts = 0; ; restarts++) {
      const before = out.length;
      const next = this.#walk(from, full, options, out, restarts > MOST_RESTARTS);
      if (next !== undefined) return next === END ? undefined : next;
      const { control, counters } = this.#state;
      control.counters[counters + S_RESTARTS] = (control.counters[counters + S_RESTARTS] as number) + 1;
      if (this.#missing !== 0 && ++loads > this.#state.cache.count) {
        loads = 0;
        this.#makeRoom();
      }
      if (out.length > before) {
        restarts = 0;
        loads = 0;
        const resumed = resumeAfter(out[out.length - 1] as RangeEntry);
        if (resumed === undefined) return undefined;
        from = resumed;
      }
    }
  }

  /** The way down does not fit into the frames that dirty ones leave, so its blobs push each other out. */
  #makeRoom(): void {
    if (this.#state.treeLock.held) throw NEED_FRAMES;
    this.#reader.makeRoom();
  }

  /**
   * As #attempt. Once too many attempts met changes it is made under the tree lock, when nothing changes; a caller
   * may hold that lock already. What is missing is loaded afterwards.
   */
  #walk(
    from: Bound,
    full: number,
    options: ScanOptions,
    out: RangeEntry[],
    exclusive: boolean,
  ): Bound | undefined {
    const state = this.#state;
    this.#missing = 0;
    if (state.treeLock.held) {
      const next = this.#attempt(from, full, options, out);
      if (this.#missing !== 0) state.resident(this.#missing);
      return next;
    }
    if (exclusive) state.lockTree();
    let next: Bound | undefined;
    try {
      next = this.#attempt(from, full, options, out);
    } finally {
      if (exclusive) state.treeLock.unlock();
    }
    if (this.#missing !== 0) this.#reader.loadBelow(this.#missing, this.#missingParent, this.#missingVersion);
    return next;
  }

  /** A blob that the walk needs and that is not resident, and where it was found. */
  #missing = 0;
  #missingParent = -1;
  #missingVersion = 0;

  /** The end of the range is told by END; undefined: something changed, start again after the last entry. */
  #attempt(from: Bound, full: number, options: ScanOptions, out: RangeEntry[]): Bound | undefined {
    const { cache, control } = this.#state;
    this.#depth = 0;
    this.#target = from.key;
    this.#inclusive = from.inclusive;
    const root = cache.find(ROOT_BLOB);
    if (root < 0) {
      if (Atomics.load(control.words, C_BLOB_COUNT) === 0) return END;
      this.#missing = ROOT_BLOB;
      this.#missingParent = -1;
      return undefined;
    }
    const version = cache.version(root);
    if ((version & 1) !== 0 || !cache.holds(root, ROOT_BLOB)) return undefined;
    const pointer = cache.frame(root).root;
    readFence();
    if (pointer === 0) return cache.version(root) === version ? END : undefined;
    let outcome = this.#enter(root, version, pointer << 3, 0, true);
    for (;;) {
      if (outcome === CHANGED || outcome === MISSING) return undefined;
      if (outcome === IS_LEAF) {
        const stop = this.#emit(options, out);
        if (stop === CHANGED) return undefined;
        if (stop === SKIPPED) return END;
        if (out.length >= full) return resumeAfter(out[out.length - 1] as RangeEntry) ?? END;
      }
      if (this.#depth === 0) return END;
      outcome = this.#step();
    }
  }

  /**
   * Goes to the node at `node`, `length` bytes of its key known; `bounded`: they equal the lower bound's. An inner
   * node is pushed, a leaf left in #leaf; SKIPPED when all below is before the lower bound.
   */
  #enter(index: number, version: number, node: number, length: number, bounded: boolean): number {
    const { cache } = this.#state;
    const frame = cache.frame(index);
    const u8 = frame.u8;
    const kind = (u8[node] as number) & 15;
    const isLeaf = kind === KIND_LEAF;
    const count = isLeaf ? frame.leafKeyLength(node) : (u8[node + N_PREFIX_LENGTH] as number);
    const at = isLeaf ? node + LEAF_HEADER_BYTES : node + prefixOffset(kind);
    this.#reserve(length + count);
    const key = this.#key;
    for (let i = 0; i < count; i++) key[length + i] = u8[at + i] as number;
    readFence();
    if (cache.version(index) !== version) return CHANGED;
    const total = length + count;
    let onBound = bounded;
    if (bounded) {
      const target = this.#target;
      const common = Math.min(total, target.length);
      let i = length;
      while (i < common && key[i] === target[i]) i++;
      if (i < common) {
        if ((key[i] as number) < (target[i] as number)) return SKIPPED;
        onBound = false;
      } else if (isLeaf) {
        if (total < target.length || (total === target.length && !this.#inclusive)) return SKIPPED;
      } else if (total > target.length) onBound = false;
    }
    if (isLeaf) {
      this.#leaf = node;
      this.#leafFrame = index;
      this.#leafVersion = version;
      this.#keyLength = total;
      return IS_LEAF;
    }
    const depth = this.#depth++;
    this.#nodes[depth] = node;
    this.#frames[depth] = index;
    this.#versions[depth] = version;
    this.#lengths[depth] = total;
    // A node on the bound gives its terminator only if the bound is exactly there, and children from the bound's byte.
    if (!onBound) this.#next[depth] = -1;
    else if (total === this.#target.length) this.#next[depth] = this.#inclusive ? -1 : 0;
    else this.#next[depth] = this.#target[total] as number;
    return ENTERED;
  }

  /** From the innermost node to its next child; pops it when there is none. Returns as #enter, or MISSING. */
  #step(): number {
    const { cache } = this.#state;
    const top = this.#depth - 1;
    const node = this.#nodes[top] as number;
    const index = this.#frames[top] as number;
    const version = this.#versions[top] as number;
    const length = this.#lengths[top] as number;
    const frame = cache.frame(index);
    const from = this.#next[top] as number;
    if (from < 0) {
      this.#next[top] = 0;
      const terminator = frame.u16[(node + N_TERMINATOR) >> 1] as number;
      readFence();
      if (cache.version(index) !== version) return CHANGED;
      if (terminator === 0) return SKIPPED;
      return this.#enter(index, version, terminator << 3, length, false);
    }
    const byte = nextChildByte(frame, node, from);
    const slot = byte < 0 ? 0 : findChild(frame, node, byte);
    const child = slot === 0 ? 0 : (frame.u16[slot >> 1] as number) << 3;
    readFence();
    if (cache.version(index) !== version) return CHANGED;
    if (byte < 0) {
      this.#depth--;
      return SKIPPED;
    }
    // The bound's own byte is met only in the first step of a node that is on the bound.
    const bounded = this.#isOnBound(length, byte);
    this.#reserve(length + 1);
    this.#key[length] = byte;
    this.#childNode = child;
    this.#childFrame = index;
    this.#childVersion = version;
    const crossed = this.#cross(byte);
    if (crossed !== ENTERED) {
      if (crossed === SKIPPED) this.#next[top] = byte + 1;
      return crossed;
    }
    this.#next[top] = byte + 1;
    return this.#enter(this.#childFrame, this.#childVersion, this.#childNode, length + 1, bounded);
  }

  /** The child that a step leads to; behind crossings after #cross. */
  #childNode = 0;
  #childFrame = 0;
  #childVersion = 0;

  /** While the child is a crossing, goes to the blob's own child for `byte`. As #step, SKIPPED when it has none. */
  #cross(byte: number): number {
    const { cache } = this.#state;
    for (;;) {
      const index = this.#childFrame;
      const version = this.#childVersion;
      const node = this.#childNode;
      const frame = cache.frame(index);
      const isCrossing = ((frame.u8[node] as number) & 15) === KIND_CROSSING;
      const blobId = frame.u32[(node + X_BLOB_ID) >> 2] as number;
      readFence();
      if (cache.version(index) !== version) return CHANGED;
      if (!isCrossing) return ENTERED;
      const below = cache.find(blobId);
      if (below < 0) {
        if (new Set(this.#frames.slice(0, this.#depth)).size > cache.longestPath) throw tooDeep(this.#state);
        this.#missing = blobId;
        this.#missingParent = index;
        this.#missingVersion = version;
        return MISSING;
      }
      const belowVersion = cache.version(below);
      if ((belowVersion & 1) !== 0 || !cache.holds(below, blobId)) return CHANGED;
      if (cache.version(index) !== version) return CHANGED;
      cache.touch(below);
      const belowFrame = cache.frame(below);
      const slot = findChild(belowFrame, belowFrame.root << 3, byte);
      this.#childNode = slot === 0 ? 0 : (belowFrame.u16[slot >> 1] as number) << 3;
      this.#childFrame = below;
      this.#childVersion = belowVersion;
      readFence();
      if (cache.version(below) !== belowVersion) return CHANGED;
      if (slot === 0) return SKIPPED;
    }
  }

  /** Whether the key so far, and `byte` after it, are the lower bound's beginning. */
  #isOnBound(length: number, byte: number): boolean {
    const target = this.#target;
    if (length >= target.length || target[length] !== byte) return false;
    for (let i = 0; i < length; i++) if (this.#key[i] !== target[i]) return false;
    return true;
  }

  /** Gives out the leaf that was entered; SKIPPED: it is beyond the prefix, the range ends. */
  #emit(options: ScanOptions, out: RangeEntry[]): number {
    const { prefix, delimiter, keysOnly } = options;
    const { cache } = this.#state;
    const length = this.#keyLength;
    if (!startsWith(this.#key, length, prefix)) return this.#valid() ? SKIPPED : CHANGED;
    if (delimiter >= 0) {
      let at = prefix.length;
      while (at < length && this.#key[at] !== delimiter) at++;
      if (at < length) {
        const rolled = this.#key.slice(0, at + 1);
        if (!this.#valid()) return CHANGED;
        out.push({ type: 'prefix', prefix: rolled });
        while (this.#depth > 0 && (this.#lengths[this.#depth - 1] as number) > at) this.#depth--;
        return ENTERED;
      }
    }
    const frame = cache.frame(this.#leafFrame);
    const leaf = this.#leaf;
    const start = leaf + LEAF_HEADER_BYTES + frame.leafKeyLength(leaf);
    const end = start + frame.leafValueLength(leaf);
    if (end > BLOB_SIZE) {
      if (this.#valid()) throw impossible(this.#state.place, cache.blobIn(this.#leafFrame));
      return CHANGED;
    }
    const value = keysOnly ? EMPTY : frame.u8.slice(start, end);
    const version = frame.leafVersion(leaf);
    if (!this.#valid()) return CHANGED;
    out.push({ type: 'key', key: this.#key.slice(0, length), value, version });
    return ENTERED;
  }

  /** Whether nothing on the way to the leaf has changed. */
  #valid(): boolean {
    const { cache } = this.#state;
    readFence();
    if (cache.version(this.#leafFrame) !== this.#leafVersion) return false;
    for (let i = 0; i < this.#depth; i++) {
      if (cache.version(this.#frames[i] as number) !== this.#versions[i]) return false;
    }
    return true;
  }

  #reserve(length: number): void {
    if (length <= this.#key.length) return;
    const grown = new Uint8Array(Math.max(length, this.#key.length * 2));
    grown.set(this.#key);
    this.#key = grown;
  }
}

/** "Nothing after this." */
const END: Bound = { key: EMPTY, inclusive: false };

/** The bound after an entry; undefined when nothing can follow it. */
export function resumeAfter(entry: RangeEntry): Bound | undefined {
  if (entry.type === 'key') return { key: entry.key, inclusive: false };
  const next = successor(entry.prefix);
  return next === undefined ? undefined : { key: next, inclusive: true };
}
