/**
 * Scans of a tree beside which changes wait: both are scanned for a batch, what waits first, and put together in the order of
 * keys. As for a single key (see merged-reader.ts), each entry is as it was at one moment of the scan.
 */
import type { RangeEntry } from '../../../api.js';
import { TOMBSTONE } from '../../../art/layout.js';
import { UnreadableBlobError } from '../../../errors.js';
import { type Bound, boundAfter } from '../../state/bound.js';
import type { Scanner, ScanOptions, Scans } from '../scanner.js';

/** Keys that are counted at a time. */
const COUNTED_AT_ONCE = 256;

/** Entries in order, all that there are up to where the next ones begin. */
interface Part {
  entries: RangeEntry[];
  next: Bound | undefined;
  /** The first that was not given out. */
  at: number;
  /** Why there are no more: a blob that cannot be read. */
  error: UnreadableBlobError | undefined;
}

export class MergedScanner implements Scans {
  readonly #tree: Scanner;
  readonly #waiting: Scanner;
  readonly #waits: () => boolean;

  /** As of a MergedReader. */
  constructor(tree: Scanner, waiting: Scanner, waits: () => boolean) {
    this.#tree = tree;
    this.#waiting = waiting;
    this.#waits = waits;
  }

  collect(bound: Bound, limit: number, options: ScanOptions, out: RangeEntry[]): Bound | undefined {
    const full = out.length + limit;
    let from: Bound | undefined = bound;
    while (from !== undefined && out.length < full) {
      if (!this.#waits()) return this.#tree.collect(from, full - out.length, options, out);
      const before = out.length;
      from = this.#collect(from, full, options, out);
      // A batch that is not empty may be given out; from one of deletions alone it goes on.
      if (out.length > before) break;
    }
    return from;
  }

  count(bound: Bound, limit: number, prefix: Uint8Array): { keys: number; next: Bound | undefined } {
    if (!this.#waits()) return this.#tree.count(bound, limit, prefix);
    const options = { prefix, delimiter: -1, keysOnly: true };
    let keys = 0;
    let next: Bound | undefined = bound;
    while (next !== undefined && keys < limit) {
      const found: RangeEntry[] = [];
      next = this.collect(next, Math.min(limit - keys, COUNTED_AT_ONCE), options, found);
      keys += found.length;
    }
    return { keys, next };
  }

  /** Whether changes wait of keys that begin with the prefix. */
  waitsBelow(prefix: Uint8Array): boolean {
    return this.#waits() && this.#waiting.count({ key: prefix, inclusive: true }, 1, prefix).keys > 0;
  }

  #collect(from: Bound, full: number, options: ScanOptions, out: RangeEntry[]): Bound | undefined {
    const limit = full - out.length;
    const before = out.length;
    const waiting = partOf(this.#waiting, from, limit, options);
    const tree = partOf(this.#tree, from, limit, options);
    while (out.length < full) {
      const change = waiting.entries[waiting.at];
      const found = tree.entries[tree.at];
      if (change === undefined && (found === undefined || isBeyond(found, waiting.next))) break;
      if (found === undefined && isBeyond(change as RangeEntry, tree.next)) break;
      const order =
        change === undefined ? 1 : found === undefined ? -1 : Buffer.compare(nameOf(change), nameOf(found));
      if (order <= 0) {
        this.#give(change as RangeEntry, out);
        waiting.at++;
      } else out.push(found as RangeEntry);
      if (order >= 0) tree.at++;
    }
    const hasAdvanced = out.length > before || waiting.at > 0 || tree.at > 0;
    if (!hasAdvanced) for (const { error } of [waiting, tree]) if (error !== undefined) throw error;
    return nextOf(waiting, tree);
  }

  /** Gives out what waits of a key, or of all that begins with a prefix, if that leaves anything there. */
  #give(change: RangeEntry, out: RangeEntry[]): void {
    if (change.type === 'key') {
      if ((change.version as number) < TOMBSTONE) out.push(change);
      return;
    }
    const { prefix } = change;
    if (this.count({ key: prefix, inclusive: true }, 1, prefix).keys > 0) out.push(change);
  }
}

function partOf(scanner: Scanner, from: Bound, limit: number, options: ScanOptions): Part {
  const entries: RangeEntry[] = [];
  try {
    return { next: scanner.collect(from, limit, options, entries), entries, at: 0, error: undefined };
  } catch (error) {
    // What comes before a blob that cannot be read is given first; then the blob is met again.
    if (!(error instanceof UnreadableBlobError) || error.prefix === undefined) throw error;
    const last = entries.at(-1);
    const next = last === undefined ? { key: error.prefix, inclusive: true } : boundAfter(last);
    return { next, entries, at: 0, error };
  }
}

function nameOf(entry: RangeEntry): Uint8Array {
  return entry.type === 'key' ? entry.key : entry.prefix;
}

/** Whether the entry is at the bound or behind it. */
function isBeyond(entry: RangeEntry, bound: Bound | undefined): boolean {
  if (bound === undefined) return false;
  const order = Buffer.compare(nameOf(entry), bound.key);
  return order > 0 || (order === 0 && bound.inclusive);
}

/** Where both go on: at the first that was not given out. */
function nextOf(waiting: Part, tree: Part): Bound | undefined {
  const a = startOf(waiting);
  const b = startOf(tree);
  if (a === undefined || b === undefined) return a ?? b;
  const order = Buffer.compare(a.key, b.key);
  if (order !== 0) return order < 0 ? a : b;
  return a.inclusive ? a : b;
}

function startOf({ entries, at, next }: Part): Bound | undefined {
  const entry = entries[at];
  return entry === undefined ? next : { key: nameOf(entry), inclusive: true };
}
