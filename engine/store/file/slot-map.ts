/**
 * Which slot of blobs.dat holds which blob, in shared memory: one thread changes it, any thread looks up.
 *
 * Invariants
 * - A slot whose word `id` is not 0 holds that blob's newest image, staged or published; at most one slot per
 *   blob, except for the moment of a replacement, when both are valid.
 * - A reader holds a slot (adds to `readers`) and then looks at `id` again. The writer sets `id` to 0 and then
 *   looks at `readers`. Atomics are sequentially consistent, so one of them sees the other: a slot that is
 *   unmapped and has no readers stays unread, and may be written to.
 * - A hit needs no more proof than that. A miss counts only if `changes` was even and the same before and after,
 *   as a chain may be changed under a reader's feet.
 */
import { SpinneyError } from '../../errors.js';
import { MAX_MEASURE_FIELDS } from '../../limits.js';
import type { BlobId, BlobRow, CheckpointMark } from '../blob-store.js';

/** Most slots of a store, so 512 GiB of blobs; also the most pending deletes that a mark carries. */
export const MAX_SLOTS = 1 << 20;

/** What the manifest keeps about a blob. `crc` is the one in the image's header. */
export interface StoredRow extends BlobRow {
  slot: number;
  crc: number;
}

// Words (Int32) of the header.
const CHANGES = 0; // odd while the writer is at work
const BLOBS = 1;
const WRITER = 2; // 1 while some thread is the writer
const MARK_CHANGES = 3; // odd while the mark is being set
const MARK_PRESENT = 4;
const PENDING_DELETES = 5;
const END = 6; // no slot from here on was ever mapped
const MARK_DOUBLES = 8; // lsn, generation, nextBlobId as f64
const HEADER_WORDS = 64;

// Words of a slot: one cache line.
const ID = 0;
const NEXT = 1; // next slot of the same bucket, plus 1
const READERS = 2;
const CRC = 3;
const LIVE_BYTES = 4;
const LEAVES = 5;
const CROSSINGS = 6;
const COMPACTIONS = 7;
const HEIGHT = 8;
const SUMS = 9; // how many there are
const GENERATION_DOUBLE = 5; // words 10 and 11 as f64
const SLOT_WORDS = 16;

const BUCKETS = MAX_SLOTS;
const BUCKETS_AT = HEADER_WORDS;
const SLOTS_AT = BUCKETS_AT + BUCKETS;
const DELETES_AT = SLOTS_AT + MAX_SLOTS * SLOT_WORDS;
const STATES_AT = DELETES_AT + MAX_SLOTS;
/** Sums of each slot's blob, MAX_MEASURE_FIELDS doubles. */
const SUMS_AT = STATES_AT + MAX_SLOTS / 4;
const TOTAL_WORDS = SUMS_AT + MAX_SLOTS * MAX_MEASURE_FIELDS * 2;

const bucketOf = (id: BlobId): number => BUCKETS_AT + ((Math.imul(id, 0x9e3779b1) >>> 12) & (BUCKETS - 1));
const slotWord = (slot: number, word: number): number => SLOTS_AT + slot * SLOT_WORDS + word;
/** The double of the slot's first sum. */
const sumsDouble = (slot: number): number => SUMS_AT / 2 + slot * MAX_MEASURE_FIELDS;

export class SlotMap {
  readonly buffer: SharedArrayBuffer;
  /** What the writer knows of each slot (slots.ts), here so that the next writer knows it too. */
  readonly states: Uint8Array;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;

  /** A new, empty map, or a view of the one in `buffer`. Memory is taken only for what is touched. */
  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(TOTAL_WORDS * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#doubles = new Float64Array(buffer);
    this.states = new Uint8Array(buffer, STATES_AT * 4, MAX_SLOTS);
  }

  get blobCount(): number {
    return Atomics.load(this.#words, BLOBS);
  }

  /** Slots from here on never held a blob. */
  get end(): number {
    return Atomics.load(this.#words, END);
  }

  // Readers, any thread.

  has(id: BlobId): boolean {
    return this.slotOf(id) !== -1;
  }

  /** The blob's slot, -1 if there is no such blob. Stays true only for the writer, or with the slot held. */
  slotOf(id: BlobId): number {
    const words = this.#words;
    const bucket = bucketOf(id);
    for (;;) {
      const before = Atomics.load(words, CHANGES);
      // The count of steps bounds a walk that a change has led astray.
      let steps = 0;
      for (let next = Atomics.load(words, bucket); next !== 0 && steps <= MAX_SLOTS; steps++) {
        const at = slotWord(next - 1, 0);
        if (Atomics.load(words, at + ID) >>> 0 === id) return next - 1;
        next = Atomics.load(words, at + NEXT);
      }
      if (before % 2 === 0 && Atomics.load(words, CHANGES) === before) return -1;
    }
  }

  /** Holds the blob's slot against reuse until `letGo`; returns the slot, or -1 if there is no such blob. */
  holdBlob(id: BlobId): number {
    for (;;) {
      const slot = this.slotOf(id);
      if (slot === -1) return -1;
      this.hold(slot);
      if (this.idAt(slot) === id) return slot;
      this.letGo(slot);
    }
  }

  /** Whoever holds a slot must look afterwards whether it still has what they came for. */
  hold(slot: number): void {
    Atomics.add(this.#words, slotWord(slot, READERS), 1);
  }

  letGo(slot: number): void {
    Atomics.sub(this.#words, slotWord(slot, READERS), 1);
  }

  hasReaders(slot: number): boolean {
    return Atomics.load(this.#words, slotWord(slot, READERS)) !== 0;
  }

  /** The blob in the slot; 0 if none. */
  idAt(slot: number): BlobId {
    return Atomics.load(this.#words, slotWord(slot, ID)) >>> 0;
  }

  /**
   * What is known of blob `id` in its slot, which the caller holds or is the writer of. The slot's own word for the
   * id does not tell: a blob that is replaced meanwhile is unmapped, held or not. A slot that is kept for pins has this, too.
   */
  rowAt(slot: number, id: BlobId): StoredRow {
    const words = this.#words;
    const at = slotWord(slot, 0);
    const sums = words[at + SUMS]!;
    const first = sumsDouble(slot);
    return {
      id,
      slot,
      crc: words[at + CRC]! >>> 0,
      generation: this.#doubles[at / 2 + GENERATION_DOUBLE]!,
      liveBytes: words[at + LIVE_BYTES]! >>> 0,
      leaves: words[at + LEAVES]! >>> 0,
      crossings: words[at + CROSSINGS]! >>> 0,
      compactions: words[at + COMPACTIONS]! >>> 0,
      height: words[at + HEIGHT]!,
      ...(sums > 0 && { sums: Array.from(this.#doubles.subarray(first, first + sums)) }),
    };
  }

  /** The row of a slot that is held, which is let go; undefined for slot -1. */
  heldRow(slot: number, id: BlobId): BlobRow | undefined {
    if (slot === -1) return undefined;
    const { slot: _slot, crc: _crc, ...row } = this.rowAt(slot, id);
    this.letGo(slot);
    return row;
  }

  /** REQUIRES the writer: rows of blobs that have a slot. */
  rows(ids: Iterable<BlobId>): StoredRow[] {
    return Array.from(ids, (id) => {
      const slot = this.slotOf(id);
      if (slot === -1)
        throw new SpinneyError('ERR_BLOB_MISSING', `Cannot publish blob ${id}: it has no slot`);
      return this.rowAt(slot, id);
    });
  }

  /** As `rowAt`. */
  generationAt(slot: number): number {
    return this.#doubles[slotWord(slot, 0) / 2 + GENERATION_DOUBLE]!;
  }

  /** As `rowAt`. */
  crcAt(slot: number): number {
    return this.#words[slotWord(slot, CRC)]! >>> 0;
  }

  /** What `rowAt` is to tell of a slot that no blob is in: one that is kept for pins. REQUIRES the writer. */
  setRow(row: StoredRow): void {
    const words = this.#words;
    const at = slotWord(row.slot, 0);
    if (row.slot >= this.end) Atomics.store(words, END, row.slot + 1);
    words[at + CRC] = row.crc;
    words[at + LIVE_BYTES] = row.liveBytes;
    words[at + LEAVES] = row.leaves;
    words[at + CROSSINGS] = row.crossings;
    words[at + COMPACTIONS] = row.compactions;
    words[at + HEIGHT] = row.height;
    this.#doubles[at / 2 + GENERATION_DOUBLE] = row.generation;
    words[at + SUMS] = row.sums?.length ?? 0;
    if (row.sums !== undefined) this.#doubles.set(row.sums, sumsDouble(row.slot));
  }

  /** All blobs, ascending. */
  list(): BlobId[] {
    for (;;) {
      const before = Atomics.load(this.#words, CHANGES);
      const ids: BlobId[] = [];
      for (let slot = 0, left = this.blobCount; left > 0 && slot < MAX_SLOTS; slot++) {
        const id = this.idAt(slot);
        if (id === 0) continue;
        ids.push(id);
        left--;
      }
      if (before % 2 === 0 && Atomics.load(this.#words, CHANGES) === before) return ids.sort((a, b) => a - b);
    }
  }

  /** Calls `visit` for each slot that has a blob. */
  each(visit: (slot: number, id: BlobId) => void): void {
    for (let slot = 0; slot < this.end; slot++) {
      const id = this.idAt(slot);
      if (id !== 0) visit(slot, id);
    }
  }

  mark(): CheckpointMark | undefined {
    const words = this.#words;
    for (;;) {
      const before = Atomics.load(words, MARK_CHANGES);
      const present = Atomics.load(words, MARK_PRESENT) === 1;
      const [lsn, generation, nextBlobId] = this.#doubles.slice(MARK_DOUBLES, MARK_DOUBLES + 3);
      const deletes = words.slice(DELETES_AT, DELETES_AT + Atomics.load(words, PENDING_DELETES));
      // The exchange is a full fence: what was read above was read before the check below.
      Atomics.exchange(FENCE, 0, 0);
      if (before % 2 !== 0 || Atomics.load(words, MARK_CHANGES) !== before) continue;
      if (!present) return undefined;
      return {
        lsn: lsn!,
        generation: generation!,
        nextBlobId: nextBlobId!,
        pendingDeletes: Array.from(deletes, (id) => id >>> 0),
      };
    }
  }

  // The writer.

  /** Becomes the writer; false if another thread is. */
  claimWriter(): boolean {
    return Atomics.compareExchange(this.#words, WRITER, 0, 1) === 0;
  }

  releaseWriter(): void {
    Atomics.store(this.#words, WRITER, 0);
  }

  /** Maps `row.id` to `row.slot`, in place of the slot that held it, which is returned; -1 if none did. */
  set(row: StoredRow): number {
    const words = this.#words;
    const at = slotWord(row.slot, 0);
    const bucket = bucketOf(row.id);
    const old = this.slotOf(row.id);
    this.setRow(row);
    Atomics.add(words, CHANGES, 1);
    Atomics.store(words, at + NEXT, Atomics.load(words, bucket));
    Atomics.store(words, at + ID, row.id);
    Atomics.store(words, bucket, row.slot + 1);
    if (old !== -1) this.#unlink(row.id, old);
    else Atomics.add(words, BLOBS, 1);
    Atomics.add(words, CHANGES, 1);
    return old;
  }

  /** Unmaps the blob; returns the slot that held it, -1 if none did. */
  remove(id: BlobId): number {
    const slot = this.slotOf(id);
    if (slot === -1) return -1;
    Atomics.add(this.#words, CHANGES, 1);
    this.#unlink(id, slot);
    Atomics.sub(this.#words, BLOBS, 1);
    Atomics.add(this.#words, CHANGES, 1);
    return slot;
  }

  setMark(mark: CheckpointMark): void {
    const words = this.#words;
    Atomics.add(words, MARK_CHANGES, 1);
    this.#doubles.set([mark.lsn, mark.generation, mark.nextBlobId], MARK_DOUBLES);
    words.set(mark.pendingDeletes, DELETES_AT);
    Atomics.store(words, PENDING_DELETES, mark.pendingDeletes.length);
    Atomics.store(words, MARK_PRESENT, 1);
    Atomics.add(words, MARK_CHANGES, 1);
  }

  #unlink(id: BlobId, slot: number): void {
    const words = this.#words;
    let link = bucketOf(id);
    for (;;) {
      const next = Atomics.load(words, link);
      if (next === slot + 1) break;
      if (next === 0)
        throw new SpinneyError('ERR_POISONED', `Cannot unmap blob ${id}: slot ${slot} is in no bucket`);
      link = slotWord(next - 1, NEXT);
    }
    Atomics.store(words, link, Atomics.load(words, slotWord(slot, NEXT)));
    Atomics.store(words, slotWord(slot, ID), 0);
  }
}

/** A word of this thread alone, for fences. */
const FENCE = new Int32Array(1);
