/**
 * Where file contents are: one backing file for each ino and born, at `<directory>/<ino / 4096 in hex>/<ino in hex>`, with
 * `.<born in hex>` behind that where born is not 0. Which of them an inode has is in its record.
 */
import { SpinneyError } from '../../../engine/errors.js';
import { BackingError, EIO, ENOENT } from '../errno.js';
import { type ContentDisk, type FileStatus, newFileStatus } from './disk/content-disk.js';
import type { RemoteContent } from './remote-content.js';

const FILES_PER_DIRECTORY = 4_096;
/** What stat counts in. */
const BLOCK_BYTES = 512;
/** In place of an inode or a directory. */
const ALL = '';

/** `born`: 0 before the first snapshot. */
export function contentPath(directory: string, ino: number, born = 0): string {
  const suffix = born === 0 ? '' : `.${born.toString(16)}`;
  return `${contentSubdirectory(directory, ino)}/${ino.toString(16)}${suffix}`;
}

/** Ino and born of the content file that has this name in one of the directories of contents; undefined: it is none. */
export function parseContentName(name: string): { ino: number; born: number } | undefined {
  const [, ino, born] = /^([1-9a-f][0-9a-f]*)(?:\.([1-9a-f][0-9a-f]*))?$/.exec(name) ?? [];
  if (ino === undefined) return undefined;
  return { ino: Number.parseInt(ino, 16), born: born === undefined ? 0 : Number.parseInt(born, 16) };
}

function contentSubdirectory(directory: string, ino: number): string {
  return `${directory}/${Math.floor(ino / FILES_PER_DIRECTORY).toString(16)}`;
}

interface Elsewhere {
  ino: number;
  born: number;
  path: string;
}

/** Contents that a remote has (away.ts). */
export interface ContentsAway {
  /** What the remote has of the content, if anything. */
  find(ino: number, born: number): RemoteContent | undefined;
  /** The content's file is missing here. Throws where the remote has it, after it has asked for it; returns where it is missing. */
  require(ino: number, born: number): void;
  /** The content's file has not the size that its record tells. True: it is removed, and the remote has what the record tells of. */
  heal(ino: number, born: number, size: number, seconds: number, nanos: number): boolean;
}

export class ContentFiles {
  readonly disk: ContentDisk;
  readonly directory: string;
  readonly #readOnly: boolean;
  readonly #status: FileStatus = newFileStatus();
  /** By inode, directory, or ALL: what the sync of failed with, for good. */
  readonly #unsynced = new Map<number | string, unknown>();
  /** Where files are that have not their names yet. */
  readonly #elsewhere = new Map<string, Elsewhere>();
  /** Contents that a remote has; undefined: there is none, and all that there is is here. */
  away: ContentsAway | undefined;

  constructor(disk: ContentDisk, directory: string, readOnly: boolean) {
    this.disk = disk;
    this.directory = directory;
    this.#readOnly = readOnly;
  }

  /**
   * Opens the inode's backing file for reading, and for writing unless the filesystem is read-only; -1: none.
   * @throws ContentAwaited, and what else `away.require` does
   */
  open(ino: number, born: number): number {
    try {
      this.putInPlace(ino, born);
    } catch {
      // What is there can be read and written where it is, on a full disk too.
    }
    const fd = this.disk.open(this.pathOf(ino, born), this.#readOnly ? 'read' : 'write');
    if (fd < 0) this.away?.require(ino, born);
    return fd;
  }

  /** As `open`, for reading alone. */
  openToRead(ino: number, born: number): number {
    const fd = this.disk.open(this.pathOf(ino, born), 'read');
    if (fd < 0) this.away?.require(ino, born);
    return fd;
  }

  /** Makes the backing file of an inode that has none; what is there under its number is another's, which was lost. */
  create(ino: number, born: number): number {
    this.putInPlace(ino, born);
    const path = contentPath(this.directory, ino, born);
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
  name(path: string, ino: number, born: number): void {
    const named = contentPath(this.directory, ino, born);
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

  /** Gives the inode's backing file a second name, that of a content made after snapshot `next`. */
  link(ino: number, born: number, next: number): void {
    this.putInPlace(ino, born);
    this.disk.remove(contentPath(this.directory, ino, next));
    this.disk.link(contentPath(this.directory, ino, born), contentPath(this.directory, ino, next));
  }

  /** Whether two contents of the inode are one file. */
  areOne(ino: number, born: number, next: number): boolean {
    if (!this.statusHere(ino, born, this.#status)) return false;
    const identity = this.disk.lastIdentity();
    return this.statusHere(ino, next, this.#status) && this.disk.lastWas(identity);
  }

  /** The inode's backing file could not get its name and is at `path`. */
  isAt(ino: number, born: number, path: string): void {
    this.#elsewhere.set(keyOf(ino, born), { ino, born, path });
  }

  /** Gives the inode's backing file its name, if it is elsewhere. */
  putInPlace(ino: number, born: number): void {
    if (this.#elsewhere.size === 0 || this.#readOnly) return;
    const found = this.#elsewhere.get(keyOf(ino, born));
    if (found === undefined) return;
    this.name(found.path, ino, born);
    this.#elsewhere.delete(keyOf(ino, born));
  }

  /** Gives their names to all that are elsewhere; returns what went wrong, if anything did. */
  place(): unknown {
    let failure: unknown;
    for (const { ino, born } of [...this.#elsewhere.values()]) {
      try {
        this.putInPlace(ino, born);
      } catch (error) {
        failure = error;
      }
    }
    return failure;
  }

  /** Nobody wants the inode's content any more: what has no name is removed here. */
  discard(ino: number, born: number): void {
    const key = keyOf(ino, born);
    const found = this.#elsewhere.get(key);
    if (found === undefined) return;
    this.disk.remove(found.path);
    this.#elsewhere.delete(key);
  }

  /** Removes the content file; one that is missing is no error. */
  remove(ino: number, born: number): void {
    this.disk.remove(contentPath(this.directory, ino, born));
  }

  /** All content files that have their names. */
  *list(): Generator<{ ino: number; born: number }> {
    if (this.disk.nodeAt(this.directory) === undefined) return;
    for (const { name, kind } of this.disk.list(this.directory)) {
      if (kind !== 'directory') continue;
      for (const file of this.disk.list(`${this.directory}/${name}`)) {
        const found = parseContentName(file.name);
        if (found === undefined) continue;
        const path = `${this.directory}/${name}/${file.name}`;
        if (contentPath(this.directory, found.ino, found.born) === path) yield found;
      }
    }
  }

  /** Whether the inode's backing file is there, and nobody has it open for writing, or mapped so. */
  isAtRest(ino: number, born: number): boolean {
    const path = this.pathOf(ino, born);
    return this.#isThere(path) && !this.#isOpenForWriting(path);
  }

  /** Whether the inode's backing file is on this disk. */
  isHere(ino: number, born: number): boolean {
    return this.statusHere(ino, born, this.#status);
  }

  /** As `status`, of what is on this disk. */
  statusHere(ino: number, born: number, out: FileStatus): boolean {
    return this.disk.statusAt(this.pathOf(ino, born), out);
  }

  /** Returns false where the inode has no backing file, here or in a remote. */
  status(ino: number, born: number, out: FileStatus): boolean {
    if (this.statusHere(ino, born, out)) return true;
    const remote = this.away?.find(ino, born);
    if (remote === undefined) return false;
    out.size = remote.size;
    out.blocks = Math.ceil(remote.size / BLOCK_BYTES);
    out.mtimeSeconds = remote.mtimeSeconds;
    out.mtimeNanos = remote.mtimeNanos;
    return true;
  }

  /**
   * Whether anyone has the inode's backing file open for writing, or mapped so; also where that cannot be told. The
   * caller must not have it open itself.
   */
  hasWriters(ino: number, born: number): boolean {
    return this.#isOpenForWriting(this.pathOf(ino, born));
  }

  /** As `hasWriters`, of anyone who has it open or mapped in any way. */
  hasUsers(ino: number, born: number): boolean {
    return this.#isOpen(this.pathOf(ino, born), (fd) => this.disk.isOpenElsewhere(fd));
  }

  /** Sets the mtime of the inode's backing file, where it has one. */
  setModificationTime(ino: number, born: number, seconds: number, nanos: number): void {
    const fd = this.open(ino, born);
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
   * lives; here and below, whichever of the inode's contents it is.
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

  /** Where the content file is, or would be. */
  pathOf(ino: number, born: number): string {
    const found = this.#elsewhere.size === 0 ? undefined : this.#elsewhere.get(keyOf(ino, born));
    return found?.path ?? contentPath(this.directory, ino, born);
  }

  #isThere(path: string): boolean {
    return this.disk.statusAt(path, this.#status);
  }

  /** Whether anyone has the file open for writing, or mapped so; also where that cannot be told. */
  #isOpenForWriting(path: string): boolean {
    return this.#isOpen(path, (fd) => this.disk.isWrittenElsewhere(fd));
  }

  /** What `ask` says of the file, if it is there; true where it cannot be opened. */
  #isOpen(path: string, ask: (fd: number) => boolean): boolean {
    let fd: number;
    try {
      fd = this.disk.open(path, 'read');
    } catch {
      return true;
    }
    if (fd < 0) return false;
    try {
      return ask(fd);
    } finally {
      this.disk.close(fd);
    }
  }
}

function keyOf(ino: number, born: number): string {
  return `${ino}.${born}`;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).errno === -ENOENT;
}
