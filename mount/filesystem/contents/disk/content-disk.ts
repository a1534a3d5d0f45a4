import type { FileIdentity } from '../../types.js';

/**
 * Every system call on the contents of files goes through this interface, so that tests can record, fail, shorten, reorder
 * and tear them, as through the engine's `Disk`. Results that are structs are filled into objects of the caller, which
 * are used again and again: nothing on the way of a read, a write or a stat allocates.
 *
 * Calls are synchronous unless they say otherwise. What fails throws an error with a negative `errno`, where nothing else is
 * said, or ERR_UNSAFE for a link in place of a file.
 *
 * Not in here is what the kernel does with a backing file that it was passed: reads, writes and mappings of clients.
 */
export interface ContentDisk {
  /** Of this run of the machine; a constant where the system does not tell, so that nothing is taken for lost. */
  bootId(): string;

  /** Opens a backing file, and no link; -1 where it, or for `create` its directory, does not exist. */
  open(path: string, access: BackingAccess): number;
  /** For `fsync`, which makes creations, renames and removals in it durable, and `syncFilesystem`. */
  openDirectory(path: string): number;
  close(fd: number): void;
  /** Reads up to `length` bytes into `into` at `offset`; may be short; 0 at the end. */
  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number;
  /** Writes from `from`, index `offset` on; may be short. */
  write(fd: number, from: Uint8Array, offset: number, length: number, position: number): number;
  status(fd: number, out: FileStatus): void;
  /** Returns false where there is no such file. Does not follow a link. */
  statusAt(path: string, out: FileStatus): boolean;
  /** Which file this thread's last `status` or `statusAt` was of. */
  lastIdentity(): FileIdentity;
  /** Whether the last `status` or `statusAt` was of this file. */
  lastWas(identity: FileIdentity): boolean;
  /** Seconds of the ctime of the file that the last stat was of: when its content or its inode changed last. */
  lastChangeSeconds(): number;
  /**
   * Whether any descriptor or mapping may write to the file, which `fd` has open for reading; true where the filesystem
   * cannot tell.
   */
  isWrittenElsewhere(fd: number): boolean;
  /** As `isWrittenElsewhere`, of any descriptor or mapping but `fd`. */
  isOpenElsewhere(fd: number): boolean;
  /** Sets a descriptor's mtime and leaves its atime. */
  setModificationTime(fd: number, seconds: number, nanos: number): void;
  truncate(fd: number, size: number): void;
  /** fallocate(2): 0 or a negative errno. */
  allocate(fd: number, mode: number, offset: number, length: number): number;
  /** copy_file_range(2): bytes copied or a negative errno. */
  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number;
  /**
   * Makes an empty file share all of another's blocks (FICLONE): 0, or a negative errno where the filesystem cannot, or
   * failed at it.
   */
  clone(from: number, to: number): number;
  /** Offset of the next data or hole (SEEK_DATA 3, SEEK_HOLE 4), or a negative errno. */
  seek(fd: number, offset: number, whence: number): number;
  /** Starts writing a file's dirty pages back, without waiting for them. */
  startWriteback(fd: number): void;
  fsync(fd: number): void;
  /** Makes all that is on the descriptor's filesystem durable. */
  syncFilesystem(fd: number): void;
  /** As `syncFilesystem`, without blocking this thread. Resolves to 0 or the errno. */
  syncFilesystemAsync(fd: number): Promise<number>;

  /** What has this name, itself if it is a link; undefined: nothing. */
  nodeAt(path: string): DiskNode | undefined;
  rename(from: string, to: string): void;
  /** Gives a file a second name, which is free. */
  link(from: string, to: string): void;
  /** Removes a file; one that is missing is no error. */
  remove(path: string): void;
  /** Makes a directory (mode 0700) and those above it; one that exists is no error. */
  makeDirectory(path: string): void;
  /** Removes a directory with all that is in it; one that is missing is no error. */
  removeDirectory(path: string): void;
  /** What is in a directory, unordered. */
  list(path: string): DiskEntry[];
  /**
   * Has the filesystem put what is in the directory's subdirectories far from each other, where it can. A group of inodes
   * many of which were just removed is slow to make new ones in.
   */
  spreadSubdirectories(path: string): void;
  space(path: string): DiskSpace;
}

/** How to open a backing file: `write` reads, too. `create` makes it (mode 0600), or empties what is there. */
export type BackingAccess = 'read' | 'write' | 'create';

export type NodeKind = 'file' | 'directory' | 'link' | 'other';

export interface DiskNode {
  kind: NodeKind;
  /** Its owner. */
  uid: number;
}

export interface DiskEntry {
  name: string;
  kind: NodeKind;
}

/** As statfs(2) tells it. */
export interface DiskSpace {
  bsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
}

/** What stat tells of a backing file. Filled again and again. */
export interface FileStatus {
  size: number;
  /** Units of 512 bytes. */
  blocks: number;
  mtimeSeconds: number;
  mtimeNanos: number;
}

export function newFileStatus(): FileStatus {
  return { size: 0, blocks: 0, mtimeSeconds: 0, mtimeNanos: 0 };
}

/** Reads what the file holds from its beginning on, up to all of `into`; returns how much that is. */
export function readFully(disk: ContentDisk, fd: number, into: Uint8Array): number {
  let done = 0;
  while (done < into.length) {
    const count = disk.read(fd, into, done, into.length - done, done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Writes all of the bytes at `position`. When it throws, any part of them may have been written. */
export function writeFully(disk: ContentDisk, fd: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    const count = disk.write(fd, bytes, done, bytes.length - done, position + done);
    if (count === 0) throw new Error(`write took no bytes at offset ${position + done}`);
    done += count;
  }
}

/** Makes creations, renames and removals in the directory durable. */
export function syncDirectory(disk: ContentDisk, path: string): void {
  const fd = disk.openDirectory(path);
  try {
    disk.fsync(fd);
  } finally {
    disk.close(fd);
  }
}
