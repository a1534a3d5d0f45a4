/** Where file contents are: one backing file per inode, at `<directory>/<ino / 4096 in hex>/<ino in hex>`. */
import { SpinneyError } from '../../../engine/errors.js';
import { ENOENT } from '../errno.js';
import { type ContentDisk, type FileStatus, newFileStatus } from './content-disk.js';

const FILES_PER_DIRECTORY = 4_096;

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
  /** Where files are that have not their names yet. */
  readonly #elsewhere = new Map<number, string>();

  constructor(disk: ContentDisk, directory: string, readOnly: boolean) {
    this.disk = disk;
    this.directory = directory;
    this.#readOnly = readOnly;
  }

  /** Opens the inode's backing file for reading, and for writing unless the filesystem is read-only; -1: none. */
  open(ino: number): number {
    this.#place(ino);
    return this.disk.open(this.#pathOf(ino), this.#readOnly ? 'read' : 'write');
  }

  /** Makes the backing file of an inode that has none; what is there under its number is another's, which was lost. */
  create(ino: number): number {
    this.#place(ino);
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

  /** The inode's backing file could not get its name and is at `path`; nobody opens it before it has. */
  isAt(ino: number, path: string): void {
    this.#elsewhere.set(ino, path);
  }

  /** Gives their names to all that are elsewhere; returns what went wrong, if anything did. */
  place(): unknown {
    let failure: unknown;
    for (const ino of [...this.#elsewhere.keys()]) {
      try {
        this.#place(ino);
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

  /** Makes the names that lead to the inode's backing file durable, innermost first. */
  syncName(ino: number): void {
    this.#syncDirectory(contentSubdirectory(this.directory, ino));
    this.#syncDirectory(this.directory);
  }

  #syncDirectory(path: string): void {
    const fd = this.disk.openDirectory(path);
    try {
      this.disk.fsync(fd);
    } finally {
      this.disk.close(fd);
    }
  }

  #makeDirectoryFor(ino: number): void {
    this.disk.makeDirectory(contentSubdirectory(this.directory, ino));
  }

  #place(ino: number): void {
    const path = this.#elsewhere.get(ino);
    if (path === undefined || this.#readOnly) return;
    this.name(path, ino);
    this.#elsewhere.delete(ino);
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
