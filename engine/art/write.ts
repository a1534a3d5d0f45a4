/**
 * Putting and removing one key inside one frame, from the place where a descent ended (`Descent`).
 *
 * Every function here first takes all the blocks it needs; if the frame has no room it gives them back, changes
 * nothing and says so. After that nothing can fail. REQUIRES: the caller has the frame latched.
 */

import { MAX_LEAF_KEY_BYTES, MAX_PREFIX_BYTES } from '../limits.js';
import {
  type Descent,
  END_EMPTY,
  END_FOUND,
  END_LEAF_DIFFERS,
  END_NO_CHILD,
  END_NO_TERMINATOR,
} from './descent.js';
import type { Frame } from './frame.js';
import {
  capacityOf,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  kindFor,
  LEAF_HEADER_BYTES,
  leafBytes,
  N_COUNT,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  N4_PREFIX,
  prefixOffset,
} from './layout.js';
import {
  addChild,
  convert,
  cutPrefix,
  findChild,
  hasRoom,
  initInner,
  nextChildByte,
  removeChild,
  shrunkKind,
} from './node.js';

/** Writes a leaf for key[depth..] into a block taken before. */
function writeLeaf(
  frame: Frame,
  offset: number,
  key: Uint8Array,
  depth: number,
  value: Uint8Array,
  version: number,
): void {
  const rest = key.length - depth;
  frame.setLeafHeader(offset, rest, value.length);
  frame.setLeafVersion(offset, version);
  const u8 = frame.u8;
  const at = offset + LEAF_HEADER_BYTES;
  for (let i = 0; i < rest; i++) u8[at + i] = key[depth + i];
  if (value.length <= 96) for (let i = 0; i < value.length; i++) u8[at + rest + i] = value[i];
  else u8.set(value, at + rest);
  frame.addLeaves(1);
}

/** Shortens a leaf's key by its first `cut` bytes, in place, and frees the tail of its block. */
export function cutLeaf(frame: Frame, leaf: number, cut: number): void {
  const keyLength = frame.leafKeyLength(leaf);
  const valueLength = frame.leafValueLength(leaf);
  const before = leafBytes(keyLength, valueLength);
  const after = leafBytes(keyLength - cut, valueLength);
  const at = leaf + LEAF_HEADER_BYTES;
  frame.u8.copyWithin(at, at + cut, at + keyLength + valueLength);
  frame.setLeafHeader(leaf, keyLength - cut, valueLength);
  if (after < before) frame.free(leaf + after, before - after);
}

/**
 * Makes the chain of N4 nodes that spells `length` bytes of `u8` from `from`; all but the last have one child.
 * Returns the first one's pointer and leaves the last one's offset in `chainEnd`; 0 and nothing taken when the
 * frame has no room. A chain has one node for each 256 bytes, since a child's byte carries one more.
 */
let chainEnd = 0;
export function makeChain(frame: Frame, bytes: Uint8Array, from: number, length: number): number {
  let first = 0;
  let last = 0;
  let at = from;
  let left = length;
  for (;;) {
    const piece = Math.min(left, MAX_PREFIX_BYTES);
    const node = frame.allocate(innerBytes(KIND_N4, piece));
    if (node === 0) {
      freeChain(frame, first);
      return 0;
    }
    initInner(frame, node, KIND_N4, piece);
    for (let i = 0; i < piece; i++) frame.u8[node + N4_PREFIX + i] = bytes[at + i];
    if (last !== 0) addChild(frame, last, bytes[at - 1], node >> 3);
    else first = node;
    last = node;
    if (left === piece) break;
    at += piece + 1;
    left -= piece + 1;
  }
  chainEnd = last;
  return first >> 3;
}

/** Offset of the last node of the chain made last. */
export function chainLast(): number {
  return chainEnd;
}

function freeChain(frame: Frame, first: number): void {
  let node = first;
  while (node !== 0) {
    const byte = nextChildByte(frame, node, 0);
    const next = byte < 0 ? 0 : frame.u16[findChild(frame, node, byte) >> 1] << 3;
    frame.freeNode(node);
    node = next;
  }
}

/**
 * Stores `value` under `key` at the place where `at` ended. Returns false, and changes nothing, when the frame
 * has no room.
 */
export function insertAt(at: Descent, key: Uint8Array, value: Uint8Array, version: number): boolean {
  const frame = at.frame;
  switch (at.end) {
    case END_FOUND:
      return replaceValue(at, value, version);
    case END_EMPTY:
    case END_NO_TERMINATOR: {
      const leaf = frame.allocate(leafBytes(key.length - at.depth, value.length));
      if (leaf === 0) return false;
      writeLeaf(frame, leaf, key, at.depth, value, version);
      frame.u16[at.slot >> 1] = leaf >> 3;
      return true;
    }
    case END_NO_CHILD:
      return insertChild(at, key, value, version);
    case END_LEAF_DIFFERS:
      return splitLeaf(at, key, value, version);
    default:
      return splitPrefix(at, key, value, version);
  }
}

function replaceValue(at: Descent, value: Uint8Array, version: number): boolean {
  const { frame, node: leaf } = at;
  const keyLength = frame.leafKeyLength(leaf);
  const before = leafBytes(keyLength, frame.leafValueLength(leaf));
  const after = leafBytes(keyLength, value.length);
  let to = leaf;
  if (after > before) {
    to = frame.allocate(after);
    if (to === 0) return false;
    const from = leaf + LEAF_HEADER_BYTES;
    frame.u8.copyWithin(to + LEAF_HEADER_BYTES, from, from + keyLength);
    frame.u16[at.slot >> 1] = to >> 3;
    frame.free(leaf, before);
  } else if (after < before) {
    frame.free(leaf + after, before - after);
  }
  frame.setLeafHeader(to, keyLength, value.length);
  frame.setLeafVersion(to, version);
  frame.u8.set(value, to + LEAF_HEADER_BYTES + keyLength);
  return true;
}

function insertChild(at: Descent, key: Uint8Array, value: Uint8Array, version: number): boolean {
  const { frame, node } = at;
  const leaf = frame.allocate(leafBytes(key.length - at.depth - 1, value.length));
  if (leaf === 0) return false;
  let target = node;
  if (!hasRoom(frame, node)) {
    const kind = kindFor(capacityOf(frame.u8[node] & 15) + 1);
    target = frame.allocate(innerBytes(kind, frame.u8[node + N_PREFIX_LENGTH]));
    if (target === 0) {
      frame.free(leaf, leafBytes(key.length - at.depth - 1, value.length));
      return false;
    }
    convert(frame, node, target, kind);
    frame.u16[at.slot >> 1] = target >> 3;
    frame.freeNode(node);
  }
  writeLeaf(frame, leaf, key, at.depth + 1, value, version);
  addChild(frame, target, key[at.depth], leaf >> 3);
  return true;
}

/** The key and the leaf's key part after `at.matched` bytes: an inner node takes the common part. */
function splitLeaf(at: Descent, key: Uint8Array, value: Uint8Array, version: number): boolean {
  const { frame, node: leaf, depth, matched } = at;
  const newEnds = depth + matched === key.length;
  const newRest = newEnds ? 0 : key.length - depth - matched - 1;
  const newLeaf = frame.allocate(leafBytes(newRest, value.length));
  if (newLeaf === 0) return false;
  const chain = makeChain(frame, key, depth, matched);
  if (chain === 0) {
    frame.free(newLeaf, leafBytes(newRest, value.length));
    return false;
  }
  const inner = chainEnd;
  const oldKeyLength = frame.leafKeyLength(leaf);
  if (oldKeyLength === matched) {
    cutLeaf(frame, leaf, matched);
    frame.u16[(inner + N_TERMINATOR) >> 1] = leaf >> 3;
  } else {
    const byte = frame.u8[leaf + LEAF_HEADER_BYTES + matched];
    cutLeaf(frame, leaf, matched + 1);
    addChild(frame, inner, byte, leaf >> 3);
  }
  attachLeaf(frame, inner, newLeaf, key, depth + matched, value, version);
  frame.u16[at.slot >> 1] = chain;
  return true;
}

/** The key leaves the node's prefix after `at.matched` bytes: a new node above takes the common part. */
function splitPrefix(at: Descent, key: Uint8Array, value: Uint8Array, version: number): boolean {
  const { frame, node, depth, matched } = at;
  const newEnds = depth + matched === key.length;
  const newRest = newEnds ? 0 : key.length - depth - matched - 1;
  const newLeaf = frame.allocate(leafBytes(newRest, value.length));
  if (newLeaf === 0) return false;
  const above = frame.allocate(innerBytes(KIND_N4, matched));
  if (above === 0) {
    frame.free(newLeaf, leafBytes(newRest, value.length));
    return false;
  }
  initInner(frame, above, KIND_N4, matched);
  const prefix = node + prefixOffset(frame.u8[node] & 15);
  frame.u8.copyWithin(above + N4_PREFIX, prefix, prefix + matched);
  const byte = frame.u8[prefix + matched];
  cutPrefix(frame, node, matched + 1);
  addChild(frame, above, byte, node >> 3);
  attachLeaf(frame, above, newLeaf, key, depth + matched, value, version);
  frame.u16[at.slot >> 1] = above >> 3;
  return true;
}

function attachLeaf(
  frame: Frame,
  inner: number,
  leaf: number,
  key: Uint8Array,
  depth: number,
  value: Uint8Array,
  version: number,
): void {
  if (depth === key.length) {
    writeLeaf(frame, leaf, key, depth, value, version);
    frame.u16[(inner + N_TERMINATOR) >> 1] = leaf >> 3;
  } else {
    writeLeaf(frame, leaf, key, depth + 1, value, version);
    addChild(frame, inner, key[depth], leaf >> 3);
  }
}

/** Removes the leaf that the descent found, and shrinks or folds its node where that needs no room it has not. */
export function removeAt(at: Descent): void {
  const { frame, node: leaf, slot, parent } = at;
  if (parent === 0) {
    frame.u16[slot >> 1] = 0;
    frame.freeNode(leaf);
    return;
  }
  if (slot === parent + N_TERMINATOR) frame.u16[slot >> 1] = 0;
  else removeChild(frame, parent, at.parentByte);
  frame.freeNode(leaf);
  tidyInner(frame, parent, at.parentSlot, at.parentIsBlobRoot);
}

/**
 * Folds or shrinks an inner node after it lost a child or its terminator. The root node of a blob below a crossing
 * keeps its shape and only shrinks.
 */
export function tidyInner(frame: Frame, node: number, slot: number, isBlobRoot: boolean): void {
  if (isBlobRoot) {
    shrink(frame, node, slot);
    return;
  }
  const count = frame.u16[(node + N_COUNT) >> 1];
  const terminator = frame.u16[(node + N_TERMINATOR) >> 1];
  if (count === 0) {
    // With no terminator either it is an empty node, left over from a fold that found no room.
    if (terminator !== 0) fold(frame, node, slot, terminator, -1);
  } else if (count === 1 && terminator === 0) {
    const byte = nextChildByte(frame, node, 0);
    fold(frame, node, slot, frame.u16[findChild(frame, node, byte) >> 1], byte);
  } else shrink(frame, node, slot);
}

function shrink(frame: Frame, node: number, slot: number): void {
  const kind = frame.u8[node] & 15;
  const smaller = shrunkKind(kind, frame.u16[(node + N_COUNT) >> 1]);
  if (smaller === kind) return;
  const to = frame.allocate(innerBytes(smaller, frame.u8[node + N_PREFIX_LENGTH]));
  if (to === 0) return;
  convert(frame, node, to, smaller);
  frame.u16[slot >> 1] = to >> 3;
  frame.freeNode(node);
}

/**
 * Replaces `node` by its only child (under `byte`; -1: its terminator), which takes over the node's prefix. Left
 * as it is when the child is a crossing, the prefix would be too long, or there is no room for the longer child.
 */
function fold(frame: Frame, node: number, slot: number, childPointer: number, byte: number): void {
  const u8 = frame.u8;
  const child = childPointer << 3;
  const childKind = u8[child] & 15;
  const ownLength = u8[node + N_PREFIX_LENGTH];
  const own = node + prefixOffset(u8[node] & 15);
  const added = byte < 0 ? ownLength : ownLength + 1;
  if (childKind === KIND_CROSSING) {
    shrink(frame, node, slot);
    return;
  }
  let to: number;
  let at: number;
  if (childKind === KIND_LEAF) {
    const keyLength = frame.leafKeyLength(child);
    const valueLength = frame.leafValueLength(child);
    const fits = keyLength + added <= MAX_LEAF_KEY_BYTES;
    to = fits ? frame.allocate(leafBytes(keyLength + added, valueLength)) : 0;
    if (to === 0) {
      shrink(frame, node, slot);
      return;
    }
    u8.copyWithin(to, child, child + LEAF_HEADER_BYTES);
    frame.setLeafHeader(to, keyLength + added, valueLength);
    const rest = child + LEAF_HEADER_BYTES;
    u8.copyWithin(to + LEAF_HEADER_BYTES + added, rest, rest + keyLength + valueLength);
    at = to + LEAF_HEADER_BYTES;
    frame.addLeaves(1);
  } else {
    const childLength = u8[child + N_PREFIX_LENGTH];
    if (childLength + added > MAX_PREFIX_BYTES) {
      shrink(frame, node, slot);
      return;
    }
    to = frame.allocate(innerBytes(childKind, childLength + added));
    if (to === 0) {
      shrink(frame, node, slot);
      return;
    }
    const head = prefixOffset(childKind);
    u8.copyWithin(to, child, child + head);
    u8[to + N_PREFIX_LENGTH] = childLength + added;
    u8.copyWithin(to + head + added, child + head, child + head + childLength);
    at = to + head;
  }
  u8.copyWithin(at, own, own + ownLength);
  if (byte >= 0) u8[at + ownLength] = byte;
  frame.u16[slot >> 1] = to >> 3;
  frame.freeNode(child);
  frame.freeNode(node);
}
