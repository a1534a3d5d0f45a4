/**
 * Moving everything below one prefix to another without visiting its keys.
 *
 * A leaf stores only the rest of its key, and no node knows what is above it; so the node where the keys' common
 * part ends can be hung elsewhere. Within a frame that is all (`unhang`, `rehang`); into another one what hangs from the node
 * in its frame is copied out (`detach`) and planted again (`plant`, `plantBlob`). Blobs further down stay as they are, since
 * crossings are copied with it. The cost is bounded by a frame, not by the number of keys.
 */
import { MAX_LEAF_KEY_BYTES, MAX_PREFIX_BYTES } from '../limits.js';
import type { Descent } from './descent.js';
import type { Frame } from './frame.js';
import {
  CROSSING_BYTES,
  H_ROOT,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  LEAF_HEADER_BYTES,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  prefixOffset,
  X_BLOB_ID,
} from './layout.js';
import { type Measure, moveSums, takeSums } from './measure.js';
import { addChild, cutPrefix, findChild, firstBelow, initInner, PLACEHOLDER, removeChild } from './node.js';
import { copySubtree, freeSubtree, greatestHeight, writeCrossing } from './rewrite.js';
import { chainLast, cutLeaf, makeChain, tidyInner } from './write.js';

/** Where the keys that begin with a prefix hang, inside one frame. */
export class SubtreeSpot {
  frame!: Frame;
  /** The node under which they all are; 0: there are none. */
  node = 0;
  slot = 0;
  /** Bytes at the beginning of the node's prefix (or the leaf's rest) that belong to the prefix sought. */
  cut = 0;
  parent = 0;
  parentSlot = 0;
  parentByte = 0;
  parentIsBlobRoot = false;
  /** When not 0, the search goes on in this blob, `depth` bytes of the prefix known. */
  blobId = 0;
  depth = 0;
}

/** Looks for the prefix from the frame's root; `depth` of its bytes lead there. As `descend`, for a subtree. */
export function findSubtree(
  at: SubtreeSpot,
  frame: Frame,
  prefix: Uint8Array,
  depth: number,
  isRootBlob: boolean,
): void {
  const { u8, u16 } = frame;
  at.frame = frame;
  at.node = 0;
  at.blobId = 0;
  at.parent = 0;
  let slot = H_ROOT;
  let known = depth;
  for (;;) {
    const node = u16[slot >> 1] << 3;
    if (node === 0) return;
    const kind = u8[node] & 15;
    if (kind === KIND_CROSSING) {
      at.blobId = frame.u32[(node + X_BLOB_ID) >> 2];
      at.depth = known - 1;
      return;
    }
    const isLeaf = kind === KIND_LEAF;
    const length = isLeaf ? frame.leafKeyLength(node) : u8[node + N_PREFIX_LENGTH];
    const label = isLeaf ? node + LEAF_HEADER_BYTES : node + prefixOffset(kind);
    const left = prefix.length - known;
    const common = Math.min(left, length);
    for (let i = 0; i < common; i++) if (u8[label + i] !== prefix[known + i]) return;
    if (left <= length) {
      at.node = node;
      at.slot = slot;
      at.cut = left;
      return;
    }
    if (isLeaf) return;
    known += length;
    const child = findChild(frame, node, prefix[known]);
    if (child === 0) return;
    at.parent = node;
    at.parentSlot = slot;
    at.parentByte = prefix[known];
    at.parentIsBlobRoot = !isRootBlob && slot === H_ROOT;
    slot = child;
    known++;
  }
}

/**
 * Takes the subtree out of its frame and into `scratch`, a newly formatted frame, as its root; what it is called
 * there no longer has the prefix. An empty subtree leaves scratch empty. REQUIRES the frame latched.
 */
export function detach(at: SubtreeSpot, scratch: Frame, measure: Measure | undefined): void {
  cutLabel(at);
  copyOut(at, scratch, measure);
  unlink(at);
}

function cutLabel({ frame, node, cut }: SubtreeSpot): void {
  if ((frame.u8[node] & 15) === KIND_LEAF) cutLeaf(frame, node, cut);
  else cutPrefix(frame, node, cut);
}

function copyOut({ frame, node }: SubtreeSpot, scratch: Frame, measure: Measure | undefined): void {
  moveSums(measure, frame, node, scratch);
  copySubtree(frame, node, scratch, H_ROOT, [], false);
  scratch.height = greatestHeight(frame, node) + 1;
}

/**
 * Whether the subtree may stay where it is in the frame and only hang from elsewhere: an inner node, not the frame's root,
 * below which something is.
 */
export function canRehang({ frame, node, parent }: SubtreeSpot): boolean {
  return parent !== 0 && (frame.u8[node] & 15) !== KIND_LEAF && firstBelow(frame, node) !== 0;
}

/**
 * As `detach`, but the subtree stays in the frame's memory, for `rehang` or `copyUnhung`, one of which must come before anything
 * rewrites the frame. REQUIRES canRehang().
 */
export function unhang(at: SubtreeSpot): void {
  cutLabel(at);
  removeChild(at.frame, at.parent, at.parentByte);
  tidyInner(at.frame, at.parent, at.parentSlot, at.parentIsBlobRoot);
}

/** Ends as `detach` does what `unhang` began. */
export function copyUnhung(at: SubtreeSpot, scratch: Frame, measure: Measure | undefined): void {
  copyOut(at, scratch, measure);
  freeSubtree(at.frame, at.node);
}

/**
 * Hangs the subtree where the descent for `destination` ended in the same frame, at a leaf that keeps the place, as `plant`
 * does with a copy. REQUIRES chainBytes(destination.length) bytes at the bump cursor.
 */
export function rehang(at: Descent, destination: Uint8Array, { frame, node }: SubtreeSpot): void {
  const { slot, from } = clearPlace(at, destination);
  const length = destination.length - from;
  if (length === 0) {
    frame.u16[slot >> 1] = node >> 3;
    return;
  }
  frame.u16[slot >> 1] = makeChain(frame, destination, from, length - 1);
  addChild(frame, chainLast(), destination[destination.length - 1], node >> 3);
  // A label that fits into the node's own prefix goes there.
  if (frame.u8[node + N_PREFIX_LENGTH] + length <= MAX_PREFIX_BYTES)
    tidyInner(frame, chainLast(), slot, false);
}

/** Removes the subtree from its frame. REQUIRES the frame latched; blobs that it leads to are the caller's. */
export function unlink(at: SubtreeSpot): void {
  const { frame, node, slot, parent } = at;
  if (parent === 0) frame.u16[slot >> 1] = 0;
  else removeChild(frame, parent, at.parentByte);
  freeSubtree(frame, node);
  if (parent !== 0) tidyInner(frame, parent, at.parentSlot, at.parentIsBlobRoot);
}

/** Bytes that `plant` needs free at the bump cursor. */
export function roomToPlant(scratch: Frame, labelLength: number): number {
  return scratch.liveBytes + chainBytes(labelLength);
}

/** Most bytes that nodes spelling a label of this length take. */
export function chainBytes(labelLength: number): number {
  return labelLength + 64 + 32 * Math.ceil((labelLength + 1) / (MAX_PREFIX_BYTES + 1));
}

/** Where the leaf that keeps the place of the planted subtree hangs. */
interface Place {
  /** Slot of a child of an inner node, */
  slot: number;
  /** the byte under which it is, */
  byte: number;
  /** and the bytes between it and the subtree: the destination from here on. */
  from: number;
}

/**
 * Clears the place of the leaf at which the descent for `destination` ended (`at`, END_FOUND), which was put there to
 * keep it. REQUIRES that no other key begins with the destination, and chainBytes(destination.length) bytes at the
 * bump cursor where the leaf is the tree's only one.
 */
function clearPlace(at: Descent, destination: Uint8Array): Place {
  const { frame, slot, depth } = at;
  frame.freeNode(at.node);
  if (slot !== H_ROOT) return { slot, byte: destination[depth - 1], from: depth };
  const last = destination.length - 1;
  frame.u16[slot >> 1] = makeChain(frame, destination, 0, last);
  addChild(frame, chainLast(), destination[last], PLACEHOLDER);
  const child = findChild(frame, chainLast(), destination[last]);
  return { slot: child, byte: destination[last], from: last + 1 };
}

/** Plants the subtree in the frame where the descent for `destination` ended. REQUIRES roomToPlant() bytes there. */
export function plant(
  at: Descent,
  destination: Uint8Array,
  scratch: Frame,
  measure: Measure | undefined,
): void {
  const { slot, from } = clearPlace(at, destination);
  at.frame.u16[slot >> 1] = copyLabelled(scratch, at.frame, destination, from);
  takeSums(measure, scratch, at.frame);
}

/** Plants the subtree in `target`, a newly formatted frame of blob `blobId`, and leads to it from where the descent ended. */
export function plantBlob(
  at: Descent,
  destination: Uint8Array,
  scratch: Frame,
  target: Frame,
  blobId: number,
  measure: Measure | undefined,
): void {
  const { frame } = at;
  const { slot, byte, from } = clearPlace(at, destination);
  const crossing = frame.allocate(CROSSING_BYTES);
  writeCrossing(frame, crossing, blobId, scratch.height);
  frame.u16[slot >> 1] = crossing >> 3;
  const root = target.allocate(innerBytes(KIND_N4, 0));
  initInner(target, root, KIND_N4, 0);
  target.root = root >> 3;
  target.height = scratch.height;
  addChild(target, root, byte, PLACEHOLDER);
  target.u16[findChild(target, root, byte) >> 1] = copyLabelled(scratch, target, destination, from);
  takeSums(measure, scratch, target);
}

/** Copies scratch's tree into `target` below nodes that spell bytes[from..]; returns the pointer to the topmost. */
function copyLabelled(scratch: Frame, target: Frame, bytes: Uint8Array, from: number): number {
  const length = bytes.length - from;
  const root = scratch.root << 3;
  const kind = scratch.u8[root] & 15;
  const fits =
    (kind === KIND_LEAF && scratch.leafKeyLength(root) + length <= MAX_LEAF_KEY_BYTES) ||
    (kind !== KIND_LEAF &&
      kind !== KIND_CROSSING &&
      scratch.u8[root + N_PREFIX_LENGTH] + length <= MAX_PREFIX_BYTES);
  const holder = target.allocate(innerBytes(KIND_N4, 0));
  initInner(target, holder, KIND_N4, 0);
  const slot = holder + N_TERMINATOR;
  let pointer: number;
  if (fits || length === 0) {
    copySubtree(scratch, root, target, slot, [], false, bytes.subarray(from));
    pointer = target.u16[slot >> 1];
  } else {
    pointer = makeChain(target, bytes, from, length - 1);
    const end = chainLast();
    copySubtree(scratch, root, target, slot, [], false);
    addChild(target, end, bytes[bytes.length - 1], target.u16[slot >> 1]);
  }
  target.free(holder, innerBytes(KIND_N4, 0));
  return pointer;
}
