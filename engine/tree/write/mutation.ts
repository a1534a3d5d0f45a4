/**
 * What a mutation is made of: the way down, what must be made sure of before anything changes, and the changes to
 * frames and blobs. Everything REQUIRES the tree lock; see writer.ts for the order of things.
 */
import { Descent, descend, END_CROSSING } from '../../art/descent.js';
import { Frame } from '../../art/frame.js';
import { H_BUMP, LEAF_HEADER_BYTES } from '../../art/layout.js';
import { crossingHeight, type Merge, removeCrossing, writeCrossingHeight } from '../../art/rewrite.js';
import { type Above, type Neighbour, repack } from '../../art/split.js';
import { ROOT_GROWTH_BYTES } from '../../art/split-plan.js';
import { tidyInner } from '../../art/write.js';
import { CAPTURED, COPIED, DIRTY } from '../../cache/frame-cache.js';
import { roundDueAt } from '../../cache/held-frames.js';
import { BLOB_SIZE } from '../../limits.js';
import { C_PENDING, F_COMPACTIONS, F_SPILLOVERS, PENDING_CAPACITY } from '../../shared/control.js';
import { keptFree, LEAST_FREE } from '../state/free-slots.js';
import {
  isRootBlob,
  NEED_FRAMES,
  NEED_PACE,
  NEED_PRE_IMAGE,
  NEED_SLOTS,
  Need,
  type TreeState,
  tooDeep,
} from '../state/state.js';

/** In place of a version that the caller expects: any, also for a key that is absent where something is to be put. */
export const ANY_VERSION = -1;
/** In place of a version: the key must be absent. */
export const ABSENT = -2;

/** How the way down left a frame: from which node, through which crossing. */
interface Step {
  node: number;
  /** Slot of the node itself. */
  slot: number;
  isBlobRoot: boolean;
  crossing: number;
}

/** Most bytes that a key and its value take in a frame, inner nodes included. */
export function sizeOf(key: Uint8Array, value: Uint8Array): number {
  return LEAF_HEADER_BYTES + 2 * key.length + value.length + 64;
}

export class Mutation {
  readonly #state: TreeState;
  /** Where the last descent ended. */
  readonly at = new Descent();
  /** Frames from the root to where the last descent ended, so many as there are levels, and how it left each but the last. */
  readonly path: Int32Array;
  levels = 0;
  readonly #steps: Step[] = [];
  /** For each frame of the path the key's byte that its root node is left by, -1 where the key ends there. */
  readonly #bytes: number[] = [];
  /** Frames that this operation has latched. */
  readonly #latched: number[] = [];
  #scratch: Frame | undefined;
  /** A part of the changes is made already: what the rest needs was made sure of before, nothing is refused. */
  committed = false;
  /** The operation has not waited yet for a round that is behind; it does so once, however many frames it makes dirty. */
  keepsPace = true;
  /** The operation adds nothing to the tree, or is replayed: it may use the slots that are kept for such. */
  mayUseReserve = false;
  /** How many free slots the last NEED_SLOTS wanted. */
  wantedSlots = 0;

  constructor(state: TreeState) {
    this.#state = state;
    this.path = new Int32Array(state.cache.longestPath);
  }

  /** The frame at this level of the path as the parent of the next: the way leads down by this node and crossing. */
  above(level: number): Above {
    const { node, crossing } = this.#steps[level] as Step;
    return { frame: this.#state.cache.frame(this.path[level] as number), node, crossing };
  }

  /** The child of the root node of the frame at this level that the way leads to: its byte, -1: to none. */
  byteAt(level: number): number {
    return this.#bytes[level] as number;
  }

  /** The frame where the last descent ended. */
  get target(): number {
    return this.path[this.levels - 1] as number;
  }

  /** Walks to where the key is or would be, and pins the frames on the way. */
  descend(key: Uint8Array): void {
    const { cache } = this.#state;
    const { at, path } = this;
    let blobId = this.#state.root;
    let depth = 0;
    for (let level = 0; ; level++) {
      if (level === path.length) throw tooDeep(this.#state);
      const index = this.#state.resident(blobId);
      cache.pin(index);
      this.#bytes[level] = depth < key.length ? (key[depth] as number) : -1;
      path[level] = index;
      this.levels = level + 1;
      descend(at, cache.frame(index), key, depth, level === 0);
      if (at.end !== END_CROSSING) return;
      this.#noteStep(level);
      blobId = at.blobId;
      depth = at.depth;
    }
  }

  #noteStep(level: number): void {
    const { at } = this;
    const step = this.#steps[level] ?? { node: 0, slot: 0, isBlobRoot: false, crossing: 0 };
    step.node = at.parent;
    step.slot = at.parentSlot;
    step.isBlobRoot = at.parentIsBlobRoot;
    step.crossing = at.node;
    this.#steps[level] = step;
  }

  /** Keeps the frame's image, before anything changes, for the checkpoint and the views that need it. */
  handOver(index: number): void {
    const { cache, preImages } = this.#state;
    cache.keepForViews(index);
    if ((cache.flags(index) & (CAPTURED | COPIED)) !== CAPTURED) return;
    if (!preImages.keep(cache.blobIn(index), cache.frame(index).u8)) throw NEED_PRE_IMAGE;
    cache.setFlags(index, COPIED, 0);
  }

  /** Makes the frame one that may be changed. */
  prepare(index: number): void {
    if (!this.committed && !this.isDirty(index)) this.needSlots(1, 0);
    this.prepareGiven(index);
  }

  /** As `prepare`, where a slot for the frame was made sure of. */
  prepareGiven(index: number): void {
    const { cache } = this.#state;
    this.handOver(index);
    const flags = cache.flags(index);
    if ((flags & DIRTY) !== 0) return;
    const isHeld = (flags & CAPTURED) !== 0;
    if (!this.committed) {
      if (!isHeld && cache.held >= cache.heldLimit) throw NEED_FRAMES;
      if (this.keepsPace && cache.dirty >= cache.pace) throw NEED_PACE;
    }
    this.#makeDirty(index);
  }

  #makeDirty(index: number): void {
    const { cache, blobCount } = this.#state;
    cache.setFlags(index, DIRTY, 0);
    if (cache.dirty >= roundDueAt(cache.heldLimit, blobCount)) this.#state.wantRound();
  }

  isDirty(index: number): boolean {
    return (this.#state.cache.flags(index) & DIRTY) !== 0;
  }

  /** Makes sure of slots for so many frames that are to become dirty, `added` of them with new blobs. */
  needSlots(count: number, added: number): void {
    const { freeSlots, blobCount } = this.#state;
    const wanted = count + (this.mayUseReserve ? LEAST_FREE : keptFree(blobCount + added));
    if (freeSlots >= wanted) return;
    this.wantedSlots = wanted;
    throw NEED_SLOTS;
  }

  /** Latches a prepared frame until `endChanges`. */
  change(index: number): void {
    const { cache } = this.#state;
    if (cache.isLatched(index)) return;
    this.#latched.push(index);
    cache.latch(index);
  }

  get isChanging(): boolean {
    return this.#latched.length > 0;
  }

  endChanges(): void {
    for (let i = this.#latched.pop(); i !== undefined; i = this.#latched.pop()) this.#state.cache.unlatch(i);
  }

  /** Rewrites a prepared frame without gaps, taking in the merged blobs. */
  repack(index: number, merges: readonly Merge[]): void {
    const { cache, control } = this.#state;
    const frame = cache.frame(index);
    this.#scratch ??= new Frame(new ArrayBuffer(BLOB_SIZE), 0);
    const scratch = this.#scratch;
    scratch.format(frame.blobId);
    scratch.height = frame.height;
    repack(frame, scratch, merges, isRootBlob(frame.blobId), this.#state.measure);
    this.change(index);
    frame.u8.set(scratch.u8.subarray(0, scratch.u32[H_BUMP >> 2] as number));
    control.floats[F_COMPACTIONS] = (control.floats[F_COMPACTIONS] as number) + 1;
  }

  /** Latches the neighbour with room for so many bytes at its bump cursor. */
  receive({ index, crossing }: { index: number; crossing: number }, bytes: number): Neighbour {
    const frame = this.#state.cache.frame(index);
    if (frame.bumpBytes < bytes + ROOT_GROWTH_BYTES) this.repack(index, []);
    this.change(index);
    return { frame, crossing };
  }

  /** Sets the height of the blob at this level of the path, and what the crossing to it tells. */
  raise(level: number, height: number): void {
    const { cache } = this.#state;
    const index = this.path[level] as number;
    this.change(index);
    cache.frame(index).height = height;
    if (level === 0) return;
    const parent = this.path[level - 1] as number;
    const { crossing } = this.#steps[level - 1] as Step;
    this.change(parent);
    const frame = cache.frame(parent);
    if (crossingHeight(frame, crossing) < height) writeCrossingHeight(frame, crossing, height);
  }

  /** A frame for a new blob, not yet formatted. */
  newBlobFrame(): number {
    const { cache } = this.#state;
    if (!this.committed) {
      if (cache.held >= cache.heldLimit) throw NEED_FRAMES;
      this.needSlots(1, 1);
    }
    const index = cache.obtain();
    if (index < 0) throw NEED_FRAMES;
    return index;
  }

  /** Gives the obtained frame the next blob id. */
  format(index: number): number {
    const blobId = this.#state.nextBlobId();
    this.#formatAs(index, blobId);
    return blobId;
  }

  #formatAs(index: number, blobId: number): void {
    const { cache, measure } = this.#state;
    const frame = cache.frame(index);
    frame.format(blobId);
    measure?.begin(frame);
  }

  /** Makes the frame's new blob one of the tree's. */
  adopt(index: number, blobId: number): void {
    const { cache, control } = this.#state;
    cache.install(index, blobId, true);
    this.#makeDirty(index);
    cache.pin(index);
    this.#state.countBlobs(1);
    if (!isRootBlob(blobId)) control.floats[F_SPILLOVERS] = (control.floats[F_SPILLOVERS] as number) + 1;
  }

  /** The first blob of an empty tree. */
  makeRootBlob(): void {
    const index = this.newBlobFrame();
    const blobId = this.#state.nextRootId();
    this.#formatAs(index, blobId);
    this.adopt(index, blobId);
    this.#state.rootIs(blobId);
  }

  /** Makes sure that `retire` of this frame's blob, after `others` more, cannot fail. */
  prepareToRetire(index: number, others: number): void {
    this.handOver(index);
    const pending = Atomics.load(this.#state.control.words, C_PENDING);
    if (pending + others >= PENDING_CAPACITY) throw NEED_FRAMES;
  }

  /**
   * After a removal in the target: if its blob holds nothing any more it leaves the tree, and so may those above it.
   * Where something is missing that this needs, the empty blob stays until it is met again or compacted away.
   */
  dropEmpty(): void {
    try {
      for (let level = this.levels - 1; level > 0; level--) {
        if (!this.#isEmpty(level)) break;
        this.#unlink(level);
      }
    } catch (error) {
      if (!(error instanceof Need)) throw error;
    }
    if (!this.committed) this.endChanges();
  }

  #isEmpty(level: number): boolean {
    const frame = this.#state.cache.frame(this.path[level] as number);
    return frame.leaves === 0 && frame.crossings === 0;
  }

  #unlink(level: number): void {
    const { cache } = this.#state;
    const index = this.path[level] as number;
    const parent = this.path[level - 1] as number;
    this.prepare(parent);
    this.prepareToRetire(index, 1);
    this.change(parent);
    const { node, slot, isBlobRoot, crossing } = this.#steps[level - 1] as Step;
    removeCrossing(cache.frame(parent), node, crossing);
    tidyInner(cache.frame(parent), node, slot, isBlobRoot);
    this.retire(index);
  }

  /** The blob in the frame has left the tree: the frame is given up and the blob's deletion from the store is due. */
  retire(index: number): void {
    this.retireBlob(this.#state.cache.blobIn(index));
  }

  /** As `retire`, for a blob that may not be resident, of which then no image can be kept. */
  retireBlob(blobId: number): void {
    const { cache, control } = this.#state;
    const index = cache.find(blobId);
    if (index >= 0) {
      this.handOver(index);
      cache.drop(index);
    } else cache.views.expireAll();
    control.pending[control.words[C_PENDING] as number] = blobId;
    Atomics.add(control.words, C_PENDING, 1);
    this.#state.countBlobs(-1);
  }
}
