/**
 * Makes a mount read-only, or writable again, in place. Only the flags of the mount itself change, as by `mount -o
 * remount,bind`: the daemon does not notice, and copies of the mount elsewhere stay as they are. A mount whose daemon opened
 * its store read-only is so as a filesystem, and is told by that.
 */
import { constants } from 'node:os';
import { SpinneyError } from '../../engine/errors.js';
import * as libc from '../libc/libc.js';
import { changedFlags } from './mount-flags.js';
import type { MountEntry } from './mountinfo.js';

const { EBUSY, EPERM } = constants.errno;

/**
 * Gives the mount, the topmost one at its place, the flags that the words say, which `isMountFlag` knows, and no others.
 * Throws ERR_MOUNT, ERR_READ_ONLY for `rw` where the store is open read-only.
 */
export function remount(mount: MountEntry, words: readonly string[]): void {
  const { mountpoint } = mount;
  const flags = changedFlags(0, words);
  const isReadOnly = (flags & libc.MS_RDONLY) !== 0;
  if (!isReadOnly && mount.isReadOnlyFilesystem) {
    const reason = 'its daemon opened the store read-only; unmount it, and mount it without ro';
    throw cannotRemount('ERR_READ_ONLY', `${mountpoint} for writing`, reason);
  }
  if (libc.mount(null, mountpoint, null, flags | libc.MS_REMOUNT | libc.MS_BIND, null) === 0) return;
  const errno = libc.errno();
  const what = isReadOnly ? `${mountpoint} read-only` : mountpoint;
  throw cannotRemount('ERR_MOUNT', what, whyNot(errno));
}

function whyNot(errno: number): string {
  if (errno === EBUSY) return 'a process has a file there open for writing';
  if (errno === EPERM) return 'only root may';
  return libc.errnoName(errno);
}

function cannotRemount(code: 'ERR_MOUNT' | 'ERR_READ_ONLY', what: string, reason: string): SpinneyError {
  return new SpinneyError(code, `Cannot remount ${what}: ${reason}`);
}
