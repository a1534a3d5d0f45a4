/**
 * A table's rows in a mapped file: what is stored there is in the page cache at once, and survives the process.
 *
 * The file begins with a page for its header, which tells the session that it is of. Its space is allocated before it is
 * mapped, so that no store finds the disk full. Where the disk has none for more, the table goes on in this process's memory,
 * and `lost` is told why.
 */
import { type Disk, readFully } from '../../../engine/before-open.js';
import { reasonOf, SpinneyError } from '../../../engine/errors.js';
import { type GrowingMemory, HeapMemory } from './growing-memory.js';
import { encodeHeader, HEADER_BYTES, headerProblem } from './header.js';

export interface KeptFileOptions {
  disk: Disk;
  path: string;
  /** Which table it is. */
  kind: number;
  /** Of the session. */
  number: number;
  /** The table is not kept any more, for this reason. */
  lost: (reason: string) => void;
}

export class KeptFile implements GrowingMemory {
  readonly #options: KeptFileOptions;
  buffer: ArrayBuffer;
  start = HEADER_BYTES;
  #isMapped = true;

  private constructor(options: KeptFileOptions, buffer: ArrayBuffer) {
    this.#options = options;
    this.buffer = buffer;
  }

  /** Makes the file, which must not be there, with room for so many bytes of rows. Throws what the disk says. */
  static make(options: KeptFileOptions, bytes: number): KeptFile {
    const { disk, path, kind, number } = options;
    const fd = disk.open(path, { write: true, create: true });
    try {
      disk.allocate(fd, 0, HEADER_BYTES + bytes);
      const file = new KeptFile(options, disk.map(fd, HEADER_BYTES + bytes));
      encodeHeader(new Uint8Array(file.buffer, 0, HEADER_BYTES), kind, number);
      return file;
    } finally {
      disk.close(fd);
    }
  }

  /** Takes up the file of an earlier process. Throws ERR_MOUNT with the reason where that cannot be. */
  static takeUp(options: KeptFileOptions): KeptFile {
    const { disk, path, kind, number } = options;
    let fd = -1;
    try {
      fd = disk.open(path, { write: true });
      const size = disk.size(fd);
      const header = new Uint8Array(HEADER_BYTES);
      if (size > HEADER_BYTES) disk.read(fd, header, 0, HEADER_BYTES, 0);
      const problem = size > HEADER_BYTES ? headerProblem(header, kind, number) : 'it is cut short';
      if (problem !== undefined) throw new Error(problem);
      return new KeptFile(options, disk.map(fd, size));
    } catch (cause) {
      const reason = `${path}: ${reasonOf(cause)}`;
      throw new SpinneyError('ERR_MOUNT', `Cannot go on with the mount: ${reason}`, { cause });
    } finally {
      if (fd >= 0) disk.close(fd);
    }
  }

  get length(): number {
    return this.buffer.byteLength - this.start;
  }

  grow(): void {
    const { disk, path, lost } = this.#options;
    const rows = this.length;
    if (!this.#isMapped) {
      this.#moveToHeap(new Uint8Array(this.buffer), rows * 2);
      return;
    }
    const size = HEADER_BYTES + rows * 2;
    let fd = -1;
    let isUnmapped = false;
    try {
      fd = disk.open(path, { write: true });
      disk.allocate(fd, 0, size);
      disk.unmap(this.buffer);
      isUnmapped = true;
      this.buffer = disk.map(fd, size);
    } catch (error) {
      const kept = new Uint8Array(rows);
      if (isUnmapped) readFully(disk, fd, kept, 0, rows, HEADER_BYTES);
      else kept.set(new Uint8Array(this.buffer, HEADER_BYTES));
      this.#moveToHeap(kept, rows * 2);
      lost(`its table ${path} cannot grow: ${reasonOf(error)}`);
    } finally {
      if (fd >= 0) disk.close(fd);
    }
  }

  /** Ends the mapping. Nothing may use views of the buffer afterwards. */
  drop(): void {
    if (this.#isMapped) this.#options.disk.unmap(this.buffer);
    this.#moveToHeap(new Uint8Array(0), 0);
  }

  #moveToHeap(rows: Uint8Array, length: number): void {
    const memory = new HeapMemory(length);
    new Uint8Array(memory.buffer).set(rows);
    this.buffer = memory.buffer;
    this.start = 0;
    this.#isMapped = false;
  }
}
