/**
 * Open files: handles, and what is done by them. All handles of an inode share its backing file (open-contents.ts), and
 * that file's descriptor, which `Descriptors` gives whenever it is wanted.
 */
import type { MountLog } from '../../types.js';
import { type ContentDisk, type FileStatus, newFileStatus } from '../contents/disk/content-disk.js';
import { NO_FILE } from '../contents/disk/faults.js';
import { newOpenInode, type OpenInode } from '../contents/open-inode.js';
import { NO_SPARE } from '../contents/spares/spare-files.js';
import { EBADF, EINVAL, EISDIR, ENOENT, ENXIO, EROFS, isOutOfDescriptors } from '../errno.js';
import type { Found, Inodes } from '../inodes/inodes.js';
import { reclaimOrphan } from '../inodes/orphans.js';
import * as record from '../records/record.js';
import type { ContentWorker, FileIdentity, FsyncPlan, KeptFile, Place } from '../types.js';
import { Growth } from './growth.js';
import { Handles } from './handles.js';
import { OpenContents } from './open-contents.js';
import { Opening } from './opening.js';
import { readContent } from './reading.js';
import { Renewal } from './renewal.js';

export const O_ACCMODE = 3;
const O_WRONLY = 1;
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

export class OpenFiles {
  readonly #inodes: Inodes;
  readonly #disk: ContentDisk;
  readonly #contents: OpenContents;
  readonly #opening: Opening;
  readonly #growth: Growth;
  /** How files get contents that no snapshot has. */
  readonly renewal: Renewal;
  readonly #handles = new Handles<FileHandle>();
  readonly #status: FileStatus = newFileStatus();

  /** `worker`: copies contents for snapshots; undefined: that is done at once. */
  constructor(inodes: Inodes, worker: ContentWorker | undefined, log: MountLog) {
    this.#inodes = inodes;
    this.#disk = inodes.content.disk;
    this.#contents = new OpenContents(inodes);
    this.#opening = new Opening(inodes, this.#contents);
    this.#growth = new Growth(inodes);
    this.renewal = new Renewal(inodes, this.#contents, worker, log);
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
    const isReplaced = writes && (flags & O_TRUNC) !== 0;
    let inode = this.#inodes.opens.get(ino);
    if (inode === undefined) {
      inode = this.#opening.open(ino, found, writes, isReplaced);
      this.#inodes.opens.set(ino, inode);
    }
    if (writes) this.#inodes.away?.assertWhole(inode);
    if (writes && this.renewal.isDue(inode)) this.#renew(inode, isReplaced);
    return this.#newHandle(inode, flags);
  }

  #renew(inode: OpenInode, isReplaced: boolean): void {
    try {
      this.renewal.renew(inode, isReplaced);
    } catch (error) {
      if (inode.handles === 0) {
        this.#inodes.opens.delete(inode.ino);
        this.#contents.close(inode, false);
      }
      throw error;
    }
  }

  /**
   * Opens a file that was just made, whose record is at `key`. `isLive`: with LIVE and CONTENT, so it gets the backing file
   * here that it was promised.
   */
  openNew(ino: number, key: Uint8Array, flags: number, isLive: boolean): number {
    const inode = newOpenInode(ino, isLive ? this.#inodes.snapshots.last : 0, key);
    if (isLive) this.#contents.borrow(inode);
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

  /** A file that another process had open. Returns 0 or a negative errno; nobody else gets the handle in either case. */
  putBack({ handle, place, flags, isPassed }: KeptFile): number {
    let inode: OpenInode | undefined;
    try {
      inode = this.#openAgain(place);
    } finally {
      if (inode === undefined) this.#handles.putBack(handle, undefined);
    }
    if (inode === undefined) return -ENOENT;
    const writes = (flags & O_ACCMODE) !== 0;
    inode.handles++;
    if (writes) inode.writers++;
    const readsAndWrites = (flags & O_ACCMODE) === O_RDWR;
    this.#handles.putBack(handle, { inode, writes, readsAndWrites });
    if (!isPassed) return 0;
    if (writes) inode.isPassed = true;
    // By one, maybe, that has been released since.
    if (inode.live) inode.mayBeMapped = true;
    if (!writes) inode.mayBeSeen = true;
    return 0;
  }

  /** Undefined: there is no file. */
  #openAgain(place: Place): OpenInode | undefined {
    const found = this.#inodes.find(place);
    if (found === undefined || record.typeOf(found.record) !== record.REGULAR) return undefined;
    const known = this.#inodes.opens.get(record.inoOf(found.record));
    if (known !== undefined) return known;
    const inode = this.#contents.openAgain(found);
    this.#inodes.opens.set(inode.ino, inode);
    return inode;
  }

  /** The inode number of the handle's file; 0: no such handle. */
  inoOf(handle: number): number {
    return this.#handles.get(handle)?.inode.ino ?? 0;
  }

  /** Whether the handle may write. */
  isWriter(handle: number): boolean {
    return this.#handles.get(handle)?.writes === true;
  }

  read(handle: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    if (!file.inode.hasContent) return 0;
    return readContent(this.#inodes, file.inode, into, offset, length, position);
  }

  write(handle: number, from: Uint8Array, offset: number, length: number, position: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined || !file.writes) return -EBADF;
    if (length === 0) return 0;
    const refused = this.#growth.to(file.inode, position + length);
    if (refused !== 0) return refused;
    if (!file.inode.live) this.#contents.makeLive(file.inode);
    const written = this.#disk.write(
      this.#inodes.descriptors.use(file.inode),
      from,
      offset,
      length,
      position,
    );
    this.#contents.stampWritten(file.inode);
    return written;
  }

  /** fallocate(2) with its modes. */
  allocate(handle: number, mode: number, offset: number, length: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined || !file.writes) return -EBADF;
    const refused = this.#growth.byAllocation(file.inode, mode, offset, length);
    if (refused !== 0) return refused;
    if (!file.inode.live) this.#contents.makeLive(file.inode);
    const result = this.#disk.allocate(this.#inodes.descriptors.use(file.inode), mode, offset, length);
    if (result === 0) this.#contents.stampWritten(file.inode);
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
    if (!source.inode.hasContent) return 0;
    const { away, descriptors } = this.#inodes;
    if (away?.assertRead(source.inode, fromOffset, Math.min(length, MAX_COPY_BYTES)) === false) return 0;
    const part = Math.min(length, MAX_COPY_BYTES);
    if (!this.#inodes.quotas.isEmpty) {
      descriptors.status(source.inode, this.#status);
      const copied = Math.max(0, Math.min(part, this.#status.size - fromOffset));
      const refused = copied === 0 ? 0 : this.#growth.to(target.inode, toOffset + copied);
      if (refused !== 0) return refused;
    }
    if (!target.inode.live) this.#contents.makeLive(target.inode);
    descriptors.useBoth(source.inode, target.inode);
    const sourceFd = descriptors.use(source.inode);
    const copied = this.#disk.copyRange(sourceFd, fromOffset, descriptors.use(target.inode), toOffset, part);
    if (copied > 0) this.#contents.stampWritten(target.inode);
    return copied;
  }

  /**
   * Readies the handle's backing file for a driver by which it is read and written past this layer: makes it where it is
   * missing and the handle may write, else ENOENT. A handle that may write is live from here on.
   */
  pass(handle: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    const { inode } = file;
    if (inode.partial !== undefined) return -ENOENT;
    if (file.writes && !inode.live) this.#contents.makeLive(inode);
    if (file.writes) inode.isPassed = true;
    if (file.readsAndWrites) inode.mayBeMapped = true;
    if (!file.writes) inode.mayBeSeen = true;
    return inode.hasContent ? 0 : -ENOENT;
  }

  /**
   * As `pass`; returns the descriptor of the backing file, which is good until the next call. Where bytes are limited nothing
   * is passed: writes must be seen.
   */
  backing(handle: number): number {
    const file = this.#handles.get(handle);
    if (file !== undefined && this.#growth.isLimited(file.inode)) return -ENOENT;
    const failed = this.pass(handle);
    return failed < 0 ? failed : this.#inodes.descriptors.use(this.#handles.get(handle)!.inode);
  }

  /** Next data or hole at or after `offset`: whence 3 (SEEK_DATA) or 4 (SEEK_HOLE). */
  seek(handle: number, offset: number, whence: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    if (whence !== 3 && whence !== 4) return -EINVAL;
    if (!file.inode.hasContent) return -ENXIO;
    this.#inodes.away?.assertWhole(file.inode);
    return this.#disk.seek(this.#inodes.descriptors.use(file.inode), offset, whence);
  }

  fsyncPlan(handle: number): FsyncPlan | undefined {
    const file = this.#handles.get(handle);
    if (file === undefined) return undefined;
    const { inode } = file;
    const { ino, born, spare, nameDurable } = inode;
    if (!inode.hasContent || inode.partial !== undefined)
      return { ino, born, identity: undefined, spare: NO_SPARE, names: false };
    try {
      this.#inodes.content.putInPlace(ino, born);
    } catch {
      return undefined;
    }
    const identity = this.#inodes.descriptors.identity(inode);
    // A spare that only readers have left has no content, and so needs no name.
    const names = !nameDurable && (spare === undefined || inode.live);
    if (names && spare !== undefined) inode.isNamedElsewhere = true;
    return { ino, born, identity, spare: spare?.number ?? NO_SPARE, names };
  }

  /** The inode's backing file, which is this one, has been synced, and so has its name. */
  nameIsDurable(ino: number, born: number, identity: FileIdentity): void {
    const inode = this.#inodes.opens.get(ino);
    // Of a file that got another name since, that is not.
    if (inode?.born !== born) return;
    // It may have been released since, and opened again.
    if (inode.identity?.file !== identity.file || inode.identity.birth !== identity.birth) return;
    // Without looking there: the disk may hang, and others are served meanwhile.
    if (inode.spare !== undefined) this.#inodes.spares?.named(inode.spare);
    inode.spare = undefined;
    this.#inodes.borrowers.delete(inode);
    inode.nameDurable = true;
  }

  /** Makes the content of the handle's file, and its name, durable, on this thread. */
  sync(handle: number): number {
    const file = this.#handles.get(handle);
    if (file === undefined) return -EBADF;
    const { inode } = file;
    if (!inode.hasContent || inode.partial !== undefined) return 0;
    this.#contents.keepContent(inode);
    this.#inodes.content.putInPlace(inode.ino, inode.born);
    const fd = this.#inodes.descriptors.use(inode);
    this.#inodes.content.sync(inode.ino, fd);
    if (inode.nameDurable || inode.spare !== undefined) return 0;
    try {
      this.#inodes.content.syncName(inode.ino);
    } catch (error) {
      if (!isOutOfDescriptors(error)) throw error;
      this.#inodes.content.syncAll(fd);
    }
    inode.nameDurable = true;
    return 0;
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
      if (settles && !inode.mayBeMapped) this.#contents.settle(inode);
      if (settles && inode.mayBeMapped && isLast) this.#contents.leave(inode);
    } finally {
      if (isLast) {
        this.#inodes.opens.delete(inode.ino);
        this.#contents.close(inode, isUnused);
        if (inode.hasContent) this.#inodes.away?.used(inode.ino, inode.born);
      }
    }
    if (isUnused) reclaimOrphan(this.#inodes, inode.ino);
    return 0;
  }

  /** Gives up a content that a remote has, for the disk's space. False: somebody uses it, or it is not what the remote has. */
  evict(ino: number, born: number): boolean {
    if (this.#inodes.opens.has(ino) || this.renewal.isCopying(ino)) return false;
    return this.#inodes.away?.evict(ino, born) === true;
  }

  /** As OpenContents' `rest`. */
  rest(): boolean {
    this.#inodes.away?.rest();
    const waits = this.renewal.rest();
    return this.#contents.rest() || waits;
  }

  /** Settles and closes everything, for a clean end. */
  close(): void {
    this.#contents.closeAll();
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
    const isShared =
      record.bornOf(found.record) < this.#inodes.snapshots.newest || this.renewal.isShared(ino);
    if (open === undefined && isShared && record.hasFlag(found.record, record.CONTENT))
      return this.#truncateShared(place, size);
    const refused = this.#growth.ofRecord(found, size);
    if (refused !== 0) return refused;
    if (size === 0) this.#inodes.troubles.mended(ino);
    if (open !== undefined) {
      this.#inodes.away?.assertWhole(open);
      if (this.renewal.isDue(open)) this.renewal.renew(open, size === 0);
      if (!open.live) this.#contents.makeLive(open);
      this.#disk.truncate(this.#inodes.descriptors.use(open), size);
      return 0;
    }
    const isGivenUp = size === 0 && this.#opening.giveUp(found);
    // What the remote has stands for the content until there is another.
    if (isGivenUp) this.#putLive(found);
    let fd = isGivenUp ? -1 : this.#openContent(found);
    try {
      if (fd >= 0) this.#disk.status(fd, this.#status);
      if (size > 0) this.#opening.assertSound(found, fd < 0 ? NO_FILE : this.#status.size);
      if (fd < 0) {
        this.#inodes.spares?.disown(ino);
        found.record = record.withBorn(found.record, this.#inodes.snapshots.last);
        fd = this.#inodes.content.create(ino, this.#inodes.snapshots.last);
      }
      if (!record.hasFlag(found.record, record.LIVE)) {
        // From here on another time than the record's means that the file was written.
        const seconds = record.secondsOf(found.record, record.MTIME);
        this.#disk.setModificationTime(fd, seconds, record.nanosOf(found.record, record.MTIME));
        this.#putLive(found);
      }
      this.#disk.truncate(fd, size);
    } finally {
      if (fd >= 0) this.#disk.close(fd);
    }
    return 0;
  }

  #putLive(found: Found): void {
    record.setFlag(found.record, record.LIVE | record.CONTENT);
    this.#contents.put(found);
    found.version = this.#inodes.tree.getVersion(found.key) ?? 0;
  }

  /** As `truncate`, of a file that nobody has open and whose content a snapshot may have. */
  #truncateShared(place: Place, size: number): number {
    const handle = this.open(place, size === 0 ? O_WRONLY | O_TRUNC : O_WRONLY);
    if (handle < 0) return handle;
    try {
      return this.truncate(place, size);
    } finally {
      this.release(handle);
    }
  }

  #openContent(found: Found): number {
    if (!record.hasFlag(found.record, record.CONTENT)) return -1;
    return this.#inodes.content.open(record.inoOf(found.record), record.bornOf(found.record));
  }
}
