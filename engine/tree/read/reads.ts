import type { Key, KeyRecord, RangeEntry, RangeOptions, TreeReads, TreeRecord } from '../../api.js';
import { SpinneyError } from '../../errors.js';
import { prefixBytes } from '../state/arguments.js';
import { RangeCursor } from './range.js';
import type { Scans } from './scanner.js';

/** Up to so many keys are counted one by one; where there may be more, blobs tell how many they have. */
const COUNTED_SINGLY = 4096;

/** Reads of single keys; see Reader. */
export interface PointReads {
  get(key: Uint8Array): Uint8Array | undefined;
  getRecord(key: Uint8Array): TreeRecord | undefined;
  getVersion(key: Uint8Array): number | undefined;
  longestPrefix(key: Uint8Array): KeyRecord | undefined;
}

/** Sums over what begins with a prefix; see Summation. */
export interface Sums {
  count(prefix: Uint8Array): number;
  sum(prefix: Uint8Array): Record<string, number>;
  valuesCounted(prefix: Uint8Array, field: string): Uint8Array[];
}

/** The reads of a tree, as it is or as a view shows it. */
export class Reads implements TreeReads {
  readonly #reader: PointReads;
  readonly #scanner: Scans;
  readonly #summation: Sums;
  readonly #check: () => void;
  /** Never read: cursors are seldom alive at a garbage collection, and their shape is to be known after it (see shapes.ts). */
  protected readonly kept: RangeCursor;

  /** `check` throws where reading cannot go on, or what was just read does not count. */
  constructor(reader: PointReads, scanner: Scans, summation: Sums, check: () => void) {
    this.#reader = reader;
    this.#scanner = scanner;
    this.#summation = summation;
    this.#check = check;
    this.kept = new RangeCursor(scanner, {}, check);
  }

  get(key: Key): Uint8Array | undefined {
    this.#check();
    return this.#reader.get(prefixBytes(key));
  }

  getRecord(key: Key): TreeRecord | undefined {
    this.#check();
    return this.#reader.getRecord(prefixBytes(key));
  }

  getVersion(key: Key): number | undefined {
    this.#check();
    return this.#reader.getVersion(prefixBytes(key));
  }

  range(options: RangeOptions = {}): IterableIterator<RangeEntry> {
    this.#check();
    return new RangeCursor(this.#scanner, options, this.#check);
  }

  longestPrefix(key: Key): KeyRecord | undefined {
    this.#check();
    return this.#reader.longestPrefix(prefixBytes(key));
  }

  isPrefixEmpty(prefix: Key): boolean {
    return this.countPrefix(prefix, 1) === 0;
  }

  countPrefix(prefix: Key, limit = Number.POSITIVE_INFINITY): number {
    if (typeof limit !== 'number' || Number.isNaN(limit) || limit < 0) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot count up to ${limit} keys: the limit is a number from 0`,
      );
    }
    this.#check();
    const bytes = prefixBytes(prefix);
    const most = Math.floor(limit);
    if (most > COUNTED_SINGLY) return Math.min(this.#summation.count(bytes), most);
    return this.#scanner.count({ key: bytes, inclusive: true }, most, bytes).keys;
  }

  measure(prefix: Key): Record<string, number> {
    this.#check();
    return this.#summation.sum(prefixBytes(prefix));
  }

  valuesCounted(prefix: Key, field: string): Uint8Array[] {
    this.#check();
    return this.#summation.valuesCounted(prefixBytes(prefix), field);
  }
}
