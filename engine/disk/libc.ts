/**
 * The libc calls that Node lacks, through koffi; loaded at first use, so that what never touches a file (a tree
 * in memory) needs no native library. Linux on x64 and arm64, where these flag values agree.
 */
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { SpinneyError } from '../errors.js';

export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_CLOEXEC = 0o2000000;
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const POSIX_FADV_RANDOM = 1;
export const POSIX_FADV_WILLNEED = 3;
export const MADV_HUGEPAGE = 14;
export const CLOCK_BOOTTIME = 7;
export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 1;
/** What mmap returns on failure: the pointer of value -1. */
export const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Each returns -1 on failure, mmap MAP_FAILED; `errno()` right after the call tells why. */
export interface Libc {
  open(path: string, flags: number, mode: number): number;
  close(fd: number): number;
  flock(fd: number, operation: number): number;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  /** A hint; what it returns need not be looked at. */
  posix_fadvise(fd: number, offset: number, length: number, advice: number): number;
  mmap(address: null, length: number, protection: number, flags: number, fd: number, offset: number): bigint;
  munmap(address: bigint, length: number): number;
  /** A hint; what it returns need not be looked at. */
  madvise(address: bigint, length: number, advice: number): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** Writes a timespec: two little-endian words of 8 bytes. */
  clock_gettime(clock: number, time: Uint8Array): number;
  errno(): number;
  /** Where the bytes are in memory. */
  addressOf(bytes: Uint8Array): bigint;
  /** The memory at an address as a buffer, which does not own it. */
  view(address: bigint, length: number): ArrayBuffer;
}

let loaded: Libc | undefined;

export function libc(): Libc {
  loaded ??= load();
  return loaded;
}

function load(): Libc {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    throw new SpinneyError(
      'ERR_IO',
      `Cannot load libc: file stores need Linux on x64 or arm64, this is ${process.platform} on ${process.arch}`,
    );
  }
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const library = koffi.load('libc.so.6');
    return {
      // open is variadic in C; the mode travels as a variadic int.
      open: variadicOpen(library.func('int open(const char *path, int flags, ...)')),
      close: library.func('int close(int fd)'),
      flock: library.func('int flock(int fd, int operation)'),
      fallocate: library.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
      posix_fadvise: library.func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)'),
      mmap: library.func(
        'void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)',
      ),
      munmap: library.func('int munmap(void *address, size_t length)'),
      madvise: library.func('int madvise(void *address, size_t length, int advice)'),
      ioctl: variadicIoctl(library.func('int ioctl(int fd, unsigned long request, ...)')),
      clock_gettime: library.func('int clock_gettime(int clock, void *time)'),
      errno: () => koffi.errno(),
      addressOf: (bytes) => koffi.address(bytes),
      view: (address, length) => koffi.view(address, length),
    };
  } catch (cause) {
    throw new SpinneyError(
      'ERR_IO',
      'Cannot load libc: libc.so.6 (glibc) could not be opened through koffi',
      {
        cause,
      },
    );
  }
}

function variadicOpen(open: (...args: unknown[]) => number): Libc['open'] {
  return (path, flags, mode) => open(path, flags, 'int', mode);
}

function variadicIoctl(ioctl: (...args: unknown[]) => number): Libc['ioctl'] {
  return (fd, request, argument) => ioctl(fd, request, 'void *', argument);
}

const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/**
 * Asks the system to back the memory with huge pages where it can: walks of a large tree then miss the processor's
 * table of pages less often.
 */
export function adviseHugePages(memory: SharedArrayBuffer): void {
  // One byte of it: a view of all would be longer than views may be where the memory has more than 4 GiB.
  const address = libc().addressOf(new Uint8Array(memory, 0, 1));
  const skipped = Number(-address & BigInt(HUGE_PAGE_BYTES - 1));
  const length = memory.byteLength - skipped;
  if (length >= HUGE_PAGE_BYTES) libc().madvise(address + BigInt(skipped), length, MADV_HUGEPAGE);
}

/** The error that Node's fs would throw for this errno. */
export function systemError(errno: number, syscall: string, path?: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  const message = path === undefined ? `${code}: ${syscall}` : `${code}: ${syscall} '${path}'`;
  const error: NodeJS.ErrnoException = Object.assign(new Error(message), { code, errno: -errno, syscall });
  if (path !== undefined) error.path = path;
  return error;
}
