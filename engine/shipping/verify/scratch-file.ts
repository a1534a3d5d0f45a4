/** A file without a name, which goes with its descriptor, whatever becomes of the process. */
import type { Disk } from '../../disk/disk.js';
import { isNoSpace, readFully, writeFully } from '../../disk/io.js';
import { reasonOf, SpinneyError } from '../../errors.js';

export class ScratchFile {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #fd: number;

  /** Makes it in the directory, which exists. @throws as `Disk` */
  constructor(disk: Disk, directory: string) {
    const path = `${directory}/scratch`;
    this.#disk = disk;
    this.#directory = directory;
    this.#fd = disk.open(path, { write: true, create: true });
    disk.unlink(path);
  }

  /** @throws ERR_NO_SPACE, ERR_IO */
  write(bytes: Uint8Array, position: number): void {
    try {
      writeFully(this.#disk, this.#fd, bytes, position);
    } catch (error) {
      const isFull = isNoSpace(error);
      const why = isFull ? 'the disk is full; set TMPDIR to a directory on another' : reasonOf(error);
      throw new SpinneyError(
        isFull ? 'ERR_NO_SPACE' : 'ERR_IO',
        `Cannot write to ${this.#directory}: ${why}`,
        {
          cause: error,
        },
      );
    }
  }

  /** Fills `into` with what was written there. @throws ERR_IO */
  read(into: Uint8Array, position: number): void {
    if (readFully(this.#disk, this.#fd, into, 0, into.length, position) === into.length) return;
    throw new SpinneyError('ERR_IO', `Cannot read a file in ${this.#directory}: it ends too early`);
  }

  close(): void {
    this.#disk.close(this.#fd);
  }
}
