/**
 * The filesystem that drivers serve. Every operation returns 0, a count or a handle, and a negative errno for a
 * failure; see types.ts. One thread calls it. The operations themselves are in the files by subject; this one
 * refuses changes of a read-only mount, turns errors into numbers, and keeps the tables of handles.
 */
import type { TreeOperations } from '../../engine/api.js';
import type { MountLog } from '../types.js';
import { newAttributes, newChange } from './arguments.js';
import { OpenDirectories } from './directories/open-directories.js';
import { EINVAL, ENAMETOOLONG, ENOENT, EROFS, errnoOf } from './errno.js';
import { type Inodes, NAME_MAX } from './inodes/inodes.js';
import { deleteEnded, reclaimOrphan } from './inodes/orphans.js';
import { recordFacts } from './inodes/record-facts.js';
import { O_ACCMODE, O_TRUNC, OpenFiles } from './open-files/open-files.js';
import { removeAccessList, setAccessList } from './operations/access-lists.js';
import { setAttributes } from './operations/attributes.js';
import { makeEntry, makeNameless } from './operations/entries.js';
import { link, removeEntry } from './operations/links.js';
import { getOwnAttribute } from './operations/own-attributes.js';
import { type MoveListener, rename } from './operations/rename.js';
import { Snapshots } from './operations/snapshots.js';
import { readSpace } from './operations/space.js';
import { getXattr, listXattrs, removeXattr, setXattr } from './operations/xattr.js';
import { SnapshotDirectories } from './past/snapshot-directories.js';
import { isAccessListName } from './records/acl.js';
import { childKey, concat, SLASH } from './records/keys.js';
import { isOwnAttribute } from './records/own-names.js';
import * as record from './records/record.js';
import { type FileSystemOptions, makeRoot, newInodes, startStore } from './start.js';
import { takingOver } from './taking-over.js';
import {
  type AttributeChange,
  type Attributes,
  type AwayAnswers,
  type Caller,
  CHANGE_SIZE,
  type ContentName,
  type DirectorySink,
  type FileIdentity,
  type FileSystemStats,
  type FollowedAnswers,
  type FsyncPlan,
  type Place,
  type RecordFacts,
  type RemovalResult,
  type StatFs,
  type TakingOver,
} from './types.js';

export class FileSystem {
  readonly #inodes: Inodes;
  readonly #files: OpenFiles;
  /** Taking, deleting and reading snapshots. */
  readonly snapshots: Snapshots;
  /** Snapshots as directories have them. */
  readonly past: SnapshotDirectories;
  readonly #directories: OpenDirectories;
  readonly facts: RecordFacts;
  readonly takingOver: TakingOver;
  readonly #attributes: Attributes = newAttributes();
  readonly #log: MountLog;
  readonly #change: AttributeChange = { ...newChange(), valid: CHANGE_SIZE };
  readonly #lost = (ino: number, name: Uint8Array): void => this.#directories.nameLost(ino, name);

  constructor(tree: TreeOperations, options: FileSystemOptions) {
    this.#log = options.log ?? (() => {});
    this.#inodes = newInodes(tree, options, this.#log);
    this.#files = new OpenFiles(this.#inodes, options.worker, this.#log);
    this.snapshots = new Snapshots(this.#inodes, this.#files, options, this.#log);
    this.past = new SnapshotDirectories(this.#inodes, this.snapshots);
    this.#directories = new OpenDirectories(this.#inodes);
    this.facts = recordFacts(this.#inodes);
    this.takingOver = takingOver(this.#inodes, this.#files, this.#directories);
  }

  /**
   * As `startStore`; then goes on with what earlier runs had begun. To be called first. `isHeld`: which inodes the driver holds
   * from an earlier process; default: none.
   */
  start(isHeld: (ino: number) => boolean = () => false): void {
    startStore(this.#inodes, (wasCut) => this.#files.renewal.finishCopies(wasCut), isHeld, this.#log);
    this.snapshots.start();
  }

  /** Makes the root directory, owned by the process, of a tree that is empty. */
  makeRoot(): void {
    makeRoot(this.#inodes);
  }

  /** Puts what open files changed into their records and closes their contents. Handles are void after it. */
  close(): void {
    this.past.close();
    this.#files.close();
    try {
      deleteEnded(this.#inodes);
    } catch (err) {
      this.#log('warn', 'The records of files that were removed stay until the next start', { err });
    }
  }

  /** Attributes of the entry `name` of a directory. */
  lookup(parent: Place, name: Uint8Array, out: Attributes): number {
    if (name.length > NAME_MAX) return -ENAMETOOLONG;
    if (typeof parent === 'number') return -ENOENT;
    try {
      const entry = this.#inodes.tree.get(this.#inodes.keys.child(parent, name));
      if (entry === undefined) return -ENOENT;
      const inode = this.#inodes.follow(entry) as Uint8Array;
      if (!record.hasFlag(inode, record.LIVE) && !this.#inodes.cut.isSeen) {
        record.readAttributes(inode, out);
        return 0;
      }
      return this.#inodes.answer(inode, concat(concat(parent, SLASH_BYTES), name), out);
    } catch (error) {
      return errnoOf(error);
    }
  }

  getattr(place: Place, out: Attributes): number {
    try {
      const inode = this.#inodes.read(place);
      if (inode === undefined) return -ENOENT;
      return this.#inodes.answer(inode, place, out);
    } catch (error) {
      return errnoOf(error);
    }
  }

  setattr(_caller: Caller, place: Place, change: AttributeChange, out: Attributes): number {
    return this.#mutate(() => setAttributes(this.#inodes, this.#files, place, change, out));
  }

  /** Target of a symbolic link, or a negative errno. */
  readlink(place: Place): Uint8Array | number {
    return this.#answer(() => {
      const inode = this.#inodes.read(place);
      if (inode === undefined) return -ENOENT;
      return record.typeOf(inode) === record.SYMLINK ? record.targetOf(inode) : -EINVAL;
    });
  }

  /** Makes a regular file (also with no type bits), FIFO, socket or device. */
  mknod(
    caller: Caller,
    parent: Place,
    name: Uint8Array,
    mode: number,
    rdev: number,
    out: Attributes,
  ): number {
    const type = mode & record.TYPE_MASK;
    if (type === record.DIRECTORY || type === record.SYMLINK) return -EINVAL;
    return this.#make(caller, parent, name, type === 0 ? mode | record.REGULAR : mode, rdev, undefined, out);
  }

  mkdir(caller: Caller, parent: Place, name: Uint8Array, mode: number, out: Attributes): number {
    const bits = mode & ~record.TYPE_MASK;
    return this.#make(caller, parent, name, bits | record.DIRECTORY, 0, undefined, out);
  }

  symlink(caller: Caller, parent: Place, name: Uint8Array, target: Uint8Array, out: Attributes): number {
    return this.#make(caller, parent, name, record.SYMLINK | 0o777, 0, target, out);
  }

  #make(
    caller: Caller,
    parent: Place,
    name: Uint8Array,
    mode: number,
    rdev: number,
    target: Uint8Array | undefined,
    out: Attributes,
  ): number {
    return this.#mutate(() => makeEntry(this.#inodes, caller, parent, name, mode, rdev, target, false, out));
  }

  link(_caller: Caller, place: Place, newParent: Place, newName: Uint8Array, out: Attributes): number {
    return this.#mutate(() => link(this.#inodes, place, newParent, newName, out));
  }

  unlink(_caller: Caller, parent: Place, name: Uint8Array, result: RemovalResult): number {
    return this.#mutate(() => removeEntry(this.#inodes, parent, name, false, result, this.#lost));
  }

  rmdir(_caller: Caller, parent: Place, name: Uint8Array, result: RemovalResult): number {
    return this.#mutate(() => {
      const done = removeEntry(this.#inodes, parent, name, true, result, this.#lost);
      if (done === 0) this.#directories.removed(result.removedIno);
      return done;
    });
  }

  /**
   * `flags`: 0, or those of renameat2: RENAME_NOREPLACE (1), RENAME_EXCHANGE (2), RENAME_WHITEOUT (4). EXDEV where a
   * directory is too large for one batch.
   */
  rename(
    caller: Caller,
    oldParent: Place,
    oldName: Uint8Array,
    newParent: Place,
    newName: Uint8Array,
    flags: number,
    result: RemovalResult,
  ): number {
    const listener: MoveListener = {
      moved: (from, to) => {
        if (result.removedIno !== 0) this.#directories.removed(result.removedIno);
        this.#directories.moved(from, to);
      },
      exchanged: (one, other) => this.#directories.exchanged(one, other),
      lost: this.#lost,
    };
    return this.#mutate(() =>
      rename(this.#inodes, caller, oldParent, oldName, newParent, newName, flags, result, listener),
    );
  }

  /** Opens a regular file; honours O_TRUNC. Returns a handle above 0, or a negative errno. */
  open(caller: Caller, place: Place, flags: number): number {
    return this.#answer(() => {
      const handle = this.#files.open(place, flags);
      if (handle < 0 || (flags & O_TRUNC) === 0) return handle;
      const failed = this.setattr(caller, place, this.#change, this.#attributes);
      if (failed === 0) return handle;
      this.#files.release(handle);
      return failed;
    });
  }

  /**
   * Makes a regular file and opens it. `isPassed`: the driver is going to ask for its backing file. Returns a handle above
   * 0, or a negative errno.
   */
  create(
    caller: Caller,
    parent: Place,
    name: Uint8Array,
    mode: number,
    flags: number,
    isPassed: boolean,
    out: Attributes,
  ): number {
    const inodes = this.#inodes;
    const isSeen = !isPassed || (typeof parent !== 'number' && inodes.quotas.limitsBytes(parent));
    const isLive = !isSeen && (flags & O_ACCMODE) !== 0 && inodes.spares !== undefined;
    const regular = (mode & ~record.TYPE_MASK) | record.REGULAR;
    return this.#mutate(() => {
      const failed = makeEntry(inodes, caller, parent, name, regular, 0, undefined, isLive, out);
      if (failed !== 0) return failed;
      try {
        return this.#kept(this.#files.openNew(out.ino, childKey(parent as Uint8Array, name), flags, isLive));
      } catch (error) {
        // There is no file that could not be opened.
        this.unlink(caller, parent, name, { removedIno: 0, removedLinks: 0, movedIno: 0 });
        this.forget(out.ino);
        throw error;
      }
    });
  }

  /**
   * Makes and opens a regular file without a name, which `link` may give one. Returns a handle above 0, or a negative
   * errno.
   */
  createNameless(caller: Caller, parent: Place, mode: number, flags: number, out: Attributes): number {
    return this.#mutate(() => {
      const ino = makeNameless(this.#inodes, caller, parent, mode & ~record.TYPE_MASK, out);
      return ino < 0 ? ino : this.#kept(this.#files.open(ino, flags));
    });
  }

  /** The handle, which nobody gets where the operation fails after all. */
  #kept(handle: number): number {
    if (handle > 0 && this.#inodes.hasFailed) this.#files.release(handle);
    return handle;
  }

  /** Reads into `into` from index `offset` on; returns the bytes read, 0 at the end of the file. */
  read(handle: number, into: Uint8Array, offset: number, length: number, position: number): number {
    try {
      return this.#files.read(handle, into, offset, length, position);
    } catch (error) {
      return errnoOf(error);
    }
  }

  /** Writes from `from`, index `offset` on; returns the bytes written. */
  write(handle: number, from: Uint8Array, offset: number, length: number, position: number): number {
    try {
      return this.#files.write(handle, from, offset, length, position);
    } catch (error) {
      return errnoOf(error);
    }
  }

  /**
   * Readies the handle's backing file for a driver that lets others read and write there: makes it where it is missing and
   * the handle may write. From here on the inode of a writing handle is live. Returns 0 or a negative errno (ENOENT: there
   * is none).
   */
  pass(handle: number): number {
    return this.#answer(() => this.#files.pass(handle));
  }

  /** As `pass`; returns the backing file's descriptor, which is good until the next operation. */
  backing(handle: number): number {
    return this.#answer(() => this.#files.backing(handle));
  }

  /** fallocate(2) with its modes. */
  fallocate(handle: number, mode: number, offset: number, length: number): number {
    return this.#answer(() => this.#files.allocate(handle, mode, offset, length));
  }

  /** Copies up to `length` bytes from one open file to another; returns how many, which may be fewer. */
  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    return this.#answer(() => this.#files.copyRange(from, fromOffset, to, toOffset, length));
  }

  /** SEEK_DATA (3) and SEEK_HOLE (4): the position found, or a negative errno. */
  lseek(handle: number, offset: number, whence: number): number {
    return this.#answer(() => this.#files.seek(handle, offset, whence));
  }

  /** A close of one descriptor. Nothing is buffered here, so there is nothing to do. */
  flush(_handle: number): number {
    return 0;
  }

  /**
   * The driver has time: what has waited for a second is done. Returns whether more waits, for which this is to be called
   * again within a second or two. Throws where contents cannot get their names.
   */
  rest(): boolean {
    deleteEnded(this.#inodes);
    const hasOpen = this.past.rest();
    return this.#files.rest() || hasOpen;
  }

  release(handle: number): number {
    return this.#answer(() => this.#files.release(handle));
  }

  /** The inode number of the file that is open by the handle; 0: no such handle. */
  fileOf(handle: number): number {
    return this.#files.inoOf(handle);
  }

  /**
   * What an fsync has to make durable before `tree.sync()`, for another thread to do; `fsynced` is told after it.
   * Undefined: there is nothing that another thread can do; `fsync` tells why.
   */
  fsyncPlan(handle: number): FsyncPlan | undefined {
    return this.#files.fsyncPlan(handle);
  }

  /** A plan for this inode and backing file was carried out: the content has its name, and that is durable. */
  fsynced(ino: number, born: number, identity: FileIdentity): void {
    this.#files.nameIsDurable(ino, born, identity);
  }

  /** Carries out the plan on this thread: content, directories of the content, then the journal. */
  fsync(handle: number): number {
    return this.#answer(() => {
      const failed = this.#files.sync(handle);
      if (failed < 0) return failed;
      this.#inodes.tree.sync();
      return 0;
    });
  }

  /** Opens a directory for listing. Returns a handle above 0, or a negative errno. */
  opendir(place: Place): number {
    return this.#answer(() => this.#directories.open(place));
  }

  /** The inode number of the directory that is open by the handle; 0: no such handle. */
  directoryOf(handle: number): number {
    return this.#directories.inoOf(handle);
  }

  /** The version that the directory's record had when it was opened by the handle. */
  directoryVersion(handle: number): number {
    return this.#directories.versionOf(handle);
  }

  /**
   * Gives the entries after `offset` (0: from the beginning, `.` and `..` first) to the sink until it refuses one.
   * Without `withAttributes` only `ino` and the type bits of `mode` are valid; `.` and `..` never have more. Returns 0;
   * LISTED_CHANGED where there is nothing left and the directory changed while a handle of it was open; or a negative
   * errno.
   */
  readdir(handle: number, offset: number, withAttributes: boolean, sink: DirectorySink): number {
    return this.#answer(() => this.#directories.read(handle, offset, withAttributes, sink));
  }

  releasedir(handle: number): number {
    return this.#directories.release(handle);
  }

  /** Makes all changes of names and attributes so far durable. */
  fsyncdir(_handle: number): number {
    return this.#answer(() => {
      this.#inodes.tree.sync();
      return 0;
    });
  }

  setxattr(caller: Caller, place: Place, name: Uint8Array, value: Uint8Array, flags: number): number {
    return this.#mutate(() => setXattr(this.#inodes, caller, place, name, value, flags));
  }

  /**
   * Sets an access control list (in the form of its attribute), and the permission bits that follow from it.
   * `killsSetgid`: the caller may not keep the file's setgid bit.
   */
  setAccessList(place: Place, name: Uint8Array, list: Uint8Array, killsSetgid: boolean): number {
    return this.#mutate(() => setAccessList(this.#inodes, place, name, list, killsSetgid));
  }

  /** The value, or a negative errno. */
  getxattr(place: Place, name: Uint8Array): Uint8Array | number {
    if (isOwnAttribute(name)) return this.#answer(() => getOwnAttribute(this.#inodes, place, name));
    return this.#answer(() => getXattr(this.#inodes, place, name));
  }

  /** The names, each ended by a zero byte, or a negative errno. */
  listxattr(caller: Caller, place: Place): Uint8Array | number {
    return this.#answer(() => listXattrs(this.#inodes, caller, place));
  }

  removexattr(caller: Caller, place: Place, name: Uint8Array): number {
    return this.#mutate(() =>
      isAccessListName(name)
        ? removeAccessList(this.#inodes, place, name)
        : removeXattr(this.#inodes, caller, place, name),
    );
  }

  /** Space there is for what is at `place`. */
  statfs(place: Place, out: StatFs): number {
    return this.#answer(() => readSpace(this.#inodes, place, out));
  }

  /** The driver knows the inode no more; an orphan is reclaimed. */
  forget(ino: number): void {
    if (!this.#inodes.orphans.has(ino)) return;
    const open = this.#inodes.opens.get(ino);
    if (open !== undefined) open.forgotten = true;
    else reclaimOrphan(this.#inodes, ino);
  }

  /** The reclaimer has removed these contents. */
  reclaimed(contents: readonly ContentName[]): void {
    this.snapshots.reclaimed(contents);
  }

  /** What the remote's fetcher has to say, on the thread that changes names. */
  get followed(): FollowedAnswers {
    const { opens, away, content, descriptors } = this.#inodes;
    return {
      nameLost: this.#lost,
      relocate: (pathOf) => this.#directories.relocate(pathOf),
      contentChanged: (ino, born) => {
        away?.giveUp(ino, born);
        const open = opens.get(ino);
        if (open?.born === born) {
          descriptors.close(open);
          open.identity = undefined;
          open.partial = undefined;
        }
        content.disk.remove(content.pathOf(ino, born));
        away?.used(ino, born);
      },
    };
  }

  get away(): AwayAnswers | undefined {
    const { away } = this.#inodes;
    if (away === undefined) return undefined;
    return {
      partArrived: (ino, born, attempt, part, result) => away.partArrived(ino, born, attempt, part, result),
      arrived: (ino, born, attempt, result) => away.arrived(ino, born, attempt, result),
      want: (ino, born) => away.want(ino, born),
      evict: (ino, born) => this.#files.evict(ino, born),
    };
  }

  stats(): FileSystemStats {
    return {
      openFiles: this.#files.count,
      openDirectories: this.#directories.count,
      openInodes: this.#inodes.opens.size,
      liveInodes: [...this.#inodes.opens.values()].filter(({ live }) => live).length,
      orphans: this.#inodes.orphans.size,
      openContents: this.#inodes.descriptors.count,
    };
  }

  #mutate(operation: () => number): number {
    return this.#inodes.readOnly ? -EROFS : this.#answer(operation);
  }

  #answer<T>(operation: () => T): T | number {
    this.#inodes.takeFailure();
    try {
      const result = operation();
      return this.#inodes.hasFailed ? errnoOf(this.#inodes.takeFailure()) : result;
    } catch (error) {
      return errnoOf(error);
    }
  }
}

const SLASH_BYTES = Uint8Array.of(SLASH);
