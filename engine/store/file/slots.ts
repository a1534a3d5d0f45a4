/**
 * The writer's side of blobs.dat: which slots are free, which of those have disk space, and how large the file is.
 *
 * Invariants
 * - A slot is handed out only if no durable manifest refers to it, for a blob or for a pin, and no reader is in it.
 * - A ready slot has disk space: an image is written there whatever the disk has left. Who wants to be sure of a
 *   checkpoint has slots made ready before blobs become dirty (`reserve`), and none is taken away but by `trim`.
 * - Free slots that are not ready may have given their space back: a hole inside, a shorter file at the tail.
 *
 * This holds where a write into allocated space needs no new space. A filesystem that copies on write (btrfs, ZFS, a file
 * shared by reflink) gives that for the first write into a fresh allocation only; there what it keeps back itself is the bound.
 */
import type { Disk } from '../../disk/disk.js';
import { diskError, isNoSpace } from '../../disk/io.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import type { PinTable } from './pins/pin-table.js';
import { MAX_SLOTS, type SlotMap } from './slot-map.js';

// States of a slot. BARE is 0, so that a new table says it of every slot beyond the end.
const BARE = 0; // free, may have no disk space
const READY = 1; // free, has disk space
const USED = 2; // holds a blob's newest image, or one that a pin keeps
const RETIRED = 3; // unmapped, but a durable manifest may refer to it, or a reader is in it

export class Slots {
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #path: string;
  readonly #map: SlotMap;
  readonly #states: Uint8Array;
  /** Slots in the file. */
  #end: number;
  #ready = 0;
  #retired: number[] = [];

  /**
   * Takes every slot that has no blob and is not kept as free; which are ready an earlier writer of this process has told.
   */
  constructor(disk: Disk, fd: number, path: string, map: SlotMap, pins: PinTable) {
    this.#disk = disk;
    this.#fd = fd;
    this.#path = path;
    this.#map = map;
    this.#states = map.states;
    this.#end = Math.min(Math.floor(disk.size(fd) / BLOB_SIZE), MAX_SLOTS);
    let left = map.blobCount + pins.keptCount;
    for (let slot = 0; slot < MAX_SLOTS && (slot < this.#end || left > 0); slot++) {
      if (map.idAt(slot) !== 0 || pins.isKept(slot)) {
        this.#states[slot] = USED;
        left--;
        this.#end = Math.max(this.#end, slot + 1);
      } else if (map.hasReaders(slot)) this.#addRetired(slot);
      else if (this.#states[slot] === READY) this.#ready++;
      else this.#states[slot] = BARE;
    }
  }

  /** Slots that can be taken without asking the disk for space. */
  get ready(): number {
    return this.#ready;
  }

  /** Slots of the file: as many blobs as there can be without making it longer. */
  get end(): number {
    return this.#end;
  }

  /**
   * A free slot with disk space, which the caller now owns.
   * @throws ERR_NO_SPACE if the disk or the slot table is full.
   */
  take(): number {
    if (this.#ready === 0 && this.reserve(1) === 0) throw this.#full();
    const slot = this.#states.indexOf(READY);
    this.#states[slot] = USED;
    this.#ready--;
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
  }

  /**
   * Makes up to `count` more slots ready, as far as the disk has space; returns how many. `mayGrow`: the file may become
   * longer for it.
   * @throws ERR_IO
   */
  reserve(count: number, mayGrow = true): number {
    let added = 0;
    for (let slot = this.#states.indexOf(BARE); added < count && slot !== -1 && slot < this.#end; ) {
      if (this.#allocate(slot, 1)) {
        this.#setReady(slot);
        added++;
      }
      slot = this.#states.indexOf(BARE, slot + 1);
    }
    for (let step = mayGrow ? count - added : 0; added < count && step > 0; ) {
      const wanted = Math.min(step, count - added, MAX_SLOTS - this.#end);
      if (wanted > 0 && this.#grow(wanted)) added += wanted;
      else step >>= 1;
    }
    return added;
  }

  /** Leaves no more than `keep` slots ready: gives the space of others back, and cuts the tail of the file, as far as that goes. */
  trim(keep: number): void {
    try {
      this.#cutTail(keep);
      while (this.#ready > keep) {
        const slot = this.#states.lastIndexOf(READY, this.#end - 1);
        this.#states[slot] = BARE;
        this.#ready--;
        this.#disk.punchHole(this.#fd, slot * BLOB_SIZE, BLOB_SIZE);
      }
    } catch {
      // A disk that fails: nothing depends on it.
    }
  }

  #cutTail(keep: number): void {
    let end = this.#end;
    let ready = this.#ready;
    // Never to nothing: that is what an interrupted creation leaves.
    for (; end > 1 && this.#states[end - 1]! <= READY; end--) {
      if (this.#states[end - 1] === BARE) continue;
      if (ready === keep) break;
      ready--;
    }
    if (end >= this.#end) return;
    this.#disk.truncate(this.#fd, end * BLOB_SIZE);
    this.#states.fill(BARE, end, this.#end);
    this.#ready = ready;
    this.#end = end;
  }

  /** Adds ready slots at the end of the file; false where there is no space for as many. */
  #grow(count: number): boolean {
    if (!this.#allocate(this.#end, count)) {
      this.#dropTail();
      return false;
    }
    for (let slot = this.#end; slot < this.#end + count; slot++) this.#setReady(slot);
    this.#end += count;
    return true;
  }

  /** An allocation that found too little space may have kept what it found. */
  #dropTail(): void {
    try {
      if (this.#disk.size(this.#fd) > this.#end * BLOB_SIZE)
        this.#disk.truncate(this.#fd, this.#end * BLOB_SIZE);
    } catch {
      // Then the space is there for the next attempt.
    }
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

  #full(): SpinneyError {
    const why = this.#end < MAX_SLOTS ? 'no space left on the disk' : `the limit is ${MAX_SLOTS}`;
    const what = `Cannot grow ${this.#path} beyond ${this.#end} slots of ${BLOB_SIZE} bytes: ${why}`;
    return new SpinneyError('ERR_NO_SPACE', what);
  }
}
