/**
 * Open files of snapshots: read-only handles, any number of them.
 *
 * A content that the live file has given up is the snapshots' alone, and nobody writes it: its descriptor is kept open (of
 * those that were used last), and may be passed on. One that the live file still has is its own file no longer than until that is written,
 * when whoever has it open keeps it and the snapshot may get the copy (open-files/renewal.ts). So it is opened by
 * name for each request, and nobody else gets it.
 */
import { EBADF, EINVAL, EIO, ENOENT, ENXIO } from '../errno.js';
import type { Inodes } from '../inodes/inodes.js';
import { Handles } from '../open-files/handles.js';
import { UNREAD } from '../open-files/reading.js';
import type { Snapshots } from '../operations/snapshots.js';
import { keptKey, splitKey } from '../records/keys.js';
import * as record from '../records/record.js';

const MOST_DESCRIPTORS = 32;
const CLOSED = -1;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** What is asked about the contents that snapshots have. */
export type PastContents = Pick<Snapshots, 'attributesOf' | 'closeContent' | 'contentOf'>;

interface PastFile {
  readonly snapshot: number;
  readonly inode: Uint8Array;
  readonly hasContent: boolean;
  /** The content is no live file's. */
  readonly isApart: boolean;
  fd: number;
}

export class PastFiles {
  readonly #inodes: Inodes;
  readonly #contents: PastContents;
  readonly #handles = new Handles<PastFile>();
  /** Those with a descriptor, the last used at the end. */
  readonly #held = new Set<PastFile>();

  constructor(inodes: Inodes, contents: PastContents) {
    this.#inodes = inodes;
    this.#contents = contents;
  }

  get count(): number {
    return this.#handles.count;
  }

  /** Opens the regular file whose record the snapshot has; returns a handle, or a negative errno. */
  open(snapshot: number, inode: Uint8Array): number {
    const isApart = this.#isApart(inode);
    const fd = this.#contents.contentOf(inode);
    if (fd === -EIO) this.#note(inode, 'it is missing');
    if (fd < 0 && fd !== -ENOENT) return fd;
    const hasContent = fd >= 0;
    const file: PastFile = { snapshot, inode, hasContent, isApart, fd: hasContent ? fd : CLOSED };
    if (hasContent && isApart) this.#hold(file);
    else this.#close(file);
    return this.#handles.add(file);
  }

  /** The id of the snapshot that the open file is in; 0: no such handle. */
  snapshotOf(handle: number): number {
    return this.#handles.get(handle)?.snapshot ?? 0;
  }

  read(handle: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    if (!file.hasContent) return 0;
    return this.#use(file, (fd) => this.#inodes.content.disk.read(fd, into, offset, length, position));
  }

  seek(handle: number, offset: number, whence: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return -EINVAL;
    if (!file.hasContent) return -ENXIO;
    return this.#use(file, (fd) => this.#inodes.content.disk.seek(fd, offset, whence));
  }

  /** A descriptor of the content that may be passed on, good until the next call; ENOENT: there is none. */
  descriptor(handle: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    return file.hasContent && file.isApart ? this.#use(file, (fd) => fd) : -ENOENT;
  }

  release(handle: number): number {
    const file = this.#handles.remove(handle);
    if (file === undefined) return -EBADF;
    this.#close(file);
    return 0;
  }

  closeAll(): void {
    for (const file of [...this.#held]) this.#close(file);
  }

  #isApart(inode: Uint8Array): boolean {
    const { tree } = this.#inodes;
    const [ino, born] = [record.inoOf(inode), record.bornOf(inode)];
    return (
      tree.getVersion(keptKey(ino, born)) !== undefined && tree.getVersion(splitKey(ino, born)) === undefined
    );
  }

  #use(file: PastFile, work: (fd: number) => number): number {
    if (file.fd === CLOSED) {
      const fd = this.#contents.contentOf(file.inode);
      if (fd === -ENOENT || fd === -EIO) this.#note(file.inode, 'it is missing');
      if (fd < 0) return fd === -ENOENT ? -EIO : fd;
      file.fd = fd;
    }
    try {
      return work(file.fd);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).errno === -EIO) this.#note(file.inode, UNREAD);
      throw error;
    } finally {
      if (file.isApart) this.#hold(file);
      else this.#close(file);
    }
  }

  #note(inode: Uint8Array, fault: string): void {
    const ino = record.inoOf(inode);
    this.#inodes.troubles.note(ino, 'a file of a snapshot', fault);
  }

  #hold(file: PastFile): void {
    this.#held.delete(file);
    this.#held.add(file);
    if (this.#held.size <= MOST_DESCRIPTORS) return;
    const [oldest] = this.#held;
    if (oldest !== undefined) this.#close(oldest);
  }

  #close(file: PastFile): void {
    this.#held.delete(file);
    if (file.fd === CLOSED) return;
    this.#contents.closeContent(file.fd);
    file.fd = CLOSED;
  }
}
