/**
 * The setuid program through which a user who may not call mount(2) mounts and unmounts. It hands the descriptor
 * of /dev/fuse over a unix socket, whose number it finds in its environment.
 */
import { execFile, spawnSync } from 'node:child_process';
import { SpinneyError } from '../../engine/errors.js';
import { receiveDescriptor } from '../libc/descriptor-passing.js';
import * as libc from '../libc/libc.js';

const PROGRAM = 'fusermount3';
/** Name of the same program of FUSE 2; it may be what a machine has. */
const OLD_PROGRAM = 'fusermount';
const NOT_INSTALLED = `${PROGRAM} is not installed (package fuse3), and only root may unmount without it`;
/** Neither mounting nor detaching waits for whoever serves the mount. */
const DEADLINE_MS = 30_000;
/** Where the child finds its end of the socket. */
const SOCKET_NUMBER = 3;

/** The program is not there: another driver's may be, under its old name. */
export class NoHelperError extends SpinneyError {
  constructor() {
    super('ERR_MOUNT', `Cannot mount: ${PROGRAM} is not installed (package fuse3)`);
  }
}

/**
 * Mounts at `mountpoint` with `-o` options; returns the descriptor, non-blocking, or why there is none. Throws
 * NoHelperError.
 */
export function mountByHelper(mountpoint: string, options: readonly string[]): number | string {
  const ends = new Int32Array(2);
  if (libc.socketpair(libc.AF_UNIX, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0, ends) !== 0) {
    return `socketpair: ${libc.errnoName(libc.errno())}`;
  }
  const [own, child] = ends as unknown as [number, number];
  try {
    const { status, stderr, error } = spawnSync(PROGRAM, ['-o', options.join(','), '--', mountpoint], {
      env: { ...process.env, LC_ALL: 'C', _FUSE_COMMFD: String(SOCKET_NUMBER) },
      stdio: ['ignore', 'ignore', 'pipe', child],
      encoding: 'utf8',
      timeout: DEADLINE_MS,
    });
    if (error !== undefined) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new NoHelperError();
      return `${PROGRAM}: ${error.message}`;
    }
    const fd = status === 0 ? receiveDescriptor(own) : -1;
    if (fd < 0) return inOwnWords(stderr) ?? `${PROGRAM} ended with ${status}`;
    libc.fcntl(fd, libc.F_SETFL, libc.fcntl(fd, libc.F_GETFL, 0) | libc.O_NONBLOCK);
    return fd;
  } finally {
    libc.close(own);
    libc.close(child);
  }
}

/** A path or word as an option's value. */
export function optionValue(text: string): string {
  return text.replace(/[\\,]/g, '\\$&');
}

/**
 * Unmounts what the user mounted. Resolves to undefined, or to the reason for which it did not work. Does not block
 * this thread: a plain unmount waits for whoever serves the mount.
 */
export async function unmountByHelper(
  mountpoint: string,
  how: 'plain' | 'detach',
): Promise<string | undefined> {
  const args = [how === 'plain' ? '-u' : '-uz', '--', mountpoint];
  let reason = await runHelper(PROGRAM, args);
  if (reason === NOT_INSTALLED) reason = await runHelper(OLD_PROGRAM, args);
  return reason;
}

function runHelper(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, args, { env: { ...process.env, LC_ALL: 'C' } }, (error, _out, err) => {
      if (error === null) resolve(undefined);
      else if (error.code === 'ENOENT') resolve(NOT_INSTALLED);
      else resolve(inOwnWords(err) ?? error.message);
    });
  });
}

/** What the helper says, without its own name before it; undefined where it says nothing. */
function inOwnWords(text: string): string | undefined {
  // It looks for a mount of the caller's in a table, and names the table.
  if (/ not found in /.test(text)) return 'only root and the user who mounted it may';
  const lines = text.split('\n').map((line) => line.replace(/^fusermount3?: /, '').trim());
  return lines.filter(Boolean).join('; ') || undefined;
}
