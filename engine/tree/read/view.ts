/**
 * Reads of one instant. A view is a number (epoch); what it sees is found by a FrameCache of that epoch, which looks for
 * images kept for the view before it looks at the blobs as they are. So a view copies nothing by itself: each blob is
 * copied once, by the first writer that changes it while the view goes on.
 */
import type { Key, KeyRecord, RangeEntry, RangeOptions, TreeReads, TreeRecord } from '../../api.js';
import { SpinneyError } from '../../errors.js';
import { optionsOf, prefixBytes } from '../state/arguments.js';
import { startsWith } from '../state/bound.js';
import type { TreeState } from '../state/state.js';
import { RangeCursor } from './range.js';
import { Reader } from './reader.js';
import { Reads } from './reads.js';
import type { Scans } from './scanner.js';
import { readersOf } from './waiting/readers.js';

/** Makes views of a tree, for one thread. */
export class Views {
  readonly #state: TreeState;
  readonly #makeRoom: () => void;
  /** What views read with that have ended, to be used again. */
  readonly #idle: ViewReads[] = [];

  /** `makeRoom` as for a Reader. */
  constructor(state: TreeState, makeRoom: () => void) {
    this.#state = state;
    this.#makeRoom = makeRoom;
  }

  /** Calls `read` with a view of the keys that begin with the prefix. */
  run<T>(prefix: Uint8Array, read: (view: TreeReads) => T): T {
    const reads = this.#idle.pop() ?? new ViewReads(this.#state, this.#makeRoom);
    const view = new View(this.#state, new Uint8Array(prefix), reads);
    try {
      const result = read(view);
      view.check();
      return result;
    } finally {
      view.end();
      this.#idle.push(reads);
    }
  }
}

/** The reads of one view after another. */
class ViewReads {
  readonly #state: TreeState;
  readonly #waiting: TreeState;
  readonly scans: Scans;
  readonly reads: Reads;
  /** Throws where the view under way cannot go on. */
  check: () => void = () => {};

  constructor(state: TreeState, makeRoom: () => void) {
    this.#state = state.forViews();
    this.#waiting = this.#state.forWaiting();
    const check = () => this.check();
    const reader = new Reader(this.#state, makeRoom, check);
    const waiting = { state: this.#waiting, isAny: () => this.#waiting.root !== 0 };
    const { points, scans, sums } = readersOf(
      this.#state,
      reader,
      check,
      state.hasWaiting ? waiting : undefined,
    );
    this.scans = scans;
    this.reads = new Reads(points, scans, sums, check);
  }

  /** REQUIRES the tree lock, and that the epoch has just begun. */
  seeAsOf(epoch: number): void {
    this.#state.cache.seeAsOf(epoch);
    this.#waiting.look();
  }
}

class View implements TreeReads {
  readonly #state: TreeState;
  readonly #prefix: Uint8Array;
  readonly #view: number;
  readonly #viewer: ViewReads;
  readonly #isEmpty: boolean;
  #ended = false;

  constructor(state: TreeState, prefix: Uint8Array, viewer: ViewReads) {
    this.#state = state;
    this.#prefix = prefix;
    this.#viewer = viewer;
    const { cache } = state;
    state.lockTree();
    try {
      this.#view = cache.beginView(state.thread);
      if (this.#view < 0) {
        throw new SpinneyError(
          'ERR_VIEW_EXPIRED',
          `Cannot begin a view of ${state.place}: as many as can be are under way`,
        );
      }
      viewer.seeAsOf(cache.views.epochOf(this.#view));
      this.#isEmpty = state.blobCount === 0;
    } finally {
      state.treeLock.unlock();
    }
    viewer.check = () => this.check();
  }

  get(key: Key): Uint8Array | undefined {
    return this.#read(key, undefined, (reads) => reads.get(key));
  }

  getRecord(key: Key): TreeRecord | undefined {
    return this.#read(key, undefined, (reads) => reads.getRecord(key));
  }

  getVersion(key: Key): number | undefined {
    return this.#read(key, undefined, (reads) => reads.getVersion(key));
  }

  range(options: RangeOptions = {}): IterableIterator<RangeEntry> {
    const prefix = optionsOf(options, 'list').prefix ?? this.#prefix;
    const nothing: RangeEntry[] = [];
    const iterate = () => new RangeCursor(this.#viewer.scans, { ...options, prefix }, () => this.check());
    return this.#read(prefix, nothing.values(), iterate);
  }

  longestPrefix(key: Key): KeyRecord | undefined {
    const found = this.#read(key, undefined, (reads) => reads.longestPrefix(key));
    return found !== undefined && startsWith(found.key, this.#prefix) ? found : undefined;
  }

  isPrefixEmpty(prefix: Key): boolean {
    return this.#read(prefix, true, (reads) => reads.isPrefixEmpty(prefix));
  }

  countPrefix(prefix: Key, limit?: number): number {
    return this.#read(prefix, 0, (reads) => reads.countPrefix(prefix, limit));
  }

  measure(prefix: Key): Record<string, number> {
    if (!this.#isEmpty) return this.#read(prefix, {}, (reads) => reads.measure(prefix));
    const fields = this.#state.measure?.fieldNames ?? [];
    return this.#read(prefix, Object.fromEntries(fields.map((name) => [name, 0])), () => ({}));
  }

  valuesCounted(prefix: Key, field: string): Uint8Array[] {
    return this.#read(prefix, [], (reads) => reads.valuesCounted(prefix, field));
  }

  /** Reads something at or below `key`; `nothing` is what an empty tree gives. */
  #read<T>(key: Key, nothing: T, read: (reads: Reads) => T): T {
    this.check();
    if (!startsWith(prefixBytes(key), this.#prefix)) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot read ${show(prefixBytes(key))} in a view of what begins with ${show(this.#prefix)}`,
      );
    }
    const result = this.#isEmpty ? nothing : read(this.#viewer.reads);
    this.check();
    return result;
  }

  /** Throws where what the view reads, or has just read, need not be of its instant any more. */
  check(): void {
    const { place, cache } = this.#state;
    this.#state.checkOpen();
    if (this.#ended) {
      throw new SpinneyError('ERR_CLOSED', `Cannot read in a view of ${place}: it ended with its callback`);
    }
    if (cache.views.isExpired(this.#view)) {
      throw new SpinneyError(
        'ERR_VIEW_EXPIRED',
        `Cannot go on with a view of ${place}: more blobs have changed since it began than can be kept; read less in one view, or open with a larger cache`,
      );
    }
  }

  end(): void {
    this.#ended = true;
    if (!this.#state.treeLock.lock()) return;
    this.#state.cache.views.end(this.#view);
    this.#state.treeLock.unlock();
  }
}

function show(key: Uint8Array): string {
  const text = Buffer.from(key.subarray(0, 100)).toString();
  return JSON.stringify(key.length > 100 ? `${text}...` : text);
}
