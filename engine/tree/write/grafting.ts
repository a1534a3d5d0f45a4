/**
 * Grafts across blobs: the subtree below one prefix is detached into a scratch frame and planted below another.
 *
 * The place is made by putting a leaf with the destination as its key, by the same code as any put, and then putting
 * the subtree into the leaf's stead. The subtree goes into the frame where it belongs if there is room, else into a
 * blob of its own. REQUIRES the tree lock, and for `apply` that the mutation is committed: nothing is refused.
 */

import { Frame } from '../../art/frame.js';
import {
  canRehang,
  chainBytes,
  copyUnhung,
  detach,
  findSubtree,
  plant,
  plantBlob,
  rehang,
  roomToPlant,
  SubtreeSpot,
  unhang,
  unlink,
} from '../../art/graft.js';
import { DATA_BYTES, N256_PREFIX } from '../../art/layout.js';
import { hasSums } from '../../art/measure.js';
import { crossingBlobId, crossingsBelow, eachCrossing, subtreeBytes } from '../../art/rewrite.js';
import { moveBelow } from '../../art/split.js';
import { planBelow, type SplitPlan } from '../../art/split-plan.js';
import { insertAt } from '../../art/write.js';
import { BLOB_SIZE } from '../../limits.js';
import { C_GRAFTS } from '../../shared/control.js';
import { startsWith } from '../state/bound.js';
import { ROOT_BLOB, type TreeState } from '../state/state.js';
import { type Mutation, sizeOf } from './mutation.js';
import type { Splitting } from './splitting.js';

const EMPTY = new Uint8Array(0);
/** A subtree up to this size is planted in the destination's frame, even if that must be split first. */
const SMALL_SUBTREE = DATA_BYTES / 8;
/** What must be left free in a frame that is rewritten to take a subtree in. */
const SLACK = DATA_BYTES / 16;
/** Frames for a large subtree: a blob of its own, and another where it fills more than one with its new name. */
const LARGE_SUBTREE_FRAMES = 2;

/** What a graft will need: the frame of its subtree (-1: there is none yet), frames, and bytes at the destination. */
export interface GraftNeeds {
  index: number;
  /** Blobs on the way to it. */
  depth: number;
  frames: number;
  bytes: number;
  /** What moves, as far as it is in one frame. */
  moved: number;
}

/**
 * Bytes at the bump cursor with which a move within the frame is tried: for the place and a node that grows for it, for the
 * label and the node that it goes into.
 */
function roomToRehang(destination: Uint8Array): number {
  return sizeOf(destination, EMPTY) + chainBytes(destination.length) + 2 * N256_PREFIX;
}

export class Grafting {
  readonly #state: TreeState;
  readonly #mutation: Mutation;
  readonly #splitting: Splitting;
  readonly #spot = new SubtreeSpot();
  readonly #unhung = new SubtreeSpot();
  #scratch: Frame | undefined;

  constructor(state: TreeState, mutation: Mutation, splitting: Splitting) {
    this.#state = state;
    this.#mutation = mutation;
    this.#splitting = splitting;
  }

  /**
   * Makes the frames on the way to the subtree resident and pinned, and measures it; `added` bytes will have come to
   * it by then. May throw a Need.
   */
  prepare(source: Uint8Array, destination: Uint8Array, added: number): GraftNeeds {
    this.#prepareToClear(destination);
    let depth = 0;
    const index = this.#locate(source, (way) => {
      this.#mutation.handOver(way);
      depth++;
    });
    const moved = added + (index < 0 ? 0 : subtreeBytes(this.#state.cache.frame(index), this.#spot.node));
    const isLarge = moved > SMALL_SUBTREE;
    return {
      index,
      depth,
      frames: isLarge ? LARGE_SUBTREE_FRAMES : 0,
      bytes: sizeOf(destination, EMPTY) + destination.length + (isLarge ? 0 : moved),
      moved,
    };
  }

  /** Finds the subtree: #spot tells it, and the frame's index is returned; -1: no key begins with the prefix. */
  #locate(prefix: Uint8Array, pass: (index: number) => void): number {
    const { cache } = this.#state;
    let blobId = ROOT_BLOB;
    let depth = 0;
    for (;;) {
      const index = this.#state.resident(blobId);
      cache.pin(index);
      pass(index);
      findSubtree(this.#spot, cache.frame(index), prefix, depth, blobId === ROOT_BLOB);
      if (this.#spot.blobId === 0) return this.#spot.node === 0 ? -1 : index;
      blobId = this.#spot.blobId;
      depth = this.#spot.depth;
    }
  }

  /**
   * Moves everything below `source` to `destination`. REQUIRES both non-empty, and that no key begins with the
   * destination once the source is detached.
   */
  apply(source: Uint8Array, destination: Uint8Array): void {
    const mutation = this.#mutation;
    const from = this.#locate(source, () => {});
    if (from < 0) return;
    mutation.prepare(from);
    mutation.change(from);
    Atomics.add(this.#state.control.words, C_GRAFTS, 1);
    this.#scratch ??= new Frame(new ArrayBuffer(BLOB_SIZE), 0);
    const scratch = this.#scratch;
    scratch.format(0);
    const { measure } = this.#state;
    const { frame } = this.#spot;
    // A full frame that has no room for sums leaves none in the scratch frame, either.
    if (hasSums(frame)) measure?.begin(scratch);
    // Clearing a place that is above the source would give up the very blob that holds it.
    const isAbove = startsWith(source, destination);
    if (!isAbove && canRehang(this.#spot) && frame.bumpBytes >= roomToRehang(destination)) {
      if (this.#rehang(from, destination)) return;
      copyUnhung(this.#unhung, scratch, measure);
    } else detach(this.#spot, scratch, measure);
    // The way to the source, for the blobs on it that may be empty now; it ends there, since the source is gone.
    mutation.descend(source);
    mutation.dropEmpty();
    if (scratch.root === 0) return;
    // A label on top of a full frame's worth would not fit into any frame.
    if (roomToPlant(scratch, destination.length) > DATA_BYTES) this.#splitScratch(scratch);
    this.#clear(destination);
    this.#keepPlace(destination);
    this.#plant(destination, scratch);
  }

  /** Moves the subtree within its frame. False: its place is not there, and it is unhung. */
  #rehang(from: number, destination: Uint8Array): boolean {
    const mutation = this.#mutation;
    const { cache } = this.#state;
    const unhung = Object.assign(this.#unhung, this.#spot);
    unhang(unhung);
    this.#clear(destination);
    mutation.descend(destination);
    if (mutation.target !== from || !insertAt(mutation.at, destination, EMPTY, 0)) return false;
    mutation.descend(destination);
    if (cache.frame(from).bumpBytes < chainBytes(destination.length)) return false;
    rehang(mutation.at, destination, unhung);
    return true;
  }

  /** Makes sure that `#clear` cannot fail. */
  #prepareToClear(destination: Uint8Array): void {
    const { cache } = this.#state;
    const index = this.#locate(destination, (way) => this.#mutation.handOver(way));
    if (index < 0) return;
    const frame = cache.frame(index);
    const below = crossingsBelow(frame, this.#spot.node).map((crossing) => crossingBlobId(frame, crossing));
    for (let at = 0; at < below.length; at++) {
      below.push(...this.#blobsBelow(below[at]!));
      const there = cache.find(below[at]!);
      if (there >= 0) this.#mutation.prepareToRetire(there, below.length);
    }
  }

  /** Removes nodes that were left without keys where the subtree is to go, and the empty blobs that they lead to. */
  #clear(destination: Uint8Array): void {
    const mutation = this.#mutation;
    const index = this.#locate(destination, () => {});
    if (index < 0) return;
    mutation.prepare(index);
    mutation.change(index);
    const { frame, node } = this.#spot;
    const gone = crossingsBelow(frame, node).map((crossing) => crossingBlobId(frame, crossing));
    unlink(this.#spot);
    for (let blobId = gone.pop(); blobId !== undefined; blobId = gone.pop()) {
      gone.push(...this.#blobsBelow(blobId));
      mutation.retireBlob(blobId);
    }
  }

  #blobsBelow(blobId: number): number[] {
    const { cache, store } = this.#state;
    if (cache.find(blobId) < 0 && store.blobRow?.(blobId)?.crossings === 0) return [];
    const frame = this.#state.frameOf(blobId);
    const below: number[] = [];
    eachCrossing(frame, (crossing) => below.push(crossingBlobId(frame, crossing)));
    return below;
  }

  #splitScratch(scratch: Frame): void {
    const mutation = this.#mutation;
    const fresh = mutation.newBlobFrame();
    const blobId = mutation.format(fresh);
    // A full frame has a plan.
    const plan = planBelow(scratch) as SplitPlan;
    const { cache, measure } = this.#state;
    moveBelow(scratch, plan, { frame: cache.frame(fresh), crossing: 0 }, measure);
    scratch.height = Math.max(scratch.height, plan.height + 1);
    mutation.adopt(fresh, blobId);
  }

  #keepPlace(destination: Uint8Array): void {
    const mutation = this.#mutation;
    for (;;) {
      mutation.descend(destination);
      mutation.prepare(mutation.target);
      mutation.change(mutation.target);
      if (insertAt(mutation.at, destination, EMPTY, 0)) return;
      this.#splitting.makeRoom(mutation.levels - 1, sizeOf(destination, EMPTY));
    }
  }

  #plant(destination: Uint8Array, scratch: Frame): void {
    const { cache } = this.#state;
    const mutation = this.#mutation;
    const room = roomToPlant(scratch, destination.length);
    const chain = room - scratch.liveBytes;
    for (;;) {
      mutation.descend(destination);
      const level = mutation.levels - 1;
      const index = mutation.target;
      mutation.prepare(index);
      mutation.change(index);
      const { bumpBytes, freeBytes } = cache.frame(index);
      if (bumpBytes >= room) {
        plant(mutation.at, destination, scratch, this.#state.measure);
        this.#raise(level, scratch.height);
        return;
      }
      // A place at the root is the frame's only leaf: a rewrite leaves all else free, and there is nothing to split.
      const isOnlyLeaf = mutation.at.parent === 0 && bumpBytes < chain;
      if (freeBytes >= room + SLACK || isOnlyLeaf) {
        mutation.repack(index, []);
        continue;
      }
      const isLarge = scratch.liveBytes > SMALL_SUBTREE;
      if (isLarge && (mutation.at.parent !== 0 || bumpBytes >= chain)) {
        this.#plantBlob(level, destination, scratch);
        return;
      }
      this.#splitting.makeRoom(level, room);
    }
  }

  #plantBlob(level: number, destination: Uint8Array, scratch: Frame): void {
    const { cache, measure } = this.#state;
    const mutation = this.#mutation;
    const fresh = mutation.newBlobFrame();
    const blobId = mutation.format(fresh);
    plantBlob(mutation.at, destination, scratch, cache.frame(fresh), blobId, measure);
    mutation.adopt(fresh, blobId);
    this.#raise(level, scratch.height + 1);
  }

  /** Heights are upper bounds: where one on the way is too low now, it rises, and those above it as needed. */
  #raise(level: number, height: number): void {
    const { cache } = this.#state;
    const mutation = this.#mutation;
    for (let at = level, least = height; at >= 0; at--, least++) {
      const index = mutation.path[at] as number;
      if (cache.frame(index).height >= least) return;
      mutation.prepare(index);
      if (at > 0) mutation.prepare(mutation.path[at - 1] as number);
      mutation.raise(at, least);
    }
  }
}
