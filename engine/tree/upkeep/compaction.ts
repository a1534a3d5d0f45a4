/**
 * Online compaction: rewrites frames without gaps, unites blobs that one node leads to, and takes small blobs back into
 * the blob above them.
 *
 * It works blob by blob, children first, each step one short critical section, so readers and writers go on
 * between the steps. A blob that was noted in one step may have left the tree by the next, with its last key or by
 * another compaction: each step first asks whether it is still there, and reads crossings anew.
 */
import type { Frame } from '../../art/frame.js';
import { CROSSING_BYTES, DATA_BYTES } from '../../art/layout.js';
import {
  crossingBlobId,
  crossingHeight,
  crossingsByNode,
  eachCrossing,
  type Merge,
  removeCrossing,
  writeCrossingHeight,
} from '../../art/rewrite.js';
import { hoistCrossings, moveBeside, roomBeside } from '../../art/split.js';
import { planRun, ROOT_GROWTH_BYTES } from '../../art/split-plan.js';
import { UnreadableBlobError } from '../../errors.js';
import { F_MERGES } from '../../shared/control.js';
import { poisoned, ROOT_BLOB, type TreeState } from '../state/state.js';
import type { Writer } from '../write/writer.js';

/** A blob takes others in as long as it stays below this. */
const MOST_BYTES = Math.floor(DATA_BYTES * 0.93);
/** In the background it stays well below, so that the next keys that come do not split it again. */
const BACKGROUND_MOST_BYTES = Math.floor(DATA_BYTES * 0.75);
/** Less is not moved from one blob to another, unless it is all that the one has. */
const LEAST_MOVED_BYTES = Math.floor(DATA_BYTES * 0.04);
/** Gaps below this share of the frame are not worth a rewrite. */
const TOLERATED_WASTE = 0.05;

interface Child {
  crossing: number;
  blobId: number;
  liveBytes: number;
}

export class Compaction {
  readonly #state: TreeState;
  readonly #writer: Writer;
  /** Blobs that `mergeSome` has still to look at. */
  readonly #queue: number[] = [];
  /** Blobs that could not be read: this pass leaves them alone, and what is below them. */
  readonly #unreadable = new Set<number>();

  constructor(state: TreeState, writer: Writer) {
    this.#state = state;
    this.#writer = writer;
  }

  /** Compacts the whole tree. */
  run(): void {
    const { compactLock, place } = this.#state;
    if (!compactLock.lock()) throw poisoned(place);
    try {
      this.#state.checkWritable();
      this.#unreadable.clear();
      if (this.#state.blobCount > 0) this.#visit(ROOT_BLOB);
    } finally {
      compactLock.unlock();
    }
  }

  /** Compacts the blob and all below it. */
  #visit(blobId: number): void {
    const below = this.#step<Child[]>([], () => this.#childrenOf(blobId));
    for (const child of below) this.#visit(child.blobId);
    while (this.#step(false, () => this.#unite(blobId, MOST_BYTES)));
    for (;;) {
      const before = this.#state.blobCount;
      this.#step(undefined, () => this.#rebuild(blobId, MOST_BYTES));
      // A small cache holds only some of the children at a time, so one step may not have taken in all that fit.
      if (this.#state.blobCount >= before) return;
    }
  }

  /**
   * Makes a step, again without the blob where one turns out to be unreadable; `otherwise` where it cannot do without.
   */
  #step<T>(otherwise: T, step: () => T): T {
    for (;;) {
      try {
        return this.#writer.locked(step);
      } catch (error) {
        if (!(error instanceof UnreadableBlobError)) throw error;
        if (this.#unreadable.has(error.blobId)) return otherwise;
        this.#unreadable.add(error.blobId);
      }
    }
  }

  #childrenOf(blobId: number): Child[] {
    const state = this.#state;
    if (!state.isInTree(blobId)) return [];
    const index = state.resident(blobId);
    state.cache.pin(index);
    const frame = state.cache.frame(index);
    const children: Child[] = [];
    eachCrossing(frame, (crossing) => {
      children.push({ crossing, blobId: crossingBlobId(frame, crossing), liveBytes: 0 });
    });
    return children;
  }

  /** One step: rewrites the blob with the small ones below it taken in, and sets heights right. */
  #rebuild(blobId: number, most: number): void {
    if (!this.#state.isInTree(blobId)) return;
    const { cache, control } = this.#state;
    const { mutation } = this.#writer;
    const children = this.#childrenOf(blobId);
    const index = this.#state.resident(blobId);
    const frame = cache.frame(index);
    const merges: Merge[] = [];
    const merged: number[] = [];
    for (const child of this.#smallestFirst(children, frame.liveBytes, most)) {
      const childIndex = this.#state.resident(child.blobId);
      cache.pin(childIndex);
      mutation.prepareToRetire(childIndex, merged.length);
      merges.push({ crossing: child.crossing, frame: cache.frame(childIndex) });
      merged.push(childIndex);
    }
    const waste = DATA_BYTES - frame.bumpBytes - frame.liveBytes;
    const height = this.#heightOf(blobId, merged);
    const rewrite = merged.length > 0 || waste > DATA_BYTES * TOLERATED_WASTE;
    if (!rewrite && frame.height === height) return;
    mutation.prepare(index);
    if (rewrite) mutation.repack(index, merges);
    for (const child of merged) mutation.retire(child);
    control.floats[F_MERGES] = (control.floats[F_MERGES] as number) + merged.length;
    mutation.change(index);
    frame.height = height;
    eachCrossing(frame, (crossing) => {
      writeCrossingHeight(frame, crossing, this.#heightBelow(frame, crossing));
    });
    mutation.endChanges();
  }

  /**
   * One step towards fewer blobs below this one: of the blobs that one node leads to, the smallest goes into the fullest
   * that has room for all of it; else, where all together have, some of it into the one with the most room. False: there
   * is no such step.
   */
  #unite(blobId: number, most: number): boolean {
    const state = this.#state;
    // Whoever does not know what records count moves none: the sums of both blobs would be lost.
    if (state.lacksMeasure || !state.isInTree(blobId)) return false;
    const index = state.resident(blobId);
    state.cache.pin(index);
    const above = state.cache.frame(index);
    for (const [node, crossings] of crossingsByNode(above)) {
      const blobs: Child[] = [];
      for (const crossing of crossings) {
        const id = crossingBlobId(above, crossing);
        if (this.#unreadable.has(id)) continue;
        blobs.push({ crossing, blobId: id, liveBytes: this.#liveBytes(id) });
      }
      if (blobs.length < 2) continue;
      blobs.sort((a, b) => a.liveBytes - b.liveBytes);
      const [from, ...others] = blobs as [Child, Child, ...Child[]];
      const fitting = others.findLast((other) => other.liveBytes + from.liveBytes <= most);
      let room = Math.max(0, most - above.liveBytes);
      for (const other of others) room += Math.max(0, most - other.liveBytes);
      if (fitting === undefined && room < from.liveBytes) continue;
      const to = fitting ?? (others[0] as Child);
      const moved = fitting === undefined ? most - to.liveBytes : from.liveBytes;
      if (fitting === undefined && moved < LEAST_MOVED_BYTES) continue;
      if (this.#move(index, node, from, to, moved)) return true;
      // A small cache has no room for all that were looked at.
      state.cache.unpinAll();
      state.cache.pin(index);
    }
    return false;
  }

  /** Moves up to `most` bytes from blob to blob, both led to by `node` of the frame at `parent`. False: none fits. */
  #move(parent: number, node: number, from: Child, to: Child, most: number): boolean {
    const { cache, control } = this.#state;
    const { mutation } = this.#writer;
    const index = this.#state.resident(from.blobId);
    cache.pin(index);
    const target = this.#state.resident(to.blobId);
    cache.pin(target);
    const frame = cache.frame(index);
    const plan = planRun(frame, frame.root << 3, most, 0, most);
    const isAll = (plan?.bytes ?? 0) + ROOT_GROWTH_BYTES >= frame.liveBytes;
    // Without a run there must be crossings to hoist, or nothing at all; else the step would be one without progress.
    const isStuck = frame.leaves > 0 || (frame.crossings > 0 && roomBeside(frame) === CROSSING_BYTES);
    if (plan === undefined ? isStuck : !isAll && plan.bytes < LEAST_MOVED_BYTES) return false;
    for (const each of [parent, index, target]) mutation.prepare(each);
    mutation.prepareToRetire(index, 1);
    const above = { frame: cache.frame(parent), node, crossing: from.crossing };
    if (above.frame.freeBytes < roomBeside(frame)) return false;
    if (above.frame.bumpBytes < roomBeside(frame)) {
      // The way there is another then.
      mutation.repack(parent, []);
      mutation.endChanges();
      return true;
    }
    if (plan === undefined) {
      mutation.change(parent);
      mutation.change(index);
      hoistCrossings(frame, above);
    } else {
      const neighbour = mutation.receive({ index: target, crossing: to.crossing }, plan.bytes);
      mutation.change(parent);
      mutation.change(index);
      moveBeside(frame, plan, neighbour, above, this.#state.measure);
    }
    if (frame.leaves === 0 && frame.crossings === 0) {
      mutation.change(parent);
      removeCrossing(above.frame, node, from.crossing);
      mutation.retire(index);
      control.floats[F_MERGES] = (control.floats[F_MERGES] as number) + 1;
    }
    mutation.endChanges();
    return true;
  }

  /** The children that fit into the blob together with what it has, smallest first. */
  #smallestFirst(children: Child[], liveBytes: number, most: number): Child[] {
    const { cache } = this.#state;
    for (const child of children) child.liveBytes = this.#liveBytes(child.blobId);
    children.sort((a, b) => a.liveBytes - b.liveBytes);
    const fitting: Child[] = [];
    let sum = liveBytes;
    for (const child of children) {
      if (this.#unreadable.has(child.blobId)) continue;
      sum += child.liveBytes;
      if (sum > most || fitting.length + 4 > cache.heldLimit / 2) break;
      fitting.push(child);
    }
    return fitting;
  }

  /** Live bytes of a blob, without reading it where its frame or the store's index tells. */
  #liveBytes(blobId: number): number {
    const { cache, store } = this.#state;
    const index = cache.find(blobId);
    if (index >= 0) return cache.frame(index).liveBytes;
    return store.blobRow?.(blobId)?.liveBytes ?? this.#state.frameOf(blobId).liveBytes;
  }

  #heightOf(blobId: number, merged: readonly number[]): number {
    const { cache } = this.#state;
    let height = 0;
    const consider = (id: number): void => {
      const frame = this.#state.frameOf(id);
      eachCrossing(frame, (crossing) => {
        const at = cache.find(crossingBlobId(frame, crossing));
        if (at >= 0 && merged.includes(at)) return;
        height = Math.max(height, this.#heightBelow(frame, crossing));
      });
    };
    consider(blobId);
    for (const child of merged) consider(cache.blobIn(child));
    return height + 1;
  }

  /** The height of the blob behind a crossing as it is now: what an earlier step found others may have changed. */
  #heightBelow(frame: Frame, crossing: number): number {
    const { cache, store } = this.#state;
    const blobId = crossingBlobId(frame, crossing);
    const index = cache.find(blobId);
    if (index >= 0) return cache.frame(index).height;
    return store.blobRow?.(blobId)?.height ?? crossingHeight(frame, crossing);
  }

  /** Whether `mergeSome` has not come to the end of the tree yet. */
  get isMerging(): boolean {
    return this.#queue.length > 0;
  }

  /**
   * Takes small blobs back, as `run` does, but looks at no more than `most` blobs that lead to others, going on
   * where the last call ended. Does nothing while another thread compacts: that may be waiting for a checkpoint from
   * the very thread that calls this.
   */
  mergeSome(most: number): void {
    const { compactLock, blobCount } = this.#state;
    if (blobCount === 0 || !compactLock.tryLock()) return;
    const queue = this.#queue;
    try {
      if (queue.length === 0) {
        queue.push(ROOT_BLOB);
        this.#unreadable.clear();
      }
      for (let i = 0; i < most && queue.length > 0; i++) {
        const blobId = queue.shift() as number;
        if (this.#step(false, () => this.#unite(blobId, BACKGROUND_MOST_BYTES))) queue.unshift(blobId);
        else this.#step(undefined, () => this.#mergeBelow(blobId));
      }
    } finally {
      compactLock.unlock();
    }
  }

  #mergeBelow(blobId: number): void {
    const { cache, store } = this.#state;
    if (!this.#state.isInTree(blobId)) return;
    // A blob without crossings needs no look, and the store's index tells so without reading it.
    if (cache.find(blobId) < 0 && store.blobRow?.(blobId)?.crossings === 0) return;
    const children = this.#childrenOf(blobId);
    const frame = this.#state.frameOf(blobId);
    const small = this.#smallestFirst(children, frame.liveBytes, BACKGROUND_MOST_BYTES);
    if (small.length > 0) this.#rebuild(blobId, BACKGROUND_MOST_BYTES);
    const left = this.#childrenOf(blobId);
    for (const child of left) this.#queue.push(child.blobId);
  }
}
