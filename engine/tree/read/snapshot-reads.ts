import type { Key, KeyRecord, RangeEntry, RangeOptions, SnapshotReads, TreeRecord } from '../../api.js';
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
export class OpenSnapshot implements SnapshotReads {
  readonly snapshot: SnapshotReads['snapshot'];
  readonly #tree: TreeState;
  readonly #state: TreeState;
  readonly #store: SnapshotStore;
  readonly #reads: Reads;
  #isOpen = true;

  /** `cacheBytes` as for a tree. */
  constructor(tree: TreeState, pin: Pin, pins: Pins, cacheBytes: number) {
    const { id, name, lsn, createdAt } = pin;
    this.snapshot = { id, name, lsn, createdAt };
    this.#tree = tree;
    this.#store = new SnapshotStore(pin, pins, tree.place);
    const control = new Control();
    const cache = new FrameCache(control, { bytes: cacheBytes });
    const place = `snapshot ${JSON.stringify(name)} of ${tree.place}`;
    const options = { ...tree.options, place, readOnly: true };
    const preImages = new PreImages(control, { frames: 0 });
    this.#state = new TreeState(
      control,
      cache,
      preImages,
      this.#store,
      undefined,
      tree.thread,
      options,
      tree.measure,
    );
    // Whether it has one, that is: nothing else is asked of the count here.
    control.words[C_BLOB_COUNT] = this.#store.hasBlob(ROOT_BLOB) ? 1 : 0;
    const check = (): void => this.#check();
    check();
    // Nothing is dirty here: there is room for a way down, or it is too deep.
    const reader = new Reader(this.#state, () => {}, check);
    const summation = new Summation(this.#state, () => {}, check);
    this.#reads = new Reads(reader, new Scanner(this.#state, reader), summation, check);
  }

  get(key: Key): Uint8Array | undefined {
    return this.#reads.get(key);
  }

  getRecord(key: Key): TreeRecord | undefined {
    return this.#reads.getRecord(key);
  }

  getVersion(key: Key): number | undefined {
    return this.#reads.getVersion(key);
  }

  range(options?: RangeOptions): IterableIterator<RangeEntry> {
    return this.#reads.range(options);
  }

  longestPrefix(key: Key): KeyRecord | undefined {
    return this.#reads.longestPrefix(key);
  }

  isPrefixEmpty(prefix: Key): boolean {
    return this.#reads.isPrefixEmpty(prefix);
  }

  countPrefix(prefix: Key, limit?: number): number {
    return this.#reads.countPrefix(prefix, limit);
  }

  measure(prefix: Key): Record<string, number> {
    return this.#reads.measure(prefix);
  }

  valuesCounted(prefix: Key, field: string): Uint8Array[] {
    return this.#reads.valuesCounted(prefix, field);
  }

  close(): void {
    if (this.#isOpen) this.#state.end();
    this.#isOpen = false;
  }

  #check(): void {
    if (!this.#isOpen) {
      throw new SpinneyError('ERR_CLOSED', `Cannot read ${this.#state.place}: it was closed`);
    }
    this.#tree.checkOpen();
    this.#store.check();
  }
}
