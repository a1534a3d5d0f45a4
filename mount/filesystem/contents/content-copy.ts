/**
 * Copies of contents, on their way: `<content>/copies/<ino>.<born>.<next>` is one of the content of that ino and born, to
 * be that of the same ino made after snapshot `next`, or to take the copied one's place. By reflink where the filesystem
 * can, else with holes kept.
 *
 * Whoever uses a copy gives it its place by a rename, when it is whole: so what has a content's name is whole. What is
 * made by copying bytes is synced before that. A reflink is not: it and the rename are changes of the filesystem's
 * own records, which a power cut leaves in their order.
 */
import { BackingError, EDQUOT, EIO, ENOENT, ENOSPC, ENXIO } from '../errno.js';
import type { ContentCopy } from '../types.js';
import type { ContentFiles } from './content.js';
import { type FileStatus, newFileStatus } from './disk/content-disk.js';

export const COPIES_DIRECTORY = 'copies';
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** A step takes no longer than other requests may be kept waiting by one thread. */
const STEP_BYTES = 8 * 1024 * 1024;
const BUFFER_BYTES = 1024 * 1024;

export function copiesDirectory(contentDirectory: string): string {
  return `${contentDirectory}/${COPIES_DIRECTORY}`;
}

/** Where the copy is until it has its place. */
export function copyPath(contentDirectory: string, { ino, born, next }: ContentCopy): string {
  const name = `${ino.toString(16)}.${born.toString(16)}.${next.toString(16)}`;
  return `${copiesDirectory(contentDirectory)}/${name}`;
}

/** The copy that has this name; undefined: it is none. */
export function parseCopyName(name: string): ContentCopy | undefined {
  const parts = /^([0-9a-f]+)\.([0-9a-f]+)\.([0-9a-f]+)$/.exec(name)?.slice(1);
  if (parts === undefined) return undefined;
  const [ino, born, next] = parts.map((part) => Number.parseInt(part, 16)) as [number, number, number];
  return { ino, born, next };
}

/** One copy under way. Throws what the filesystem says; what there is of the copy is removed then. */
export class CopyInProgress {
  readonly #files: ContentFiles;
  readonly #status: FileStatus = newFileStatus();
  readonly #path: string;
  readonly #from: number;
  readonly #to: number;
  /** Of a file that grows meanwhile nothing more. */
  #end = 0;
  #at = 0;
  #buffer: Uint8Array | undefined;

  constructor(files: ContentFiles, copy: ContentCopy) {
    const { disk } = files;
    this.#files = files;
    this.#path = copyPath(files.directory, copy);
    this.#from = files.openToRead(copy.ino, copy.born);
    if (this.#from < 0)
      throw new BackingError(ENOENT, `Cannot copy the content of inode ${copy.ino}: it is missing`);
    try {
      disk.status(this.#from, this.#status);
      this.#end = this.#status.size;
      this.#to = makeFile(files, this.#path);
    } catch (error) {
      disk.close(this.#from);
      throw error;
    }
  }

  /** Goes on for a moment; true: the copy is whole. */
  step(): boolean {
    try {
      if (!this.#goOn()) return false;
    } catch (error) {
      this.end();
      this.#files.disk.remove(this.#path);
      throw error;
    }
    this.end();
    return true;
  }

  /** Nobody wants it any more, or it is whole. */
  end(): void {
    this.#files.disk.close(this.#from);
    this.#files.disk.close(this.#to);
  }

  #goOn(): boolean {
    const { disk } = this.#files;
    const isWhole = (this.#at === 0 && this.#isCloned()) || this.#copyPart();
    if (!isWhole) return false;
    disk.status(this.#from, this.#status);
    disk.setModificationTime(this.#to, this.#status.mtimeSeconds, this.#status.mtimeNanos);
    return true;
  }

  #isCloned(): boolean {
    const result = this.#files.disk.clone(this.#from, this.#to);
    // All else says that it cannot be done here, in one of many ways.
    if (result === -ENOSPC || result === -EDQUOT || result === -EIO) {
      throw new BackingError(-result, `Cannot share the blocks of ${this.#path}: errno ${-result}`);
    }
    return result === 0;
  }

  /** True: nothing is left. */
  #copyPart(): boolean {
    const { disk } = this.#files;
    const end = this.#at + STEP_BYTES;
    let copied = 0;
    while (this.#at < end && copied < STEP_BYTES) {
      const data = disk.seek(this.#from, this.#at, SEEK_DATA);
      disk.status(this.#from, this.#status);
      const size = Math.min(this.#status.size, this.#end);
      // Where the filesystem knows no holes all is data. It may have become shorter meanwhile.
      const start = data === -ENXIO || this.#at >= size ? size : Math.max(this.#at, data);
      if (start >= size) {
        disk.truncate(this.#to, size);
        disk.fsync(this.#to);
        return true;
      }
      const hole = disk.seek(this.#from, start, SEEK_HOLE);
      const until = Math.min(hole < 0 ? size : hole, start + STEP_BYTES - copied);
      const count = this.#copyRange(start, until - start);
      // The end of the file came nearer.
      this.#at = count === 0 ? size : start + count;
      copied += count;
    }
    return false;
  }

  #copyRange(at: number, length: number): number {
    const { disk } = this.#files;
    if (this.#buffer === undefined) {
      const count = disk.copyRange(this.#from, at, this.#to, at, length);
      if (count >= 0) return count;
      if (count === -ENOSPC || count === -EDQUOT || count === -EIO) {
        throw new BackingError(-count, `Cannot copy to ${this.#path}: errno ${-count}`);
      }
      this.#buffer = new Uint8Array(BUFFER_BYTES);
    }
    const count = disk.read(this.#from, this.#buffer, 0, Math.min(length, BUFFER_BYTES), at);
    for (let done = 0; done < count; ) {
      done += disk.write(this.#to, this.#buffer, done, count - done, at + done);
    }
    return count;
  }
}

/** Makes the whole copy at once. */
export function copyContent(files: ContentFiles, copy: ContentCopy): void {
  const inProgress = new CopyInProgress(files, copy);
  while (!inProgress.step());
}

/** In place of a copy: an empty file. */
export function makeEmptyCopy(files: ContentFiles, copy: ContentCopy): void {
  files.disk.close(makeFile(files, copyPath(files.directory, copy)));
}

/**
 * The copy takes the place of what it is of, if that is still there, and durably: the file that was copied keeps its other
 * name, and may be written from here on. Nothing is left of the copy otherwise.
 */
export function placeCopy(files: ContentFiles, copy: ContentCopy): void {
  const path = copyPath(files.directory, copy);
  if (!files.status(copy.ino, copy.born, newFileStatus())) {
    files.disk.remove(path);
    return;
  }
  files.name(path, copy.ino, copy.born);
  files.syncName(copy.ino);
}

function makeFile(files: ContentFiles, path: string): number {
  const { disk } = files;
  let fd = disk.open(path, 'create');
  if (fd < 0) {
    disk.makeDirectory(copiesDirectory(files.directory));
    fd = disk.open(path, 'create');
  }
  if (fd < 0) throw new BackingError(EIO, `Cannot make ${path}: its directory went away`);
  try {
    disk.truncate(fd, 0);
  } catch (error) {
    disk.close(fd);
    throw error;
  }
  return fd;
}
