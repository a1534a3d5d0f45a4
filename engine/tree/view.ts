/**
 * Reads of one instant. A view is a number (epoch); what it sees is found by a FrameCache of that epoch, which looks for
 * images kept for the view before it looks at the blobs as they are. So a view copies nothing by itself: each blob is
 * copied once, by the first writer that changes it while the view goes on.
 */
import type { Key, KeyRecord, RangeEntry, RangeOptions, TreeReads, TreeRecord } from '../api.js';
import { SpinneyError } from '../errors.js';
import { prefixBytes } from './arguments.js';
import { Reader } from './reader.js';
import { Reads } from './reads.js';
import { Scanner } from './scanner.js';
import type { TreeState } from './state.js';

/** Calls `read` with a view of the keys that begin with the prefix; `makeRoom` as for a Reader. */
export function readView<T>(
  state: TreeState,
  prefix: Key,
  makeRoom: () => void,
  read: (view: TreeReads) => T,
): T {
  const view = new View(state, new Uint8Array(prefixBytes(prefix)), makeRoom);
  try {
    const result = read(view);
    view.check();
    return result;
  } finally {
    view.end();
  }
}

class View implements TreeReads {
  readonly #state: TreeState;
  readonly #prefix: Uint8Array;
  readonly #view: number;
  readonly #reads: Reads;
  readonly #isEmpty: boolean;
  #ended = false;

  constructor(state: TreeState, prefix: Uint8Array, makeRoom: () => void) {
    this.#state = state;
    this.#prefix = prefix;
    const { cache } = state;
    let epoch: number;
    state.lockTree();
    try {
      this.#view = cache.views.begin(state.thread);
      if (this.#view < 0) {
        throw new SpinneyError(
          'ERR_VIEW_EXPIRED',
          `Cannot begin a view of ${state.place}: as many as can be are under way`,
        );
      }
      epoch = cache.views.epochOf(this.#view);
      this.#isEmpty = state.blobCount === 0;
    } finally {
      state.treeLock.unlock();
    }
    const then = state.asOf(epoch);
    const reader = new Reader(then, makeRoom);
    this.#reads = new Reads(reader, new Scanner(then, reader), () => this.check());
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
    const prefix = options.prefix ?? this.#prefix;
    const nothing: RangeEntry[] = [];
    return this.#read(prefix, nothing.values(), (reads) => reads.range({ ...options, prefix }));
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

  /** Reads something at or below `key`; `nothing` is what an empty tree gives. */
  #read<T>(key: Key, nothing: T, read: (reads: Reads) => T): T {
    this.check();
    if (!startsWith(prefixBytes(key), this.#prefix)) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot read ${show(prefixBytes(key))} in a view of what begins with ${show(this.#prefix)}`,
      );
    }
    const result = this.#isEmpty ? nothing : read(this.#reads);
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

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length >= prefix.length && Buffer.compare(key.subarray(0, prefix.length), prefix) === 0;
}

function show(key: Uint8Array): string {
  const text = Buffer.from(key.subarray(0, 100)).toString();
  return JSON.stringify(key.length > 100 ? `${text}...` : text);
}
