/**
 * The libc calls that Node lacks, declared for koffi. Each returns what the C function returns; after a -1
 * `errno()` tells why, on the thread that made the call. Paths and options are C strings; buffers may be views
 * of shared memory, and the call uses them from their first byte.
 *
 * A descriptor opened here belongs to the process: unlike one from `fs.openSync` it outlives the worker that
 * opened it, until `close`.
 */
import { constants } from 'node:os';
import koffi from 'koffi';

const libc = koffi.load(null);

export const open = libc.func('open', 'int', ['const char *', 'int', 'int']) as (
  path: string,
  flags: number,
  mode: number,
) => number;
const openat = libc.func('openat', 'int', ['int', 'const char *', 'int', 'int']) as (
  directory: number,
  path: string,
  flags: number,
  mode: number,
) => number;

/** For calls that take a directory's descriptor and a path: relative paths are the process's. */
export const AT_FDCWD = -100;
const ANCHOR = '/proc/self/fd/';

/**
 * A path through `/proc/self/fd/N/` in the parts that such calls take, the descriptor and what follows: the kernel then
 * needs half as long as through /proc, and less than from the root.
 */
export function anchorOf(path: string): number {
  const end = anchorEnd(path);
  return end < 0 ? AT_FDCWD : Number(path.slice(ANCHOR.length, end));
}
export function belowAnchor(path: string): string {
  const end = anchorEnd(path);
  return end < 0 ? path : path.slice(end + 1);
}

function anchorEnd(path: string): number {
  return path.startsWith(ANCHOR) ? path.indexOf('/', ANCHOR.length) : -1;
}

/** As `open`, see `anchorOf`. */
export function openAnchored(path: string, flags: number, mode: number): number {
  return openat(anchorOf(path), belowAnchor(path), flags, mode);
}

export const close = libc.func('close', 'int', ['int']) as (fd: number) => number;
export const dup2 = libc.func('dup2', 'int', ['int', 'int']) as (from: number, to: number) => number;
/** Makes a session and a group of processes of its own for this process, which must not be the first of its group. */
export const setsid = libc.func('setsid', 'int', []) as () => number;
/** Ends the process at once, whatever its threads are doing. */
export const exitNow = libc.func('_exit', 'void', ['int']) as (code: number) => void;
export const read = libc.func('read', 'long', ['int', 'void *', 'size_t']) as (
  fd: number,
  into: Uint8Array,
  length: number,
) => number;
export const write = libc.func('write', 'long', ['int', 'const void *', 'size_t']) as (
  fd: number,
  from: Uint8Array,
  length: number,
) => number;
/** `fds` is an array of struct pollfd: { s32 fd, s16 events, s16 revents } each. A negative timeout waits for ever. */
export const poll = libc.func('poll', 'int', ['void *', 'ulong', 'int']) as (
  fds: Int32Array,
  count: number,
  timeoutMs: number,
) => number;
/** `fds` receives the reading and the writing end. */
export const pipe2 = libc.func('pipe2', 'int', ['void *', 'int']) as (
  fds: Int32Array,
  flags: number,
) => number;
/** Makes the second number mean what the first does, and closes what it meant before. */
export const dup3 = libc.func('dup3', 'int', ['int', 'int', 'int']) as (
  from: number,
  to: number,
  flags: number,
) => number;
/** As pipe2, with a pair of connected unix sockets. */
export const socketpair = libc.func('socketpair', 'int', ['int', 'int', 'int', 'void *']) as (
  domain: number,
  type: number,
  protocol: number,
  fds: Int32Array,
) => number;
export const socket = libc.func('socket', 'int', ['int', 'int', 'int']) as (
  domain: number,
  type: number,
  protocol: number,
) => number;
/** `address` is a struct sockaddr. */
export const sendto = libc.func('sendto', 'long', [
  'int',
  'const void *',
  'size_t',
  'int',
  'const void *',
  'uint',
]) as (
  fd: number,
  from: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: number,
) => number;
/** `message` is a struct msghdr, with pointers, in memory that koffi allocated. */
export const recvmsg = libc.func('recvmsg', 'long', ['int', 'void *', 'int']) as (
  fd: number,
  message: unknown,
  flags: number,
) => number;
/** As `recvmsg`. */
export const sendmsg = libc.func('sendmsg', 'long', ['int', 'const void *', 'int']) as (
  fd: number,
  message: unknown,
  flags: number,
) => number;
/** For the commands whose argument is an int. */
export const fcntl = libc.func('fcntl', 'int', ['int', 'int', 'int']) as (
  fd: number,
  command: number,
  argument: number,
) => number;
/** For the requests whose argument is a pointer. */
export const ioctl = libc.func('ioctl', 'int', ['int', 'ulong', 'void *']) as (
  fd: number,
  request: number,
  argument: Uint8Array | Int32Array,
) => number;
export const mount = libc.func('mount', 'int', [
  'const char *',
  'const char *',
  'const char *',
  'ulong',
  'const char *',
]) as (
  source: string | null,
  target: string,
  type: string | null,
  flags: number,
  data: string | null,
) => number;
const umount2Function = libc.func('umount2', 'int', ['const char *', 'int']);
export const umount2 = umount2Function as (target: string, flags: number) => number;
/** Concerns the calling thread and what it starts. */
export const prctl = libc.func('prctl', 'int', ['int', 'ulong', 'ulong', 'ulong', 'ulong']) as (
  option: number,
  second: number,
  third: number,
  fourth: number,
  fifth: number,
) => number;
/** `path` ends with a zero byte. */
export const getxattr = libc.func('getxattr', 'long', [
  'const void *',
  'const char *',
  'void *',
  'size_t',
]) as (path: Uint8Array, name: string, into: Uint8Array, size: number) => number;
/** Gives the processor to whoever waits for it. */
export const schedYield = libc.func('sched_yield', 'int', []) as () => number;

/** As `umount2`, on a thread of its own, because it waits for whoever serves the mount. Resolves to 0 or the errno. */
export function umount2Async(target: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    umount2Function.async(target, flags, (error: unknown, result: number) => {
      if (error) reject(error as Error);
      else resolve(result === 0 ? 0 : errno());
    });
  });
}

/** Error number of this thread's last failed call. */
export function errno(): number {
  return koffi.errno();
}

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** `ENOENT` for 2, and so on. */
export function errnoName(number: number): string {
  return errnoNames.get(number) ?? `errno ${number}`;
}

export const O_RDWR = 0x2;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;

export const F_SETFD = 2;
export const FD_CLOEXEC = 1;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_SETSIG = 10;
export const F_SETLEASE = 1024;
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;

export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = O_CLOEXEC;
export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x4000_0000;

export const POLLIN = 0x1;
/** Also where it was not asked for. */
export const POLLERR = 0x8;

export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_REMOUNT = 0x20;
export const MS_BIND = 0x1000;

export const MNT_FORCE = 0x1;
export const MNT_DETACH = 0x2;
export const UMOUNT_NOFOLLOW = 0x8;
