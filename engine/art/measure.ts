/**
 * Sums over records, kept in each blob for the records in it: what `measure` of a tree adds up.
 *
 * A blob's sums are in a block of its data area, to which the header points. Without one they are not known, and whoever
 * needs them looks at the records: that is always right, and slower. Invariant: where they are, they are the sums of the
 * frame's leaves, save leaves of version 0, which keep a place while a graft is made.
 *
 * What a record counts is told by its value alone. A renamed prefix changes keys that nobody visits, and a frame does not
 * know what is above it: sums that depended on keys could not be kept.
 *
 * Only a thread that has the frame latched, or to which nobody else can see it, calls what changes sums.
 */
import { crc32 } from 'node:zlib';
import { SpinneyError } from '../errors.js';
import { MAX_MEASURE_FIELDS, MAX_MEASURE_NAME_BYTES } from '../limits.js';
import type { Frame } from './frame.js';
import {
  H_SUMS,
  KIND_CROSSING,
  KIND_LEAF,
  LEAF_HEADER_BYTES,
  SUMS_HEADER_BYTES,
  X_BLOB_ID,
} from './layout.js';
import { pushBelow } from './node.js';

export interface MeasureOptions {
  /** 1 to 64 printable ASCII characters. Recorded in the store: another measure must have another name. */
  name: string;
  /** Names of the sums, 1 to 8; a number n stands for "0" to n - 1. */
  fields: readonly string[] | number;
  /**
   * Writes what a record counts into `out`, one whole number for each field; those it leaves out are 0. It must come to the
   * same for the same value at all times, and not use the tree. `key` is always empty: a prefix can be renamed without a look
   * at the keys below it, so nothing may depend on them.
   */
  of(key: Uint8Array, value: Uint8Array, out: Float64Array): void;
}

/** What of a measure is recorded, and shared between threads. */
export interface MeasureName {
  name: string;
  /** How many. */
  fields: number;
}

const NO_KEY = new Uint8Array(0);
/** Values up to this are handed out without an allocation. */
const MOST_KEPT_BYTES = 1024;

export class Measure implements MeasureName {
  readonly name: string;
  readonly fields: number;
  readonly fieldNames: readonly string[];
  /** Tells sums of this measure from those of another. */
  readonly identity: number;
  readonly #of: MeasureOptions['of'];
  /** What the change under way leaves counts, and what it takes away, if it does. */
  readonly #next: Float64Array;
  readonly #last: Float64Array;
  readonly #counted: Float64Array;
  readonly #words = new Uint32Array(MOST_KEPT_BYTES / 4 + 2);
  /** Views of it, by where they begin modulo 4 and length. */
  readonly #views: (Uint8Array | undefined)[] = new Array(4 * (MOST_KEPT_BYTES + 1)).fill(undefined);
  readonly #moved: Sums;

  /** @throws ERR_INVALID_ARGUMENT */
  constructor({ name, fields, of }: MeasureOptions) {
    const names = typeof fields === 'number' ? Array.from({ length: fields }, (_, i) => String(i)) : fields;
    assertMeasure(name, names, of);
    this.name = name;
    this.fieldNames = [...names];
    this.fields = names.length;
    this.identity = identityOf(this);
    this.#of = of;
    this.#next = new Float64Array(this.fields);
    this.#last = new Float64Array(this.fields);
    this.#counted = new Float64Array(this.fields);
    this.#moved = new Sums(this.fields);
  }

  /** A change begins, which leaves `value` (undefined: none). REQUIRES nothing latched: throws what `of` throws. */
  weigh(value: Uint8Array | undefined): void {
    const next = this.#next;
    const last = this.#last;
    const { fields } = this;
    for (let i = 0; i < fields; i++) {
      next[i] = 0;
      last[i] = 0;
    }
    if (value === undefined) return;
    this.#of(NO_KEY, value, next);
    for (let i = 0; i < fields; i++) {
      const counted = next[i];
      if ((counted | 0) !== counted && !Number.isSafeInteger(counted)) throw this.#notWhole(i);
    }
  }

  /** It takes away or replaces the leaf. */
  takeOff(frame: Frame, leaf: number): void {
    this.#of(NO_KEY, this.#valueOf(frame, leaf), this.#last);
  }

  /** It has been made in the frame. */
  applyTo(frame: Frame): void {
    const block = blockOf(frame);
    if (block === 0) return;
    const { f64 } = frame;
    const next = this.#next;
    const last = this.#last;
    const { fields } = this;
    const at = (block + SUMS_HEADER_BYTES) >> 3;
    for (let i = 0; i < fields; i++) {
      const by = next[i] - last[i];
      // Most changes change nothing that counts.
      if (by !== 0) f64[at + i] += by;
    }
  }

  /** Adds what the leaf counts, and notes its value if that is wanted. */
  addLeaf(frame: Frame, leaf: number, sums: Sums): void {
    const value = this.#valueOf(frame, leaf);
    const counted = this.#counted;
    for (let i = 0; i < counted.length; i++) counted[i] = 0;
    this.#of(NO_KEY, value, counted);
    const { values, wanted } = sums;
    for (let i = 0; i < counted.length; i++) values[i] += counted[i];
    if (wanted >= 0 && counted[wanted] !== 0) sums.found.push(value.slice());
  }

  /** Before the subtree at `node` moves to another frame: moves what it counts there. */
  move(frame: Frame, node: number, target: Frame): void {
    const moved = this.#moved;
    moved.clear();
    sumSubtree(frame, node, this, moved);
    addSums(frame, moved.values, -1);
    addSums(target, moved.values, 1);
  }

  /** Gives the frame a block with sums of nothing; false where it has no room. REQUIRES that it has none. */
  begin(frame: Frame): boolean {
    return makeBlock(frame, this);
  }

  /** Sums up the frame's records, if it has room to keep that. REQUIRES that it has no sums. */
  build(frame: Frame): void {
    if (!this.begin(frame) || frame.root === 0) return;
    const sums = this.#moved;
    sums.clear();
    sumSubtree(frame, frame.root << 3, this, sums);
    addSums(frame, sums.values, 1);
  }

  /** The leaf's value, a copy that is good until the next one. */
  #valueOf(frame: Frame, leaf: number): Uint8Array {
    const start = leaf + LEAF_HEADER_BYTES + frame.leafKeyLength(leaf);
    const length = frame.leafValueLength(leaf);
    if (length > MOST_KEPT_BYTES) return frame.u8.slice(start, start + length);
    const skew = start & 3;
    const words = this.#words;
    const from = start >> 2;
    const count = (skew + length + 3) >> 2;
    for (let i = 0; i < count; i++) words[i] = frame.u32[from + i];
    const at = skew * (MOST_KEPT_BYTES + 1) + length;
    let view = this.#views[at];
    if (view === undefined) {
      view = new Uint8Array(words.buffer, skew, length);
      this.#views[at] = view;
    }
    return view;
  }

  #notWhole(field: number): SpinneyError {
    return new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot write a record that counts ${this.#next[field]} as "${this.fieldNames[field]}" of measure "${this.name}": it must be a whole number within 2^53`,
    );
  }
}

/** What is summed up on a walk. */
export class Sums {
  /** Records. */
  leaves = 0;
  readonly values: Float64Array;
  /** Blobs that hang from what was looked at, still to be added. */
  readonly below: number[] = [];
  /** The field whose records are wanted, -1: none; and the values of those found. */
  readonly wanted: number;
  readonly found: Uint8Array[] = [];

  constructor(fields: number, wanted = -1) {
    this.values = new Float64Array(fields);
    this.wanted = wanted;
  }

  clear(): void {
    this.leaves = 0;
    this.values.fill(0);
    this.below.length = 0;
  }
}

/** Tells sums of one measure from those of another. */
export function identityOf({ name, fields }: MeasureName): number {
  return crc32(`${name}\n${fields}`) >>> 0;
}

function assertMeasure(name: string, fields: readonly string[], of: unknown): void {
  const isName = typeof name === 'string' && /^[\x20-\x7e]+$/.test(name);
  if (!isName || name.length > MAX_MEASURE_NAME_BYTES) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot use ${JSON.stringify(name)} as the name of a measure: it has 1 to ${MAX_MEASURE_NAME_BYTES} printable ASCII characters`,
    );
  }
  const isList = Array.isArray(fields) && fields.length >= 1 && fields.length <= MAX_MEASURE_FIELDS;
  if (!isList || fields.some((field) => typeof field !== 'string') || new Set(fields).size < fields.length) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot use measure "${name}": it has 1 to ${MAX_MEASURE_FIELDS} fields of different names`,
    );
  }
  if (typeof of !== 'function') {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot use measure "${name}": "of" is the function that tells what a record counts`,
    );
  }
}

// The block of sums: u32 identity of the measure, u32 number of fields, an f64 for each.

/** Bytes of a block of so many fields. */
export function sumsBytes(fields: number): number {
  return SUMS_HEADER_BYTES + fields * 8;
}

function blockOf(frame: Frame): number {
  return frame.u16[H_SUMS >> 1] << 3;
}

function fieldsIn(frame: Frame, block: number): number {
  return frame.u32[(block >> 2) + 1];
}

export function hasSums(frame: Frame): boolean {
  return blockOf(frame) !== 0;
}

/** Whether the frame's sums are of this measure. */
export function hasSumsOf(frame: Frame, identity: number): boolean {
  const block = blockOf(frame);
  return block !== 0 && frame.u32[block >> 2] === identity;
}

/** The frame's sums; undefined where they are not known. */
export function sumsOf(frame: Frame): Float64Array | undefined {
  const block = blockOf(frame);
  if (block === 0) return undefined;
  const at = (block + SUMS_HEADER_BYTES) >> 3;
  return frame.f64.slice(at, at + fieldsIn(frame, block));
}

function makeBlock(frame: Frame, { identity, fields }: { identity: number; fields: number }): boolean {
  const block = frame.allocate(sumsBytes(fields));
  if (block === 0) return false;
  frame.u32[block >> 2] = identity;
  frame.u32[(block >> 2) + 1] = fields;
  const at = (block + SUMS_HEADER_BYTES) >> 3;
  frame.f64.fill(0, at, at + fields);
  frame.u16[H_SUMS >> 1] = block >> 3;
  return true;
}

/** The frame's sums are not known any more. */
export function dropSums(frame: Frame): void {
  const block = blockOf(frame);
  if (block === 0) return;
  frame.u16[H_SUMS >> 1] = 0;
  frame.free(block, sumsBytes(fieldsIn(frame, block)));
}

/** Adds to the frame's sums, if they are known. */
function addSums(frame: Frame, values: Float64Array, sign: number): void {
  const block = blockOf(frame);
  if (block === 0) return;
  const { f64 } = frame;
  const at = (block + SUMS_HEADER_BYTES) >> 3;
  for (let i = 0; i < values.length; i++) {
    f64[at + i] = f64[at + i] + sign * values[i];
  }
}

/** Before the subtree at `node` moves to another frame. A thread without the measure can only forget both their sums. */
export function moveSums(measure: Measure | undefined, frame: Frame, node: number, target: Frame): void {
  if (measure !== undefined) measure.move(frame, node, target);
  else {
    dropSums(frame);
    dropSums(target);
  }
}

/** All records of `source` have come to `target`: so do its sums. */
export function takeSums(measure: Measure | undefined, source: Frame, target: Frame): void {
  const values = sumsOf(source);
  if (values !== undefined) addSums(target, values, 1);
  else if (hasSums(target)) {
    dropSums(target);
    measure?.build(target);
  }
}

/** `target` was made from all records of these frames and has no sums yet. */
export function uniteSums(
  measure: Measure | undefined,
  first: Frame,
  others: readonly Frame[],
  target: Frame,
): void {
  const block = blockOf(first);
  if (block === 0 || !others.every(hasSums)) {
    measure?.build(target);
    return;
  }
  const identity = first.u32[block >> 2];
  // What the first frame's block took is free here.
  makeBlock(target, { identity, fields: fieldsIn(first, block) });
  takeSums(measure, first, target);
  for (const other of others) takeSums(measure, other, target);
}

let stack = new Int32Array(4096);
const crossings = new Set<number>();

/**
 * Adds what hangs from `node` inside its frame: its records, as `measure` counts them (undefined: only how many), and the
 * blobs that its crossings lead to.
 */
export function sumSubtree(frame: Frame, node: number, measure: Measure | undefined, sums: Sums): void {
  const { u8, u32 } = frame;
  let top = 0;
  stack[top++] = node;
  crossings.clear();
  while (top > 0) {
    const at = stack[--top];
    const kind = u8[at] & 15;
    if (kind === KIND_LEAF) {
      // One of version 0 only keeps a place.
      if (frame.leafVersion(at) === 0) continue;
      sums.leaves++;
      measure?.addLeaf(frame, at, sums);
    } else if (kind === KIND_CROSSING) {
      // Several bytes of a node share one.
      if (crossings.has(at)) continue;
      crossings.add(at);
      sums.below.push(u32[(at + X_BLOB_ID) >> 2]);
    } else {
      if (top + 257 > stack.length) stack = grown(stack);
      top = pushBelow(frame, at, stack, top);
    }
  }
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}
