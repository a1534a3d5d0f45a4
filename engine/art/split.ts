/**
 * Dividing what is in a full frame between blobs.
 *
 * What moves is a run of neighbouring children of one node. They become children of another blob's root node, and one
 * crossing, which all their bytes share, takes their place. Since a run can be cut to size, blobs come out well filled
 * even where each single subtree is small (moving one subtree at a time leaves them about a third full).
 *
 * Where it can be, the run goes to a blob that hangs from the parent (`moveBeside`), as a B-tree splits, so that the tree
 * of blobs stays shallow: to one that is there and has room (as B*-trees do), else to a new one. Where the blob's root
 * node has nothing to divide, the node below it is lifted into the parent first (`lift`). Only where neither can be, and
 * in the root blob, the run goes below (`moveBelow`).
 */

import type { Frame } from './frame.js';
import {
  CROSSING_BYTES,
  capacityOf,
  H_ROOT,
  innerBytes,
  kindFor,
  N_COUNT,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  prefixOffset,
} from './layout.js';
import { type Measure, moveSums, uniteSums } from './measure.js';
import {
  addChild,
  childOf,
  convert,
  findChild,
  initInner,
  isCrossing,
  nextChildByte,
  PLACEHOLDER,
  removeChild,
} from './node.js';
import {
  copySubtree,
  crossingBlobId,
  crossingHeight,
  freeSubtree,
  writeCrossing,
  writeCrossingHeight,
} from './rewrite.js';
import type { SplitPlan } from './split-plan.js';

/**
 * Copies the planned run's subtrees into `target` as children of its root node, which is made or grown as needed, and
 * frees them here. The run's slots are the caller's to set.
 */
function moveRun(
  frame: Frame,
  { node, children, height }: SplitPlan,
  target: Frame,
  measure: Measure | undefined,
): void {
  const root = rootFor(target, children.length);
  if (target.height < height) target.height = height;
  for (const byte of children) addChild(target, root, byte, PLACEHOLDER);
  for (const byte of children) moveChild(frame, childOf(frame, node, byte), target, root, byte, measure);
}

/** The target's root node with room for so many children more. */
function rootFor(target: Frame, more: number): number {
  const before = target.root << 3;
  const count = before === 0 ? 0 : target.u16[(before + N_COUNT) >> 1];
  if (before !== 0 && count + more <= capacityOf(target.u8[before] & 15)) return before;
  const kind = kindFor(count + more);
  const root = target.allocate(innerBytes(kind, 0));
  if (before === 0) initInner(target, root, kind, 0);
  else {
    convert(target, before, root, kind);
    target.freeNode(before);
  }
  target.root = root >> 3;
  return root;
}

/** Copies a subtree to where the target's node has a child under `byte` already, and frees it here. */
function moveChild(
  frame: Frame,
  child: number,
  target: Frame,
  node: number,
  byte: number,
  measure: Measure | undefined,
): void {
  moveSums(measure, frame, child, target);
  const slot = findChild(target, node, byte);
  target.u16[slot >> 1] = PLACEHOLDER;
  copySubtree(frame, child, target, slot, [], false);
  if (target.u16[slot >> 1] === PLACEHOLDER) removeChild(target, node, byte);
  freeSubtree(frame, child);
}

/** A blob that a crossing leads to; `crossing` is 0 where there is none yet. */
export interface Neighbour {
  frame: Frame;
  crossing: number;
}

/** Offset of the crossing in `frame` that leads to the neighbour: the one it has, or a new one. */
function crossingTo(frame: Frame, { frame: target, crossing }: Neighbour): number {
  if (crossing !== 0) {
    if (crossingHeight(frame, crossing) < target.height) writeCrossingHeight(frame, crossing, target.height);
    return crossing;
  }
  const fresh = frame.allocate(CROSSING_BYTES);
  writeCrossing(frame, fresh, target.blobId, target.height);
  return fresh;
}

/**
 * Moves the planned run to a blob below the node that it leaves. Possible with every plan; where the blob is new it may
 * come to lie one level deeper. REQUIRES both latched, nothing changed since the plan was made.
 */
export function moveBelow(frame: Frame, plan: SplitPlan, to: Neighbour, measure: Measure | undefined): void {
  moveRun(frame, plan, to.frame, measure);
  // What was freed leaves room for the crossing: the smallest node is larger than it.
  const crossing = crossingTo(frame, to);
  for (const byte of plan.children) setChild(frame, plan.node, byte, crossing);
}

/** The frame's parent, and where in it the way down passes. */
export interface Above {
  frame: Frame;
  /** The node whose child the crossing is. */
  node: number;
  crossing: number;
}

/** Bytes that `moveBeside` needs in the parent. */
export function roomBeside(frame: Frame): number {
  const root = frame.root << 3;
  let bytes = CROSSING_BYTES;
  for (let byte = nextChildByte(frame, root, 0); byte >= 0; byte = nextChildByte(frame, root, byte + 1)) {
    if (isCrossing(frame, childOf(frame, root, byte))) bytes += CROSSING_BYTES;
  }
  return bytes;
}

/**
 * Moves a run of the root node's children to a blob that the parent's node leads to directly, as a B-tree splits:
 * no blob comes to lie deeper, and those that the root node itself leads to less deep. Returns the crossing to it.
 * REQUIRES roomBeside() bytes in the parent, all three latched.
 */
export function moveBeside(
  frame: Frame,
  plan: SplitPlan,
  to: Neighbour,
  above: Above,
  measure: Measure | undefined,
): number {
  const { node, children } = plan;
  moveRun(frame, plan, to.frame, measure);
  const crossing = crossingTo(above.frame, to);
  for (const byte of children) {
    setChild(above.frame, above.node, byte, crossing);
    removeChild(frame, node, byte);
  }
  hoist(frame, node, above.frame, above.node);
  return crossing;
}

/** Crossings among the root node's children move to the parent's node. REQUIRES roomBeside() bytes there, both latched. */
export function hoistCrossings(frame: Frame, above: Above): void {
  hoist(frame, frame.root << 3, above.frame, above.node);
}

/** Moves a run of the root node's children to the parent's node. REQUIRES plan.bytes in the parent, both latched. */
export function moveUp(
  frame: Frame,
  { node, children }: SplitPlan,
  above: Above,
  measure: Measure | undefined,
): void {
  for (const byte of children) {
    moveChild(frame, childOf(frame, node, byte), above.frame, above.node, byte, measure);
    removeChild(frame, node, byte);
  }
}

/** Crossings among the children of `node`, which stands for the same node as `into` in the parent, move there. */
function hoist(frame: Frame, node: number, parent: Frame, into: number): void {
  const copies = new Map<number, number>();
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    const child = childOf(frame, node, byte);
    if (!isCrossing(frame, child)) continue;
    let copy = copies.get(child);
    if (copy === undefined) {
      copy = parent.allocate(CROSSING_BYTES);
      writeCrossing(parent, copy, crossingBlobId(frame, child), crossingHeight(frame, child));
      copies.set(child, copy);
    }
    setChild(parent, into, byte, copy);
  }
  for (const [crossing, copy] of copies) {
    for (let byte = nextChildByte(parent, into, 0); byte >= 0; byte = nextChildByte(parent, into, byte + 1)) {
      if (childOf(parent, into, byte) === copy) removeChild(frame, node, byte);
    }
    frame.freeNode(crossing);
  }
}

/**
 * Lifts a child of the root node into the parent, and with it the little else that the root node has: the blob then
 * begins with the lifted node's children, which can be divided. REQUIRES roomToLift() bytes in the parent, both latched.
 */
export function lift(frame: Frame, node: number, above: Above, measure: Measure | undefined): void {
  const parent = above.frame;
  const root = frame.root << 3;
  hoist(frame, root, parent, above.node);
  let own = -1;
  for (let byte = nextChildByte(frame, root, 0); byte >= 0; byte = nextChildByte(frame, root, byte + 1)) {
    const child = childOf(frame, root, byte);
    if (child === node) own = byte;
    else moveChild(frame, child, parent, above.node, byte, measure);
  }
  // Bytes that led here and have nothing must not lead to a blob that now begins further down.
  for (let byte = nextChildByte(parent, above.node, 0); byte >= 0; ) {
    if (byte !== own && childOf(parent, above.node, byte) === above.crossing) {
      removeChild(parent, above.node, byte);
    }
    byte = nextChildByte(parent, above.node, byte + 1);
  }
  const prefixLength = frame.u8[node + N_PREFIX_LENGTH];
  const kind = frame.u8[node] & 15;
  const lifted = parent.allocate(innerBytes(kind, prefixLength));
  initInner(parent, lifted, kind, prefixLength);
  const from = node + prefixOffset(kind);
  for (let i = 0; i < prefixLength; i++) parent.u8[lifted + prefixOffset(kind) + i] = frame.u8[from + i];
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    addChild(parent, lifted, byte, above.crossing >> 3);
  }
  const terminator = frame.u16[(node + N_TERMINATOR) >> 1] << 3;
  if (terminator !== 0) {
    moveSums(measure, frame, terminator, parent);
    copySubtree(frame, terminator, parent, lifted + N_TERMINATOR, [], false);
    frame.freeNode(terminator);
  }
  setChild(parent, above.node, own, lifted);
  hoist(frame, node, parent, lifted);
  frame.freeNode(root);
  makeRoot(frame, node);
}

/** Makes the node, without its prefix, the blob's root node. */
function makeRoot(frame: Frame, node: number): void {
  const children: [byte: number, pointer: number][] = [];
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    children.push([byte, frame.u16[findChild(frame, node, byte) >> 1]]);
  }
  frame.freeNode(node);
  // Fits into what was just freed: the node is of the same kind or a smaller one, and has no prefix.
  const root = frame.allocate(innerBytes(kindFor(children.length), 0));
  initInner(frame, root, kindFor(children.length), 0);
  for (const [byte, pointer] of children) addChild(frame, root, byte, pointer);
  frame.root = root >> 3;
}

function setChild(frame: Frame, node: number, byte: number, child: number): void {
  frame.u16[findChild(frame, node, byte) >> 1] = child >> 3;
}

/** Rewrites `frame` into `scratch`, without gaps; REQUIRES scratch formatted for the same blob. */
export function repack(
  frame: Frame,
  scratch: Frame,
  merges: Parameters<typeof copySubtree>[4],
  isRootBlob: boolean,
  measure: Measure | undefined,
): void {
  if (frame.root !== 0) copySubtree(frame, frame.root << 3, scratch, H_ROOT, merges, !isRootBlob);
  const merged = merges.map((merge) => merge.frame);
  uniteSums(measure, frame, merged, scratch);
  scratch.compactions = frame.compactions + 1;
}
