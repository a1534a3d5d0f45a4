/**
 * The writer's side of blobs.dat: which slots are free, and how large the file is.
 *
 * Invariants
 * - A slot is handed out only if no durable manifest refers to it and no reader is in it.
 * - What blobs.dat has beyond the slots in use is a reserve of RESERVE_SLOTS slots that have disk space, so that a
 *   checkpoint of that many blobs succeeds on a full disk; it then gets the superseded slots back. The reserve has as many
 *   as the last checkpoints took, since the next will take about as many: to give their space back and ask for it again
 *   took ten times as long as to write the blobs. Free slots beyond the reserve give their space back: a hole inside, a
 *   shorter file at the tail.
 */
import type { Disk } from '../../disk/disk.js';
import { diskError, isNoSpace } from '../../disk/io.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import { MAX_SLOTS, type SlotMap } from './slot-map.js';

/** Free slots that are kept with disk space. */
export const RESERVE_SLOTS = 8;
/** The file grows by this many slots at a time. */
const GROW_SLOTS = 8;

// States of a slot. BARE is 0, so that a new table says it of every slot beyond the end.
const BARE = 0; // free, may have no disk space
const READY = 1; // free, has disk space
const USED = 2; // holds a blob's newest image
const RETIRED = 3; // unmapped, but a durable manifest may refer to it, or a reader is in it

export class Slots {
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #path: string;
  readonly #map: SlotMap;
  readonly #states = new Uint8Array(MAX_SLOTS);
  /** Slots in the file. */
  #end: number;
  #ready = 0;
  #retired: number[] = [];
  /** Slots taken since the last publish, and how many stay ready for the next. */
  #taken = 0;
  #reserve = RESERVE_SLOTS;

  /** Takes every slot that `map` has no blob in as free. */
  constructor(disk: Disk, fd: number, path: string, map: SlotMap) {
    this.#disk = disk;
    this.#fd = fd;
    this.#path = path;
    this.#map = map;
    this.#end = Math.min(Math.floor(disk.size(fd) / BLOB_SIZE), MAX_SLOTS);
    for (let slot = 0, left = map.blobCount; slot < MAX_SLOTS && (slot < this.#end || left > 0); slot++) {
      if (map.idAt(slot) !== 0) {
        this.#states[slot] = USED;
        left--;
        this.#end = Math.max(this.#end, slot + 1);
      } else if (map.hasReaders(slot)) this.#addRetired(slot);
    }
  }

  /**
   * A free slot with disk space, which the caller now owns.
   * @throws ERR_NO_SPACE if the disk or the slot table is full.
   */
  take(): number {
    let slot = this.#ready > 0 ? this.#states.indexOf(READY) : -1;
    if (slot === -1) slot = this.#fillBare();
    if (slot === -1) {
      this.#grow(GROW_SLOTS);
      slot = this.#states.indexOf(READY);
    }
    this.#states[slot] = USED;
    this.#ready--;
    this.#taken++;
    return slot;
  }

  /** Gives back a slot that no manifest on disk can refer to. */
  release(slot: number): void {
    if (this.#map.hasReaders(slot)) this.#addRetired(slot);
    else this.#setReady(slot);
  }

  /** Gives back a slot that a manifest on disk may refer to: free after the next publish. */
  retire(slot: number): void {
    this.#addRetired(slot);
  }

  /** To be called when the newest manifest is durable and there is no doubt about it. Frees what was retired. */
  published(): void {
    const retired = this.#retired;
    this.#retired = [];
    for (const slot of retired) this.release(slot);
    // Few taken once may be many again the next time, but never more than there are blobs.
    const expected = Math.min(Math.max(this.#taken, this.#reserve >> 1), this.#map.blobCount);
    this.#reserve = Math.max(RESERVE_SLOTS, expected);
    this.#taken = 0;
    this.#tidy();
  }

  /** No checkpoint is to come: the smallest reserve does. */
  close(): void {
    this.#reserve = RESERVE_SLOTS;
    this.#tidy();
  }

  /** Cuts the tail, gives space back and fills the reserve, as far as the disk lets it: nothing depends on it. */
  #tidy(): void {
    try {
      this.#cutTail();
      while (this.#ready > this.#reserve) {
        const slot = this.#states.lastIndexOf(READY, this.#end - 1);
        this.#states[slot] = BARE;
        this.#ready--;
        this.#disk.punchHole(this.#fd, slot * BLOB_SIZE, BLOB_SIZE);
      }
      while (this.#ready < RESERVE_SLOTS) {
        if (this.#fillBare() === -1) this.#grow(RESERVE_SLOTS - this.#ready);
      }
    } catch {
      // A full disk, or one that fails: then the next write that needs the space will say so.
    }
  }

  #cutTail(): void {
    let end = this.#end;
    while (end > 0 && this.#states[end - 1]! <= READY) end--;
    let free = 0;
    for (let slot = 0; slot < end && free < this.#reserve; slot++) if (this.#states[slot]! <= READY) free++;
    end += this.#reserve - free;
    if (end >= this.#end) return;
    this.#disk.truncate(this.#fd, end * BLOB_SIZE);
    for (let slot = end; slot < this.#end; slot++) {
      if (this.#states[slot] === READY) this.#ready--;
      this.#states[slot] = BARE;
    }
    this.#end = end;
  }

  /** Gives the first bare slot inside the file disk space; -1 if there is none or no space for one. */
  #fillBare(): number {
    for (let slot = this.#states.indexOf(BARE); slot !== -1 && slot < this.#end; ) {
      if (this.#allocate(slot, 1)) {
        this.#setReady(slot);
        return slot;
      }
      slot = this.#states.indexOf(BARE, slot + 1);
    }
    return -1;
  }

  /** Adds `count` slots at the end of the file, or one if there is no space for as many. */
  #grow(count: number): void {
    const wanted = Math.min(count, MAX_SLOTS - this.#end);
    const full = `Cannot grow ${this.#path} beyond ${this.#end} slots of ${BLOB_SIZE} bytes`;
    if (wanted === 0) throw new SpinneyError('ERR_NO_SPACE', `${full}: the limit is ${MAX_SLOTS}`);
    const added = this.#allocate(this.#end, wanted) ? wanted : 1;
    if (added < wanted && !this.#allocate(this.#end, 1)) {
      throw new SpinneyError('ERR_NO_SPACE', `${full}: no space left on the disk`);
    }
    for (let slot = this.#end; slot < this.#end + added; slot++) this.#setReady(slot);
    this.#end += added;
  }

  /** Whether the disk had the space. */
  #allocate(slot: number, count: number): boolean {
    try {
      this.#disk.allocate(this.#fd, slot * BLOB_SIZE, count * BLOB_SIZE);
      return true;
    } catch (error) {
      if (isNoSpace(error)) return false;
      throw diskError(`reserve space in ${this.#path} for slot ${slot}`, error);
    }
  }

  #setReady(slot: number): void {
    this.#states[slot] = READY;
    this.#ready++;
  }

  #addRetired(slot: number): void {
    this.#states[slot] = RETIRED;
    this.#retired.push(slot);
  }
}
