/**
 * Online compaction: rewrites frames without gaps, and takes small blobs back into the blob above them.
 *
 * It works blob by blob, children first, each step one short critical section, so readers and writers go on
 * between the steps. A blob that was noted in one step may have left the tree by the next, with its last key or by
 * another compaction: each step first asks whether it is still there, and reads crossings anew.
 */
import { DATA_BYTES } from '../art/layout.js';
import {
  crossingBlobId,
  crossingHeight,
  eachCrossing,
  type Merge,
  writeCrossingHeight,
} from '../art/rewrite.js';
import { F_MERGES } from '../shared/control.js';
import { poisoned, ROOT_BLOB, type TreeState } from './state.js';
import type { Writer } from './writer.js';

/** A blob takes others in as long as it stays below this. */
const MERGED_FILL = 0.85;
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
      if (this.#state.blobCount > 0) this.#visit(ROOT_BLOB);
    } finally {
      compactLock.unlock();
    }
  }

  /** Compacts the blob and all below it; returns its exact height. */
  #visit(blobId: number): number {
    const below = this.#writer.locked(() => this.#childrenOf(blobId).map((child) => child.blobId));
    const heights = new Map<number, number>();
    for (const child of below) heights.set(child, this.#visit(child));
    for (;;) {
      const before = this.#state.blobCount;
      const height = this.#writer.locked(() => this.#rebuild(blobId, heights));
      // A small cache holds only some of the children at a time, so one step may not have taken in all that fit.
      if (this.#state.blobCount >= before) return height;
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

  /** One step: rewrites the blob with the small ones below it taken in. Returns its height; 0: it has left the tree. */
  #rebuild(blobId: number, heights: ReadonlyMap<number, number>): number {
    if (!this.#state.isInTree(blobId)) return 0;
    const { cache, control } = this.#state;
    const { mutation } = this.#writer;
    const children = this.#childrenOf(blobId);
    const index = this.#state.resident(blobId);
    const frame = cache.frame(index);
    const merges: Merge[] = [];
    const merged: number[] = [];
    for (const child of this.#smallestFirst(children, frame.liveBytes)) {
      const childIndex = this.#state.resident(child.blobId);
      cache.pin(childIndex);
      mutation.prepareToRetire(childIndex, merged.length);
      merges.push({ crossing: child.crossing, frame: cache.frame(childIndex) });
      merged.push(childIndex);
    }
    const waste = DATA_BYTES - frame.bumpBytes - frame.liveBytes;
    const height = this.#heightOf(blobId, heights, merged);
    const rewrite = merged.length > 0 || waste > DATA_BYTES * TOLERATED_WASTE;
    if (!rewrite && frame.height === height) return height;
    mutation.prepare(index);
    if (rewrite) mutation.repack(index, merges);
    for (const child of merged) mutation.retire(child);
    control.floats[F_MERGES] = (control.floats[F_MERGES] as number) + merged.length;
    mutation.change(index);
    frame.height = height;
    eachCrossing(frame, (crossing) => {
      const exact = heights.get(crossingBlobId(frame, crossing));
      if (exact !== undefined) writeCrossingHeight(frame, crossing, exact);
    });
    mutation.endChanges();
    return height;
  }

  /** The children that fit into the blob together with what it has, smallest first. */
  #smallestFirst(children: Child[], liveBytes: number): Child[] {
    const { cache } = this.#state;
    for (const child of children) child.liveBytes = this.#liveBytes(child.blobId);
    children.sort((a, b) => a.liveBytes - b.liveBytes);
    const fitting: Child[] = [];
    let sum = liveBytes;
    for (const child of children) {
      sum += child.liveBytes;
      if (sum > DATA_BYTES * MERGED_FILL || fitting.length + 4 > cache.heldLimit / 2) break;
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

  #heightOf(blobId: number, heights: ReadonlyMap<number, number>, merged: readonly number[]): number {
    const { cache } = this.#state;
    let height = 0;
    const consider = (id: number): void => {
      const frame = this.#state.frameOf(id);
      eachCrossing(frame, (crossing) => {
        const below = crossingBlobId(frame, crossing);
        const at = cache.find(below);
        if (at >= 0 && merged.includes(at)) return;
        height = Math.max(height, heights.get(below) ?? crossingHeight(frame, crossing));
      });
    };
    consider(blobId);
    for (const child of merged) consider(cache.blobIn(child));
    return height + 1;
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
      if (queue.length === 0) queue.push(ROOT_BLOB);
      for (let i = 0; i < most && queue.length > 0; i++) {
        const blobId = queue.shift() as number;
        this.#writer.locked(() => this.#mergeBelow(blobId));
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
    const small = this.#smallestFirst(children, frame.liveBytes);
    if (small.length > 0) this.#rebuild(blobId, new Map());
    const left = this.#childrenOf(blobId);
    for (const child of left) this.#queue.push(child.blobId);
  }
}
