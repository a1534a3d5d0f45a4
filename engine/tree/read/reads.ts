import type { Key, KeyRecord, RangeEntry, RangeOptions, TreeReads, TreeRecord } from '../../api.js';
import { SpinneyError } from '../../errors.js';
import { prefixBytes } from '../state/arguments.js';
import type { Bound } from '../state/bound.js';
import { RangeCursor } from './range.js';
import type { Reader } from './reader.js';
import type { Scanner } from './scanner.js';

/** Keys counted in one go; between two others get their turn. */
const COUNTED_AT_ONCE = 4096;

/** The reads of a tree, as it is or as a view shows it. */
export class Reads implements TreeReads {
  readonly #reader: Reader;
  readonly #scanner: Scanner;
  readonly #check: () => void;
  /** Never read: cursors are seldom alive at a garbage collection, and their shape is to be known after it (see shapes.ts). */
  protected readonly kept: RangeCursor;

  /** `check` throws where reading cannot go on, or what was just read does not count. */
  constructor(reader: Reader, scanner: Scanner, check: () => void) {
    this.#reader = reader;
    this.#scanner = scanner;
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
    let bound: Bound | undefined = { key: bytes, inclusive: true };
    let keys = 0;
    while (bound !== undefined && keys < most) {
      const counted = this.#scanner.count(bound, Math.min(COUNTED_AT_ONCE, most - keys), bytes);
      keys += counted.keys;
      bound = counted.next;
    }
    return keys;
  }
}
