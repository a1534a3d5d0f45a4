/**
 * Choosing what to move out of a full frame: a run of neighbouring children of one node. split.ts moves it.
 */
import type { Frame } from './frame.js';
import {
  CROSSING_BYTES,
  DATA_BYTES,
  innerBytes,
  isRootBlob,
  KIND_CROSSING,
  KIND_LEAF,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  N256_PREFIX,
} from './layout.js';
import { childOf, isCrossing, nextChildByte } from './node.js';
import { greatestHeight, subtreeBytes } from './rewrite.js';

/** How full a new blob below should be, and how full it may be. */
const TARGET_BYTES = Math.floor(DATA_BYTES * 0.8);
const MOST_BYTES = Math.floor(DATA_BYTES * 0.85);
const HALF_BYTES = Math.floor(DATA_BYTES * 0.5);
/** What at least stays in the full one when the run goes below. */
const LEAST_LEFT_BYTES = Math.floor(DATA_BYTES * 0.15);
/**
 * A run below that adds to the tree's depth is taken where one that does not would be smaller than this. A batch counts on so
 * much for each split that it may come to.
 */
export const LEAST_BELOW_BYTES = Math.floor(DATA_BYTES / 8);
const ANY_HEIGHT = 0xffff;
/** What at least goes and what at least stays when it is divided between neighbours. */
const LEAST_MOVED_BYTES = Math.floor(DATA_BYTES * 0.05);
/** Room that a blob's root node may need beside the run that comes to it, while it grows. */
export const ROOT_GROWTH_BYTES = N256_PREFIX + 8;

/** What lifting may bring to the parent. */
const MOST_LIFTED_BYTES = LEAST_MOVED_BYTES + 4096;

/**
 * The run of children of `node` to move: those under these bytes, none of them a crossing. Without children: the node is
 * to be lifted first, so that what is below it can be divided then.
 */
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
 * Chooses what to move out of a frame, to which something is to be added below the root node's child for `byte` (-1: not
 * below any). Where it can hang from the parent that is half of it; else a part that
 * leaves at least LEAST_LEFT_BYTES behind. If the new blob took almost everything it would be as full as this one, which
 * would be left nearly empty.
 *
 * In a full frame there is always something to move: more than half of its bytes are in use, and one node, its
 * terminator and its crossings take less than a third, so a node that most hangs from has a subtree below it. In one that
 * is not full there may not be: undefined.
 */
export function planSplit(frame: Frame, byte: number): SplitPlan | undefined {
  const root = frame.root << 3;
  if (!isRootBlob(frame.blobId)) {
    const largest = measureChildren(frame, root, ANY_HEIGHT);
    if (childBytes[largest] <= childrenBytes - LEAST_MOVED_BYTES) return runBeside(frame, root, byte);
    if (isWorthLifting(frame, root, largest)) {
      return { node: childOf(frame, root, largest), children: [], bytes: 0, height: 0 };
    }
  }
  return planBelow(frame);
}

/** As planSplit, where there is nothing but below: a run that does not make the tree deeper, if that is large enough. */
export function planBelow(frame: Frame): SplitPlan | undefined {
  const flat = planFlat(frame, frame.height - 2);
  return flat !== undefined && flat.bytes >= LEAST_BELOW_BYTES ? flat : planCut(frame);
}

/**
 * Whether lifting the root node's child under `byte`, which has nearly everything below it, leads to a node that can be
 * divided: itself or, lifted after it, one further down, without more in all than may be lifted at once.
 */
function isWorthLifting(frame: Frame, root: number, byte: number): boolean {
  let parent = root;
  let largest = byte;
  for (let lifted = 0; ; ) {
    const node = childOf(frame, parent, largest);
    const kind = frame.u8[node] & 15;
    if (kind === KIND_LEAF || kind === KIND_CROSSING) return false;
    lifted += liftedBytes(frame, parent, node);
    if (lifted > MOST_LIFTED_BYTES) return false;
    largest = measureChildren(frame, node, ANY_HEIGHT);
    if (largest < 0) return false;
    if (childBytes[largest] <= childrenBytes - LEAST_MOVED_BYTES) return true;
    parent = node;
  }
}

/**
 * Half of the root node's children; of keys that come in ascending order, which go to the last of them, all but the last
 * ones as far as they fill a blob, since nothing will be added to them. REQUIRES childBytes of the node.
 */
function runBeside(frame: Frame, root: number, byte: number): SplitPlan | undefined {
  const most = childrenBytes - LEAST_MOVED_BYTES;
  if (byte >= 0 && nextChildByte(frame, root, byte + 1) < 0) {
    const plan = bestRun(frame, root, Math.min(most, MOST_BYTES), TARGET_BYTES);
    if (plan !== undefined && plan.children.at(-1) !== byte) return plan;
  }
  return bestRun(frame, root, most, childrenBytes >> 1);
}

/**
 * A run to move below, whatever it leads to.
 *
 * Where keys are each other's beginnings, nodes form a chain, and the highest cut that is possible would leave little
 * here, again and again, blob below blob. So a single subtree is cut further down, towards the middle.
 */
function planCut(frame: Frame): SplitPlan | undefined {
  const most = mostBelow(frame);
  let node = frame.root << 3;
  let best: SplitPlan | undefined;
  for (;;) {
    const largest = measureChildren(frame, node, ANY_HEIGHT);
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
 * As planCut, of children that lead down through at most `height` blobs, wherever most of the bytes are: so that leaves
 * go below, and not the crossings beside them.
 */
function planFlat(frame: Frame, height: number): SplitPlan | undefined {
  const most = mostBelow(frame);
  let node = frame.root << 3;
  let best: SplitPlan | undefined;
  for (;;) {
    measureChildren(frame, node, height);
    const plan = bestRun(frame, node, most, TARGET_BYTES);
    if (plan !== undefined && (best === undefined || plan.bytes > best.bytes)) best = plan;
    const largest = measureChildren(frame, node, ANY_HEIGHT);
    if (largest < 0 || childBytes[largest] <= (best?.bytes ?? 0)) return best;
    node = childOf(frame, node, largest);
    if ((frame.u8[node] & 15) === KIND_LEAF) return best;
  }
}

function mostBelow(frame: Frame): number {
  return Math.min(MOST_BYTES, frame.liveBytes - LEAST_LEFT_BYTES);
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

/** Bytes that are to be copied to the parent when `node` is lifted, with all that `root` has beside it. */
function liftedBytes(frame: Frame, root: number, node: number): number {
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
    const child = childOf(frame, root, byte);
    const kind = frame.u8[child] & 15;
    if (child !== plan.node || kind === KIND_LEAF || kind === KIND_CROSSING) continue;
    const bytes = liftedBytes(frame, root, child);
    return bytes <= MOST_LIFTED_BYTES ? bytes : 0;
  }
  return 0;
}
