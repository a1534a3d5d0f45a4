/**
 * The descriptors of open inodes' backing files. Clients may hold any number of files open; the process may not. So a
 * bounded number of backing files is kept open, those that were used last, and what is wanted of others opens them again
 * by name. What the kernel passes through it holds itself.
 *
 * Invariants
 * - A descriptor is the session's own. Its number is good until the next is asked for here, and is never handed to another
 *   thread, which might come when it is closed, or another file's: what is to be synced elsewhere is told by name and
 *   identity.
 * - A backing file has a name as long as its inode is open: as a spare, or as the inode's content. It goes from the first
 *   to the second, also by another thread (`isNamedElsewhere`), and never back.
 * - What is opened again is the same file: another one at its name is refused (EIO).
 * - Of what the process may have, RESERVED is left to all others: journal, checkpoints, syncs, control socket.
 */

import { descriptorLimit } from '../../libc/descriptor-limit.js';
import { BackingError, EIO, ENFILE, isOutOfDescriptors } from '../errno.js';
import type { FileIdentity } from '../types.js';
import type { ContentFiles } from './content.js';
import { type ContentDisk, type FileStatus, newFileStatus } from './disk/content-disk.js';
import type { OpenInode } from './open-inode.js';
import { hasBeenWritten, type SpareFiles } from './spares/spare-files.js';

/**
 * A daemon without open files has about 50; then 64 spares, 64 control connections, and what checkpoints, syncs and new
 * threads need for a moment.
 */
export const RESERVED_DESCRIPTORS = 224;
/** Whoever uses more files in turn than this pays for opening them again, about 5 us each. */
const MOST_DESCRIPTORS = 4_096;
/** Two are in use at a time. What a low limit leaves to others is less then. */
const LEAST_DESCRIPTORS = 16;

/** Backing files to be kept open by a process that may have `limit` descriptors. */
export function mostContents(limit = descriptorLimit()): number {
  return Math.min(MOST_DESCRIPTORS, Math.max(LEAST_DESCRIPTORS, limit - RESERVED_DESCRIPTORS));
}

export class Descriptors {
  readonly #disk: ContentDisk;
  readonly #content: ContentFiles;
  readonly #spares: SpareFiles | undefined;
  readonly #mostNow: () => number;
  readonly #status: FileStatus = newFileStatus();
  #most = 0;
  #count = 0;
  #newest: OpenInode | undefined;
  #oldest: OpenInode | undefined;

  /** `most` tells how many are to be kept open, at least two; that may change. */
  constructor(
    content: ContentFiles,
    spares: SpareFiles | undefined,
    most: () => number = () => mostContents(),
  ) {
    this.#disk = content.disk;
    this.#content = content;
    this.#spares = spares;
    this.#mostNow = most;
    this.#most = most();
  }

  /** Backing files that are open. */
  get count(): number {
    return this.#count;
  }

  /** The descriptor of the inode's backing file, which it has. Throws ENFILE and what else opening may give. */
  use(inode: OpenInode): number {
    if (inode.fd < 0) this.#hold(inode, this.#openAgain(inode));
    else if (inode !== this.#newest) {
      this.#unlink(inode);
      this.#link(inode);
    }
    return inode.fd;
  }

  /** As `use`, so that the descriptors of both are good until the next is asked for. */
  useBoth(one: OpenInode, other: OpenInode): void {
    this.use(one);
    this.use(other);
    // Opening the second may have taken the first where there is no room for two.
    if (one.fd < 0) throw new BackingError(ENFILE, 'Cannot have two files open at a time');
  }

  /** Opens the backing file of an inode that was not open; false: it has none. */
  open(inode: OpenInode): boolean {
    let fd: number;
    try {
      fd = this.#content.open(inode.ino, inode.born);
    } catch (error) {
      this.#makeRoomAfter(error);
      fd = this.#content.open(inode.ino, inode.born);
    }
    if (fd < 0) return false;
    inode.hasContent = true;
    this.#hold(inode, fd);
    return true;
  }

  /** Makes the backing file of an inode that has none. */
  create(inode: OpenInode): void {
    let fd: number;
    try {
      fd = this.#content.create(inode.ino, inode.born);
    } catch (error) {
      this.#makeRoomAfter(error);
      fd = this.#content.create(inode.ino, inode.born);
    }
    inode.hasContent = true;
    this.#hold(inode, fd);
  }

  /** As the spares' `promise`. */
  promiseSpare(ino: number, born: number): void {
    try {
      this.#spares?.promise(ino, born);
    } catch (error) {
      this.#makeRoomAfter(error);
      this.#spares?.promise(ino, born);
    }
  }

  /** Takes the descriptor over that the inode's spare has; closed: it is opened again when it is wanted. */
  takeFromSpare(inode: OpenInode): void {
    inode.hasContent = true;
    const fd = inode.spare?.fd ?? -1;
    if (fd >= 0) this.#hold(inode, fd);
  }

  /** Leaves the descriptor, if it is open, to the inode's spare, whose it is from here on. */
  leaveToSpare(inode: OpenInode): void {
    if (inode.fd >= 0) this.#forget(inode);
  }

  close(inode: OpenInode): void {
    const { fd } = inode;
    if (fd < 0) return;
    this.#forget(inode);
    if (inode.spare !== undefined) inode.spare.fd = -1;
    this.#disk.close(fd);
  }

  /** What stat tells of the inode's backing file, which it has; opens nothing. */
  status(inode: OpenInode, out: FileStatus): void {
    if (inode.fd >= 0) this.#disk.status(inode.fd, out);
    else this.#statusByName(inode, out);
  }

  /** Whether the spare that is the inode's backing file has been written. */
  isWritten(inode: OpenInode): boolean {
    this.status(inode, this.#status);
    return hasBeenWritten(this.#status);
  }

  /** Which file the inode's backing file is. */
  identity(inode: OpenInode): FileIdentity {
    if (inode.identity === undefined) {
      this.#disk.status(this.use(inode), this.#status);
      inode.identity = this.#disk.lastIdentity();
    }
    return inode.identity;
  }

  /** Looks again how many are to be kept open, which follows the process's limit. */
  fit(): void {
    this.#most = this.#mostNow();
    while (this.#count > this.#most) this.#closeUnused(this.#oldest);
  }

  #openAgain(inode: OpenInode): number {
    let fd: number;
    try {
      fd = this.#openByName(inode);
    } catch (error) {
      this.#makeRoomAfter(error);
      fd = this.#openByName(inode);
    }
    if (fd < 0) throw lost(inode, 'it was removed');
    try {
      this.#disk.status(fd, this.#status);
      if (inode.identity !== undefined && !this.#disk.lastWas(inode.identity)) {
        throw lost(inode, 'another file is in its place');
      }
    } catch (error) {
      this.#disk.close(fd);
      throw error;
    }
    return fd;
  }

  /** -1: it is not there. */
  #openByName(inode: OpenInode): number {
    const { partial, spare } = inode;
    if (partial !== undefined) return this.#disk.open(partial.path, 'read');
    if (spare !== undefined && this.#spares !== undefined) {
      const fd = this.#spares.open(spare);
      if (fd >= 0 || !inode.isNamedElsewhere) return fd;
    }
    return this.#content.open(inode.ino, inode.born);
  }

  #statusByName(inode: OpenInode, out: FileStatus): void {
    const { partial, spare } = inode;
    let isThere = partial !== undefined && this.#disk.statusAt(partial.path, out);
    isThere ||= spare !== undefined && this.#spares?.status(spare, out) === true;
    if (!isThere && (spare === undefined || inode.isNamedElsewhere)) {
      isThere = this.#content.status(inode.ino, inode.born, out);
    }
    if (!isThere) throw lost(inode, 'it was removed');
    if (inode.identity !== undefined && !this.#disk.lastWas(inode.identity)) {
      throw lost(inode, 'another file is in its place');
    }
  }

  #hold(inode: OpenInode, fd: number): void {
    inode.fd = fd;
    if (inode.spare !== undefined) inode.spare.fd = fd;
    this.#link(inode);
    this.#count++;
    if (this.#count > this.#most) this.#closeUnused(this.#oldest);
  }

  #forget(inode: OpenInode): void {
    this.#unlink(inode);
    this.#count--;
    inode.fd = -1;
  }

  #closeUnused(inode: OpenInode | undefined): void {
    if (inode === undefined) return;
    this.identity(inode);
    this.close(inode);
  }

  /**
   * Makes room for one more descriptor after an opening failed for want of it. Throws the failure where closing is no help:
   * a number that is not below the limit, as after that was lowered, can be kept but not be had again.
   */
  #makeRoomAfter(failure: unknown): void {
    if (!isOutOfDescriptors(failure)) throw failure;
    const limit = descriptorLimit();
    let inode = this.#oldest;
    while (inode !== undefined && inode.fd >= limit) inode = inode.newer;
    if (inode === undefined) throw failure;
    this.#closeUnused(inode);
  }

  #link(inode: OpenInode): void {
    inode.newer = undefined;
    inode.older = this.#newest;
    if (this.#newest !== undefined) this.#newest.newer = inode;
    else this.#oldest = inode;
    this.#newest = inode;
  }

  #unlink(inode: OpenInode): void {
    const { newer, older } = inode;
    if (newer !== undefined) newer.older = older;
    else this.#newest = older;
    if (older !== undefined) older.newer = newer;
    else this.#oldest = newer;
    inode.newer = undefined;
    inode.older = undefined;
  }
}

function lost(inode: OpenInode, why: string): BackingError {
  return new BackingError(EIO, `Cannot find the content of open inode ${inode.ino} again: ${why}`);
}
