/**
 * Reads of single pages of images, for one thread.
 *
 * A page counts only if its checksum is right, and checksums only if the CRC follows from them that the map has of the image:
 * so what is read is what was written, or nothing. A page that is kept is told from those that its slot had before by what
 * tells images apart everywhere: generation and CRC.
 */
import type { Disk } from '../../../disk/disk.js';
import { readFully } from '../../../disk/io.js';
import { BLOB_SIZE, PAGE_BYTES } from '../../../limits.js';
import type { BlobId, ImagePages } from '../../blob-store.js';
import { PAGES, pageChecksum, pagesOf } from '../../page-checksums.js';
import type { SlotMap } from '../slot-map.js';
import type { PageFile } from './page-file.js';

/** So often a page that is kept withstands another that would have its place, at most: once for each time that it was of use. */
const MOST_USES = 3;
/** Slots whose checksums are kept. */
const ROWS = 4096;

// What `#there` tells of a page of the held image.
const ABSENT = 0;
/** It is in `image`, and need not be kept: it is already, or has no inner nodes. */
const SETTLED = 1;
/** It was just read. */
const FRESH = 2;

export class FileImagePages implements ImagePages {
  readonly image = new Uint8Array(BLOB_SIZE);
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #map: SlotMap;
  readonly #file: PageFile;

  // The image that is held.
  #slot = -1;
  #generation = 0;
  #crc = 0;
  readonly #there = new Uint8Array(PAGES);
  readonly #views = pagesOf(this.image);

  /** Checksums of slot N are in row N modulo ROWS, if the row is that slot's and they give the image's CRC. */
  readonly #rows = Array.from<Uint32Array | undefined>({ length: ROWS });
  readonly #rowSlots = new Int32Array(ROWS).fill(-1);
  readonly #rowCrcs = new Uint32Array(ROWS);
  /** Checksums of the image that is held, once they are known. */
  #checksums: Uint32Array | undefined;

  // Pages that are kept, each in the one place that its slot and number give it; those that are of use often stay.
  readonly #kept: Uint8Array;
  readonly #places: number;
  readonly #names: Int32Array;
  readonly #generations: Float64Array;
  readonly #crcs: Uint32Array;
  readonly #uses: Uint8Array;

  /** `fd` is the data file's; at most `keptBytes` are for pages that are kept. */
  constructor(disk: Disk, fd: number, map: SlotMap, file: PageFile, keptBytes: number) {
    this.#disk = disk;
    this.#fd = fd;
    this.#map = map;
    this.#file = file;
    const places = Math.max(1, Math.floor(keptBytes / PAGE_BYTES));
    this.#places = places;
    this.#kept = new Uint8Array(places * PAGE_BYTES);
    this.#names = new Int32Array(places).fill(-1);
    this.#generations = new Float64Array(places);
    this.#crcs = new Uint32Array(places);
    this.#uses = new Uint8Array(places);
  }

  hold(id: BlobId): boolean {
    const slot = this.#map.holdBlob(id);
    if (slot === -1) return false;
    this.#slot = slot;
    this.#generation = this.#map.generationAt(slot);
    this.#crc = this.#map.crcAt(slot);
    this.#there.fill(ABSENT);
    this.#checksums = undefined;
    return true;
  }

  letGo(): void {
    if (this.#slot !== -1) this.#map.letGo(this.#slot);
    this.#slot = -1;
  }

  need(offset: number, length: number): boolean {
    const end = offset + length;
    if (end > BLOB_SIZE) return false;
    for (let page = Math.floor(offset / PAGE_BYTES); page * PAGE_BYTES < end; page++) {
      if (this.#there[page] === ABSENT && !this.#recall(page) && !this.#read(page)) return false;
    }
    return true;
  }

  keep(offset: number, length: number): void {
    for (let page = Math.floor(offset / PAGE_BYTES); page * PAGE_BYTES < offset + length; page++) {
      if (this.#there[page] !== FRESH) continue;
      this.#there[page] = SETTLED;
      const name = this.#slot * PAGES + page;
      const place = this.#placeOf(name);
      if (this.#uses[place]! > 0) {
        this.#uses[place]!--;
        continue;
      }
      this.#names[place] = name;
      this.#generations[place] = this.#generation;
      this.#crcs[place] = this.#crc;
      this.#kept.set(this.#views[page]!, place * PAGE_BYTES);
    }
  }

  /** Takes a page from those that are kept, if it is there. */
  #recall(page: number): boolean {
    const name = this.#slot * PAGES + page;
    const place = this.#placeOf(name);
    if (this.#names[place] !== name || this.#crcs[place] !== this.#crc) return false;
    if (this.#generations[place] !== this.#generation) return false;
    if (this.#uses[place]! < MOST_USES) this.#uses[place]!++;
    const from = place * PAGE_BYTES;
    this.#views[page]!.set(this.#kept.subarray(from, from + PAGE_BYTES));
    this.#there[page] = SETTLED;
    return true;
  }

  #placeOf(name: number): number {
    // The high bits: names of like pages of all slots have their low ones in common.
    return Math.floor(((Math.imul(name, 0x9e3779b1) >>> 0) / 2 ** 32) * this.#places);
  }

  #read(page: number): boolean {
    this.#checksums ??= this.#findChecksums();
    if (this.#checksums === undefined) return false;
    const view = this.#views[page]!;
    try {
      const at = this.#slot * BLOB_SIZE + page * PAGE_BYTES;
      if (readFully(this.#disk, this.#fd, view, 0, PAGE_BYTES, at) < PAGE_BYTES) return false;
    } catch {
      // Who then reads the whole image is told.
      return false;
    }
    if (pageChecksum(view, page) !== this.#checksums[page]) return false;
    this.#there[page] = FRESH;
    return true;
  }

  #findChecksums(): Uint32Array | undefined {
    const slot = this.#slot;
    const row = slot % ROWS;
    const checksums = this.#rows[row] ?? new Uint32Array(PAGES);
    if (this.#rowSlots[row] === slot && this.#rowCrcs[row] === this.#crc) return checksums;
    this.#rows[row] = checksums;
    this.#rowSlots[row] = -1;
    if (!this.#file.read(slot, this.#crc, checksums)) return undefined;
    this.#rowSlots[row] = slot;
    this.#rowCrcs[row] = this.#crc;
    return checksums;
  }
}
