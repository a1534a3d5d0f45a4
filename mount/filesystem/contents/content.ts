/** Where file contents are: one backing file per inode, at `<directory>/<ino / 4096 in hex>/<ino in hex>`. */
import { SpinneyError } from '../../../engine/errors.js';
import { BackingError, EIO, ENOENT } from '../errno.js';
import { type ContentDisk, type FileStatus, newFileStatus } from './content-disk.js';

const FILES_PER_DIRECTORY = 4_096;
/** In place of an inode or a directory. */
const ALL = '';

export function contentPath(directory: string, ino: number): string {
  return `${contentSubdirectory(directory, ino)}/${ino.toString(16)}`;
}

function contentSubdirectory(directory: string, ino: number): string {
  return `${directory}/${Math.floor(ino / FILES_PER_DIRECTORY).toString(16)}`;
}

export class ContentFiles {
  readonly disk: ContentDisk;
  readonly directory: string;
  readonly #readOnly: boolean;
  readonly #status: FileStatus = newFileStatus();
  /** By inode, directory, or ALL: what the sync of failed with, for good. */
  readonly #unsynced = new Map<number | string, unknown>();
  /** Where files are that have not their names yet. */
  readonly #elsewhere = new Map<number, string>();

  constructor(disk: ContentDisk, directory: string, readOnly: boolean) {
    this.disk = disk;
    this.directory = directory;
    this.#readOnly = readOnly;
  }

  /** Opens the inode's backing file for reading, and for writing unless the filesystem is read-only; -1: none. */
  open(ino: number): number {
    try {
      this.putInPlace(ino);
    } catch {
      // What is there can be read and written where it is, on a full disk too.
    }
    return this.disk.open(this.#pathOf(ino), this.#readOnly ? 'read' : 'write');
  }

  /** Makes the backing file of an inode that has none; what is there under its number is another's, which was lost. */
  create(ino: number): number {
    this.putInPlace(ino);
    const path = contentPath(this.directory, ino);
    let fd = this.disk.open(path, 'create');
    if (fd < 0) {
      this.#makeDirectoryFor(ino);
      fd = this.disk.open(path, 'create');
    }
    if (fd < 0)
      throw new SpinneyError('ERR_IO', `Cannot make the content file ${path}: its directory went away`);
    return fd;
  }

  /** Makes the file at `path` the inode's backing file, if another thread did not do that before. */
  name(path: string, ino: number): void {
    const named = contentPath(this.directory, ino);
    try {
      this.disk.rename(path, named);
    } catch (error) {
      if (!isMissing(error)) throw error;
      this.#makeDirectoryFor(ino);
      try {
        this.disk.rename(path, named);
      } catch (again) {
        if (!isMissing(again) || !this.#isThere(named)) throw again;
      }
    }
  }

  /** The inode's backing file could not get its name and is at `path`. */
  isAt(ino: number, path: string): void {
    this.#elsewhere.set(ino, path);
  }

  /** Gives the inode's backing file its name, if it is elsewhere. */
  putInPlace(ino: number): void {
    const path = this.#elsewhere.get(ino);
    if (path === undefined || this.#readOnly) return;
    this.name(path, ino);
    this.#elsewhere.delete(ino);
  }

  /** Gives their names to all that are elsewhere; returns what went wrong, if anything did. */
  place(): unknown {
    let failure: unknown;
    for (const ino of [...this.#elsewhere.keys()]) {
      try {
        this.putInPlace(ino);
      } catch (error) {
        failure = error;
      }
    }
    return failure;
  }

  /** Nobody wants the inode's content any more: what has no name is removed here. */
  discard(ino: number): void {
    const path = this.#elsewhere.get(ino);
    if (path === undefined) return;
    this.disk.remove(path);
    this.#elsewhere.delete(ino);
  }

  /** Removes the inode's content file; one that is missing is no error. */
  remove(ino: number): void {
    this.disk.remove(contentPath(this.directory, ino));
    this.#unsynced.delete(ino);
  }

  /** Whether the inode's backing file is there, and nobody has it open for writing, or mapped so. */
  isAtRest(ino: number): boolean {
    const path = this.#pathOf(ino);
    return this.#isThere(path) && !this.#isOpenForWriting(path);
  }

  /** Returns false where the inode has no backing file. */
  status(ino: number, out: FileStatus): boolean {
    return this.disk.statusAt(this.#pathOf(ino), out);
  }

  /**
   * Whether anyone has the inode's backing file open for writing, or mapped so; also where that cannot be told. The
   * caller must not have it open itself.
   */
  hasWriters(ino: number): boolean {
    return this.#isOpenForWriting(this.#pathOf(ino));
  }

  /** Sets the mtime of the inode's backing file, where it has one. */
  setModificationTime(ino: number, seconds: number, nanos: number): void {
    const fd = this.open(ino);
    if (fd < 0) return;
    try {
      this.disk.setModificationTime(fd, seconds, nanos);
    } finally {
      this.disk.close(fd);
    }
  }

  /**
   * Makes the inode's backing file durable, which `fd` has open. When that fails, the system counts what it could not write as
   * written: the next sync would succeed, and nobody know what is lost. So one that failed fails for good, as long as this
   * lives; here and below.
   */
  sync(ino: number, fd: number): void {
    this.#syncOnce(ino, `the content of inode ${ino}`, fd);
  }

  /** Makes the names that lead to the inode's backing file durable, innermost first. */
  syncName(ino: number): void {
    for (const path of [contentSubdirectory(this.directory, ino), this.directory]) {
      const fd = this.disk.openDirectory(path);
      try {
        this.#syncOnce(path, `names in ${path}`, fd);
      } finally {
        this.disk.close(fd);
      }
    }
  }

  /** Makes all contents durable, and their names; `fd` is any on their filesystem. */
  syncAll(fd: number): void {
    this.#syncOnce(ALL, 'contents', fd);
  }

  #syncOnce(key: number | string, what: string, fd: number): void {
    const earlier = this.#unsynced.get(key);
    if (earlier !== undefined) {
      throw new BackingError(
        EIO,
        `Cannot make ${what} durable: an earlier sync failed (${earlier}); copy the file`,
      );
    }
    try {
      if (key === ALL) this.disk.syncFilesystem(fd);
      else this.disk.fsync(fd);
    } catch (error) {
      this.#unsynced.set(key, error);
      throw error;
    }
  }

  #makeDirectoryFor(ino: number): void {
    this.disk.makeDirectory(contentSubdirectory(this.directory, ino));
  }

  #pathOf(ino: number): string {
    return this.#elsewhere.get(ino) ?? contentPath(this.directory, ino);
  }

  #isThere(path: string): boolean {
    return this.disk.statusAt(path, this.#status);
  }

  /** Whether anyone has the file open for writing, or mapped so; also where that cannot be told. */
  #isOpenForWriting(path: string): boolean {
    let fd: number;
    try {
      fd = this.disk.open(path, 'read');
    } catch {
      return true;
    }
    if (fd < 0) return false;
    try {
      return this.disk.isWrittenElsewhere(fd);
    } finally {
      this.disk.close(fd);
    }
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).errno === -ENOENT;
}
