/** Opens the FUSE device, mounts, unmounts and aborts, all without touching the mounted filesystem. */
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { SpinneyError } from '../../../engine/errors.js';
import * as libc from '../../libc/libc.js';
import { findMount, readMountinfo } from '../../mountinfo.js';
import type { MountOptions } from '../../types.js';
import { MAX_TRANSFER } from '../protocol/protocol.js';
import { mountByHelper, optionValue, unmountByHelper } from './fusermount.js';

const { EACCES, EPERM } = constants.errno;

const DEVICE = '/dev/fuse';
const CONNECTIONS = '/sys/fs/fuse/connections';
const FILESYSTEM_TYPE = 'fuse.spinney';

/** A mount made by `mountDevice`. */
export interface DeviceMount {
  /** Descriptor of /dev/fuse that the mount's requests come through; non-blocking. */
  fd: number;
  /** Without symbolic links. */
  mountpoint: string;
  /** Number of the connection under /sys/fs/fuse/connections. */
  connection: number;
}

interface MountFlag {
  bit: number;
  /** What the option does to the bit. */
  set: boolean;
}

const MOUNT_FLAGS: Readonly<Record<string, MountFlag>> = {
  suid: { bit: libc.MS_NOSUID, set: false },
  nosuid: { bit: libc.MS_NOSUID, set: true },
  dev: { bit: libc.MS_NODEV, set: false },
  nodev: { bit: libc.MS_NODEV, set: true },
  exec: { bit: libc.MS_NOEXEC, set: false },
  noexec: { bit: libc.MS_NOEXEC, set: true },
};

/** Flag bits of mount(2); of options that contradict each other the later one wins. Unknown ones are an error. */
function mountFlags(options: MountOptions): number {
  let flags = libc.MS_NOSUID | libc.MS_NODEV;
  if (options.readOnly) flags |= libc.MS_RDONLY;
  for (const option of options.options) {
    const flag = Object.hasOwn(MOUNT_FLAGS, option) ? MOUNT_FLAGS[option] : undefined;
    if (flag === undefined) throw cannotMount(`unknown option "${option}"`);
    if (flag.set) flags |= flag.bit;
    else flags &= ~flag.bit;
  }
  return flags;
}

/**
 * Opens /dev/fuse and mounts it: by mount(2) where the process may, else through fusermount3. The kernel's first
 * request waits for whoever reads the descriptor. Throws ERR_MOUNT with the reason, and leaves nothing behind then.
 */
export function mountDevice(options: MountOptions): DeviceMount {
  const flags = mountFlags(options);
  let mountpoint: string;
  try {
    mountpoint = realpathSync(options.mountpoint);
  } catch (cause) {
    throw cannotMount(`mountpoint ${options.mountpoint}: ${(cause as NodeJS.ErrnoException).code}`, cause);
  }
  const fd = mountByCall(options, mountpoint, flags) ?? mountAsUser(options, mountpoint, flags);
  const entry = findMount(mountpoint);
  if (entry === undefined || entry.type !== FILESYSTEM_TYPE) {
    libc.umount2(mountpoint, libc.MNT_DETACH);
    libc.close(fd);
    throw cannotMount(`${mountpoint} is not in /proc/self/mountinfo`);
  }
  return { fd, mountpoint, connection: entry.minor };
}

/** The descriptor, or undefined where the process may not mount and another way is left to an ordinary user. */
function mountByCall(options: MountOptions, mountpoint: string, flags: number): number | undefined {
  const fd = libc.open(DEVICE, libc.O_RDWR | libc.O_CLOEXEC | libc.O_NONBLOCK, 0);
  if (fd < 0) return refused(DEVICE, libc.errno());
  const owner = `user_id=${process.getuid?.() ?? 0},group_id=${process.getgid?.() ?? 0}`;
  const data = [`fd=${fd},rootmode=40000,${owner}`, ...commonOptions(options)].join(',');
  if (libc.mount(options.source, mountpoint, FILESYSTEM_TYPE, flags, data) === 0) return fd;
  const errno = libc.errno();
  libc.close(fd);
  return refused(`mount(2) on ${mountpoint}`, errno);
}

/** For lack of rights an ordinary user goes on through the helper; everything else is the answer. */
function refused(what: string, errno: number): undefined {
  if (process.geteuid?.() !== 0 && (errno === EPERM || errno === EACCES)) return undefined;
  throw cannotMount(`${what}: ${libc.errnoName(errno)}`);
}

function mountAsUser(options: MountOptions, mountpoint: string, flags: number): number {
  if ((flags & libc.MS_NOSUID) === 0 || (flags & libc.MS_NODEV) === 0) {
    throw cannotMount('only root may mount with the options suid and dev');
  }
  const words = [
    options.readOnly ? 'ro' : 'rw',
    'nosuid',
    'nodev',
    ...((flags & libc.MS_NOEXEC) === 0 ? [] : ['noexec']),
    `fsname=${optionValue(options.source)}`,
    'subtype=spinney',
    ...commonOptions(options),
  ];
  const fd = mountByHelper(mountpoint, words);
  if (typeof fd === 'string') throw cannotMount(fd);
  return fd;
}

/** What the filesystem itself is told, however it is mounted. */
function commonOptions(options: MountOptions): string[] {
  const words = ['default_permissions', `max_read=${MAX_TRANSFER}`];
  return options.allowOther ? [...words, 'allow_other'] : words;
}

function cannotMount(reason: string, cause?: unknown): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot mount: ${reason}`, { cause });
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
  return process.geteuid?.() === 0 ? libc.errnoName(errno) : unmountByHelper(mountpoint, how);
}

/** Breaks the connection: every request, waiting or to come, fails, and the descriptor says ENODEV. */
export function abortConnection(mount: DeviceMount): void {
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
