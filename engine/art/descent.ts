/**
 * The way from a blob's root towards one key, inside one frame.
 *
 * Also run by optimistic readers over a frame that a writer may be changing: whatever it reads, it ends (each
 * step uses up a byte of the key), touches only this frame, and its result counts only after the frame's version
 * has been validated.
 */
import type { Frame } from './frame.js';
import {
  H_ROOT,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  KIND_N16,
  KIND_N48,
  KIND_N256,
  L_KEY_LENGTH,
  LEAF_HEADER_BYTES,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  N4_PREFIX,
  N16_PREFIX,
  N48_PREFIX,
  N256_PREFIX,
  prefixOffset,
  X_BLOB_ID,
} from './layout.js';
import { findChild } from './node.js';

/** `node` is the leaf of the key. */
export const END_FOUND = 0;
/** The blob has no root node; `slot` is the root's. */
export const END_EMPTY = 1;
/** The key ends at an inner node without a terminator; `slot` is the terminator's. */
export const END_NO_TERMINATOR = 2;
/** `node` has no child for key[depth]; `slot` points to `node`. */
export const END_NO_CHILD = 3;
/** `node` is a leaf whose key part differs from key[depth..] after `matched` bytes; `slot` points to it. */
export const END_LEAF_DIFFERS = 4;
/** `node`'s prefix differs from key[depth..] after `matched` bytes; `slot` points to it. */
export const END_PREFIX_DIFFERS = 5;
/** The walk continues in blob `blobId` at `depth`; `node` is the crossing. */
export const END_CROSSING = 6;
/** Only seen by optimistic readers: the frame was being changed. */
export const END_TORN = 7;

export class Descent {
  frame!: Frame;
  end = END_EMPTY;
  node = 0;
  slot = 0;
  /** The inner node that holds `slot` (child or terminator), 0 for the root's. */
  parent = 0;
  parentSlot = 0;
  /** The byte under which `slot` is in the parent; meaningless for a terminator. */
  parentByte = 0;
  /** The parent is the root node of a blob below a crossing: its shape (no prefix, no terminator) must stay. */
  parentIsBlobRoot = false;
  depth = 0;
  matched = 0;
  blobId = 0;
}

/**
 * Walks from the frame's root; `depth` bytes of the key lead to it. `isRootBlob`: the frame is the tree's first
 * blob, whose root node has no fixed shape.
 */
export function descend(
  at: Descent,
  frame: Frame,
  key: Uint8Array,
  depth: number,
  isRootBlob: boolean,
): void {
  const { u8, u16 } = frame;
  const length = key.length;
  let slot = H_ROOT;
  let parent = 0;
  let parentSlot = 0;
  let parentByte = 0;
  let end = END_TORN;
  let node = 0;
  let matched = 0;
  at.frame = frame;
  at.parentIsBlobRoot = false;
  for (;;) {
    const pointer = u16[slot >> 1];
    if (pointer === 0) {
      end = END_EMPTY;
      break;
    }
    node = pointer << 3;
    const kind = u8[node] & 15;
    if (kind === KIND_LEAF) {
      const rest = length - depth;
      const keyLength = u16[(node + L_KEY_LENGTH) >> 1];
      const common = Math.min(rest, keyLength);
      const from = node + LEAF_HEADER_BYTES;
      let i = 0;
      while (i < common && u8[from + i] === key[depth + i]) i++;
      if (i === rest && i === keyLength) end = END_FOUND;
      else {
        end = END_LEAF_DIFFERS;
        matched = i;
      }
      break;
    }
    let prefix: number;
    if (kind === KIND_N4) prefix = node + N4_PREFIX;
    else if (kind === KIND_N16) prefix = node + N16_PREFIX;
    else if (kind === KIND_N48) prefix = node + N48_PREFIX;
    else if (kind === KIND_N256) prefix = node + N256_PREFIX;
    else {
      if (kind === KIND_CROSSING) {
        end = END_CROSSING;
        at.blobId = frame.u32[(node + X_BLOB_ID) >> 2];
        depth--;
      }
      break;
    }
    const prefixLength = u8[node + N_PREFIX_LENGTH];
    if (prefixLength !== 0) {
      const common = Math.min(prefixLength, length - depth);
      let i = 0;
      while (i < common && u8[prefix + i] === key[depth + i]) i++;
      if (i < prefixLength) {
        end = END_PREFIX_DIFFERS;
        matched = i;
        break;
      }
      depth += prefixLength;
    }
    if (depth === length) {
      parentSlot = slot;
      parent = node;
      slot = node + N_TERMINATOR;
      const terminator = u16[slot >> 1];
      if (terminator === 0) end = END_NO_TERMINATOR;
      else {
        node = terminator << 3;
        end = (u8[node] & 15) === KIND_LEAF ? END_FOUND : END_TORN;
      }
      break;
    }
    const byte = key[depth];
    const child = findChild(frame, node, byte);
    if (child === 0) {
      end = END_NO_CHILD;
      break;
    }
    parent = node;
    parentSlot = slot;
    parentByte = byte;
    slot = child;
    depth++;
  }
  at.end = end;
  at.node = node;
  at.slot = slot;
  at.parent = parent;
  at.parentSlot = parentSlot;
  at.parentByte = parentByte;
  at.parentIsBlobRoot = !isRootBlob && parentSlot === H_ROOT;
  at.depth = depth;
  at.matched = matched;
}

/** Results of `findLeaf` that are no leaf. */
export const NO_LEAF = 0;
export const LEADS_ON = -1;
export const TORN = -2;

/** Where `findLeaf` leads on to: the walk continues in this blob, `depth` bytes of the key known. */
export class LeadsOn {
  blobId = 0;
  depth = 0;
}

/**
 * The leaf of the key, NO_LEAF, LEADS_ON or TORN. The same way as `descend` goes, for readers, who do not ask how it
 * came about: written flat, since this is most of a read's own time.
 */
export function findLeaf(at: LeadsOn, frame: Frame, key: Uint8Array, depth: number): number {
  const { u8, u16 } = frame;
  const length = key.length;
  let node = u16[H_ROOT >> 1] << 3;
  for (;;) {
    if (node === 0) return NO_LEAF;
    const kind = u8[node] & 15;
    if (kind === KIND_LEAF) {
      if (u16[(node + L_KEY_LENGTH) >> 1] !== length - depth) return NO_LEAF;
      const rest = node + LEAF_HEADER_BYTES - depth;
      for (let i = depth; i < length; i++) if (u8[rest + i] !== key[i]) return NO_LEAF;
      return node;
    }
    let prefix: number;
    if (kind === KIND_N16) prefix = node + N16_PREFIX;
    else if (kind === KIND_N4) prefix = node + N4_PREFIX;
    else if (kind === KIND_N48) prefix = node + N48_PREFIX;
    else if (kind === KIND_N256) prefix = node + N256_PREFIX;
    else {
      if (kind !== KIND_CROSSING) return TORN;
      at.blobId = frame.u32[(node + X_BLOB_ID) >> 2];
      at.depth = depth - 1;
      return LEADS_ON;
    }
    const prefixLength = u8[node + N_PREFIX_LENGTH];
    if (prefixLength !== 0) {
      if (prefixLength > length - depth) return NO_LEAF;
      prefix -= depth;
      const end = depth + prefixLength;
      for (; depth < end; depth++) if (u8[prefix + depth] !== key[depth]) return NO_LEAF;
    }
    if (depth === length) {
      node = u16[(node + N_TERMINATOR) >> 1] << 3;
      return node === 0 || (u8[node] & 15) === KIND_LEAF ? node : TORN;
    }
    const slot = findChild(frame, node, key[depth]);
    if (slot === 0) return NO_LEAF;
    node = u16[slot >> 1] << 3;
    depth++;
  }
}

/** The longest key that is a beginning of another, as far as one frame tells. */
export class LongestMatch {
  /** Its leaf, 0: this frame has none; and its length. */
  leaf = 0;
  length = 0;
  /** When not 0, longer ones may be in this blob, `depth` bytes of the key known. */
  blobId = 0;
  depth = 0;
}

/** Walks from the frame's root along the key and notes the last leaf that it passes. As `descend`, for readers too. */
export function findLongest(at: LongestMatch, frame: Frame, key: Uint8Array, depth: number): void {
  const { u8, u16 } = frame;
  at.leaf = 0;
  at.blobId = 0;
  let slot = H_ROOT;
  let known = depth;
  for (;;) {
    const node = u16[slot >> 1] << 3;
    const kind = u8[node] & 15;
    if (node === 0) return;
    if (kind === KIND_CROSSING) {
      at.blobId = frame.u32[(node + X_BLOB_ID) >> 2];
      at.depth = known - 1;
      return;
    }
    const isLeaf = kind === KIND_LEAF;
    const length = isLeaf ? frame.leafKeyLength(node) : u8[node + N_PREFIX_LENGTH];
    const label = isLeaf ? node + LEAF_HEADER_BYTES : node + prefixOffset(kind);
    if (length > key.length - known) return;
    for (let i = 0; i < length; i++) if (u8[label + i] !== key[known + i]) return;
    known += length;
    const leaf = isLeaf ? node : u16[(node + N_TERMINATOR) >> 1] << 3;
    if (leaf !== 0) {
      at.leaf = leaf;
      at.length = known;
    }
    if (isLeaf || known === key.length) return;
    slot = findChild(frame, node, key[known]);
    if (slot === 0) return;
    known++;
  }
}
