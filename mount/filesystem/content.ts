/** Where file contents are: one backing file per inode, at `<directory>/<ino / 4096 in hex>/<ino in hex>`. */
import { mkdirSync } from 'node:fs';
import { SpinneyError } from '../../engine/errors.js';
import {
  closeBacking,
  type FileStatus,
  isWrittenElsewhere,
  openBacking,
  setModificationTime,
  statPath,
} from './system.js';

const FILES_PER_DIRECTORY = 4_096;

export function contentPath(directory: string, ino: number): string {
  return `${contentSubdirectory(directory, ino)}/${ino.toString(16)}`;
}

function contentSubdirectory(directory: string, ino: number): string {
  return `${directory}/${Math.floor(ino / FILES_PER_DIRECTORY).toString(16)}`;
}

export class ContentFiles {
  readonly directory: string;
  readonly #readOnly: boolean;
  /** Where files are that have not their names yet. */
  readonly #elsewhere = new Map<number, string>();

  constructor(directory: string, readOnly: boolean) {
    this.directory = directory;
    this.#readOnly = readOnly;
  }

  /** Opens the inode's backing file for reading, and for writing unless the filesystem is read-only; -1: none. */
  open(ino: number): number {
    return openBacking(this.#pathOf(ino), this.#readOnly ? 'read' : 'write');
  }

  /** As `open`, and makes the file where it is missing. */
  create(ino: number): number {
    const path = contentPath(this.directory, ino);
    let fd = openBacking(path, 'create');
    if (fd < 0) {
      this.makeDirectoryFor(ino);
      fd = openBacking(path, 'create');
    }
    if (fd < 0)
      throw new SpinneyError('ERR_IO', `Cannot make the content file ${path}: its directory went away`);
    return fd;
  }

  makeDirectoryFor(ino: number): void {
    mkdirSync(contentSubdirectory(this.directory, ino), { recursive: true, mode: 0o700 });
  }

  /** The inode's backing file is to be read at `path`. */
  isAt(ino: number, path: string): void {
    this.#elsewhere.set(ino, path);
  }

  /** Returns false where the inode has no backing file. */
  status(ino: number, out: FileStatus): boolean {
    return statPath(this.#pathOf(ino), out);
  }

  /**
   * Whether anyone has the inode's backing file open for writing, or mapped so; also where that cannot be told. The
   * caller must not have it open itself.
   */
  hasWriters(ino: number): boolean {
    return isOpenForWriting(this.#pathOf(ino));
  }

  /** Sets the mtime of the inode's backing file, where it has one. */
  setModificationTime(ino: number, seconds: number, nanos: number): void {
    const fd = this.open(ino);
    if (fd < 0) return;
    try {
      setModificationTime(fd, seconds, nanos);
    } finally {
      closeBacking(fd);
    }
  }

  /** The directories whose entries lead to the inode's backing file, innermost first. */
  directoriesOf(ino: number): string[] {
    return [contentSubdirectory(this.directory, ino), this.directory];
  }

  #pathOf(ino: number): string {
    return this.#elsewhere.get(ino) ?? contentPath(this.directory, ino);
  }
}

/** Whether anyone has the file open for writing, or mapped so; also where that cannot be told. */
export function isOpenForWriting(path: string): boolean {
  let fd: number;
  try {
    fd = openBacking(path, 'read');
  } catch {
    return true;
  }
  if (fd < 0) return false;
  try {
    return isWrittenElsewhere(fd);
  } finally {
    closeBacking(fd);
  }
}
