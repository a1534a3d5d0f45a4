/** Merges two trails: what only one of them has, and what both have with different values, in the order of keys. */
import type { TreeChange, TreeRecord } from '../../../api.js';
import type { Frame } from '../../../art/frame.js';
import { LEAF_HEADER_BYTES } from '../../../art/layout.js';
import type { Bound } from '../../state/bound.js';
import type { Images } from './images.js';
import { SameSubtrees } from './same-subtrees.js';
import { AT_CROSSING, AT_END, AT_LEAF, AT_NODE, type Trail } from './trail.js';

/** What ends a run: changes found, bytes of their keys and values; and once it has passed something by, steps, images loaded. */
export interface Budget {
  changes: number;
  bytes: number;
  steps: number;
  loads: number;
}

/** The items of both trails begin with the same bytes, all of both. */
const SAME = 0;
/** All keys of one item come before those of the other. */
const BEFORE_FIRST = 1;
const AFTER_FIRST = 2;
/** The keys of one item begin with more bytes than are known of the other: this is to be gone into. */
const BEFORE_ABOVE = 3;
const AFTER_ABOVE = 4;

export class Merge {
  readonly #before: Trail;
  readonly #after: Trail;
  readonly #images: Images;
  readonly #same = new SameSubtrees();
  /** So many bytes were the same when the items were last compared. */
  #matched = 0;
  #bytes = 0;
  /** Whether a run has come further than where it began. */
  #hasPassed = false;

  constructor(before: Trail, after: Trail, images: Images) {
    this.#before = before;
    this.#after = after;
    this.#images = images;
  }

  /** Where the next run goes on: everything before that was looked at. REQUIRES that the end is not reached. */
  get bound(): Bound {
    const isBefore = this.#after.at === AT_END || (this.#before.at !== AT_END && this.#comesFirst());
    const { key, length } = isBefore ? this.#before : this.#after;
    return { key: key.slice(0, length), inclusive: true };
  }

  /** Appends changes to `out` until the budget is used up; true: until there are no more. */
  run(budget: Budget, out: TreeChange[]): boolean {
    const before = this.#before;
    const after = this.#after;
    const changes = out.length + budget.changes;
    const loads = this.#images.loads + budget.loads;
    this.#bytes = 0;
    this.#hasPassed = false;
    for (let steps = 0; before.at !== AT_END || after.at !== AT_END; steps++) {
      if (out.length >= changes || this.#bytes >= budget.bytes) return false;
      if (this.#hasPassed && (steps >= budget.steps || this.#images.loads >= loads)) return false;
      switch (this.#compare()) {
        case BEFORE_FIRST:
          if (before.at !== AT_LEAF) before.open();
          else {
            this.#give(out, recordOf(before), undefined, before);
            this.#pass(before);
          }
          break;
        case AFTER_FIRST:
          if (after.at !== AT_LEAF) after.open();
          else {
            this.#give(out, undefined, recordOf(after), after);
            this.#pass(after);
          }
          break;
        case BEFORE_ABOVE:
          before.open();
          break;
        case AFTER_ABOVE:
          after.open();
          break;
        default:
          this.#meet(out);
      }
    }
    return true;
  }

  #pass(trail: Trail): void {
    this.#hasPassed = true;
    trail.next();
  }

  /** Both are at the same place. */
  #meet(out: TreeChange[]): void {
    const before = this.#before;
    const after = this.#after;
    if (before.at === AT_LEAF && after.at === AT_LEAF) {
      if (!isSameLeaf(before, after)) this.#give(out, recordOf(before), recordOf(after), after);
      this.#pass(before);
      this.#pass(after);
      return;
    }
    if (this.#isShared()) {
      this.#pass(before);
      this.#pass(after);
      return;
    }
    // A crossing that meets a node may lead to it; a leaf may be what a node ends in.
    const opensBefore = before.at === AT_CROSSING || (before.at === AT_NODE && after.at !== AT_CROSSING);
    const opensAfter = after.at === AT_CROSSING || (after.at === AT_NODE && before.at !== AT_CROSSING);
    if (opensBefore) before.open();
    if (opensAfter) after.open();
  }

  /** Whether all that is below both items is the same, as far as that can be told without going there. */
  #isShared(): boolean {
    const before = this.#before;
    const after = this.#after;
    if (before.at === AT_NODE && after.at === AT_NODE) {
      if (before.node !== after.node) return false;
      if (before.image === after.image && before.frame.crossings === 0) return true;
      return this.#same.has(before.image!, after.image!, before.node);
    }
    if (before.at !== AT_CROSSING || after.at !== AT_CROSSING || before.blobId !== after.blobId) return false;
    const one = before.side.imageOf(before.blobId);
    const other = after.side.imageOf(after.blobId);
    return one !== undefined && one.generation === other?.generation && one.crossings === 0;
  }

  #compare(): number {
    const before = this.#before;
    const after = this.#after;
    if (after.at === AT_END) return BEFORE_FIRST;
    if (before.at === AT_END) return AFTER_FIRST;
    const common = Math.min(before.length, after.length);
    const one = before.key;
    const other = after.key;
    let i = Math.min(this.#matched, before.base, after.base);
    while (i < common && one[i] === other[i]) i++;
    this.#matched = i;
    if (i < common) return one[i]! < other[i]! ? BEFORE_FIRST : AFTER_FIRST;
    if (before.length === after.length) return SAME;
    if (before.length < after.length) return before.at === AT_LEAF ? BEFORE_FIRST : BEFORE_ABOVE;
    return after.at === AT_LEAF ? AFTER_FIRST : AFTER_ABOVE;
  }

  #comesFirst(): boolean {
    const { key, length } = this.#before;
    return Buffer.compare(key.subarray(0, length), this.#after.key.subarray(0, this.#after.length)) <= 0;
  }

  #give(
    out: TreeChange[],
    before: TreeRecord | undefined,
    after: TreeRecord | undefined,
    { key, length }: Trail,
  ): void {
    out.push({ key: key.slice(0, length), before, after });
    this.#bytes += length + (before?.value.length ?? 0) + (after?.value.length ?? 0);
  }
}

function valueStart(frame: Frame, leaf: number): number {
  return leaf + LEAF_HEADER_BYTES + frame.leafKeyLength(leaf);
}

function recordOf({ frame, node }: Trail): TreeRecord {
  const start = valueStart(frame, node);
  return {
    value: frame.u8.slice(start, start + frame.leafValueLength(node)),
    version: frame.leafVersion(node),
  };
}

/** Whether both leaves, which are of the same key, have the same value. */
function isSameLeaf(before: Trail, after: Trail): boolean {
  const one = before.frame;
  const other = after.frame;
  if (one === other && before.node === after.node) return true;
  const bytes = one.leafValueLength(before.node);
  if (bytes !== other.leafValueLength(after.node)) return false;
  let from = valueStart(one, before.node);
  let to = valueStart(other, after.node);
  let left = bytes;
  // By words where both stand alike.
  if (((from ^ to) & 3) === 0) {
    for (; (from & 3) !== 0 && left > 0; left--) if (one.u8[from++] !== other.u8[to++]) return false;
    for (; left >= 4; left -= 4, from += 4, to += 4)
      if (one.u32[from >> 2] !== other.u32[to >> 2]) return false;
  }
  for (; left > 0; left--) if (one.u8[from++] !== other.u8[to++]) return false;
  return true;
}
