/** Unmounts and aborts, all without touching the mounted filesystem. */
import { readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import * as libc from '../libc/libc.js';
import { unmountByHelper } from './fusermount.js';
import { findMount, readMountinfo } from './mountinfo.js';

const CONNECTIONS = '/sys/fs/fuse/connections';

/** A mount of this process's. */
export interface DeviceMount {
  /** Descriptor of /dev/fuse that the mount's requests come through, non-blocking; -1 where another program's code has it. */
  fd: number;
  /** Without symbolic links. */
  mountpoint: string;
  /** Number of the connection under /sys/fs/fuse/connections. */
  connection: number;
}

/** Whether this very mount, not another at the same place, still has its name. */
export function isMounted(mount: DeviceMount): boolean {
  return readMountinfo().some(
    (entry) => entry.mountpoint === mount.mountpoint && entry.major === 0 && entry.minor === mount.connection,
  );
}

/** Takes the mount off its name. False: it is busy, or something else is mounted over it. */
export async function unmountDevice(mount: DeviceMount, how: 'plain' | 'detach'): Promise<boolean> {
  if (!isMounted(mount)) return true;
  // Something was mounted over it, and umount(2) would take that.
  if (findMount(mount.mountpoint)?.minor !== mount.connection) return false;
  return (await unmountPath(mount.mountpoint, how)) === undefined || !isMounted(mount);
}

/**
 * Unmounts the topmost mount at `mountpoint`, without following a symbolic link, by umount(2) or for an ordinary user
 * through fusermount3. Resolves to undefined, or to the reason for which that did not work.
 */
export async function unmountPath(mountpoint: string, how: 'plain' | 'detach'): Promise<string | undefined> {
  const flags = libc.UMOUNT_NOFOLLOW | (how === 'detach' ? libc.MNT_DETACH : 0);
  const errno = await libc.umount2Async(mountpoint, flags);
  if (errno === 0) return undefined;
  return process.geteuid?.() === 0 ? whyNot(errno) : unmountByHelper(mountpoint, how);
}

function whyNot(errno: number): string {
  if (errno === constants.errno.EBUSY) return 'it is busy';
  if (errno === constants.errno.EPERM) return 'permission denied: it belongs to another namespace';
  return libc.errnoName(errno);
}

/**
 * Breaks the connection: every request, waiting or to come, fails, and the descriptor says ENODEV. One that has come to its
 * end is left alone: another mount may have its number by now.
 */
export function abortConnection(mount: DeviceMount): void {
  if (mount.fd >= 0 && isOver(mount.fd)) return;
  const file = `${CONNECTIONS}/${mount.connection}/abort`;
  if (tryWrite(file)) return;
  // The control filesystem may just not be mounted.
  if (
    libc.mount('fusectl', CONNECTIONS, 'fusectl', libc.MS_NOSUID | libc.MS_NODEV, null) === 0 &&
    tryWrite(file)
  ) {
    return;
  }
  // A forced unmount aborts too, where the mount still has a name.
  if (isMounted(mount)) libc.umount2(mount.mountpoint, libc.MNT_FORCE);
}

/** Whether the descriptor's connection is no more. */
function isOver(fd: number): boolean {
  // struct pollfd { int fd; short events, revents; }
  const polled = new Int32Array([fd, 0]);
  return libc.poll(polled, 1, 0) > 0 && ((polled[1]! >> 16) & libc.POLLERR) !== 0;
}

/** Requests that wait for an answer; undefined where the kernel does not tell. */
export function waitingRequests(mount: DeviceMount): number | undefined {
  try {
    return Number(readFileSync(`${CONNECTIONS}/${mount.connection}/waiting`, 'latin1'));
  } catch {
    return undefined;
  }
}

function tryWrite(file: string): boolean {
  try {
    writeFileSync(file, '1');
    return true;
  } catch {
    return false;
  }
}
