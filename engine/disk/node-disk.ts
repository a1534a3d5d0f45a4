/**
 * The real disk. It opens only plain files, and for writing only those that are the process's own and have one name, so
 * that nobody who could put a link into a store gets a foreign file written (docs/decisions/safe-stores.md).
 *
 * Descriptors are opened and closed through libc: those that a worker opens with `fs.openSync`
 * are closed by Node when the worker ends, and a number then reused would misdirect another thread's writes.
 */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { SpinneyError } from '../errors.js';
import type { Disk } from './disk.js';
import { type DirectoryIdentity, identify } from './identity.js';
import { hasErrno } from './io.js';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  libc,
  MAP_FAILED,
  MAP_SHARED,
  O_CLOEXEC,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  POSIX_FADV_RANDOM,
  POSIX_FADV_WILLNEED,
  PROT_READ_WRITE,
  systemError,
} from './libc.js';

const { EINTR, ELOOP, EOPNOTSUPP, EWOULDBLOCK } = constants.errno;
/** Nothing that is opened waits: what a FIFO or a device is for is not for us. */
const PLAIN = fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
/** writev takes at most this many buffers. */
const IOV_MAX = 1024;
/** What link(2) says where there are no hard links, or no more. */
const NO_LINKS = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'ENOSPC', 'EDQUOT'];
const ZEROS_BYTES = 1024 * 1024;

function hasCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === code;
}

/** Calls until it is no longer interrupted; returns the result, or minus the errno. */
function uninterrupted(call: () => number): number {
  for (;;) {
    const result = call();
    if (result !== -1) return result;
    const errno = libc().errno();
    if (errno !== EINTR) return -errno;
  }
}

/** As `uninterrupted`, for Node's own calls, which throw. */
function untilDone<T>(call: () => T): T {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!hasCode(error, 'EINTR')) throw error;
    }
  }
}

/** Why an open file is not to be used, if so. */
function problemOf(status: fs.Stats, write: boolean): string | undefined {
  if (!status.isFile()) return 'it is not a plain file';
  if (!write) return undefined;
  if (status.uid !== process.geteuid?.()) return ownedBy(status.uid);
  return status.nlink > 1 ? 'it has a second name (a hard link), which would be changed too' : undefined;
}

function ownedBy(uid: number): string {
  return `it belongs to uid ${uid}, not to uid ${process.geteuid?.()}, which this process runs as`;
}

function unsafe(path: string, problem: string): SpinneyError {
  return new SpinneyError('ERR_UNSAFE', `Cannot open ${path}: ${problem}`);
}

export class NodeDisk implements Disk {
  readonly #mappings = new Map<ArrayBuffer, bigint>();

  open(path: string, options: { write: boolean; create?: boolean }): number {
    if (path.includes('\0')) throw systemError(constants.errno.EINVAL, 'open', path);
    const flags = (options.write ? O_RDWR : O_RDONLY) | (options.create ? O_CREAT : 0) | O_CLOEXEC | PLAIN;
    const fd = uninterrupted(() => libc().open(path, flags, FILE_MODE));
    if (fd === -ELOOP) throw unsafe(path, 'it is a symbolic link');
    if (fd < 0) throw systemError(-fd, 'open', path);
    const problem = problemOf(fs.fstatSync(fd), options.write);
    if (problem === undefined) return fd;
    this.close(fd);
    throw unsafe(path, problem);
  }

  close(fd: number): void {
    // Not repeated after EINTR: on Linux the descriptor is gone by then.
    if (libc().close(fd) === 0) return;
    const errno = libc().errno();
    if (errno !== EINTR) throw systemError(errno, 'close');
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return untilDone(() => fs.readSync(fd, into, offset, length, position));
  }

  write(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const [first] = buffers;
    if (first === undefined) return 0;
    if (buffers.length === 1) return untilDone(() => fs.writeSync(fd, first, 0, first.length, position));
    return untilDone(() => fs.writevSync(fd, buffers.slice(0, IOV_MAX), position));
  }

  fdatasync(fd: number): void {
    untilDone(() => fs.fdatasyncSync(fd));
  }

  fsync(fd: number): void {
    untilDone(() => fs.fsyncSync(fd));
  }

  truncate(fd: number, size: number): void {
    untilDone(() => fs.ftruncateSync(fd, size));
  }

  allocate(fd: number, offset: number, length: number): void {
    const result = uninterrupted(() => libc().fallocate(fd, 0, offset, length));
    if (result === 0) return;
    if (result !== -EOPNOTSUPP) throw systemError(-result, 'fallocate');
    this.#writeZeros(fd, Math.max(offset, this.size(fd)), offset + length);
  }

  punchHole(fd: number, offset: number, length: number): void {
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const result = uninterrupted(() => libc().fallocate(fd, mode, offset, length));
    if (result < 0 && result !== -EOPNOTSUPP) throw systemError(-result, 'fallocate');
  }

  map(fd: number, length: number): ArrayBuffer {
    const address = libc().mmap(null, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    if (address === MAP_FAILED) throw systemError(libc().errno(), 'mmap');
    const buffer = libc().view(address, length);
    this.#mappings.set(buffer, address);
    return buffer;
  }

  unmap(buffer: ArrayBuffer): void {
    const address = this.#mappings.get(buffer);
    if (address === undefined) return;
    this.#mappings.delete(buffer);
    if (libc().munmap(address, buffer.byteLength) !== 0) throw systemError(libc().errno(), 'munmap');
  }

  expectRandomReads(fd: number): void {
    libc().posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  }

  readAhead(fd: number, offset: number, length: number): void {
    libc().posix_fadvise(fd, offset, length, POSIX_FADV_WILLNEED);
  }

  size(fd: number): number {
    return fs.fstatSync(fd).size;
  }

  freeBytes(path: string): number {
    const { bavail, bsize } = fs.statfsSync(path);
    return bavail * bsize;
  }

  rename(from: string, to: string): void {
    fs.renameSync(from, to);
  }

  link(from: string, to: string): boolean {
    fs.rmSync(to, { force: true });
    try {
      fs.linkSync(from, to);
      return true;
    } catch (error) {
      if (NO_LINKS.some((code) => hasCode(error, code))) return false;
      throw error;
    }
  }

  unlink(path: string): void {
    fs.unlinkSync(path);
  }

  mkdir(path: string): void {
    try {
      fs.mkdirSync(path, { mode: DIRECTORY_MODE });
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
      const found = fs.statSync(path);
      if (!found.isDirectory()) throw error;
      if (found.uid !== process.geteuid?.()) throw unsafe(path, ownedBy(found.uid));
    }
  }

  list(path: string): string[] {
    return fs.readdirSync(path);
  }

  exists(path: string): boolean {
    try {
      return fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    } catch (error) {
      // Nothing is below a file.
      if (hasErrno(error, 'ENOTDIR')) return false;
      throw error;
    }
  }

  syncDirectory(path: string): void {
    const fd = uninterrupted(() => libc().open(path, O_RDONLY | O_CLOEXEC | fs.constants.O_DIRECTORY, 0));
    if (fd < 0) throw systemError(-fd, 'open', path);
    try {
      this.fsync(fd);
    } finally {
      this.close(fd);
    }
  }

  lock(fd: number, mode: 'shared' | 'exclusive'): boolean {
    const operation = (mode === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB;
    const result = uninterrupted(() => libc().flock(fd, operation));
    if (result === 0) return true;
    if (result === -EWOULDBLOCK) return false;
    throw systemError(-result, 'flock');
  }

  isSameFile(fd: number, path: string): boolean {
    const there = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (there === undefined) return false;
    const here = fs.fstatSync(fd, { bigint: true });
    return there.dev === here.dev && there.ino === here.ino;
  }

  identify(directory: string): DirectoryIdentity {
    return identify(directory);
  }

  /** Where the filesystem cannot reserve: what lies inside the file has its space, only the rest is written. */
  #writeZeros(fd: number, from: number, to: number): void {
    const zeros = new Uint8Array(Math.max(0, Math.min(ZEROS_BYTES, to - from)));
    for (let at = from; at < to; ) at += this.write(fd, [zeros.subarray(0, to - at)], at);
  }
}
