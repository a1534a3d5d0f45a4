import type { RangeEntry, RangeOptions } from '../../api.js';
import { UnreadableBlobError } from '../../errors.js';
import { delimiterByte, optionsOf, prefixBytes } from '../state/arguments.js';
import { type Bound, boundAfter, boundBehind, startOf } from '../state/bound.js';
import type { ScanOptions, Scans } from './scanner.js';

/** Entries that a range collects before it gives them out: a part of what it has given, and at least and at most. */
const BATCH_SHARE = 1 / 4;
const LEAST_BATCH = 20;
const LARGEST_BATCH = 256;

const EMPTY = new Uint8Array(0);

/** The entries of a range, collected batch by batch as they are asked for. */
export class RangeCursor implements IterableIterator<RangeEntry, undefined, undefined> {
  readonly #scanner: Scans;
  readonly #options: ScanOptions;
  readonly #check: () => void;
  #bound: Bound | undefined;
  #batch: RangeEntry[] = [];
  #at = 0;
  #size = LEAST_BATCH;
  #collected = 0;

  /** `check` is called before each batch and after it, and throws where the range cannot go on. */
  constructor(scanner: Scans, range: RangeOptions, check: () => void) {
    optionsOf(range, 'list');
    const prefix = range.prefix === undefined ? EMPTY : prefixBytes(range.prefix);
    const delimiter = delimiterByte(range.delimiter);
    this.#scanner = scanner;
    this.#options = { prefix, delimiter, keysOnly: range.keysOnly === true };
    this.#check = check;
    this.#bound = startOf(prefix, delimiter, range.startAfter);
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<RangeEntry, undefined> {
    if (this.#at === this.#batch.length && !this.#collect()) return { done: true, value: undefined };
    return { done: false, value: this.#batch[this.#at++] as RangeEntry };
  }

  /** Ends the iteration. */
  return(): IteratorResult<RangeEntry, undefined> {
    this.#batch = [];
    this.#at = 0;
    this.#bound = undefined;
    return { done: true, value: undefined };
  }

  #collect(): boolean {
    if (this.#bound === undefined) return false;
    this.#check();
    const batch: RangeEntry[] = [];
    try {
      this.#bound = this.#scanner.collect(this.#bound, this.#size, this.#options, batch);
    } catch (error) {
      if (!(error instanceof UnreadableBlobError)) throw error;
      const last = batch.at(-1);
      // What was found before comes first; then the blob is met again.
      if (last !== undefined) this.#bound = boundAfter(last);
      else {
        if (error.prefix !== undefined) this.#bound = boundBehind(error.prefix);
        throw error;
      }
    }
    this.#check();
    this.#collected += batch.length;
    this.#size = Math.min(Math.max(LEAST_BATCH, Math.floor(this.#collected * BATCH_SHARE)), LARGEST_BATCH);
    this.#batch = batch;
    this.#at = 0;
    return batch.length > 0;
  }
}
