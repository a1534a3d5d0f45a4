/**
 * The images in blobs.dat: reading a slot with all checks, writing one, and making durable what was written.
 *
 * After a failed fdatasync the kernel may have dropped what was written while still showing it: the images that it covered
 * are written again before the next one.
 */
import type { Disk } from '../../../disk/disk.js';
import { diskError, readFully, writeFully } from '../../../disk/io.js';
import { SpinneyError } from '../../../errors.js';
import { BLOB_SIZE } from '../../../limits.js';
import type { AbsentImages } from '../../absent-images.js';
import type { BlobId } from '../../blob-store.js';
import { compareImage, imageCrc } from '../../image.js';
import { checksumsOf } from '../../page-checksums.js';
import type { SlotMap, StoredRow } from '../slot-map.js';
import { FileImagePages } from './image-pages.js';
import type { PageFile } from './page-file.js';

/** Images that are written before a sync comes between. */
const MOST_UNSYNCED = 32;

export class DataFile {
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #path: string;
  readonly #map: SlotMap;
  readonly #absent: AbsentImages | undefined;
  /** Where the checksums of the images' pages are, if anywhere. */
  pages: PageFile | undefined;
  /** Slots written to since the last fdatasync that succeeded. */
  readonly #unsynced = new Set<number>();
  #syncFailed = false;
  #imagePages: FileImagePages | undefined;
  readonly #start = new Uint8Array(8);

  /** `absent`: where images are had that are not in their slots. */
  constructor(disk: Disk, fd: number, path: string, map: SlotMap, absent?: AbsentImages) {
    this.#disk = disk;
    this.#absent = absent;
    this.#fd = fd;
    this.#path = path;
    this.#map = map;
  }

  /** Reads a slot that nobody writes to and checks that it holds the image that `row` tells of. */
  read(row: StoredRow, into: Uint8Array): void {
    const { id, slot } = row;
    const where = `blob ${id} in slot ${slot} of ${this.#path}`;
    let count: number;
    try {
      count = readFully(this.#disk, this.#fd, into, 0, BLOB_SIZE, slot * BLOB_SIZE);
    } catch (error) {
      throw diskError(`read ${where}`, error);
    }
    const difference =
      count < BLOB_SIZE ? `the file ends after ${count} bytes of it` : compareImage(into, row);
    if (difference !== undefined && !this.#fetched(row, into)) {
      throw new SpinneyError('ERR_BLOB_CORRUPT', `Cannot read ${where}: ${difference}`);
    }
  }

  /** Whether the image was had from elsewhere: then it is in its slot from now on, if the disk takes it. */
  #fetched(row: StoredRow, into: Uint8Array): boolean {
    const { id, generation, slot } = row;
    if (!this.#absent?.fetch(id, generation, into) || compareImage(into, row) !== undefined) return false;
    try {
      writeFully(this.#disk, this.#fd, into, slot * BLOB_SIZE);
    } catch {
      // It is had again the next time.
    }
    return true;
  }

  /** Reads the blob's image in a slot that is held, and lets go of it. */
  readHeld(slot: number, id: BlobId, into: Uint8Array): void {
    try {
      const row = this.#map.rowAt(slot, id);
      this.read(row, into);
      // It may be of a version without these checksums, or they were lost in a power cut.
      this.pages?.complete(slot, row.crc, into);
    } finally {
      this.#map.letGo(slot);
    }
  }

  /** See BlobStore. */
  imagePages(keptBytes: number): FileImagePages | undefined {
    if (this.pages === undefined) return undefined;
    this.#imagePages ??= new FileImagePages(this.#disk, this.#fd, this.#map, this.pages, keptBytes);
    return this.#imagePages;
  }

  /** The slot, which is held, will be read soon. */
  readAhead(slot: number, id: BlobId): void {
    if (this.#absent?.expect !== undefined && this.#isEmpty(slot))
      this.#absent.expect(id, this.#map.rowAt(slot, id).generation);
    else this.#disk.readAhead(this.#fd, slot * BLOB_SIZE, BLOB_SIZE);
  }

  /** Nothing was written there yet, as far as the first bytes tell. */
  #isEmpty(slot: number): boolean {
    const start = this.#start;
    const count = readFully(this.#disk, this.#fd, start, 0, start.length, slot * BLOB_SIZE);
    return count < start.length || start.every((byte) => byte === 0);
  }

  write(id: BlobId, slot: number, image: Uint8Array): void {
    try {
      writeFully(this.#disk, this.#fd, image, slot * BLOB_SIZE);
    } catch (error) {
      throw diskError(`write blob ${id} to slot ${slot} of ${this.#path}`, error);
    }
    this.#unsynced.add(slot);
    this.pages?.write(slot, checksumsOf(image, imageCrc(image)));
  }

  /** The image in the slot does not count any more. */
  forget(slot: number): void {
    this.#unsynced.delete(slot);
  }

  /** What is left to the flush would hold up those who keep step with the writing. */
  syncNowAndThen(): void {
    if (this.#unsynced.size >= MOST_UNSYNCED && !this.#syncFailed) this.sync();
  }

  /** Makes all images durable that were written and not forgotten; their slots are mapped. */
  sync(): void {
    if (this.#unsynced.size === 0) return;
    try {
      if (this.#syncFailed) this.#rewriteUnsynced();
      this.#disk.fdatasync(this.#fd);
    } catch (error) {
      this.#syncFailed = true;
      throw diskError(`make ${this.#path} durable`, error);
    }
    this.#unsynced.clear();
    this.#syncFailed = false;
  }

  #rewriteUnsynced(): void {
    const image = new Uint8Array(BLOB_SIZE);
    for (const slot of this.#unsynced) {
      this.read(this.#map.rowAt(slot, this.#map.idAt(slot)), image);
      writeFully(this.#disk, this.#fd, image, slot * BLOB_SIZE);
    }
  }
}
