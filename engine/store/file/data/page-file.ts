/**
 * `blobs.pages`: for each slot of the data file the checksums of its image's pages.
 *
 * Nothing depends on it. It is never synced, and what is in it counts only where the CRC follows from it that the manifest
 * has of the image: so it may be missing, old, torn or damaged, and then images are read as a whole. Hence no failure here is
 * told to anybody.
 */
import type { Disk } from '../../../disk/disk.js';
import { readFully, writeFully } from '../../../disk/io.js';
import { SpinneyError } from '../../../errors.js';
import { checksumsOf, imageChecksum, PAGES } from '../../page-checksums.js';
import { PAGES_FILE } from '../names.js';

const ROW_BYTES = PAGES * 4;

/** What another thread of the process needs to use the file, too. */
export interface PageFileHandle {
  fd: number;
  isWritable: boolean;
}

export class PageFile {
  readonly handle: PageFileHandle;
  readonly #disk: Disk;
  readonly #row = new Uint32Array(PAGES);
  readonly #rowBytes = new Uint8Array(this.#row.buffer);

  /** Of one that this process has open. */
  constructor(disk: Disk, handle: PageFileHandle) {
    this.#disk = disk;
    this.handle = handle;
  }

  /** Undefined where there is none, or it cannot be opened. @throws ERR_UNSAFE for what is no plain file, or another's */
  static open(disk: Disk, directory: string, isWritable: boolean): PageFile | undefined {
    try {
      const fd = disk.open(`${directory}/${PAGES_FILE}`, { write: isWritable, create: isWritable });
      return new PageFile(disk, { fd, isWritable });
    } catch (error) {
      if (error instanceof SpinneyError) throw error;
      return undefined;
    }
  }

  close(): void {
    this.#disk.close(this.handle.fd);
  }

  /** Reads the checksums of an image with this CRC into `into`; false where they are not there. */
  read(slot: number, crc: number, into: Uint32Array): boolean {
    const bytes = new Uint8Array(into.buffer, into.byteOffset, ROW_BYTES);
    try {
      const count = readFully(this.#disk, this.handle.fd, bytes, 0, ROW_BYTES, slot * ROW_BYTES);
      return count === ROW_BYTES && imageChecksum(into) === crc;
    } catch {
      return false;
    }
  }

  /** Sees that the checksums of an image with this CRC are there; its slot is held. */
  complete(slot: number, crc: number, image: Uint8Array): void {
    if (this.handle.isWritable && !this.read(slot, crc, this.#row)) this.write(slot, checksumsOf(image, crc));
  }

  /** Notes the checksums of the image in a slot that is the caller's to write to, or held. */
  write(slot: number, checksums: Uint32Array): void {
    if (!this.handle.isWritable) return;
    this.#row.set(checksums);
    try {
      writeFully(this.#disk, this.handle.fd, this.#rowBytes, slot * ROW_BYTES);
    } catch {
      // The image will be read as a whole.
    }
  }
}
