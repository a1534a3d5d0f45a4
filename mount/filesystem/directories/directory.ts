/**
 * Listing directories, in the order of names.
 *
 * What an offset means is in directory-offsets.ts. A listing that goes on where its last reply ended, as nearly all do,
 * knows the name there, whatever has become of it. Any other offset is looked for among the anchors of this handle, the
 * names that the directory lost while it was open, and its entries, beginning near where the offset's hint says. So
 * what is there throughout is given exactly once after a seek. An offset that is found nowhere (after a name that went
 * before very many others) is taken for the beginning, so that nothing is left out.
 *
 * Where a part of the directory cannot be read, the listing gives what is before and behind it, and ends with the error and
 * not as a whole one would; also for those who were given the part before by the kernel, from another handle's listing.
 */

import type { RangeEntry } from '../../../engine/api.js';
import { UnreadableBlobError } from '../../../engine/errors.js';
import { ENOENT } from '../errno.js';
import type { ReadableInodes } from '../inodes/readable.js';
import { childrenPrefix, concat, SLASH } from '../records/keys.js';
import * as record from '../records/record.js';
import type { Attributes, DirectorySink } from '../types.js';
import { Anchors, BEGINNING, type Given, type Position } from './anchors.js';
import {
  AFTER_DOT,
  AFTER_DOT_DOT,
  hashIn,
  hashOf,
  NO_OFFSET,
  offsetAfter,
  ordinalsIn,
} from './directory-offsets.js';
import type { GoneNames } from './gone-names.js';

const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);

/** Gets where an entry is, and its record (empty where only names are wanted); returns false to end the walk. */
type Visitor = (given: Given, value: Uint8Array) => boolean;

/** Returned by a read that had nothing left to give. */
export const ENDED = 1;

export class DirectoryHandle {
  /** Undefined once the directory is removed. */
  path: Uint8Array | undefined;
  readonly ino: number;
  /** Of the directory's record, when it was opened. */
  readonly version: number;
  /** What the last reply gave; where it gave nothing, the place that it was asked for. */
  #reply: Given[] = [];
  /** Where the listing from the beginning on has come, all of it through this handle; -1: it left out a part. */
  #wholeUpTo = -1;
  /** Why names are missing from that. */
  #lost: UnreadableBlobError | undefined;
  readonly #anchors = new Anchors();

  /** `listed`: names that the listing ended with in another process, and the offsets after them. */
  constructor(
    path: Uint8Array | undefined,
    ino: number,
    version: number,
    listed: readonly { name: Uint8Array; offset: number }[] = [],
  ) {
    this.path = path;
    this.ino = ino;
    this.version = version;
    // About the how-manieth it was is enough.
    this.#reply = listed.map(({ name, offset }) => ({ name, offset, ordinal: ordinalsIn(offset).first }));
  }

  /**
   * Gives entries from `offset` on to the sink until it has no room. `gone`: names that the directory lost while it was
   * open. `damage`: by inode number, why names are missing from directories. Returns 0, or ENDED where nothing was left to
   * give, or a negative errno.
   * @throws UnreadableBlobError where nothing is left to give and names are missing
   */
  read(
    inodes: ReadableInodes,
    offset: number,
    withAttributes: boolean,
    gone: GoneNames | undefined,
    damage: Map<number, UnreadableBlobError>,
    out: Attributes,
    sink: DirectorySink,
  ): number {
    const { path } = this;
    if (path === undefined) return -ENOENT;
    if (offset >= NO_OFFSET) return 0;
    if (offset === 0) {
      this.#anchors.clear();
      this.#lost = undefined;
      if (!giveDots(inodes, path, 0, out, sink)) return 0;
    } else if (offset === AFTER_DOT && !giveDots(inodes, path, 1, out, sink)) return 0;

    const start = offset <= AFTER_DOT_DOT ? BEGINNING : this.#locate(inodes, path, offset, gone);
    const reply: Given[] = [];
    let isFull = false;
    this.#walk(inodes, path, start, false, (entry, value) => {
      const isComplete = fill(inodes, value, withAttributes, out);
      isFull = !sink(entry.name, entry.offset, out, isComplete);
      if (!isFull) reply.push(entry);
      return !isFull;
    });
    const isWhole = offset <= AFTER_DOT_DOT || offset === this.#wholeUpTo;
    this.#wholeUpTo = isWhole ? (reply.at(-1)?.offset ?? offset) : -1;
    this.#reply = reply.length > 0 ? reply : [{ ...start, offset }];
    if (reply.length > 0 || isFull || offset < AFTER_DOT_DOT) return 0;
    if (this.#lost !== undefined) damage.set(this.ino, this.#lost);
    else if (isWhole) damage.delete(this.ino);
    const lost = damage.get(this.ino);
    if (lost !== undefined) throw lost;
    return ENDED;
  }

  /** The next entry of a range. Passes over what cannot be read, and notes where names may be lost by that. */
  #next(entries: Iterator<RangeEntry, undefined>, prefix: Uint8Array): RangeEntry | undefined {
    for (;;) {
      try {
        return entries.next().value;
      } catch (error) {
        if (!(error instanceof UnreadableBlobError) || error.prefix === undefined) throw error;
        // With a slash behind the directory's own, all that cannot be read is below directories in it.
        if (error.prefix.indexOf(SLASH, prefix.length) < 0) this.#lost = error;
      }
    }
  }

  /** Goes by the entries after a place, until the visitor refuses one. Those beyond all before become anchors. */
  #walk(inodes: ReadableInodes, path: Uint8Array, from: Position, namesOnly: boolean, visit: Visitor): void {
    const anchors = this.#anchors;
    const prefix = childrenPrefix(path);
    const range = { prefix, delimiter: SLASH, keysOnly: namesOnly };
    const start = from.name.length === 0 ? {} : { startAfter: concat(prefix, from.name) };
    let { ordinal } = from;
    let anchor = anchors.lastUpTo(ordinal) + 1;
    let isNew = Buffer.compare(from.name, anchors.frontier) >= 0;
    const entries = inodes.tree.range({ ...range, ...start });
    for (let entry = this.#next(entries, prefix); entry !== undefined; entry = this.#next(entries, prefix)) {
      if (entry.type !== 'key') continue;
      const name = entry.key.subarray(prefix.length);
      ordinal++;
      if (!isNew) {
        // An entry has the ordinal that it had before, whatever came and went ahead of it.
        for (; anchor < anchors.count; anchor++) {
          const known = anchors.at(anchor);
          const order = Buffer.compare(known.name, name);
          if (order > 0) break;
          ordinal = order === 0 ? known.ordinal : known.ordinal + 1;
        }
        isNew = Buffer.compare(name, anchors.frontier) > 0;
      }
      const given = { name, ordinal, offset: offsetAfter(name, ordinal) };
      if (!visit(given, entry.value)) return;
      if (isNew) anchors.passed(given);
    }
  }

  /** Where a listing goes on from an offset that is after an entry. */
  #locate(inodes: ReadableInodes, path: Uint8Array, offset: number, gone: GoneNames | undefined): Position {
    const inReply = this.#reply.findLast((given) => given.offset === offset);
    if (inReply !== undefined) return inReply;
    const { first, last } = ordinalsIn(offset);
    const anchor = this.#anchors.find(offset, first, last);
    if (anchor !== undefined) return anchor;
    const hash = hashIn(offset);
    const name = gone?.find(hash);
    if (name !== undefined) return { name, ordinal: first };

    const before = this.#anchors.lastUpTo(first - 1);
    const near = before < 0 ? BEGINNING : this.#anchors.at(before);
    return (
      this.#lookFor(inodes, path, hash, near, last) ??
      this.#lookFor(inodes, path, hash, BEGINNING, Number.POSITIVE_INFINITY) ??
      BEGINNING
    );
  }

  /** The entry whose name has this hash, among those after a place up to the `last`-th. */
  #lookFor(
    inodes: ReadableInodes,
    path: Uint8Array,
    hash: number,
    from: Position,
    last: number,
  ): Position | undefined {
    let found: Position | undefined;
    this.#walk(inodes, path, from, true, (given) => {
      if (hashOf(given.name) === hash) found = given;
      return found === undefined && given.ordinal < last;
    });
    return found;
  }
}

/** Gives `.` (from 0) and `..` (from 1). Returns false where the sink has no room. */
function giveDots(
  inodes: ReadableInodes,
  path: Uint8Array,
  from: number,
  out: Attributes,
  sink: DirectorySink,
): boolean {
  if (from === 0) {
    if (!fillDot(inodes, path, out) || !sink(DOT, AFTER_DOT, out, true)) return false;
  }
  const slash = path.lastIndexOf(SLASH);
  return (
    fillDot(inodes, path.subarray(0, Math.max(slash, 0)), out) && sink(DOT_DOT, AFTER_DOT_DOT, out, true)
  );
}

function fillDot(inodes: ReadableInodes, path: Uint8Array, out: Attributes): boolean {
  const inode = inodes.read(path);
  if (inode === undefined) return false;
  record.readAttributes(inode, out);
  return true;
}

/** Returns whether all that is asked for is there. */
function fill(inodes: ReadableInodes, entry: Uint8Array, withAttributes: boolean, out: Attributes): boolean {
  if (withAttributes) {
    try {
      const inode = inodes.follow(entry);
      if (inode !== undefined) inodes.attributes(inode, out);
      return true;
    } catch {
      // The name is there, and whoever asks for more of it is told why there is no more.
    }
  }
  out.ino = record.inoOf(entry);
  out.mode = record.modeOf(entry);
  return !withAttributes;
}
