/**
 * Open files and their contents.
 *
 * All handles of an inode share one descriptor of its backing file, which is made, or borrowed from the spares, when
 * something is first written (or a driver asks for it). Before that, the record is put with LIVE: from then on size and
 * mtime are the backing file's, after a crash as well. When the last handle that may write is released, they go back into
 * the record. A borrowed file gets its name when it is synced, when the driver has time for it, and when it is released
 * and was written.
 */
import { readSync, writeSync } from 'node:fs';
import { EBADF, EINVAL, EISDIR, ENOENT, ENXIO, EROFS } from './errno.js';
import { Handles } from './handles.js';
import { type Found, type Inodes, type OpenInode, RETRY, retry } from './inodes.js';
import { reclaimOrphan } from './links.js';
import * as record from './record.js';
import { NO_SPARE } from './spare-files.js';
import {
  allocateDescriptor,
  closeBacking,
  copyDescriptors,
  type FileStatus,
  seekDescriptor,
  statDescriptor,
  truncateDescriptor,
} from './system.js';
import type { Place } from './types.js';

export const O_ACCMODE = 3;
const O_RDWR = 2;
/** A copy of this much takes a few milliseconds. */
const MAX_COPY_BYTES = 4 * 1024 * 1024;
export const O_TRUNC = 0o1000;

interface FileHandle {
  readonly inode: OpenInode;
  readonly writes: boolean;
  /** May write through a mapping, which needs both. */
  readonly readsAndWrites: boolean;
}

/** What an fsync has to wait for, in this order; then the tree's own `sync()`. */
export interface FsyncPlan {
  ino: number;
  /** The backing file; -1: there is none. */
  fd: number;
  /** Directories that lead to a backing file whose name is not known to be durable, innermost first. */
  directories: readonly string[];
  /** The number of the spare that the backing file is yet, and which gets its name before those are synced, or NO_SPARE. */
  spare: number;
}

export class OpenFiles {
  readonly #inodes: Inodes;
  readonly #handles = new Handles<FileHandle>();
  readonly #status: FileStatus = { size: 0, blocks: 0, mtimeSeconds: 0, mtimeNanos: 0 };

  constructor(inodes: Inodes) {
    this.#inodes = inodes;
  }

  get count(): number {
    return this.#handles.count;
  }

  /** Opens the file at `place`; returns a handle or a negative errno. O_TRUNC is left to the caller. */
  open(place: Place, flags: number): number {
    const writes = (flags & O_ACCMODE) !== 0;
    if (this.#inodes.readOnly && (writes || (flags & O_TRUNC) !== 0)) return -EROFS;
    const found = this.#inodes.find(place);
    if (found === undefined) return -ENOENT;
    const type = record.typeOf(found.record);
    if (type === record.DIRECTORY) return -EISDIR;
    if (type !== record.REGULAR) return -ENXIO;
    const ino = record.inoOf(found.record);
    let inode = this.#inodes.opens.get(ino);
    if (inode === undefined) {
      inode = this.#firstOpen(ino, found);
      this.#inodes.opens.set(ino, inode);
    }
    return this.#newHandle(inode, flags);
  }

  /**
   * Opens a file that was just made, whose record is at `key`. `isLive`: with LIVE and CONTENT, so it gets a backing file
   * here, for which `prepare` has been called.
   */
  openNew(ino: number, key: Uint8Array, flags: number, isLive: boolean): number {
    const inode = newOpenInode(ino, key);
    if (isLive) this.#borrow(inode);
    inode.live = isLive;
    this.#inodes.opens.set(ino, inode);
    return this.#newHandle(inode, flags);
  }

  #newHandle(inode: OpenInode, flags: number): number {
    const writes = (flags & O_ACCMODE) !== 0;
    inode.handles++;
    if (writes) inode.writers++;
    const readsAndWrites = (flags & O_ACCMODE) === O_RDWR;
    return this.#handles.add({ inode, writes, readsAndWrites });
  }

  /** Whether the handle may write. */
  isWriter(handle: number): boolean {
    return this.#handles.get(handle)?.writes === true;
  }

  read(handle: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    if (file.inode.fd < 0) return 0;
    return readSync(file.inode.fd, into, offset, length, position);
  }

  write(handle: number, from: Uint8Array, offset: number, length: number, position: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined || !file.writes) return -EBADF;
    if (length === 0) return 0;
    if (!file.inode.live) this.makeLive(file.inode);
    const written = writeSync(file.inode.fd, from, offset, length, position);
    this.#stampWritten(file.inode);
    return written;
  }

  /** fallocate(2) with its modes. */
  allocate(handle: number, mode: number, offset: number, length: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined || !file.writes) return -EBADF;
    if (!file.inode.live) this.makeLive(file.inode);
    const result = allocateDescriptor(file.inode.fd, mode, offset, length);
    if (result === 0) this.#stampWritten(file.inode);
    return result;
  }

  /**
   * Copies up to `length` bytes from one file to another or within one; returns how many, which may be fewer: no more
   * than keeps other requests waiting as long as a read does.
   */
  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    const source = this.#handles.get(from);
    const target = this.#handles.get(to);
    if (source === undefined || target === undefined || !target.writes) return -EBADF;
    if (source.inode.fd < 0) return 0;
    if (!target.inode.live) this.makeLive(target.inode);
    const part = Math.min(length, MAX_COPY_BYTES);
    const copied = copyDescriptors(source.inode.fd, fromOffset, target.inode.fd, toOffset, part);
    if (copied > 0) this.#stampWritten(target.inode);
    return copied;
  }

  #stampWritten(inode: OpenInode): void {
    const { clock } = this.#inodes;
    clock.read();
    inode.written = true;
    inode.writtenSeconds = clock.seconds;
    inode.writtenNanos = clock.nanos;
  }

  /**
   * Descriptor of the handle's backing file, for a driver by which it is read and written past this layer; made where
   * it is missing and the handle may write, else ENOENT. A handle that may write is live from here on.
   */
  backing(handle: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    const { inode } = file;
    if (file.writes && !inode.live) this.makeLive(inode);
    if (file.writes) inode.isPassed = true;
    if (file.readsAndWrites) inode.mayBeMapped = true;
    if (!file.writes) inode.mayBeSeen = true;
    return inode.fd < 0 ? -ENOENT : inode.fd;
  }

  /** Next data or hole at or after `offset`: whence 3 (SEEK_DATA) or 4 (SEEK_HOLE). */
  seek(handle: number, offset: number, whence: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    if (whence !== 3 && whence !== 4) return -EINVAL;
    if (file.inode.fd < 0) return -ENXIO;
    return seekDescriptor(file.inode.fd, offset, whence);
  }

  fsyncPlan(handle: number): FsyncPlan | undefined {
    const file = this.#handles.get(handle);
    if (file === undefined) return undefined;
    const { inode } = file;
    const { ino, fd, nameDurable } = inode;
    // A spare that only readers have left has no content, and so needs no name.
    const isNameless = inode.spare !== undefined && !inode.live;
    if (fd < 0 || nameDurable || isNameless) return { ino, fd, directories: [], spare: NO_SPARE };
    const directories = this.#inodes.content.directoriesOf(ino);
    if (inode.spare !== undefined) inode.isNamedElsewhere = true;
    return { ino, fd, directories, spare: inode.spare?.number ?? NO_SPARE };
  }

  /** The inode's backing file, which has this descriptor, has been synced, and so has its name. */
  nameIsDurable(ino: number, fd: number): void {
    const inode = this.#inodes.opens.get(ino);
    if (inode === undefined || fd < 0 || inode.fd !== fd) return;
    // Without looking there: the disk may hang, and others are served meanwhile.
    if (inode.spare !== undefined) this.#inodes.spares?.named(inode.spare);
    inode.spare = undefined;
    this.#inodes.borrowers.delete(inode);
    inode.nameDurable = true;
  }

  /** Gives the content of the handle's file its name. */
  nameContent(handle: number): void {
    const file = this.#handles.get(handle);
    if (file !== undefined) this.#keepContent(file.inode);
  }

  /**
   * Ends a handle. The descriptor is closed with the last one even when the record cannot be put. A mapping of a backing
   * file that was passed through outlives all handles: while one may be there the record stays LIVE.
   */
  release(handle: number): number {
    const file = this.#handles.remove(handle);
    if (file === undefined) return -EBADF;
    const { inode } = file;
    inode.handles--;
    if (file.writes) inode.writers--;
    const isLast = inode.handles === 0;
    const isUnused =
      isLast && this.#inodes.orphans.has(inode.ino) && (!this.#inodes.keepsNodes || inode.forgotten);
    const settles = inode.writers === 0 && inode.live && !isUnused;
    try {
      if (settles && !inode.mayBeMapped) this.settle(inode);
      if (settles && inode.mayBeMapped && isLast) this.#leave(inode);
    } finally {
      if (isLast) {
        this.#close(inode, isUnused);
        this.#inodes.opens.delete(inode.ino);
      }
    }
    if (isUnused) reclaimOrphan(this.#inodes, inode.ino);
    return 0;
  }

  /** Puts size and times of a live inode back into its record, with one put. */
  settle(inode: OpenInode): void {
    retry(() => {
      const found = this.#recordOf(inode);
      this.#inodes.settle(found.record);
      return this.#inodes.replace(found) ? 0 : RETRY;
    });
    inode.live = false;
    inode.written = false;
  }

  /** Closes an inode and settles it; it stays LIVE while others may write to its backing file. */
  #leave(inode: OpenInode): void {
    const { content, spares } = this.#inodes;
    if (inode.isNamedElsewhere) this.#keepContent(inode);
    if (inode.spare !== undefined && spares !== undefined) {
      let isShared: boolean;
      try {
        isShared = spares.isShared(inode.spare);
      } finally {
        inode.fd = inode.spare.fd;
      }
      if (isShared) this.#keepContent(inode);
      else inode.mayBeMapped = false;
    }
    if (!inode.mayBeMapped) {
      this.settle(inode);
      return;
    }
    this.#close(inode, false);
    if (!content.hasWriters(inode.ino)) {
      this.settle(inode);
      return;
    }
    // What has been told of the file so far holds, and writes from now on are told from that.
    retry(() => {
      const found = this.#recordOf(inode);
      this.#inodes.settle(found.record);
      record.setFlag(found.record, record.LIVE);
      if (!this.#inodes.replace(found)) return RETRY;
      this.#inodes.setLeftTime(found.record);
      return 0;
    });
  }

  /** Makes the backing file the truth: LIVE in the record first, then the file. */
  makeLive(inode: OpenInode): void {
    const found = this.#recordOf(inode);
    if (inode.fd >= 0) this.#inodes.alignContent(inode, found.record);
    if (inode.spare !== undefined) this.#inodes.borrowers.set(inode, this.#inodes.clock.seconds);
    record.setFlag(found.record, record.LIVE | record.CONTENT);
    this.#put(found);
    if (inode.fd < 0) this.#createBacking(inode, found);
    inode.live = true;
  }

  /**
   * Sets the size of the content of the file at `place`, whose record is left LIVE: the caller puts it next, and
   * settles it unless `inode.live` says that it stays.
   */
  truncate(place: Place, size: number): number {
    const found = this.#inodes.find(place);
    if (found === undefined) return -ENOENT;
    const type = record.typeOf(found.record);
    if (type === record.DIRECTORY) return -EISDIR;
    if (type !== record.REGULAR) return -EINVAL;
    if (size === 0 && !record.hasFlag(found.record, record.CONTENT)) return 0;
    const ino = record.inoOf(found.record);
    const open = this.#inodes.opens.get(ino);
    if (open !== undefined) {
      if (!open.live) this.makeLive(open);
      truncateDescriptor(open.fd, size);
      return 0;
    }
    if (!record.hasFlag(found.record, record.LIVE)) {
      record.setFlag(found.record, record.LIVE | record.CONTENT);
      this.#put(found);
    }
    const fd = this.#inodes.content.create(ino);
    try {
      truncateDescriptor(fd, size);
    } finally {
      closeBacking(fd);
    }
    return 0;
  }

  /** `isUnused`: nobody will ask for its content any more. */
  #close(inode: OpenInode, isUnused: boolean): void {
    const { spare, fd } = inode;
    const { spares, borrowers } = this.#inodes;
    inode.fd = -1;
    if (spare === undefined) {
      if (fd >= 0) closeBacking(fd);
      return;
    }
    inode.spare = undefined;
    borrowers.delete(inode);
    const isWanted = !isUnused && (inode.mayBeMapped || this.#inodes.isWritten(spare));
    if (isWanted) spares?.keep(spare, inode.ino);
    else spares?.takeBack(spare, inode.mayBeMapped || inode.mayBeSeen || inode.isNamedElsewhere);
  }

  /** Gives an open inode's content its name, and before that what it would tell after a crash. */
  #keepContent(inode: OpenInode): void {
    const { spare } = inode;
    if (spare === undefined) return;
    if (!this.#inodes.isWritten(spare)) {
      // Nothing will be written before it is live again.
      if (!inode.live) return;
      this.#inodes.setContentTime(inode, this.#recordOf(inode).record);
      statDescriptor(inode.fd, this.#status);
      // It was written in between, and the time of that is lost.
      if (this.#status.size > 0) this.#stampWritten(inode);
    }
    this.#inodes.nameContent(inode);
  }

  /**
   * Nobody waits for an answer: contents that have had no names for a second get them. Returns whether others wait. Throws
   * what went wrong last, after it tried all.
   */
  rest(): boolean {
    const { borrowers, clock, content } = this.#inodes;
    let failure = content.place();
    if (borrowers.size > 0) clock.read();
    for (const [inode, since] of [...borrowers]) {
      // A clock that was set back is no reason to wait longer.
      if (Math.abs(clock.seconds - since) < 1) break;
      try {
        this.#keepContent(inode);
      } catch (error) {
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
    return borrowers.size > 0;
  }

  /** Settles and closes everything, for a clean end. */
  close(): void {
    let failure: unknown;
    for (const inode of this.#inodes.opens.values()) {
      // Descriptors that were passed through outlive a mount that is taken away while they are open.
      inode.mayBeMapped ||= inode.isPassed;
      try {
        if (inode.live && !inode.mayBeMapped) this.settle(inode);
        if (inode.live) this.#leave(inode);
      } catch (error) {
        failure = error;
      }
      this.#close(inode, false);
    }
    this.#inodes.opens.clear();
    this.#inodes.spares?.close();
    if (failure !== undefined) throw failure;
  }

  /** The inode's content is opened, and compared with its record: a crash may have left another size. */
  #firstOpen(ino: number, found: Found): OpenInode {
    // To be asked before the file is open here too.
    const isWritten =
      record.hasFlag(found.record, record.LIVE) &&
      !this.#inodes.readOnly &&
      this.#inodes.content.hasWriters(ino);
    const fd = record.hasFlag(found.record, record.CONTENT) ? this.#inodes.content.open(ino) : -1;
    const inode = newOpenInode(ino, found.key);
    inode.fd = fd;
    inode.live = isWritten;
    inode.mayBeMapped = isWritten;
    if (isWritten) Object.assign(inode, this.#inodes.left.get(ino));
    if (isWritten && fd >= 0) this.#inodes.noteContentTime(inode);
    if (this.#inodes.readOnly || isWritten) return inode;
    try {
      if (this.#differs(fd, found)) {
        record.setFlag(found.record, record.LIVE);
        this.#inodes.settle(found.record);
        this.#put(found);
      }
    } catch (error) {
      if (fd >= 0) closeBacking(fd);
      throw error;
    }
    return inode;
  }

  #differs(fd: number, found: Found): boolean {
    if (record.hasFlag(found.record, record.LIVE)) return true;
    if (fd < 0) return record.sizeOf(found.record) !== 0;
    statDescriptor(fd, this.#status);
    return this.#status.size !== record.sizeOf(found.record);
  }

  #createBacking(inode: OpenInode, found: Found): void {
    if (this.#inodes.spares === undefined) inode.fd = this.#inodes.content.create(inode.ino);
    else this.#borrow(inode);
    this.#inodes.alignContent(inode, found.record);
  }

  /** Gives the inode a spare as its backing file; the spare's mtime stands for that of the inode's record. */
  #borrow(inode: OpenInode): void {
    const { spares, borrowers, clock } = this.#inodes;
    const spare = spares?.lend(inode.ino);
    if (spare === undefined) return;
    inode.spare = spare;
    inode.fd = spare.fd;
    this.#inodes.noteContentTime(inode);
    inode.alignedSeconds = inode.seenSeconds;
    inode.alignedNanos = inode.seenNanos;
    borrowers.set(inode, clock.seconds);
  }

  #recordOf(inode: OpenInode): Found {
    const place = this.#inodes.orphans.has(inode.ino)
      ? this.#inodes.find(inode.ino)
      : this.#inodes.findByKey(inode.key);
    if (place === undefined) throw new Error(`Cannot find the record of open inode ${inode.ino}`);
    return place;
  }

  /** Puts a record that gained something to reclaim: one that was only in memory goes into the tree. */
  #put(found: Found): void {
    if (found.version === 0) this.#inodes.keepOrphan(found);
    else if (!this.#inodes.replace(found)) {
      throw new Error(`Cannot put the record of inode ${record.inoOf(found.record)}: it changed meanwhile`);
    }
  }
}

function newOpenInode(ino: number, key: Uint8Array): OpenInode {
  return {
    ino,
    key,
    fd: -1,
    spare: undefined,
    handles: 0,
    writers: 0,
    live: false,
    written: false,
    writtenSeconds: 0,
    writtenNanos: 0,
    nameDurable: false,
    isNamedElsewhere: false,
    isPassed: false,
    mayBeMapped: false,
    mayBeSeen: false,
    seenSeconds: 0,
    seenNanos: 0,
    alignedSeconds: Number.NaN,
    alignedNanos: 0,
    forgotten: false,
  };
}
