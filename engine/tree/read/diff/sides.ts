/**
 * The two sides of a comparison: what a snapshot keeps, and the tree as it is. Each is the images of one moment.
 */
import type { Frame } from '../../../art/frame.js';
import { CAPTURED, DIRTY, type FrameCache } from '../../../cache/frame-cache.js';
import { SpinneyError, UnreadableBlobError } from '../../../errors.js';
import { readFence } from '../../../shared/fence.js';
import type { BlobId, Pin, Pins } from '../../../store/blob-store.js';
import { ROOT_BLOB, type TreeState } from '../../state/state.js';
import { SnapshotStore } from '../snapshot-store.js';

export interface Side {
  readonly isEmpty: boolean;
  /**
   * Which image of the blob it is, and whether that leads to other blobs. Images of one blob and one generation are the same,
   * whichever side they are on; undefined: the image may be one that no other side has.
   */
  imageOf(id: BlobId): { generation: number; crossings: number } | undefined;
  /** Copies the blob's image. @throws UnreadableBlobError, ERR_SNAPSHOT_DELETED, ERR_VIEW_EXPIRED */
  load(id: BlobId, into: Frame): void;
  /** Throws where what was read need not be of this side's moment. */
  check(): void;
  end(): void;
}

export class SnapshotSide implements Side {
  readonly isEmpty: boolean;
  readonly #state: TreeState;
  readonly #store: SnapshotStore;

  constructor(state: TreeState, pin: Pin, pins: Pins) {
    this.#state = state;
    this.#store = new SnapshotStore(pin, pins, state);
    this.isEmpty = !this.#store.hasBlob(ROOT_BLOB);
  }

  imageOf(id: BlobId): { generation: number; crossings: number } | undefined {
    return this.#store.blobRow(id);
  }

  load(id: BlobId, into: Frame): void {
    const generation = this.#store.blobRow(id)?.generation;
    if (generation !== undefined && copyClean(this.#state, id, generation, into)) return;
    try {
      this.#store.readBlob(id, into.u8);
    } catch (error) {
      throw UnreadableBlobError.of(id, error);
    }
  }

  check(): void {
    this.#store.check();
  }

  end(): void {}
}

/** Copies the blob from the tree's own cache, where that has it as the store does and in this generation: costs a tenth of reading. */
function copyClean({ cache, store }: TreeState, id: BlobId, generation: number, into: Frame): boolean {
  const index = cache.find(id);
  if (index < 0) return false;
  const version = cache.version(index);
  if ((version & 1) !== 0 || !cache.holds(index, id)) return false;
  // In this order: what is clean is what the row tells of, or of an older one; then it changes before the row does.
  if ((cache.flags(index) & (DIRTY | CAPTURED)) !== 0) return false;
  if (store.blobRow?.(id)?.generation !== generation) return false;
  into.u8.set(cache.frame(index).u8);
  readFence();
  return cache.version(index) === version;
}

/** The tree as it is when this is made: a view of it (see view.ts), to be ended soon. */
export class LiveSide implements Side {
  readonly isEmpty: boolean;
  readonly #state: TreeState;
  readonly #cache: FrameCache;
  readonly #view: number;
  /** Blobs that differ, or may, from what the store has of them. */
  readonly #changed = new Set<BlobId>();

  /** @throws ERR_VIEW_EXPIRED where as many views as can be are under way */
  constructor(state: TreeState) {
    this.#state = state;
    const { cache } = state;
    this.#cache = cache.forViews();
    state.lockTree();
    try {
      this.#view = cache.beginView(state.thread);
      if (this.#view < 0) throw this.#expired();
      this.#cache.seeAsOf(cache.views.epochOf(this.#view));
      this.isEmpty = state.blobCount === 0;
      cache.eachResident((index, id) => {
        if ((cache.flags(index) & (DIRTY | CAPTURED)) !== 0) this.#changed.add(id);
      });
    } finally {
      state.treeLock.unlock();
    }
  }

  /** A blob that was changed since has a row of a later generation, or the row is as it was at this side's moment. */
  imageOf(id: BlobId): { generation: number; crossings: number } | undefined {
    return this.#changed.has(id) ? undefined : this.#state.store.blobRow?.(id);
  }

  load(id: BlobId, into: Frame): void {
    for (;;) {
      const index = this.#cache.find(id);
      if (index >= 0 ? this.#copy(index, id, into) : this.#read(id, into)) break;
      this.check();
    }
    this.check();
  }

  check(): void {
    this.#state.checkOpen();
    if (this.#state.cache.views.isExpired(this.#view)) throw this.#expired();
  }

  end(): void {
    if (!this.#state.treeLock.lock()) return;
    this.#state.cache.views.end(this.#view);
    this.#state.treeLock.unlock();
  }

  /** Copies the blob from a frame; false where that was being changed. */
  #copy(index: number, id: BlobId, into: Frame): boolean {
    const cache = this.#cache;
    const version = cache.version(index);
    if ((version & 1) !== 0 || !cache.holds(index, id)) return false;
    into.u8.set(cache.frame(index).u8);
    readFence();
    return cache.version(index) === version;
  }

  /** Reads a blob that no frame holds, so the store has it as it is; false where it changed, or was loaded, meanwhile. */
  #read(id: BlobId, into: Frame): boolean {
    const { store } = this.#state;
    this.#state.lockTree();
    const isResident = this.#cache.find(id) >= 0;
    this.#state.treeLock.unlock();
    if (isResident) return false;
    try {
      store.readBlob(id, into.u8);
    } catch (error) {
      if (this.#cache.find(id) >= 0) return false;
      this.check();
      throw UnreadableBlobError.of(id, error);
    }
    // What changes it keeps its image before: that there is none says that what was read is of this side's moment.
    readFence();
    return this.#cache.find(id) < 0;
  }

  #expired(): SpinneyError {
    return new SpinneyError(
      'ERR_VIEW_EXPIRED',
      `Cannot compare the tree in ${this.#state.place}: too much of it changes, or too many views of it are under way`,
    );
  }
}
