/** Opens the FUSE device and mounts it, all without touching the mounted filesystem. */
import { readFileSync, realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { SpinneyError } from '../../../engine/errors.js';
import * as libc from '../../libc/libc.js';
import { mountByHelper, optionValue } from '../../mountpoints/fusermount.js';
import { changedFlags, isMountFlag } from '../../mountpoints/mount-flags.js';
import { AUTOMOUNT_TYPE, findMount } from '../../mountpoints/mountinfo.js';
import type { DeviceMount } from '../../mountpoints/unmounting.js';
import type { MountOptions } from '../../types.js';
import { MAX_TRANSFER } from '../protocol/protocol.js';

const { EACCES, EPERM } = constants.errno;

const DEVICE = '/dev/fuse';
const FILESYSTEM_TYPE = 'fuse.spinney';

/** Flag bits of mount(2). Unknown words are an error. */
function mountFlags({ readOnly, options }: MountOptions): number {
  const unknown = options.find((word) => !isMountFlag(word));
  if (unknown !== undefined) throw cannotMount(`unknown option "${unknown}"`);
  const flags = changedFlags(libc.MS_NOSUID | libc.MS_NODEV, options);
  return readOnly ? flags | libc.MS_RDONLY : flags;
}

/**
 * Opens /dev/fuse and mounts it: by mount(2) where the process may, else through fusermount3. The kernel's first
 * request waits for whoever reads the descriptor. Throws ERR_MOUNT with the reason, and leaves nothing behind then.
 */
export function mountDevice(options: MountOptions): DeviceMount {
  const flags = mountFlags(options);
  const mountpoint = resolved(options.mountpoint);
  const fd = mountByCall(options, mountpoint, flags) ?? mountAsUser(options, mountpoint, flags);
  const entry = findMount(mountpoint);
  if (entry === undefined || entry.type !== FILESYSTEM_TYPE) {
    libc.umount2(mountpoint, libc.MNT_DETACH);
    libc.close(fd);
    throw cannotMount(`${mountpoint} is not in /proc/self/mountinfo`);
  }
  return { fd, mountpoint, connection: entry.minor };
}

/** Readies the descriptor of the connection with this number, which another process had. Throws ERR_MOUNT where it is not that. */
export function takeConnection(fd: number, connection: number): void {
  const flags = libc.fcntl(fd, libc.F_GETFL, 0);
  if (flags < 0 || libc.fcntl(fd, libc.F_SETFL, flags | libc.O_NONBLOCK) !== 0) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot go on with the mount: descriptor ${fd} of its connection: ${libc.errnoName(libc.errno())}`,
    );
  }
  // Some kernels tell.
  const told = /^fuse_connection:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
  if (told === undefined || Number(told) === connection) return;
  throw new SpinneyError(
    'ERR_MOUNT',
    `Cannot go on with the mount: the session is of connection ${connection}, descriptor ${fd} of connection ${told}`,
  );
}

/** Without symbolic links. */
function resolved(mountpoint: string): string {
  // The table has it like that; it may not be looked at.
  if (findMount(mountpoint)?.type === AUTOMOUNT_TYPE) return mountpoint;
  try {
    return realpathSync(mountpoint);
  } catch (cause) {
    throw cannotMount(`${mountpoint} cannot be found (${(cause as NodeJS.ErrnoException).code})`, cause);
  }
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
  const hint = errno === EPERM ? ', for want of the right to mount (in a container: CAP_SYS_ADMIN)' : '';
  throw cannotMount(`${what} failed with ${libc.errnoName(errno)}${hint}`);
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
