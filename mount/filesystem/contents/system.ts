/**
 * System calls on backing files, with nanoseconds and without allocation. Results that are structs land in one
 * buffer per thread, read out by `fileStatus`'s fields.
 */

import { constants } from 'node:fs';
import koffi from 'koffi';
import { SpinneyError } from '../../../engine/errors.js';
import {
  anchorOf,
  belowAnchor,
  close,
  errno,
  F_RDLCK,
  F_SETLEASE,
  F_SETSIG,
  F_UNLCK,
  fcntl,
  ioctl,
  O_CLOEXEC,
  O_RDWR,
  openAnchored,
} from '../../libc/libc.js';
import { BackingError, ELOOP, ENOENT, ENXIO } from '../errno.js';
import type { FileIdentity } from '../types.js';

const libc = koffi.load(null);
const statx = libc.func('statx', 'int', ['int', 'const char *', 'int', 'uint', 'void *']) as (
  directory: number,
  path: string,
  flags: number,
  mask: number,
  out: Uint8Array,
) => number;
const futimens = libc.func('futimens', 'int', ['int', 'const void *']) as (
  fd: number,
  times: Uint8Array,
) => number;
const lseek = libc.func('lseek', 'int64_t', ['int', 'int64_t', 'int']) as (
  fd: number,
  offset: number,
  whence: number,
) => number;
const ftruncate = libc.func('ftruncate', 'int', ['int', 'int64_t']) as (fd: number, size: number) => number;
const fallocate = libc.func('fallocate', 'int', ['int', 'int', 'int64_t', 'int64_t']) as (
  fd: number,
  mode: number,
  offset: number,
  length: number,
) => number;
const copyFileRange = libc.func('copy_file_range', 'int64_t', [
  'int',
  'void *',
  'int',
  'void *',
  'size_t',
  'uint',
]) as (
  from: number,
  fromOffset: Uint8Array,
  to: number,
  toOffset: Uint8Array,
  length: number,
  flags: number,
) => number;
const syncFileRange = libc.func('sync_file_range', 'int', ['int', 'int64_t', 'int64_t', 'uint']) as (
  fd: number,
  offset: number,
  length: number,
  flags: number,
) => number;
const syncfs = libc.func('syncfs', 'int', ['int']);
const clockGettime = libc.func('clock_gettime', 'int', ['int', 'void *']) as (
  clock: number,
  out: Uint8Array,
) => number;

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
/** STATX_BASIC_STATS and STATX_BTIME. */
const STATX_WANTED = 0xfff;
const O_CREAT = 0x40;
const UTIME_OMIT = 0x3fff_fffe;
const CLOCK_REALTIME = 0;
const SYNC_FILE_RANGE_WRITE = 2;

/** What stat tells of a backing file. Filled again and again. */
export interface FileStatus {
  size: number;
  blocks: number;
  mtimeSeconds: number;
  mtimeNanos: number;
}

export function newFileStatus(): FileStatus {
  return { size: 0, blocks: 0, mtimeSeconds: 0, mtimeNanos: 0 };
}

const statBuffer = Buffer.alloc(256);
const timesBuffer = Buffer.alloc(32);
const clockBuffer = Buffer.alloc(16);
const fromOffsetBuffer = Buffer.alloc(8);
const toOffsetBuffer = Buffer.alloc(8);

/** How to open a backing file. `create` makes it where it is missing. */
export type BackingAccess = 'read' | 'write' | 'create';

const OPEN = O_CLOEXEC | constants.O_NOFOLLOW;
const accessFlags = { read: OPEN, write: O_RDWR | OPEN, create: O_RDWR | O_CREAT | OPEN } as const;

/** Opens a backing file; -1 where it, or for `create` its directory, does not exist. Throws ERR_UNSAFE for a link. */
export function openBacking(path: string, access: BackingAccess): number {
  const fd = openAnchored(path, accessFlags[access], 0o600);
  if (fd >= 0) return fd;
  const code = errno();
  if (code === ENOENT) return -1;
  if (code === ELOOP) {
    throw new SpinneyError('ERR_UNSAFE', `Cannot open the content file ${path}: it is a symbolic link`);
  }
  throw new BackingError(code, `Cannot open the content file ${path}: errno ${code}`);
}

export function closeBacking(fd: number): void {
  close(fd);
}

export function statDescriptor(fd: number, out: FileStatus): void {
  if (statx(fd, '', AT_EMPTY_PATH, STATX_WANTED, statBuffer) !== 0) throw failed('stat', fd);
  readStatus(out);
}

/** A signal that is ignored unless somebody wants it. */
const SIGURG = 23;

/**
 * Whether any descriptor or mapping may write to the file, which `fd` has open for reading; true where the filesystem
 * cannot tell. A lease for reading is given only where nobody does, and is returned at once.
 */
export function isWrittenElsewhere(fd: number): boolean {
  // A lease that must be broken in this moment would else send a signal that ends the process.
  if (fcntl(fd, F_SETSIG, SIGURG) !== 0 || fcntl(fd, F_SETLEASE, F_RDLCK) !== 0) return true;
  fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}

/** Returns false where there is no such file. */
export function statPath(path: string, out: FileStatus): boolean {
  if (statx(anchorOf(path), belowAnchor(path), AT_SYMLINK_NOFOLLOW, STATX_WANTED, statBuffer) !== 0) {
    const code = errno();
    if (code === ENOENT) return false;
    throw new BackingError(code, `Cannot stat the content file ${path}: errno ${code}`);
  }
  readStatus(out);
  return true;
}

/** Which file the last `statDescriptor` or `statPath` was of. */
export function identityOfLast(): FileIdentity {
  return { file: signed64(statBuffer, 32), birth: birthOfLast() };
}

/** Whether the last `statDescriptor` or `statPath` was of this file. */
export function lastWas(identity: FileIdentity): boolean {
  return signed64(statBuffer, 32) === identity.file && birthOfLast() === identity.birth;
}

function birthOfLast(): number {
  return signed64(statBuffer, 80) * 1_000_000_000 + statBuffer.readUInt32LE(88);
}

/** Seconds of the ctime of the file that this thread's last stat was of: when its content or its inode changed last. */
export function statChangeSeconds(): number {
  return signed64(statBuffer, 96);
}

/** Sets a descriptor's mtime and leaves its atime. */
export function setModificationTime(fd: number, seconds: number, nanos: number): void {
  timesBuffer.writeUInt32LE(UTIME_OMIT, 8);
  const high = Math.floor(seconds / 0x1_0000_0000);
  timesBuffer.writeUInt32LE(seconds - high * 0x1_0000_0000, 16);
  timesBuffer.writeInt32LE(high, 20);
  timesBuffer.writeUInt32LE(nanos, 24);
  if (futimens(fd, timesBuffer) !== 0) throw failed('set the times of', fd);
}

export function truncateDescriptor(fd: number, size: number): void {
  if (ftruncate(fd, size) !== 0) throw failed('truncate', fd);
}

/** Offset of the next data or hole (SEEK_DATA 3, SEEK_HOLE 4), or a negative errno. */
export function seekDescriptor(fd: number, offset: number, whence: number): number {
  if (offset < 0) return -ENXIO;
  const at = lseek(fd, offset, whence);
  return at >= 0 ? at : -errno();
}

/** fallocate(2): 0 or a negative errno. */
export function allocateDescriptor(fd: number, mode: number, offset: number, length: number): number {
  return fallocate(fd, mode, offset, length) === 0 ? 0 : -errno();
}

/** copy_file_range(2): bytes copied or a negative errno. */
export function copyDescriptors(
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
): number {
  putUnsigned64(fromOffsetBuffer, fromOffset);
  putUnsigned64(toOffsetBuffer, toOffset);
  const copied = copyFileRange(from, fromOffsetBuffer, to, toOffsetBuffer, length, 0);
  return copied >= 0 ? copied : -errno();
}

/** From linux/fs.h. */
const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_TOPDIR_FL = 0x0002_0000;

/**
 * Has the filesystem put what is in the directory's subdirectories far from each other (ext2 to ext4; on others nothing
 * changes). A group of inodes many of which were just removed is slow to make new ones in.
 */
export function spreadSubdirectories(directory: string): void {
  const fd = openAnchored(directory, O_CLOEXEC, 0);
  if (fd < 0) return;
  const flags = new Int32Array(2);
  if (ioctl(fd, FS_IOC_GETFLAGS, flags) === 0) {
    flags[0]! |= FS_TOPDIR_FL;
    ioctl(fd, FS_IOC_SETFLAGS, flags);
  }
  close(fd);
}

/** Starts writing a file's dirty pages back, without waiting for them. */
export function startWriteback(fd: number): void {
  if (syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE) !== 0) throw failed('write back', fd);
}

/** Makes all that is on the descriptor's filesystem durable. */
export function syncFilesystem(fd: number): void {
  if ((syncfs(fd) as number) !== 0) throw failed('sync the filesystem of', fd);
}

/** Makes all of the filesystem that the descriptor is on durable, on a thread of its own. Resolves to 0 or the errno. */
export function syncFilesystemAsync(fd: number): Promise<number> {
  return new Promise((resolve, reject) => {
    syncfs.async(fd, (error: unknown, result: number) => {
      if (error) reject(error as Error);
      else resolve(result === 0 ? 0 : errno());
    });
  });
}

/** Where the present time comes from; tests give their own. `read` fills the other two. */
export interface Clock {
  seconds: number;
  nanos: number;
  read(): void;
}

export class SystemClock implements Clock {
  seconds = 0;
  nanos = 0;

  read(): void {
    clockGettime(CLOCK_REALTIME, clockBuffer);
    this.seconds = signed64(clockBuffer, 0);
    this.nanos = clockBuffer.readUInt32LE(8);
  }
}

function readStatus(out: FileStatus): void {
  out.size = signed64(statBuffer, 40);
  out.blocks = signed64(statBuffer, 48);
  out.mtimeSeconds = signed64(statBuffer, 112);
  out.mtimeNanos = statBuffer.readUInt32LE(120);
}

function putUnsigned64(to: Buffer, value: number): void {
  to.writeUInt32LE(value % 0x1_0000_0000, 0);
  to.writeUInt32LE(Math.floor(value / 0x1_0000_0000), 4);
}

function signed64(from: Buffer, at: number): number {
  return from.readUInt32LE(at) + from.readInt32LE(at + 4) * 0x1_0000_0000;
}

function failed(what: string, fd: number): BackingError {
  const code = errno();
  return new BackingError(code, `Cannot ${what} the content file with descriptor ${fd}: errno ${code}`);
}
