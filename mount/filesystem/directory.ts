/**
 * Listing directories.
 *
 * An offset is opaque to clients. `.` is followed by offset 1 and `..` by 2; after that, the entry that was the
 * n-th when this handle first went by is followed by offset n * GAP. Entries that appear between two such ones
 * later take offsets within the gap, so that offsets given out before stay what they were.
 *
 * A handle remembers which name each offset of the last reply follows, and anchors (name, offset), one for each
 * `stride` entries, in the order of names and of offsets both. Up to MAX_ANCHORS entries the stride is 1, and any
 * seek lands exactly, whatever has changed meanwhile: a name that is gone is only where the walk goes on. In a
 * larger directory a seek to before the last reply goes to the anchor before it and counts from there; only that
 * can be off by what was made or removed in between.
 */
import { ENOENT } from './errno.js';
import type { Inodes } from './inodes.js';
import { childrenPrefix, concat, SLASH } from './keys.js';
import * as record from './record.js';
import type { Attributes, DirectorySink } from './types.js';

const GAP = 256;
const AFTER_DOT = 1;
const AFTER_DOT_DOT = 2;
const MAX_ANCHORS = 8_192;
const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);
const NO_NAME = new Uint8Array(0);

export class DirectoryHandle {
  /** Undefined once the directory is removed. */
  path: Uint8Array | undefined;
  readonly ino: number;
  /** Names and the offsets that follow them: of the last reply, and of the anchors. */
  #replyNames: Uint8Array[] = [];
  #replyOffsets: number[] = [];
  #anchorNames: Uint8Array[] = [];
  #anchorOffsets: number[] = [];
  #stride = 1;
  /** Entries gone by since the last anchor. */
  #sinceAnchor = 0;
  /** Offset after the furthest entry given so far. */
  #frontier = 0;

  constructor(path: Uint8Array | undefined, ino: number) {
    this.path = path;
    this.ino = ino;
  }

  /** Gives entries from `offset` on to the sink until it has no room. Returns 0 or a negative errno. */
  read(
    inodes: Inodes,
    offset: number,
    withAttributes: boolean,
    out: Attributes,
    sink: DirectorySink,
  ): number {
    const { path } = this;
    if (path === undefined) return -ENOENT;
    if (offset === 0) {
      this.#rewind();
      if (!giveDots(inodes, path, 0, out, sink)) return 0;
    } else if (offset === AFTER_DOT && !giveDots(inodes, path, 1, out, sink)) return 0;

    const start = this.#locate(offset);
    let skip = start.skip;
    let last = start.offset;
    let anchor = this.#anchorAfter(last);
    // A reply that has room for nothing must not lose the position.
    const exact = skip === 0 && start.name.length > 0;
    this.#replyNames = exact ? [start.name] : [];
    this.#replyOffsets = exact ? [start.offset] : [];
    const prefix = childrenPrefix(path);
    const range =
      start.name.length === 0
        ? { prefix, delimiter: SLASH }
        : { prefix, delimiter: SLASH, startAfter: concat(prefix, start.name) };
    for (const entry of inodes.tree.range(range)) {
      if (entry.type !== 'key') continue;
      const name = entry.key.subarray(prefix.length);
      // Anchors passed by, their names being gone or the last one. From the next anchor on nothing is left out.
      while (anchor < this.#anchorNames.length) {
        const order = Buffer.compare(this.#anchorNames[anchor]!, name);
        if (order <= 0) skip = 0;
        if (order >= 0) break;
        last = this.#anchorOffsets[anchor]!;
        anchor++;
      }
      const next = this.#offsetAfter(name, last, anchor);
      if (skip > 0) {
        skip--;
        last = next;
        continue;
      }
      fill(inodes, entry.value, withAttributes, out);
      if (!sink(name, next, out)) return 0;
      this.#remember(name, next);
      last = next;
    }
    return 0;
  }

  #rewind(): void {
    this.#replyNames = [];
    this.#replyOffsets = [];
    this.#anchorNames = [];
    this.#anchorOffsets = [];
    this.#stride = 1;
    this.#sinceAnchor = 0;
    this.#frontier = 0;
  }

  /** Where to go on: after `name` (none: at the beginning), leaving out `skip` entries. */
  #locate(offset: number): { name: Uint8Array; offset: number; skip: number } {
    const reply = lastAtOrBefore(this.#replyOffsets, offset);
    if (reply >= 0 && this.#replyOffsets[reply] === offset) {
      return { name: this.#replyNames[reply]!, offset, skip: 0 };
    }
    const anchor = lastAtOrBefore(this.#anchorOffsets, offset);
    const name = anchor < 0 ? NO_NAME : this.#anchorNames[anchor]!;
    const before = anchor < 0 ? AFTER_DOT_DOT : this.#anchorOffsets[anchor]!;
    return { name, offset: before, skip: Math.floor(offset / GAP) - Math.floor(before / GAP) };
  }

  #anchorAfter(offset: number): number {
    return lastAtOrBefore(this.#anchorOffsets, offset) + 1;
  }

  /** The offset that follows `name`, which comes after offset `last` and not after the anchor at `anchor`. */
  #offsetAfter(name: Uint8Array, last: number, anchor: number): number {
    const limit = this.#anchorOffsets[anchor];
    if (limit === undefined) return this.#stepFrom(last);
    if (Buffer.compare(this.#anchorNames[anchor]!, name) === 0) return limit;
    const step = this.#stepFrom(last);
    if (step < limit) return step;
    return last + 1 < limit ? last + 1 : last;
  }

  #stepFrom(last: number): number {
    return (Math.floor(last / GAP) + 1) * GAP;
  }

  #remember(name: Uint8Array, next: number): void {
    this.#replyNames.push(name);
    this.#replyOffsets.push(next);
    if (next <= this.#frontier) return;
    this.#frontier = next;
    if (++this.#sinceAnchor < this.#stride) return;
    this.#sinceAnchor = 0;
    this.#anchorNames.push(name);
    this.#anchorOffsets.push(next);
    if (this.#anchorNames.length < MAX_ANCHORS) return;
    this.#anchorNames = this.#anchorNames.filter((_, i) => i % 2 === 1);
    this.#anchorOffsets = this.#anchorOffsets.filter((_, i) => i % 2 === 1);
    this.#stride *= 2;
  }
}

/** Gives `.` (from 0) and `..` (from 1). Returns false where the sink has no room. */
function giveDots(
  inodes: Inodes,
  path: Uint8Array,
  from: number,
  out: Attributes,
  sink: DirectorySink,
): boolean {
  if (from === 0) {
    if (!fillDot(inodes, path, out) || !sink(DOT, AFTER_DOT, out)) return false;
  }
  const slash = path.lastIndexOf(SLASH);
  return fillDot(inodes, path.subarray(0, Math.max(slash, 0)), out) && sink(DOT_DOT, AFTER_DOT_DOT, out);
}

function fillDot(inodes: Inodes, path: Uint8Array, out: Attributes): boolean {
  const inode = inodes.read(path);
  if (inode === undefined) return false;
  record.readAttributes(inode, out);
  return true;
}

function fill(inodes: Inodes, entry: Uint8Array, withAttributes: boolean, out: Attributes): void {
  if (withAttributes) {
    const inode = inodes.follow(entry);
    if (inode !== undefined) inodes.attributes(inode, out);
    return;
  }
  out.ino = record.inoOf(entry);
  out.mode = record.modeOf(entry);
}

/** Index of the last of the ascending offsets that is not above `offset`; -1: none. */
function lastAtOrBefore(offsets: readonly number[], offset: number): number {
  let low = 0;
  let high = offsets.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (offsets[middle]! <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
