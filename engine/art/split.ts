/**
 * Moving part of a full frame to a blob of its own.
 *
 * What moves is a run of neighbouring children of one node: enough of them to fill the new blob to about
 * TARGET_BYTES. They become the children of the new blob's root node, and one crossing, which all their bytes
 * share, takes their place. Since a run can be cut to size, blobs come out well filled even where each single
 * subtree is small (moving one subtree at a time leaves them about a third full).
 *
 * Where it can be, the new blob is hung from the parent (`splitBeside`, `splitLifting`), as a B-tree splits, so that
 * the tree of blobs stays shallow; else below (`splitBelow`).
 */

import type { Frame } from './frame.js';
import {
  CROSSING_BYTES,
  DATA_BYTES,
  H_ROOT,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  kindFor,
  N_COUNT,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  prefixOffset,
  ROOT_BLOB,
} from './layout.js';
import { addChild, findChild, initInner, nextChildByte, PLACEHOLDER, removeChild } from './node.js';
import {
  copySubtree,
  crossingBlobId,
  crossingHeight,
  freeSubtree,
  greatestHeight,
  subtreeBytes,
  writeCrossing,
} from './rewrite.js';

/** How full the new blob should be, and how full it may be. */
const TARGET_BYTES = Math.floor(DATA_BYTES * 0.7);
const MOST_BYTES = Math.floor(DATA_BYTES * 0.85);
const HALF_BYTES = Math.floor(DATA_BYTES * 0.5);
/** What at least stays in the full one. */
const LEAST_LEFT_BYTES = Math.floor(DATA_BYTES * 0.15);

/** The run of children to move: those of `node` under bytes `first`..`last`, leaving out crossings. */
export interface SplitPlan {
  node: number;
  first: number;
  last: number;
  /** What the run takes. */
  bytes: number;
  /** Height that the new blob will have. */
  height: number;
}

const childBytes = new Int32Array(256);

/**
 * Chooses what to move out of a frame that is full: not more than leaves LEAST_LEFT_BYTES behind. If the new blob took
 * almost everything it would be as full as this one, which would be left nearly empty, or (where the run leaves it for
 * a blob beside it) with nothing that leads to it.
 *
 * There is always something to move: a frame without room has more than half of its bytes in use, and one node, its
 * terminator and its crossings take less than a third, so a node that most hangs from has a subtree below it.
 *
 * Where keys are each other's beginnings, nodes form a chain, and the highest cut that is possible would leave little
 * here, again and again, blob below blob. So a single subtree is cut further down, towards the middle.
 */
export function planSplit(frame: Frame): SplitPlan {
  const most = Math.min(MOST_BYTES, frame.liveBytes - LEAST_LEFT_BYTES);
  let node = frame.root << 3;
  let best: SplitPlan | undefined;
  for (;;) {
    const largest = measureChildren(frame, node);
    if (childBytes[largest] <= most) {
      const plan = bestRun(frame, node, most);
      if (best !== undefined && Math.abs(plan.bytes - HALF_BYTES) >= Math.abs(best.bytes - HALF_BYTES))
        return best;
      best = plan;
      if (plan.first !== plan.last || plan.bytes <= HALF_BYTES || canHangAbove(frame, node)) return best;
    }
    node = childOf(frame, node, largest);
    if ((frame.u8[node] & 15) === KIND_LEAF) return best as SplitPlan;
  }
}

/** Fills childBytes for the node's children, with 0 for crossings; returns the byte of the largest. */
function measureChildren(frame: Frame, node: number): number {
  let largest = -1;
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    const child = childOf(frame, node, byte);
    childBytes[byte] = isCrossing(frame, child) ? 0 : subtreeBytes(frame, child);
    if (largest < 0 || childBytes[byte] > childBytes[largest]) largest = byte;
  }
  return largest;
}

/** Whether a run of this node's children can leave for a blob beside this one. */
function canHangAbove(frame: Frame, node: number): boolean {
  const root = frame.root << 3;
  if (frame.blobId === ROOT_BLOB) return false;
  return (
    node === root ||
    (frame.u16[(root + N_COUNT) >> 1] === 1 && childOf(frame, root, nextChildByte(frame, root, 0)) === node)
  );
}

/**
 * The run of at most `most` bytes whose sum comes nearest to the target; the first of equals, so that ascending loads
 * leave full blobs. REQUIRES childBytes of the node.
 */
function bestRun(frame: Frame, node: number, most: number): SplitPlan {
  let best = -1;
  let first = 0;
  let last = 0;
  for (let from = nextChildByte(frame, node, 0); from >= 0; from = nextChildByte(frame, node, from + 1)) {
    if (childBytes[from] === 0) continue;
    let sum = 0;
    for (let to = from; to >= 0; to = nextChildByte(frame, node, to + 1)) {
      if (childBytes[to] === 0) continue;
      sum += childBytes[to];
      if (sum > most) break;
      if (best < 0 || Math.abs(sum - TARGET_BYTES) < Math.abs(best - TARGET_BYTES)) {
        best = sum;
        first = from;
        last = to;
      }
    }
  }
  if (best < 0) throw new Error('Cannot split a frame: its node has nothing to move');
  let height = 0;
  for (let byte = first; byte >= 0 && byte <= last; byte = nextChildByte(frame, node, byte + 1)) {
    if (childBytes[byte] !== 0) height = Math.max(height, greatestHeight(frame, childOf(frame, node, byte)));
  }
  return { node, first, last, bytes: best, height: height + 1 };
}

/** Copies the planned run's subtrees into `target` as the children of its new root node, and frees them here. */
function moveRun(frame: Frame, plan: SplitPlan, target: Frame): number[] {
  const { node, first, last } = plan;
  const moved: number[] = [];
  for (
    let byte = nextChildByte(frame, node, first);
    byte >= 0 && byte <= last;
    byte = nextChildByte(frame, node, byte + 1)
  ) {
    if (!isCrossing(frame, childOf(frame, node, byte))) moved.push(byte);
  }
  const kind = kindFor(moved.length);
  const root = target.allocate(innerBytes(kind, 0));
  initInner(target, root, kind, 0);
  target.root = root >> 3;
  target.height = plan.height;
  for (const byte of moved) addChild(target, root, byte, PLACEHOLDER);
  const emptied: number[] = [];
  for (const byte of moved) {
    const child = childOf(frame, node, byte);
    const slot = findChild(target, root, byte);
    copySubtree(frame, child, target, slot, [], false);
    if (target.u16[slot >> 1] === PLACEHOLDER) emptied.push(byte);
    freeSubtree(frame, child);
  }
  for (const byte of emptied) removeChild(target, root, byte);
  return moved;
}

/**
 * Moves the planned run to `target`, a newly formatted frame of blob `blobId`, below the node that it leaves.
 * Possible with every plan; the blob comes to lie one level deeper. REQUIRES both latched, nothing changed since
 * the plan was made.
 */
export function splitBelow(frame: Frame, plan: SplitPlan, target: Frame, blobId: number): void {
  const moved = moveRun(frame, plan, target);
  // What was freed leaves room for the crossing: the smallest node is larger than it.
  const crossing = frame.allocate(CROSSING_BYTES);
  writeCrossing(frame, crossing, blobId, plan.height);
  for (const byte of moved) setChild(frame, plan.node, byte, crossing);
}

/** The frame's parent, and where in it the way down passes. */
export interface Above {
  frame: Frame;
  /** The node whose child the crossing is. */
  node: number;
  crossing: number;
}

/** Bytes that `splitBeside` needs in the parent, or 0 where the plan's node is not the blob's root node. */
export function roomBeside(frame: Frame, plan: SplitPlan): number {
  return plan.node === frame.root << 3 ? CROSSING_BYTES : 0;
}

/**
 * Moves a run of the root node's children to a blob that the parent's node leads to directly, as a B-tree splits:
 * no blob comes to lie deeper. REQUIRES roomBeside() bytes in the parent, all three latched.
 */
export function splitBeside(
  frame: Frame,
  plan: SplitPlan,
  target: Frame,
  blobId: number,
  above: Above,
): void {
  const moved = moveRun(frame, plan, target);
  const crossing = above.frame.allocate(CROSSING_BYTES);
  writeCrossing(above.frame, crossing, blobId, plan.height);
  for (const byte of moved) {
    setChild(above.frame, above.node, byte, crossing);
    removeChild(frame, plan.node, byte);
  }
}

/** Terminator values above this stay where they are, and the node with them. */
const MOST_LIFTED_BYTES = 4096;

/**
 * Bytes that `splitLifting` needs in the parent, or 0 where it cannot be done: the plan's node must be the root
 * node's only child, and must keep children of its own beside the run.
 */
export function roomToLift(frame: Frame, plan: SplitPlan): number {
  const root = frame.root << 3;
  const byte = nextChildByte(frame, root, 0);
  if (byte < 0 || nextChildByte(frame, root, byte + 1) >= 0 || childOf(frame, root, byte) !== plan.node)
    return 0;
  const { node } = plan;
  let bytes = innerBytes(frame.u8[node] & 15, frame.u8[node + N_PREFIX_LENGTH]) + CROSSING_BYTES;
  let kept = 0;
  for (let at = nextChildByte(frame, node, 0); at >= 0; at = nextChildByte(frame, node, at + 1)) {
    if (isCrossing(frame, childOf(frame, node, at))) bytes += CROSSING_BYTES;
    else if (at < plan.first || at > plan.last) kept++;
  }
  const terminator = frame.u16[(node + N_TERMINATOR) >> 1] << 3;
  if (terminator !== 0) bytes += frame.blockBytes(terminator);
  return kept === 0 || bytes > MOST_LIFTED_BYTES ? 0 : bytes;
}

/**
 * Lifts the plan's node into the parent and divides its children between this blob and the new one, so that again
 * no blob comes to lie deeper. REQUIRES roomToLift() bytes in the parent, all three latched.
 */
export function splitLifting(
  frame: Frame,
  plan: SplitPlan,
  target: Frame,
  blobId: number,
  above: Above,
): void {
  const { node } = plan;
  const moved = moveRun(frame, plan, target);
  const parent = above.frame;
  const prefixLength = frame.u8[node + N_PREFIX_LENGTH];
  const kind = frame.u8[node] & 15;
  const lifted = parent.allocate(innerBytes(kind, prefixLength));
  initInner(parent, lifted, kind, prefixLength);
  const from = node + prefixOffset(kind);
  for (let i = 0; i < prefixLength; i++) parent.u8[lifted + prefixOffset(kind) + i] = frame.u8[from + i];
  const fresh = parent.allocate(CROSSING_BYTES);
  writeCrossing(parent, fresh, blobId, plan.height);
  const direct = new Map<number, number>();
  const gone = new Set<number>(moved);
  const kept: number[] = [];
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    const child = childOf(frame, node, byte);
    if (gone.has(byte)) addChild(parent, lifted, byte, fresh >> 3);
    else if (isCrossing(frame, child)) {
      let copy = direct.get(child);
      if (copy === undefined) {
        copy = parent.allocate(CROSSING_BYTES);
        writeCrossing(parent, copy, crossingBlobId(frame, child), crossingHeight(frame, child));
        direct.set(child, copy);
      }
      addChild(parent, lifted, byte, copy >> 3);
    } else {
      addChild(parent, lifted, byte, above.crossing >> 3);
      kept.push(byte);
    }
  }
  const terminator = frame.u16[(node + N_TERMINATOR) >> 1] << 3;
  if (terminator !== 0) copySubtree(frame, terminator, parent, lifted + N_TERMINATOR, [], false);
  // The node's byte need not be the one by which the way down came: bytes that led here and have nothing left must
  // not lead to a blob that now begins further down.
  const own = nextChildByte(frame, frame.root << 3, 0);
  for (
    let byte = nextChildByte(parent, above.node, 0);
    byte >= 0;
    byte = nextChildByte(parent, above.node, byte + 1)
  ) {
    if (byte !== own && childOf(parent, above.node, byte) === above.crossing) {
      removeChild(parent, above.node, byte);
    }
  }
  setChild(parent, above.node, own, lifted);
  makeRoot(frame, node, kept, direct);
}

/** Turns the lifted node, with what it kept, into the blob's root node. */
function makeRoot(
  frame: Frame,
  node: number,
  kept: readonly number[],
  direct: ReadonlyMap<number, number>,
): void {
  const terminator = frame.u16[(node + N_TERMINATOR) >> 1] << 3;
  if (terminator !== 0) frame.freeNode(terminator);
  for (const crossing of direct.keys()) frame.freeNode(crossing);
  const kind = kindFor(kept.length);
  const children = kept.map((byte) => frame.u16[findChild(frame, node, byte) >> 1]);
  frame.freeNode(frame.root << 3);
  frame.freeNode(node);
  // Fits into what was just freed: the node is of the same kind or a smaller one, and has no prefix.
  const root = frame.allocate(innerBytes(kind, 0));
  initInner(frame, root, kind, 0);
  kept.forEach((byte, i) => {
    addChild(frame, root, byte, children[i]);
  });
  frame.root = root >> 3;
}

function childOf(frame: Frame, node: number, byte: number): number {
  return frame.u16[findChild(frame, node, byte) >> 1] << 3;
}

function setChild(frame: Frame, node: number, byte: number, child: number): void {
  frame.u16[findChild(frame, node, byte) >> 1] = child >> 3;
}

function isCrossing(frame: Frame, node: number): boolean {
  return (frame.u8[node] & 15) === KIND_CROSSING;
}

/** Rewrites `frame` into `scratch`, without gaps; REQUIRES scratch formatted for the same blob. */
export function repack(
  frame: Frame,
  scratch: Frame,
  merges: Parameters<typeof copySubtree>[4],
  isRootBlob: boolean,
): void {
  if (frame.root !== 0) copySubtree(frame, frame.root << 3, scratch, H_ROOT, merges, !isRootBlob);
  scratch.compactions = frame.compactions + 1;
}
