/**
 * Moving part of a full frame to a blob of its own.
 *
 * What moves is a run of neighbouring children of one node: enough of them to fill the new blob to about
 * TARGET_BYTES. They become the children of the new blob's root node, and one crossing, which all their bytes
 * share, takes their place. Since a run can be cut to size, blobs come out well filled even where each single
 * subtree is small (moving one subtree at a time leaves them about a third full).
 */

import type { Frame } from './frame.js';
import { CROSSING_BYTES, DATA_BYTES, H_ROOT, innerBytes, KIND_CROSSING, kindFor } from './layout.js';
import { addChild, findChild, initInner, nextChildByte, removeChild } from './node.js';
import {
  copySubtree,
  freeSubtree,
  greatestHeight,
  PLACEHOLDER,
  subtreeBytes,
  writeCrossing,
} from './rewrite.js';

/** How full the new blob should be, and how full it may be. */
const TARGET_BYTES = Math.floor(DATA_BYTES * 0.7);
const MOST_BYTES = Math.floor(DATA_BYTES * 0.85);

/** The run of children to move: those of `node` under bytes `first`..`last`, leaving out crossings. */
export interface SplitPlan {
  node: number;
  first: number;
  last: number;
  /** Height that the new blob will have. */
  height: number;
}

const childBytes = new Int32Array(256);

/**
 * Chooses what to move out of a frame that is full. There is always something: one node and its crossings take
 * less than 3 KiB, so a node that most of a frame hangs from has a child that is a subtree of its own.
 */
export function planSplit(frame: Frame): SplitPlan {
  let node = frame.root << 3;
  for (;;) {
    let largest = -1;
    for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
      const child = frame.u16[findChild(frame, node, byte) >> 1] << 3;
      childBytes[byte] = (frame.u8[child] & 15) === KIND_CROSSING ? 0 : subtreeBytes(frame, child);
      if (largest < 0 || childBytes[byte] > childBytes[largest]) largest = byte;
    }
    if (largest >= 0 && childBytes[largest] > MOST_BYTES) {
      node = frame.u16[findChild(frame, node, largest) >> 1] << 3;
      continue;
    }
    return bestRun(frame, node);
  }
}

/** The run whose sum comes nearest to the target; the first of equals, so that ascending loads leave full blobs. */
function bestRun(frame: Frame, node: number): SplitPlan {
  let best = -1;
  let first = 0;
  let last = 0;
  for (let from = nextChildByte(frame, node, 0); from >= 0; from = nextChildByte(frame, node, from + 1)) {
    if (childBytes[from] === 0) continue;
    let sum = 0;
    for (let to = from; to >= 0; to = nextChildByte(frame, node, to + 1)) {
      if (childBytes[to] === 0) continue;
      sum += childBytes[to];
      if (sum > MOST_BYTES) break;
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
    if (childBytes[byte] === 0) continue;
    const child = frame.u16[findChild(frame, node, byte) >> 1] << 3;
    height = Math.max(height, greatestHeight(frame, child));
  }
  return { node, first, last, height: height + 1 };
}

/**
 * Moves the planned run from `frame` to `target`, a newly formatted frame of blob `blobId`. REQUIRES both
 * latched, and nothing changed since the plan was made.
 */
export function applySplit(frame: Frame, plan: SplitPlan, target: Frame, blobId: number): void {
  const { node, first, last } = plan;
  const moved: number[] = [];
  for (
    let byte = nextChildByte(frame, node, first);
    byte >= 0 && byte <= last;
    byte = nextChildByte(frame, node, byte + 1)
  ) {
    const child = frame.u16[findChild(frame, node, byte) >> 1] << 3;
    if ((frame.u8[child] & 15) !== KIND_CROSSING) moved.push(byte);
  }
  const kind = kindFor(moved.length);
  const root = target.allocate(innerBytes(kind, 0));
  initInner(target, root, kind, 0);
  target.root = root >> 3;
  target.height = plan.height;
  for (const byte of moved) addChild(target, root, byte, PLACEHOLDER);
  const emptied: number[] = [];
  for (const byte of moved) {
    const child = frame.u16[findChild(frame, node, byte) >> 1] << 3;
    const slot = findChild(target, root, byte);
    copySubtree(frame, child, target, slot, [], false);
    if (target.u16[slot >> 1] === PLACEHOLDER) emptied.push(byte);
    freeSubtree(frame, child);
  }
  for (const byte of emptied) removeChild(target, root, byte);
  // What was freed leaves room for the crossing: the smallest node is larger than it.
  const crossing = frame.allocate(CROSSING_BYTES);
  writeCrossing(frame, crossing, blobId, plan.height);
  for (const byte of moved) frame.u16[findChild(frame, node, byte) >> 1] = crossing >> 3;
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

/** Whether the frame's blob holds no key of its own and leads to no other blob. */
export function isEmptyBlob(frame: Frame): boolean {
  return frame.leaves === 0 && frame.crossings === 0;
}
