/**
 * The real disk below the contents: system calls with nanoseconds and without allocation. Results that are structs land in
 * one buffer per thread, and are read out of it.
 *
 * Descriptors are opened through libc: Node closes those that a thread opened by `fs.openSync` when that ends.
 */

import {
  constants,
  type Dirent,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import koffi from 'koffi';
import { SpinneyError } from '../../../../engine/errors.js';
import {
  anchorOf,
  belowAnchor,
  close,
  errno,
  errnoName,
  F_RDLCK,
  F_SETLEASE,
  F_SETSIG,
  F_UNLCK,
  F_WRLCK,
  fcntl,
  ioctl,
  O_CLOEXEC,
  O_RDWR,
  openAnchored,
} from '../../../libc/libc.js';
import { BackingError, ELOOP, ENOENT, ENXIO } from '../../errno.js';
import type { FileIdentity } from '../../types.js';
import type {
  BackingAccess,
  ContentDisk,
  DiskEntry,
  DiskNode,
  DiskSpace,
  FileStatus,
  NodeKind,
} from './content-disk.js';

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

/** For the requests whose argument is a descriptor. */
const cloneRequest = libc.func('ioctl', 'int', ['int', 'ulong', 'int']) as (
  fd: number,
  request: number,
  argument: number,
) => number;

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
/** STATX_BASIC_STATS and STATX_BTIME. */
const STATX_WANTED = 0xfff;
const O_CREAT = 0x40;
const UTIME_OMIT = 0x3fff_fffe;
const CLOCK_REALTIME = 0;
const SYNC_FILE_RANGE_WRITE = 2;

/** A signal that is ignored unless somebody wants it. */
const SIGURG = 23;

/** From linux/fs.h. */
const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FICLONE = 0x4004_9409;
const FS_TOPDIR_FL = 0x0002_0000;

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

const OPEN = O_CLOEXEC | constants.O_NOFOLLOW;
const accessFlags = {
  read: OPEN,
  write: O_RDWR | OPEN,
  create: O_RDWR | O_CREAT | constants.O_TRUNC | OPEN,
} as const;

const statBuffer = Buffer.alloc(256);
const timesBuffer = Buffer.alloc(32);
const clockBuffer = Buffer.alloc(16);
const fromOffsetBuffer = Buffer.alloc(8);
const toOffsetBuffer = Buffer.alloc(8);

export class SystemDisk implements ContentDisk {
  bootId(): string {
    try {
      return readFileSync(BOOT_ID, 'latin1').trim();
    } catch {
      return 'unknown';
    }
  }

  open(path: string, access: BackingAccess): number {
    const fd = openAnchored(path, accessFlags[access], 0o600);
    if (fd >= 0) return fd;
    const code = errno();
    if (code === ENOENT) return -1;
    if (code === ELOOP) {
      throw new SpinneyError('ERR_UNSAFE', `Cannot open the content file ${path}: it is a symbolic link`);
    }
    throw new BackingError(code, `Cannot open the content file ${path}: ${errnoName(code)}`);
  }

  openDirectory(path: string): number {
    const fd = openAnchored(path, O_CLOEXEC | constants.O_DIRECTORY, 0);
    if (fd >= 0) return fd;
    const code = errno();
    throw new BackingError(code, `Cannot open the directory ${path}: ${errnoName(code)}`);
  }

  close(fd: number): void {
    close(fd);
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return readSync(fd, into, offset, length, position);
  }

  write(fd: number, from: Uint8Array, offset: number, length: number, position: number): number {
    return writeSync(fd, from, offset, length, position);
  }

  status(fd: number, out: FileStatus): void {
    if (statx(fd, '', AT_EMPTY_PATH, STATX_WANTED, statBuffer) !== 0) throw failed('stat', fd);
    readStatus(out);
  }

  statusAt(path: string, out: FileStatus): boolean {
    if (statx(anchorOf(path), belowAnchor(path), AT_SYMLINK_NOFOLLOW, STATX_WANTED, statBuffer) !== 0) {
      const code = errno();
      if (code === ENOENT) return false;
      throw new BackingError(code, `Cannot stat the content file ${path}: ${errnoName(code)}`);
    }
    readStatus(out);
    return true;
  }

  lastIdentity(): FileIdentity {
    return { file: signed64(statBuffer, 32), birth: lastBirth() };
  }

  lastWas(identity: FileIdentity): boolean {
    return signed64(statBuffer, 32) === identity.file && lastBirth() === identity.birth;
  }

  lastChangeSeconds(): number {
    return signed64(statBuffer, 96);
  }

  /** A lease for reading is given only where nobody writes, and is returned at once. */
  isWrittenElsewhere(fd: number): boolean {
    // A lease that must be broken in this moment would else send a signal that ends the process.
    if (fcntl(fd, F_SETSIG, SIGURG) !== 0 || fcntl(fd, F_SETLEASE, F_RDLCK) !== 0) return true;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
  }

  /** A lease for writing is given only to who is alone, and is returned at once. */
  isOpenElsewhere(fd: number): boolean {
    if (fcntl(fd, F_SETSIG, SIGURG) !== 0 || fcntl(fd, F_SETLEASE, F_WRLCK) !== 0) return true;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
  }

  setModificationTime(fd: number, seconds: number, nanos: number): void {
    timesBuffer.writeUInt32LE(UTIME_OMIT, 8);
    const high = Math.floor(seconds / 0x1_0000_0000);
    timesBuffer.writeUInt32LE(seconds - high * 0x1_0000_0000, 16);
    timesBuffer.writeInt32LE(high, 20);
    timesBuffer.writeUInt32LE(nanos, 24);
    if (futimens(fd, timesBuffer) !== 0) throw failed('set the times of', fd);
  }

  truncate(fd: number, size: number): void {
    if (ftruncate(fd, size) !== 0) throw failed('truncate', fd);
  }

  allocate(fd: number, mode: number, offset: number, length: number): number {
    return fallocate(fd, mode, offset, length) === 0 ? 0 : -errno();
  }

  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    putUnsigned64(fromOffsetBuffer, fromOffset);
    putUnsigned64(toOffsetBuffer, toOffset);
    const copied = copyFileRange(from, fromOffsetBuffer, to, toOffsetBuffer, length, 0);
    return copied >= 0 ? copied : -errno();
  }

  clone(from: number, to: number): number {
    return cloneRequest(to, FICLONE, from) === 0 ? 0 : -errno();
  }

  seek(fd: number, offset: number, whence: number): number {
    if (offset < 0) return -ENXIO;
    const at = lseek(fd, offset, whence);
    return at >= 0 ? at : -errno();
  }

  startWriteback(fd: number): void {
    if (syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE) !== 0) throw failed('write back', fd);
  }

  fsync(fd: number): void {
    fsyncSync(fd);
  }

  syncFilesystem(fd: number): void {
    if ((syncfs(fd) as number) !== 0) throw failed('sync the filesystem of', fd);
  }

  syncFilesystemAsync(fd: number): Promise<number> {
    return new Promise((resolve, reject) => {
      syncfs.async(fd, (error: unknown, result: number) => {
        if (error) reject(error as Error);
        else resolve(result === 0 ? 0 : errno());
      });
    });
  }

  nodeAt(path: string): DiskNode | undefined {
    const found = lstatSync(path, { throwIfNoEntry: false });
    return found === undefined ? undefined : { kind: kindOf(found), uid: found.uid };
  }

  rename(from: string, to: string): void {
    renameSync(from, to);
  }

  link(from: string, to: string): void {
    linkSync(from, to);
  }

  remove(path: string): void {
    try {
      unlinkSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  makeDirectory(path: string): void {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  removeDirectory(path: string): void {
    rmSync(path, { recursive: true, force: true });
  }

  list(path: string): DiskEntry[] {
    return readdirSync(path, { withFileTypes: true }).map((entry) => ({
      name: entry.name,
      kind: kindOf(entry),
    }));
  }

  /** Does so on ext2 to ext4. */
  spreadSubdirectories(path: string): void {
    const fd = openAnchored(path, O_CLOEXEC, 0);
    if (fd < 0) return;
    const flags = new Int32Array(2);
    if (ioctl(fd, FS_IOC_GETFLAGS, flags) === 0) {
      flags[0]! |= FS_TOPDIR_FL;
      ioctl(fd, FS_IOC_SETFLAGS, flags);
    }
    close(fd);
  }

  space(path: string): DiskSpace {
    return statfsSync(path);
  }
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

function lastBirth(): number {
  return signed64(statBuffer, 80) * 1_000_000_000 + statBuffer.readUInt32LE(88);
}

function kindOf(found: Stats | Dirent): NodeKind {
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'directory';
  return found.isSymbolicLink() ? 'link' : 'other';
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
  return new BackingError(code, `Cannot ${what} the content file with descriptor ${fd}: ${errnoName(code)}`);
}
