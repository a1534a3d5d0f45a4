/**
 * Copying whole subtrees from frame to frame: what splitting, compaction and merging are made of.
 *
 * The copy normalises: each inner node takes the smallest kind that holds its children, nodes with one child
 * fold into it, and nodes without any vanish. So the copy never needs more room than its source. The copies of all inner
 * nodes stand in key order, and behind them those of the leaves: who reads pages of an image finds many nodes on few. Recursion is by explicit stacks: a frame can hold a path 13,000 nodes deep.
 *
 * All scratch arrays belong to the module: each thread has its own, and nothing here calls back.
 */
import { BLOB_SIZE, MAX_LEAF_KEY_BYTES, MAX_PREFIX_BYTES } from '../limits.js';
import type { Frame } from './frame.js';
import {
  CROSSING_BYTES,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  KIND_N256,
  kindFor,
  LEAF_HEADER_BYTES,
  leafBytes,
  N_COUNT,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  prefixOffset,
  X_BLOB_ID,
  X_HEIGHT,
} from './layout.js';
import {
  addChild,
  findChild,
  initInner,
  nextChildByte,
  PLACEHOLDER,
  pushBelow,
  removeChild,
} from './node.js';

const EMPTY = new Uint8Array(0);
const POINTERS = BLOB_SIZE / 8;

/** As many entries as a frame full of the largest nodes has children, since bytes may share one crossing; of 3 numbers. */
const MOST_WORK = 256 * Math.ceil(BLOB_SIZE / innerBytes(KIND_N256, 0)) * 3;
/** Work still to do: (source: 0 the frame itself, else index + 1 of a merged blob; node offset; slot in the copy). */
const work = new Int32Array(MOST_WORK + 1024);
/** Leaves still to be copied, as entries of the same kind; no frame has more. */
const leaves = new Int32Array(3 * Math.ceil(BLOB_SIZE / leafBytes(0, 0)));
/** Copies of the crossings met so far, by origin and pointer. */
const copiedCrossings = new Map<number, number>();
/** For each pointer of a frame, the number of the last walk that came to it. */
const seenIn = new Int32Array(POINTERS);
let walk = 0;

/** Begins a walk. Its number is one that fits into `seenIn`, and is in there nowhere. */
function beginWalk(): void {
  walk = (walk + 1) | 0;
  if (walk !== 0) return;
  seenIn.fill(0);
  walk = 1;
}

/** Prefix bytes gathered while folding. */
const gathered = new Uint8Array(BLOB_SIZE);

/** Blobs to be taken in by a rewrite, in place of the crossings that lead to them. */
export interface Merge {
  /** Offset of the crossing in the rewritten frame. */
  crossing: number;
  /** The blob's frame. Its root node's children take the crossing's place. */
  frame: Frame;
}

/** Writes a crossing into a block of CROSSING_BYTES and counts it. */
export function writeCrossing(frame: Frame, offset: number, blobId: number, height: number): void {
  frame.u8[offset] = KIND_CROSSING;
  frame.u8[offset + 1] = 0;
  frame.u16[(offset + X_HEIGHT) >> 1] = height;
  frame.u32[(offset + X_BLOB_ID) >> 2] = blobId;
  frame.addCrossings(1);
}

export function crossingBlobId(frame: Frame, offset: number): number {
  return frame.u32[(offset + X_BLOB_ID) >> 2];
}

export function crossingHeight(frame: Frame, offset: number): number {
  return frame.u16[(offset + X_HEIGHT) >> 1];
}

export function writeCrossingHeight(frame: Frame, offset: number, height: number): void {
  frame.u16[(offset + X_HEIGHT) >> 1] = height;
}

/** Index of the merge that takes the crossing's place, or -1. */
function mergeIndex(merges: readonly Merge[], crossing: number): number {
  for (let i = 0; i < merges.length; i++) if (merges[i].crossing === crossing) return i;
  return -1;
}

/**
 * Copies the subtree at `node` of `source` into `target` and writes its pointer to `targetSlot` (left 0 when
 * nothing remained of it). REQUIRES room in the target for the subtree and the merged blobs. `keepRoot`: the
 * first node is a blob's root below a crossing, whose shape stays as it is. `label`: bytes that come before the first
 * node's prefix in the copy; REQUIRES that they fit into one prefix.
 */
export function copySubtree(
  source: Frame,
  node: number,
  target: Frame,
  targetSlot: number,
  merges: readonly Merge[],
  keepRoot: boolean,
  label: Uint8Array = EMPTY,
): void {
  copiedCrossings.clear();
  let leavesTop = 0;
  let top = 0;
  work[top++] = 0;
  work[top++] = node;
  work[top++] = targetSlot;
  let first = true;
  let fixed = keepRoot;
  while (top > 0) {
    const slot = work[--top];
    let at = work[--top];
    const from = work[--top];
    let frame = from === 0 ? source : merges[from - 1].frame;
    let origin = from;
    let prefix = 0;
    if (first) for (; prefix < label.length; prefix++) gathered[prefix] = label[prefix];
    // Follow single children, gathering their bytes, to the node that will really stand here.
    for (;;) {
      const kind = frame.u8[at] & 15;
      if (kind === KIND_LEAF) {
        if (prefix > 0) copyLeaf(frame, at, target, slot, prefix);
        else {
          leaves[leavesTop++] = origin;
          leaves[leavesTop++] = at;
          leaves[leavesTop++] = slot;
        }
        break;
      }
      if (kind === KIND_CROSSING) {
        // Never with gathered bytes: a crossing is not folded into.
        copyCrossing(frame, at, target, slot, origin);
        break;
      }
      const ownLength = frame.u8[at + N_PREFIX_LENGTH];
      const own = at + prefixOffset(kind);
      const live = countLive(frame, at, origin, merges);
      const terminator = frame.u16[(at + N_TERMINATOR) >> 1];
      if (!fixed && live === 0) {
        if (terminator === 0) {
          if (!first) emptyNode(target, slot);
          break;
        }
        for (let i = 0; i < ownLength; i++) gathered[prefix + i] = frame.u8[own + i];
        prefix += ownLength;
        at = terminator << 3;
        continue;
      }
      if (!fixed && live === 1 && terminator === 0) {
        const byte = onlyByte;
        const next = onlyNode;
        const nextFrame = onlyOrigin === 0 ? source : merges[onlyOrigin - 1].frame;
        const nextKind = nextFrame.u8[next] & 15;
        const room =
          (nextKind === KIND_LEAF &&
            prefix + ownLength + 1 + nextFrame.leafKeyLength(next) <= MAX_LEAF_KEY_BYTES) ||
          (nextKind !== KIND_LEAF &&
            nextKind !== KIND_CROSSING &&
            prefix + ownLength + 1 + nextFrame.u8[next + N_PREFIX_LENGTH] <= MAX_PREFIX_BYTES);
        if (room) {
          for (let i = 0; i < ownLength; i++) gathered[prefix + i] = frame.u8[own + i];
          prefix += ownLength;
          gathered[prefix++] = byte;
          frame = nextFrame;
          origin = onlyOrigin;
          at = next;
          continue;
        }
      }
      fixed = false;
      const to = allocate(target, innerBytes(kindFor(live), prefix + ownLength));
      const newKind = kindFor(live);
      initInner(target, to, newKind, prefix + ownLength);
      const toPrefix = to + prefixOffset(newKind);
      for (let i = 0; i < prefix; i++) target.u8[toPrefix + i] = gathered[i];
      for (let i = 0; i < ownLength; i++) target.u8[toPrefix + prefix + i] = frame.u8[own + i];
      target.u16[slot >> 1] = to >> 3;
      // Slots first, with a placeholder in each: an insertion moves the slots after it.
      for (let byte = nextChildByte(frame, at, 0); byte >= 0; byte = nextChildByte(frame, at, byte + 1)) {
        if (resolveChild(frame, at, byte, origin, merges)) addChild(target, to, byte, PLACEHOLDER);
      }
      // The last child goes deepest into the stack, so that copies come to stand in key order.
      top += live * 3;
      let entry = top;
      for (let byte = nextChildByte(frame, at, 0); byte >= 0; byte = nextChildByte(frame, at, byte + 1)) {
        if (!resolveChild(frame, at, byte, origin, merges)) continue;
        entry -= 3;
        work[entry] = resolvedOrigin;
        work[entry + 1] = resolvedNode;
        work[entry + 2] = findChild(target, to, byte);
      }
      if (terminator !== 0) {
        work[top++] = origin;
        work[top++] = terminator << 3;
        work[top++] = to + N_TERMINATOR;
      }
      break;
    }
    first = false;
  }
  for (let i = 0; i < leavesTop; i += 3) {
    const from = leaves[i];
    const frame = from === 0 ? source : merges[from - 1].frame;
    copyLeaf(frame, leaves[i + 1], target, leaves[i + 2], 0);
  }
}

/** An inner node with nothing below, where its parent already counts on a child. */
function emptyNode(target: Frame, slot: number): void {
  const to = allocate(target, innerBytes(KIND_N4, 0));
  initInner(target, to, KIND_N4, 0);
  target.u16[slot >> 1] = to >> 3;
}

let resolvedOrigin = 0;
let resolvedNode = 0;
/** What stands under `byte` once the merges are done; false: nothing. Sets resolvedOrigin and resolvedNode. */
function resolveChild(
  frame: Frame,
  node: number,
  byte: number,
  origin: number,
  merges: readonly Merge[],
): boolean {
  const child = frame.u16[findChild(frame, node, byte) >> 1] << 3;
  resolvedOrigin = origin;
  resolvedNode = child;
  if (origin !== 0 || merges.length === 0 || (frame.u8[child] & 15) !== KIND_CROSSING) {
    return !isEmptyNode(frame, child);
  }
  const index = mergeIndex(merges, child);
  if (index < 0) return true;
  const blob = merges[index].frame;
  const slot = findChild(blob, blob.root << 3, byte);
  if (slot === 0) return false;
  resolvedOrigin = index + 1;
  resolvedNode = blob.u16[slot >> 1] << 3;
  return !isEmptyNode(blob, resolvedNode);
}

/** An inner node that lost its last child when there was no room to fold it away. */
function isEmptyNode(frame: Frame, node: number): boolean {
  const kind = frame.u8[node] & 15;
  if (kind === KIND_LEAF || kind === KIND_CROSSING) return false;
  return frame.u16[(node + N_COUNT) >> 1] === 0 && frame.u16[(node + N_TERMINATOR) >> 1] === 0;
}

let onlyByte = 0;
let onlyNode = 0;
let onlyOrigin = 0;
/** Number of children after the merges; when it is 1, onlyByte, onlyNode and onlyOrigin tell the child. */
function countLive(frame: Frame, node: number, origin: number, merges: readonly Merge[]): number {
  let live = 0;
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    if (!resolveChild(frame, node, byte, origin, merges)) continue;
    live++;
    onlyByte = byte;
    onlyNode = resolvedNode;
    onlyOrigin = resolvedOrigin;
  }
  return live;
}

function allocate(target: Frame, bytes: number): number {
  const offset = target.allocate(bytes);
  if (offset === 0) throw new Error('Cannot copy a subtree: the target frame is full');
  return offset;
}

/** Below this a loop is faster than a call that copies. */
const MOST_LOOPED_BYTES = 512;

function copyLeaf(frame: Frame, leaf: number, target: Frame, slot: number, prefix: number): void {
  const keyLength = frame.leafKeyLength(leaf);
  const valueLength = frame.leafValueLength(leaf);
  const bytes = leafBytes(prefix + keyLength, valueLength);
  const to = allocate(target, bytes);
  target.addLeaves(1);
  target.u16[slot >> 1] = to >> 3;
  if (prefix === 0 && bytes <= MOST_LOOPED_BYTES) {
    // Blocks are multiples of 8 bytes at multiples of 8: whole words, padding included.
    const from = frame.u32;
    const into = target.u32;
    const shift = (leaf - to) >> 2;
    for (let word = to >> 2, end = (to + bytes) >> 2; word < end; word++) into[word] = from[word + shift];
    return;
  }
  for (let i = 0; i < LEAF_HEADER_BYTES; i++) target.u8[to + i] = frame.u8[leaf + i];
  target.setLeafHeader(to, prefix + keyLength, valueLength);
  const body = to + LEAF_HEADER_BYTES;
  for (let i = 0; i < prefix; i++) target.u8[body + i] = gathered[i];
  const start = leaf + LEAF_HEADER_BYTES;
  target.u8.set(frame.u8.subarray(start, start + keyLength + valueLength), body + prefix);
}

/** Bytes of one node that lead to one blob share one crossing; so do their copies. */
function copyCrossing(frame: Frame, crossing: number, target: Frame, slot: number, origin: number): void {
  const name = origin * POINTERS + (crossing >> 3);
  let pointer = copiedCrossings.get(name);
  if (pointer === undefined) {
    const to = allocate(target, CROSSING_BYTES);
    writeCrossing(target, to, crossingBlobId(frame, crossing), crossingHeight(frame, crossing));
    pointer = to >> 3;
    copiedCrossings.set(name, pointer);
  }
  target.u16[slot >> 1] = pointer;
}

/** Takes the crossing out of the node: all bytes that lead to it, and the crossing itself. */
export function removeCrossing(frame: Frame, node: number, crossing: number): void {
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    if (frame.u16[findChild(frame, node, byte) >> 1] << 3 === crossing) removeChild(frame, node, byte);
  }
  frame.freeNode(crossing);
}

/** Frees the node at `node` and all below it in this frame; a crossing that several bytes share is freed once. */
export function freeSubtree(frame: Frame, node: number): void {
  beginWalk();
  let top = 0;
  work[top++] = node;
  while (top > 0) {
    const at = work[--top];
    if (seenIn[at >> 3] === walk) continue;
    seenIn[at >> 3] = walk;
    top = pushBelow(frame, at, work, top);
    frame.freeNode(at);
  }
}

/** Bytes that the node at `node` and all below it in this frame take. */
export function subtreeBytes(frame: Frame, node: number): number {
  beginWalk();
  let bytes = 0;
  let top = 0;
  work[top++] = node;
  while (top > 0) {
    const at = work[--top];
    // A crossing that several bytes share is met once for each.
    if (seenIn[at >> 3] === walk) continue;
    seenIn[at >> 3] = walk;
    bytes += frame.blockBytes(at);
    top = pushBelow(frame, at, work, top);
  }
  return bytes;
}

/** Greatest height that a crossing below `node` tells, 0 when there is none. */
export function greatestHeight(frame: Frame, node: number): number {
  let height = 0;
  let top = 0;
  work[top++] = node;
  while (top > 0) {
    const at = work[--top];
    if ((frame.u8[at] & 15) === KIND_CROSSING) height = Math.max(height, crossingHeight(frame, at));
    else top = pushBelow(frame, at, work, top);
  }
  return height;
}

/** The height that the frame's crossings give it. */
export function exactHeight(frame: Frame): number {
  return frame.crossings === 0 || frame.root === 0 ? 1 : greatestHeight(frame, frame.root << 3) + 1;
}

/** Calls `visit` with the offset of each crossing of the frame, once each. */
export function eachCrossing(frame: Frame, visit: (crossing: number) => void): void {
  if (frame.root === 0 || frame.crossings === 0) return;
  for (const crossing of crossingsBelow(frame, frame.root << 3)) visit(crossing);
}

/** Calls `visit` with the offset of each crossing among the node's children; once each where one run of bytes shares it. */
export function eachChildCrossing(frame: Frame, node: number, visit: (crossing: number) => void): void {
  let last = 0;
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    const child = frame.u16[findChild(frame, node, byte) >> 1] << 3;
    if (child === last || (frame.u8[child] & 15) !== KIND_CROSSING) continue;
    last = child;
    visit(child);
  }
}

/** For each inner node of the frame that has crossings among its children: its offset, and theirs. */
export function crossingsByNode(frame: Frame): Map<number, number[]> {
  const found = new Map<number, number[]>();
  if (frame.root === 0 || frame.crossings === 0) return found;
  const stack = [frame.root << 3];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const crossings = new Set<number>();
    const top = pushBelow(frame, at, work, 0);
    for (let i = 0; i < top; i++) {
      const kind = frame.u8[work[i]] & 15;
      if (kind === KIND_CROSSING) crossings.add(work[i]);
      else if (kind !== KIND_LEAF) stack.push(work[i]);
    }
    if (crossings.size > 0) found.set(at, [...crossings]);
  }
  return found;
}

/** Offsets of the crossings below `node` in its frame, each once. */
export function crossingsBelow(frame: Frame, node: number): number[] {
  const found = new Set<number>();
  const stack = [node];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    if ((frame.u8[at] & 15) === KIND_CROSSING) {
      found.add(at);
      continue;
    }
    const top = pushBelow(frame, at, work, 0);
    for (let i = 0; i < top; i++) stack.push(work[i]);
  }
  return [...found];
}
