/** Opens the FUSE device, mounts, unmounts and aborts, all without touching the mounted filesystem. */
import { realpathSync, writeFileSync } from 'node:fs';
import { SpinneyError } from '../../engine/errors.js';
import * as libc from '../libc/libc.js';
import { findMount, readMountinfo } from '../mountinfo.js';
import type { MountOptions } from '../types.js';
import { MAX_TRANSFER } from './protocol.js';

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

/** Flag bits and options of `-o`; later ones win. Unknown ones are an error. */
function mountFlags(options: MountOptions): number {
  let flags = libc.MS_NOSUID | libc.MS_NODEV;
  if (options.readOnly) flags |= libc.MS_RDONLY;
  for (const option of options.options) {
    switch (option) {
      case 'suid':
        flags &= ~libc.MS_NOSUID;
        break;
      case 'nosuid':
        flags |= libc.MS_NOSUID;
        break;
      case 'dev':
        flags &= ~libc.MS_NODEV;
        break;
      case 'nodev':
        flags |= libc.MS_NODEV;
        break;
      case 'exec':
        flags &= ~libc.MS_NOEXEC;
        break;
      case 'noexec':
        flags |= libc.MS_NOEXEC;
        break;
      default:
        throw new SpinneyError('ERR_MOUNT', `Cannot mount: unknown option "${option}"`);
    }
  }
  return flags;
}

/**
 * Opens /dev/fuse and mounts it. The kernel's first request waits for whoever reads the descriptor. Throws
 * ERR_MOUNT with the reason, and leaves nothing behind then.
 */
export function mountDevice(options: MountOptions): DeviceMount {
  const flags = mountFlags(options);
  let mountpoint: string;
  try {
    mountpoint = realpathSync(options.mountpoint);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code;
    throw new SpinneyError('ERR_MOUNT', `Cannot mount: mountpoint ${options.mountpoint}: ${reason}`, {
      cause,
    });
  }
  const fd = libc.open(DEVICE, libc.O_RDWR | libc.O_CLOEXEC | libc.O_NONBLOCK, 0);
  if (fd < 0) throw new SpinneyError('ERR_MOUNT', `Cannot mount: ${DEVICE}: ${libc.errnoName(libc.errno())}`);

  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  let data = `fd=${fd},rootmode=40000,user_id=${uid},group_id=${gid},default_permissions,max_read=${MAX_TRANSFER}`;
  if (options.allowOther) data += ',allow_other';
  if (libc.mount(options.source, mountpoint, FILESYSTEM_TYPE, flags, data) !== 0) {
    const reason = libc.errnoName(libc.errno());
    libc.close(fd);
    throw new SpinneyError('ERR_MOUNT', `Cannot mount: mount(2) on ${mountpoint}: ${reason}`);
  }
  const entry = findMount(mountpoint);
  if (entry === undefined || entry.type !== FILESYSTEM_TYPE) {
    libc.umount2(mountpoint, libc.MNT_DETACH);
    libc.close(fd);
    throw new SpinneyError('ERR_MOUNT', `Cannot mount: ${mountpoint} is not in /proc/self/mountinfo`);
  }
  return { fd, mountpoint, connection: entry.minor };
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
  const flags = how === 'detach' ? libc.MNT_DETACH : 0;
  if ((await libc.umount2Async(mount.mountpoint, flags)) === 0) return true;
  return !isMounted(mount);
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

function tryWrite(file: string): boolean {
  try {
    writeFileSync(file, '1');
    return true;
  } catch {
    return false;
  }
}
