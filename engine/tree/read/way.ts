/**
 * The way of a scan through the tree: the inner nodes from the root to where the scan stands, the frames that they are in
 * with the versions that those had, and the bytes of the key so far. Belongs to one scanner, which changes its fields.
 *
 * What it reads from a frame under change may be anything, but stays inside the frame; `isValid` tells afterwards.
 */
import type { Frame } from '../../art/frame.js';
import { KIND_LEAF, LEAF_HEADER_BYTES, N_PREFIX_LENGTH, prefixOffset } from '../../art/layout.js';
import type { FrameCache } from '../../cache/frame-cache.js';
import { readFence } from '../../shared/fence.js';

export class Way {
  readonly #cache: FrameCache;
  // One entry for each inner node on the way.
  nodes = new Int32Array(64);
  /** What comes next in the node: -1 its terminator, else the index of a child (N4, N16) or its least byte. */
  positions = new Int32Array(64);
  /** Bytes of the key up to and with the node's prefix. */
  lengths = new Int32Array(64);
  /** Which frame of the way the node is in. */
  levels = new Int32Array(64);
  /** Where in those bytes of the key, after the range's prefix, the delimiter is; -1: nowhere. */
  cuts = new Int32Array(64);
  depth = 0;
  // One entry for each frame on the way.
  frames = new Int32Array(16);
  versions = new Int32Array(16);
  /** The innermost frame of the way; -1: none. */
  level = -1;
  key = new Uint8Array(1024);
  keyWords = new Uint32Array(this.key.buffer);

  constructor(cache: FrameCache) {
    this.#cache = cache;
  }

  /** Appends what the node or leaf at `node` adds to the key, whose first `length` bytes are known; returns the sum. */
  spell(frame: Frame, node: number, length: number): number {
    const u8 = frame.u8;
    const kind = u8[node]! & 15;
    const isLeaf = kind === KIND_LEAF;
    const count = isLeaf ? frame.leafKeyLength(node) : u8[node + N_PREFIX_LENGTH]!;
    if (length + count > this.key.length) this.reserve(length + count);
    const key = this.key;
    const from = isLeaf ? node + LEAF_HEADER_BYTES : node + prefixOffset(kind);
    for (let i = 0; i < count; i++) key[length + i] = u8[from + i]!;
    return length + count;
  }

  /** As `spell`, of an inner node, as far as the delimiter, and returns its place in the key; -1: it is not there. */
  spellTo(delimiter: number, frame: Frame, node: number, length: number): number {
    const u8 = frame.u8;
    const end = length + u8[node + N_PREFIX_LENGTH]!;
    if (end > this.key.length) this.reserve(end);
    const key = this.key;
    const from = node + prefixOffset(u8[node]! & 15) - length;
    for (let at = length; at < end; at++) {
      const byte = u8[from + at]!;
      key[at] = byte;
      if (byte === delimiter) return at;
    }
    return -1;
  }

  /** Where in the first `length` bytes of the key, from `from` on, the delimiter is; -1: nowhere, or it is -1 itself. */
  delimiterAt(from: number, length: number, delimiter: number): number {
    if (delimiter < 0) return -1;
    const key = this.key;
    for (let at = from; at < length; at++) if (key[at] === delimiter) return at;
    return -1;
  }

  /** Whether no frame on the way has changed. */
  isValid(): boolean {
    const cache = this.#cache;
    readFence();
    for (let i = 0; i <= this.level; i++) {
      if (cache.version(this.frames[i]!) !== this.versions[i]) return false;
    }
    return true;
  }

  pushNode(node: number, length: number, position: number, cut: number): void {
    const depth = this.depth++;
    if (depth === this.nodes.length) {
      this.nodes = doubled(this.nodes);
      this.positions = doubled(this.positions);
      this.lengths = doubled(this.lengths);
      this.levels = doubled(this.levels);
      this.cuts = doubled(this.cuts);
    }
    this.nodes[depth] = node;
    this.positions[depth] = position;
    this.lengths[depth] = length;
    this.levels[depth] = this.level;
    this.cuts[depth] = cut;
  }

  pushFrame(index: number, version: number): void {
    const level = ++this.level;
    if (level === this.frames.length) {
      this.frames = doubled(this.frames);
      this.versions = doubled(this.versions);
    }
    this.frames[level] = index;
    this.versions[level] = version;
  }

  reserve(length: number): void {
    if (length <= this.key.length) return;
    let size = this.key.length * 2;
    while (size < length) size *= 2;
    const grown = new Uint8Array(size);
    grown.set(this.key);
    this.key = grown;
    this.keyWords = new Uint32Array(grown.buffer);
  }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(array.length * 2);
  grown.set(array);
  return grown;
}
