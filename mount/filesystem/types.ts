/**
 * What a driver asks of the filesystem layer, and gets from it. The layer holds the POSIX semantics over the
 * tree and knows no driver; a driver translates its requests into these calls.
 *
 * Conventions: every operation returns 0 (or a count) for success and a negative errno for failure; it throws
 * only for what no caller can foresee (a damaged store, a bug), which the driver turns into EIO in one place.
 * Results are written into objects that the driver owns and reuses. Names and paths are raw bytes.
 */
import type { SnapshotInfo } from '../../engine/api.js';
import type { PurgeProgress } from '../types.js';

/** Who asks. The driver fills one such object again and again. */
export interface Caller {
  uid: number;
  gid: number;
  pid: number;
  umask: number;
}

/**
 * Where an object is: its path (bytes; empty for the root, `/a/b` for a child), or the inode number of one
 * that has no name any more (unlinked while the driver still knows it).
 */
export type Place = Uint8Array | number;

/** An object's attributes; times are seconds (may be negative) and nanoseconds 0..999,999,999. */
export interface Attributes {
  ino: number;
  /** Type and permission bits, as in st_mode. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  /** Units of 512 bytes. */
  blocks: number;
  atimeSeconds: number;
  atimeNanos: number;
  mtimeSeconds: number;
  mtimeNanos: number;
  ctimeSeconds: number;
  ctimeNanos: number;
  btimeSeconds: number;
  btimeNanos: number;
  /** The file is open for writing: its backing file tells size, blocks and times. */
  live: boolean;
  /** Somebody may write through a mapping or past the kernel, so nobody may keep the attributes. */
  changesUnseen: boolean;
}

/** A change of attributes; a field is applied where its bit is in `valid`. */
export interface AttributeChange {
  valid: number;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  atimeSeconds: number;
  atimeNanos: number;
  mtimeSeconds: number;
  mtimeNanos: number;
  ctimeSeconds: number;
  ctimeNanos: number;
  /** Open handle that a truncation came through, 0 for none. */
  handle: number;
}

/** Bits of AttributeChange.valid. */
export const CHANGE_MODE = 1;
export const CHANGE_UID = 2;
export const CHANGE_GID = 4;
export const CHANGE_SIZE = 8;
export const CHANGE_ATIME = 16;
export const CHANGE_MTIME = 32;
/** atime / mtime: use the present time. */
export const CHANGE_ATIME_NOW = 64;
export const CHANGE_MTIME_NOW = 128;
/** The kernel gives the ctime (writeback cache). */
export const CHANGE_CTIME = 256;
/** The caller lost the right to keep suid and sgid by this change (killpriv). */
export const CHANGE_KILL_PRIVILEGES = 512;
/** Nothing but the ctime, which every other change but the loss of privileges sets too. */
export const CHANGE_CTIME_NOW = 1024;

/** What unlink, rmdir and rename tell about the objects that lost or changed a name. */
export interface RemovalResult {
  /** The inode that lost the name (unlink, rmdir, or the one that rename replaced); 0: none. */
  removedIno: number;
  /** Links it has left. */
  removedLinks: number;
  /** The inode that rename moved; 0: none. */
  movedIno: number;
}

export interface StatFs {
  blockSize: number;
  blocks: number;
  blocksFree: number;
  blocksAvailable: number;
  files: number;
  filesFree: number;
  nameMax: number;
}

/**
 * Receives directory entries in order; returns false when it has no room for this one, which is then given
 * again in the next reply. `next` is the offset from which a listing goes on after this entry. `attributes` is
 * the layer's reused object, valid during the call; filled completely only when asked for, and not where `isComplete` is
 * false: the entry's inode cannot be read, and has no more than `ino` and its type.
 */
export type DirectorySink = (
  name: Uint8Array,
  next: number,
  attributes: Attributes,
  isComplete: boolean,
) => boolean;

/** Figures of the layer. */
export interface FileSystemStats {
  openFiles: number;
  openDirectories: number;
  /** Inodes with open handles, and those of them whose backing file is ahead of their record. */
  openInodes: number;
  liveInodes: number;
  /** Inodes without a name that are still used. */
  orphans: number;
  /** Backing files that are kept open. */
  openContents: number;
}

/** A content to be copied: that of `ino` made after snapshot `born`, as the one made after snapshot `next`. */
export interface ContentCopy {
  ino: number;
  born: number;
  next: number;
}

/** Which content of an inode. */
export interface ContentName {
  ino: number;
  born: number;
}

/** What a driver, and the threads around it, ask of the layer for snapshots; see operations/snapshots.ts. */
export interface SnapshotOperations {
  take(name: string): SnapshotInfo;
  delete(name: string): void;
  readonly progress: Readonly<PurgeProgress> | undefined;
  work(): boolean;
  copied(copy: ContentCopy, result: number): void;
  placed(copy: ContentCopy, result: number): void;
  contentsSynced(result: number): void;
}

/** For whoever plays what another machine has changed, after it was played. */
export interface FollowedAnswers {
  /** The name was removed from the directory with this number, or is another inode's. */
  nameLost(directory: number, name: Uint8Array): void;
  /** What the remote has of the content has changed: what is here of it goes, and who has it open reads the new one. */
  contentChanged(ino: number, born: number): void;
  /** Names have changed: `pathOf` tells where a directory is, or (undefined) that it is gone. */
  relocate(pathOf: (ino: number) => Uint8Array | undefined): void;
}

/** What whoever brings contents from a remote tells, and asks for. What an attempt that was given up comes to is ignored. */
export interface AwayAnswers {
  /** A part of the content is in its file in `away`, or `result` is the negative errno of why not. */
  partArrived(ino: number, born: number, attempt: number, part: number, result: number): void;
  /** All of it is, durably, or `result` is a negative errno. */
  arrived(ino: number, born: number, attempt: number, result: number): void;
  /** A content is to be here, though nobody waits for it. False: there is nothing to bring. */
  want(ino: number, born: number): boolean;
  /** A content is to be given up for its space. False: it is in use, or the remote has not what is here. */
  evict(ino: number, born: number): boolean;
}

/** Does what must happen outside the request loop: removal of content whose record's deletion is durable. */
export interface Reclaimer {
  /**
   * Nobody needs the content of `ino` made after snapshot `born` any more. Once everything up to `lsn` is durable, it is to be
   * removed, and then `fileSystem.reclaimed(contents)` called on the mutating thread.
   */
  schedule(ino: number, born: number, lsn: number): void;
}

/**
 * Works on contents outside the request loop, one thing after another in the order in which it was asked, after the syncs
 * that were asked for before. Each is answered on the mutating thread, with 0 or a negative errno.
 */
export interface ContentWorker {
  /** Makes the copy (content-copy.ts); then `fileSystem.copied`. */
  copy(copy: ContentCopy): void;
  /** Puts the copy, which is whole, in place of what it is of (`placeCopy`); then `fileSystem.placed`. */
  place(copy: ContentCopy): void;
  /** Makes all contents and their names durable; then `fileSystem.contentsSynced`. */
  syncContents(): void;
}

/**
 * Keeps records of inodes without a name that the tree has not, where another process finds them. Anybody who takes
 * a name from an inode that is used has it prepared first, so that it is there by the time when the tree says so.
 */
export interface OrphanKeeper {
  /** Whether a record is not too long for it; one that is goes into the tree. */
  canKeep(record: Uint8Array): boolean;
  /** The inode may be about to lose its name. The one before that was so is not any more, unless `keep` was called. */
  prepare(ino: number, record: Uint8Array): void;
  keep(ino: number, record: Uint8Array): void;
  /** Nothing is to be kept of the inode, if anything was. */
  drop(ino: number): void;
}

/** Keeps the numbers of inodes that were left live (somebody may write to them through a mapping) where another process finds them. */
export interface LeftKeeper {
  keep(ino: number): void;
  drop(ino: number): void;
}

/** What is kept of inodes where another process finds it. */
export interface InodeKeepers {
  readonly orphans: OrphanKeeper;
  readonly left: LeftKeeper;
}

/** What an earlier process knew of a file that a client has open. */
export interface KeptFile {
  handle: number;
  place: Place;
  /** The access mode of open(2). */
  flags: number;
  /** The kernel reads and writes its backing file by itself. */
  isPassed: boolean;
}

/** The same of a directory. */
export interface KeptDirectory {
  handle: number;
  place: Place;
  /** As `directoryVersion` told it. */
  version: number;
  /** Names at which a listing may go on, and the offsets after them. */
  listed: readonly { name: Uint8Array; offset: number }[];
}

/** How a driver hands over what it knows from another process; see taking-over.ts. */
export interface TakingOver {
  /** A nameless inode whose record is not in the tree. */
  orphan(ino: number, inode: Uint8Array): void;
  /** An inode that was left live; false: it is so no more. */
  left(ino: number, place: Place): boolean;
  /** 0, or a negative errno; in ascending order of handles. Nobody else gets the handle in either case. */
  file(file: KeptFile): number;
  directory(directory: KeptDirectory): number;
}

/** What the tree tells of records, as it stands. Versions are LSNs of the changes that made them; 0: there is none. */
export interface RecordFacts {
  /** Of the last change. */
  lastLsn(): number;
  /** The inode that an entry is; 0: there is no such entry. */
  entryIno(parent: Place, name: Uint8Array): number;
  /** Of an entry's own record. */
  entryVersion(parent: Place, name: Uint8Array): number;
  /** Of an inode's record. */
  version(place: Place): number;
  xattrVersion(place: Place, name: Uint8Array): number;
}

/** Flags of renameat2(2). */
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
/** Leaves a whiteout (a character device 0:0, as overlay filesystems know it) at the old name. */
export const RENAME_WHITEOUT = 4;

/**
 * Returned by a read that had nothing left to give, of a directory that changed while a handle of it was open: offsets
 * that clients have may not be in the listing that ends here.
 */
export const LISTED_CHANGED = 1;

/** What tells a file from every other that was or will be at its name: its number, and when it was made. */
export interface FileIdentity {
  file: number;
  /** Nanoseconds, as near as a number comes; 0 where the filesystem does not know. */
  birth: number;
}

/**
 * What an fsync has to wait for; then the tree's own `sync()`. It names the backing file, and has no descriptor: another
 * thread may carry it out, and the file may be released before that one comes to it.
 */
export interface FsyncPlan {
  ino: number;
  born: number;
  /** Which file the backing file is; undefined: there is none. */
  identity: FileIdentity | undefined;
  /** The number of the spare that the backing file is yet, or NO_SPARE. */
  spare: number;
  /** Whether the name of the backing file, which it gets before that if it is a spare, is to be made durable too. */
  names: boolean;
}

export interface FileSystemStats {
  openFiles: number;
  openDirectories: number;
  /** Inodes with open handles, and those of them whose backing file is ahead of their record. */
  openInodes: number;
  liveInodes: number;
  /** Inodes without a name that are still used. */
  orphans: number;
  /** Backing files that are kept open. */
  openContents: number;
}
