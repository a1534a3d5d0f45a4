/**
 * Choosing what to move out of a full frame: a run of neighbouring children of one node. split.ts moves it.
 */
import type { Frame } from './frame.js';
import {
  CROSSING_BYTES,
  DATA_BYTES,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  N256_PREFIX,
  ROOT_BLOB,
} from './layout.js';
import { childOf, isCrossing, nextChildByte } from './node.js';
import { greatestHeight, subtreeBytes } from './rewrite.js';

/** How full a new blob below should be, and how full it may be. */
const TARGET_BYTES = Math.floor(DATA_BYTES * 0.7);
const MOST_BYTES = Math.floor(DATA_BYTES * 0.85);
const HALF_BYTES = Math.floor(DATA_BYTES * 0.5);
/** What at least stays in the full one when the run goes below. */
const LEAST_LEFT_BYTES = Math.floor(DATA_BYTES * 0.15);
/** A run below that adds to the tree's depth is taken where one that does not would be smaller than this. */
const LEAST_BELOW_BYTES = Math.floor(DATA_BYTES * 0.25);
const ANY_HEIGHT = 0xffff;
/** What at least goes and what at least stays when it is divided between neighbours. */
const LEAST_MOVED_BYTES = Math.floor(DATA_BYTES * 0.05);
/** Room that a blob's root node may need beside the run that comes to it, while it grows. */
export const ROOT_GROWTH_BYTES = N256_PREFIX + 8;

/** What lifting may bring to the parent. */
const MOST_LIFTED_BYTES = LEAST_MOVED_BYTES + 4096;

/** The run of children of `node` to move: those under these bytes, none of them a crossing. */
export interface SplitPlan {
  node: number;
  children: number[];
  /** What the run takes. */
  bytes: number;
  /** Height that a blob with the run has at least. */
  height: number;
}

const childBytes = new Int32Array(256);
let childrenBytes = 0;

/**
 * Chooses what to move out of a frame that is full. Where it can hang from the parent that is half of it; else a part that
 * leaves at least LEAST_LEFT_BYTES behind. If the new blob took almost everything it would be as full as this one, which
 * would be left nearly empty.
 *
 * There is always something to move: a frame without room has more than half of its bytes in use, and one node, its
 * terminator and its crossings take less than a third, so a node that most hangs from has a subtree below it.
 */
export function planSplit(frame: Frame): SplitPlan {
  const root = frame.root << 3;
  if (frame.blobId !== ROOT_BLOB) {
    const largest = measureChildren(frame, root, ANY_HEIGHT);
    if (childBytes[largest] <= childrenBytes - LEAST_MOVED_BYTES) return halfRun(frame, root);
    const node = childOf(frame, root, largest);
    if (canLift(frame, node)) {
      const below = measureChildren(frame, node, ANY_HEIGHT);
      if (childBytes[below] <= childrenBytes - LEAST_MOVED_BYTES) return halfRun(frame, node);
    }
  }
  const flat = planBelow(frame, frame.height - 2);
  if (flat !== undefined && flat.bytes >= LEAST_BELOW_BYTES) return flat;
  return planBelow(frame, ANY_HEIGHT) as SplitPlan;
}

/** REQUIRES childBytes of the node. */
function halfRun(frame: Frame, node: number): SplitPlan {
  return bestRun(frame, node, childrenBytes - LEAST_MOVED_BYTES, childrenBytes >> 1) as SplitPlan;
}

/**
 * The run to move below, of children that lead down through at most `height` blobs.
 *
 * Where keys are each other's beginnings, nodes form a chain, and the highest cut that is possible would leave little
 * here, again and again, blob below blob. So a single subtree is cut further down, towards the middle.
 */
function planBelow(frame: Frame, height: number): SplitPlan | undefined {
  const most = Math.min(MOST_BYTES, frame.liveBytes - LEAST_LEFT_BYTES);
  let node = frame.root << 3;
  let best: SplitPlan | undefined;
  for (;;) {
    const largest = measureChildren(frame, node, height);
    if (largest < 0) return best;
    if (childBytes[largest] <= most) {
      const plan = bestRun(frame, node, most, TARGET_BYTES) as SplitPlan;
      if (best !== undefined && Math.abs(plan.bytes - HALF_BYTES) >= Math.abs(best.bytes - HALF_BYTES))
        return best;
      best = plan;
      if (plan.children.length > 1 || plan.bytes <= HALF_BYTES) return best;
    }
    node = childOf(frame, node, largest);
    if ((frame.u8[node] & 15) === KIND_LEAF) return best;
  }
}

/**
 * The run of the node's children that comes nearest to `target` bytes and is from `least` to `most`; undefined: there
 * is none.
 */
export function planRun(
  frame: Frame,
  node: number,
  target: number,
  least: number,
  most: number,
): SplitPlan | undefined {
  measureChildren(frame, node, ANY_HEIGHT);
  const plan = bestRun(frame, node, most, target);
  return plan === undefined || plan.bytes < least ? undefined : plan;
}

/** All children of the node that are no crossings and have none below them; undefined: there are none. */
export function planLeaves(frame: Frame, node: number): SplitPlan | undefined {
  measureChildren(frame, node, 0);
  return bestRun(frame, node, DATA_BYTES, DATA_BYTES);
}

/**
 * Fills childBytes for the node's children, with 0 for crossings and what leads down through more than `height` blobs,
 * and their sum; returns the byte of the largest, -1 where all are 0.
 */
function measureChildren(frame: Frame, node: number, height: number): number {
  let largest = -1;
  childrenBytes = 0;
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    const child = childOf(frame, node, byte);
    childBytes[byte] =
      isCrossing(frame, child) || (height < ANY_HEIGHT && greatestHeight(frame, child) > height)
        ? 0
        : subtreeBytes(frame, child);
    childrenBytes += childBytes[byte];
    if (childBytes[byte] > 0 && (largest < 0 || childBytes[byte] > childBytes[largest])) largest = byte;
  }
  return largest;
}

/** Bytes that are to be copied to the parent when `node`, a child of the root node, is lifted. */
function liftedBytes(frame: Frame, node: number): number {
  const root = frame.root << 3;
  let bytes = innerBytes(frame.u8[node] & 15, frame.u8[node + N_PREFIX_LENGTH]);
  for (let byte = nextChildByte(frame, root, 0); byte >= 0; byte = nextChildByte(frame, root, byte + 1)) {
    const child = childOf(frame, root, byte);
    if (child !== node) bytes += isCrossing(frame, child) ? CROSSING_BYTES : subtreeBytes(frame, child);
  }
  for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
    if (isCrossing(frame, childOf(frame, node, byte))) bytes += CROSSING_BYTES;
  }
  const terminator = frame.u16[(node + N_TERMINATOR) >> 1] << 3;
  return terminator === 0 ? bytes : bytes + frame.blockBytes(terminator);
}

function canLift(frame: Frame, node: number): boolean {
  const kind = frame.u8[node] & 15;
  return kind !== KIND_LEAF && kind !== KIND_CROSSING && liftedBytes(frame, node) <= MOST_LIFTED_BYTES;
}

/**
 * The run of at most `most` bytes whose sum comes nearest to the target; the first of equals, so that ascending loads
 * leave full blobs. REQUIRES childBytes of the node.
 */
function bestRun(frame: Frame, node: number, most: number, target: number): SplitPlan | undefined {
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
      if (best < 0 || Math.abs(sum - target) < Math.abs(best - target)) {
        best = sum;
        first = from;
        last = to;
      }
    }
  }
  if (best < 0) return undefined;
  const children: number[] = [];
  let height = 0;
  for (let byte = first; byte >= 0 && byte <= last; byte = nextChildByte(frame, node, byte + 1)) {
    if (childBytes[byte] === 0) continue;
    children.push(byte);
    height = Math.max(height, greatestHeight(frame, childOf(frame, node, byte)));
  }
  return { node, children, bytes: best, height: height + 1 };
}

/** Bytes that `lift` needs in the parent, or 0 where the plan's node is not one to lift. */
export function roomToLift(frame: Frame, plan: SplitPlan): number {
  const root = frame.root << 3;
  for (let byte = nextChildByte(frame, root, 0); byte >= 0; byte = nextChildByte(frame, root, byte + 1)) {
    if (childOf(frame, root, byte) === plan.node) {
      return canLift(frame, plan.node) ? liftedBytes(frame, plan.node) : 0;
    }
  }
  return 0;
}
