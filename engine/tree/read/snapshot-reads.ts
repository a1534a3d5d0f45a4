import type { SnapshotReads } from '../../api.js';
import { FrameCache } from '../../cache/frame-cache.js';
import { PreImages } from '../../cache/pre-images.js';
import { SpinneyError } from '../../errors.js';
import { C_BLOB_COUNT, Control } from '../../shared/control.js';
import type { Pin, Pins } from '../../store/blob-store.js';
import { ROOT_BLOB, TreeState } from '../state/state.js';
import { Reader } from './reader.js';
import { Reads } from './reads.js';
import { Scanner } from './scanner.js';
import { SnapshotStore } from './snapshot-store.js';
import { Summation } from './summation.js';

/**
 * The reads of a snapshot: those of a tree of its own, which nobody changes, on what the pin keeps. Its frames belong to
 * this object alone, and so to one thread.
 */
class OpenSnapshot extends Reads implements SnapshotReads {
  readonly snapshot: SnapshotReads['snapshot'];
  readonly #use: SnapshotUse;

  constructor(snapshot: SnapshotReads['snapshot'], use: SnapshotUse) {
    const check = (): void => use.check();
    check();
    // Nothing is dirty here: there is room for a way down, or it is too deep.
    const reader = new Reader(use.state, () => {}, check);
    super(reader, new Scanner(use.state, reader), new Summation(use.state, () => {}, check), check);
    this.snapshot = snapshot;
    this.#use = use;
  }

  close(): void {
    this.#use.end();
  }
}

/** What an open snapshot reads, as long as it is open and both it and the tree are there. */
class SnapshotUse {
  readonly state: TreeState;
  readonly #tree: TreeState;
  readonly #store: SnapshotStore;
  #isOpen = true;

  constructor(state: TreeState, tree: TreeState, store: SnapshotStore) {
    this.state = state;
    this.#tree = tree;
    this.#store = store;
  }

  check(): void {
    if (!this.#isOpen) {
      throw new SpinneyError('ERR_CLOSED', `Cannot read ${this.state.place}: it was closed`);
    }
    this.#tree.checkOpen();
    this.#store.check();
  }

  end(): void {
    if (this.#isOpen) this.state.end();
    this.#isOpen = false;
  }
}

/** `cacheBytes` as for a tree. @throws ERR_SNAPSHOT_DELETED, ERR_CLOSED */
export function openSnapshot(tree: TreeState, pin: Pin, pins: Pins, cacheBytes: number): SnapshotReads {
  const { id, name, lsn, createdAt } = pin;
  const store = new SnapshotStore(pin, pins, tree);
  const control = new Control();
  const cache = new FrameCache(control, { bytes: cacheBytes });
  const place = `snapshot ${JSON.stringify(name)} of ${tree.place}`;
  const options = { ...tree.options, place, readOnly: true, mayWait: false };
  const preImages = new PreImages(control, { frames: 0 });
  const { thread, measure } = tree;
  const state = new TreeState(control, cache, preImages, store, undefined, thread, options, measure);
  // Whether it has one, that is: nothing else is asked of the count here.
  control.words[C_BLOB_COUNT] = store.hasBlob(ROOT_BLOB) ? 1 : 0;
  return new OpenSnapshot({ id, name, lsn, createdAt }, new SnapshotUse(state, tree, store));
}
