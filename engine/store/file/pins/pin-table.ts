/**
 * The pins of a store and the slots that are kept for them, in shared memory: one thread changes it, any thread looks up.
 * What a row says of a kept slot stays in the slot map, where nothing overwrites it until the slot is free.
 *
 * Invariants
 * - A slot whose word here is not 0 holds an image of that blob which a pin keeps and which the blob has left. It is no
 *   blob's newest, and nobody writes to it.
 * - An image is kept before its blob leaves it, so who does not find it there any more finds it here.
 * - The writer sets a kept slot's word to 0 and then looks at who holds it; a reader holds the slot and then looks at the
 *   word again (see slot-map.ts).
 * - A miss counts only if `KEPT_CHANGES` was even and the same before and after.
 */
import { MAX_SNAPSHOT_NAME_BYTES, MAX_SNAPSHOTS } from '../../../limits.js';
import type { BlobId, KeptImage, Pin, PinChanges } from '../../blob-store.js';
import { ROW_BYTES } from '../row.js';
import { MAX_SLOTS, type SlotMap } from '../slot-map.js';
import { keepersOf, keeps, type PinSet } from './pin-set.js';
import { type KeptRow, type PinsPart, wholePartBytes } from './pins-part.js';

// Words (Int32) of the header.
const PIN_CHANGES = 0; // odd while the list of pins is being changed
const PINS = 1;
const LAST_PIN = 2;
const KEPT_CHANGES = 3; // odd while kept slots are being changed
const KEPT = 4;
const HEADER_WORDS = 16;

// Words of a pin.
const P_ID = 0;
const P_NAME_LENGTH = 1;
const P_LSN_DOUBLE = 1; // words 2 and 3 as f64
const P_GENERATION_DOUBLE = 2;
const P_CREATED_DOUBLE = 3;
const P_NAME = 8;
const PIN_WORDS = P_NAME + Math.ceil((MAX_SNAPSHOT_NAME_BYTES + 1) / 8) * 2;

// Words of a slot.
const K_BLOB = 0;
const K_NEXT = 1; // next slot of the same bucket, plus 1
const K_LAST_PIN = 2;
const KEPT_WORDS = 4;

const PINS_AT = HEADER_WORDS;
const BUCKETS = MAX_SLOTS / 4;
const BUCKETS_AT = PINS_AT + MAX_SNAPSHOTS * PIN_WORDS;
const SLOTS_AT = BUCKETS_AT + BUCKETS;
const TOTAL_WORDS = SLOTS_AT + MAX_SLOTS * KEPT_WORDS;

const bucketOf = (id: BlobId): number => BUCKETS_AT + ((Math.imul(id, 0x9e3779b1) >>> 14) & (BUCKETS - 1));
const slotAt = (slot: number): number => SLOTS_AT + slot * KEPT_WORDS;

export class PinTable {
  readonly buffer: SharedArrayBuffer;
  readonly #map: SlotMap;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #bytes: Uint8Array;
  #pins: readonly Pin[] = [];
  #pinsSeen = 0;

  /** A new, empty table, or a view of the one in `buffer`. Memory is taken only for what is touched. */
  constructor(map: SlotMap, buffer: SharedArrayBuffer = new SharedArrayBuffer(TOTAL_WORDS * 4)) {
    this.buffer = buffer;
    this.#map = map;
    this.#words = new Int32Array(buffer);
    this.#doubles = new Float64Array(buffer);
    this.#bytes = new Uint8Array(buffer);
  }

  // Any thread.

  /** By ascending id; not to be changed. Costs a look at one word where nothing has changed. */
  pins(): readonly Pin[] {
    const words = this.#words;
    for (;;) {
      const before = Atomics.load(words, PIN_CHANGES);
      if (before === this.#pinsSeen) return this.#pins;
      if (before % 2 !== 0) continue;
      const pins = Array.from({ length: Atomics.load(words, PINS) }, (_, index) => this.#pinAt(index));
      // The exchange is a full fence: what was read above was read before the check below.
      Atomics.exchange(FENCE, 0, 0);
      if (Atomics.load(words, PIN_CHANGES) !== before) continue;
      this.#pins = pins;
      this.#pinsSeen = before;
      return pins;
    }
  }

  get lastPin(): number {
    return Atomics.load(this.#words, LAST_PIN) >>> 0;
  }

  /** Slots that are kept. */
  get keptCount(): number {
    return Atomics.load(this.#words, KEPT);
  }

  /** Bytes that the snapshot of a manifest takes for all this. */
  get snapshotBytes(): number {
    return this.lastPin === 0 ? 0 : wholePartBytes(this.pins(), this.keptCount);
  }

  /** Bytes that it takes beside rows of so many slots, whichever of these are kept; with one pin more if that is given. */
  reservedBytes(slots: number, pin?: Pin): number {
    if (this.lastPin === 0 && pin === undefined) return 0;
    const pins = pin === undefined ? this.pins() : [...this.pins(), pin];
    return wholePartBytes(pins, slots) - slots * ROW_BYTES;
  }

  /** Whether the slot is kept. */
  isKept(slot: number): boolean {
    return this.#blobAt(slot) !== 0;
  }

  /** Holds the slot of the image that the pin keeps of the blob, its newest or another; -1: it has none. */
  holdBlob(pin: Pin, id: BlobId): number {
    const map = this.#map;
    for (;;) {
      const before = Atomics.load(this.#words, KEPT_CHANGES);
      const newest = map.holdBlob(id);
      if (newest !== -1) {
        if (map.generationAt(newest) <= pin.generation) return newest;
        map.letGo(newest);
      }
      const slot = this.#find(pin, id);
      if (slot !== -1) {
        map.hold(slot);
        if (this.#isFor(slot, pin, id)) return slot;
        map.letGo(slot);
      } else if (before % 2 === 0 && Atomics.load(this.#words, KEPT_CHANGES) === before) return -1;
    }
  }

  /**
   * The blobs that the pin keeps, ascending. In this order, so that none is missed: newest images first, since what leaves
   * there is kept here before. (What goes from here meanwhile is of pins that are gone.)
   */
  listBlobs(pin: Pin): BlobId[] {
    const map = this.#map;
    const ids = new Set<BlobId>();
    map.each((slot, id) => {
      if (map.generationAt(slot) <= pin.generation && map.idAt(slot) === id) ids.add(id);
    });
    this.#eachKept((slot, id) => {
      if (this.#isFor(slot, pin, id)) ids.add(id);
    });
    return [...ids].sort((a, b) => a - b);
  }

  /** How many slots are kept for each pin alone. */
  countOwn(): Map<number, number> {
    const pins = this.pins();
    const own = new Map(pins.map(({ id }) => [id, 0]));
    this.#eachKept((slot) => {
      const keepers = keepersOf(pins, this.#map.generationAt(slot), this.#lastPinAt(slot));
      if (keepers === undefined || keepers.first !== keepers.last) return;
      const { id } = pins[keepers.first]!;
      own.set(id, own.get(id)! + 1);
    });
    return own;
  }

  listKept(): KeptImage[] {
    const pins = this.pins();
    const kept: KeptImage[] = [];
    this.#eachKept((slot, id) => {
      const keepers = keepersOf(pins, this.#map.generationAt(slot), this.#lastPinAt(slot));
      if (keepers !== undefined) kept.push({ pin: pins[keepers.first]!.id, id });
    });
    return kept;
  }

  // The writer.

  /** Fills an empty table with what the manifest says. */
  load({ pins, lastPin, kept }: PinSet): void {
    for (const row of kept.values()) {
      this.#map.setRow(row);
      this.#keep(row.slot, row.id, row.lastPin);
    }
    this.#setPins(pins, lastPin);
  }

  /** To be called before the blob leaves its slot: keeps the slot if a pin needs it; returns whether one does. */
  keep(slot: number, id: BlobId): boolean {
    const newest = this.pins().at(-1);
    if (newest === undefined || this.#map.generationAt(slot) > newest.generation) return false;
    this.#keep(slot, id, newest.id);
    return true;
  }

  add(pin: Pin): void {
    this.#setPins([...this.pins(), pin], pin.id);
  }

  /** Removes pins and returns the slots that none of the others needs. */
  remove(ids: readonly number[]): number[] {
    const left = this.pins().filter(({ id }) => !ids.includes(id));
    this.#setPins(left, this.lastPin);
    const free: number[] = [];
    this.#eachKept((slot) => {
      if (keepersOf(left, this.#map.generationAt(slot), this.#lastPinAt(slot)) === undefined) free.push(slot);
    });
    for (const slot of free) this.#drop(slot);
    return free;
  }

  /** What the snapshot of a manifest tells of pins, once these changes are made. */
  snapshot({ add, remove = [] }: PinChanges): PinsPart | undefined {
    const pins = this.pins().filter(({ id }) => !remove.includes(id));
    const kept: KeptRow[] = [];
    this.#eachKept((slot, id) => {
      const lastPin = this.#lastPinAt(slot);
      if (keepersOf(pins, this.#map.generationAt(slot), lastPin) !== undefined)
        kept.push({ ...this.#map.rowAt(slot, id), lastPin });
    });
    if (add !== undefined) pins.push(add);
    const lastPin = add?.id ?? this.lastPin;
    return lastPin === 0 ? undefined : { lastPin, pins, removed: [], kept };
  }

  #pinAt(index: number): Pin {
    const at = PINS_AT + index * PIN_WORDS;
    const words = this.#words;
    const doubles = this.#doubles;
    const name = (at + P_NAME) * 4;
    const length = Math.min(words[at + P_NAME_LENGTH]!, MAX_SNAPSHOT_NAME_BYTES);
    return {
      id: words[at + P_ID]! >>> 0,
      name: Buffer.from(this.#bytes.slice(name, name + length)).toString(),
      lsn: doubles[at / 2 + P_LSN_DOUBLE]!,
      generation: doubles[at / 2 + P_GENERATION_DOUBLE]!,
      createdAt: doubles[at / 2 + P_CREATED_DOUBLE]!,
    };
  }

  #setPins(pins: readonly Pin[], lastPin: number): void {
    const words = this.#words;
    Atomics.add(words, PIN_CHANGES, 1);
    for (const [index, pin] of pins.entries()) {
      const at = PINS_AT + index * PIN_WORDS;
      const name = Buffer.from(pin.name);
      words[at + P_ID] = pin.id;
      words[at + P_NAME_LENGTH] = name.length;
      this.#doubles[at / 2 + P_LSN_DOUBLE] = pin.lsn;
      this.#doubles[at / 2 + P_GENERATION_DOUBLE] = pin.generation;
      this.#doubles[at / 2 + P_CREATED_DOUBLE] = pin.createdAt;
      this.#bytes.set(name, (at + P_NAME) * 4);
    }
    Atomics.store(words, PINS, pins.length);
    Atomics.store(words, LAST_PIN, lastPin);
    Atomics.add(words, PIN_CHANGES, 1);
  }

  #blobAt(slot: number): BlobId {
    return Atomics.load(this.#words, slotAt(slot) + K_BLOB) >>> 0;
  }

  #lastPinAt(slot: number): number {
    return Atomics.load(this.#words, slotAt(slot) + K_LAST_PIN) >>> 0;
  }

  #isFor(slot: number, pin: Pin, id: BlobId): boolean {
    return this.#blobAt(slot) === id && keeps(pin, this.#map.generationAt(slot), this.#lastPinAt(slot));
  }

  #find(pin: Pin, id: BlobId): number {
    const words = this.#words;
    // The count of steps bounds a walk that a change has led astray.
    let steps = 0;
    for (let next = Atomics.load(words, bucketOf(id)); next !== 0 && steps <= MAX_SLOTS; steps++) {
      if (this.#isFor(next - 1, pin, id)) return next - 1;
      next = Atomics.load(words, slotAt(next - 1) + K_NEXT);
    }
    return -1;
  }

  #eachKept(visit: (slot: number, id: BlobId) => void): void {
    if (this.keptCount === 0) return;
    for (let slot = 0; slot < this.#map.end; slot++) {
      const id = this.#blobAt(slot);
      if (id !== 0) visit(slot, id);
    }
  }

  #keep(slot: number, id: BlobId, lastPin: number): void {
    const words = this.#words;
    const at = slotAt(slot);
    const bucket = bucketOf(id);
    Atomics.add(words, KEPT_CHANGES, 1);
    Atomics.store(words, at + K_LAST_PIN, lastPin);
    Atomics.store(words, at + K_NEXT, Atomics.load(words, bucket));
    Atomics.store(words, at + K_BLOB, id);
    Atomics.store(words, bucket, slot + 1);
    Atomics.add(words, KEPT, 1);
    Atomics.add(words, KEPT_CHANGES, 1);
  }

  #drop(slot: number): void {
    const words = this.#words;
    const at = slotAt(slot);
    Atomics.add(words, KEPT_CHANGES, 1);
    let link = bucketOf(this.#blobAt(slot));
    for (let next = Atomics.load(words, link); next !== slot + 1; next = Atomics.load(words, link))
      link = slotAt(next - 1) + K_NEXT;
    Atomics.store(words, link, Atomics.load(words, at + K_NEXT));
    Atomics.store(words, at + K_BLOB, 0);
    Atomics.sub(words, KEPT, 1);
    Atomics.add(words, KEPT_CHANGES, 1);
  }
}

/** A word of this thread alone, for fences. */
const FENCE = new Int32Array(1);
