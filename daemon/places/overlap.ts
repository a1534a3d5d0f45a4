/**
 * Refuses a mount whose parts lie in each other. Directories are known by device and inode, so neither a symbolic link
 * nor a bind mount hides what they are.
 */
import { statSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { isOwnName } from '../../engine/before-open.js';
import { SpinneyError } from '../../engine/errors.js';
import { AUTOMOUNT_TYPE, findMount } from '../../mount/mountpoints/mountinfo.js';

export interface MountParts {
  /** Resolved by `resolveMountpoint`. */
  mountpoint: string;
  /** Resolved by `resolveStore`. */
  store: string;
}

/** Throws ERR_MOUNT where mountpoint and store are one, or one lies in the other. Never looks at a mount. */
export function refuseOverlap({ mountpoint, store }: MountParts): void {
  if (isInside(store, mountpoint)) {
    const same = isInside(mountpoint, store);
    throw new SpinneyError(
      'ERR_MOUNT',
      same
        ? `Cannot mount at ${mountpoint}: it is the store itself; give another directory`
        : `Cannot mount at ${mountpoint}: the store ${store} lies inside it`,
    );
  }
  if (isInside(mountpoint, store)) {
    throw new SpinneyError('ERR_MOUNT', `Cannot mount at ${mountpoint}: it lies inside the store ${store}`);
  }
}

/**
 * Throws ERR_MOUNT where a file of the daemon's would be on the mount that it serves, or in the place of one of the store's own
 * files; `ownName` is the one name in the store that it may have.
 */
export function refuseMisplaced(path: string, what: string, ownName: string, parts: MountParts): void {
  const { mountpoint, store } = parts;
  const directory = dirname(path);
  if (isInside(directory, mountpoint)) {
    throw new SpinneyError('ERR_MOUNT', `Cannot use ${path} as ${what}: it lies inside the mountpoint`);
  }
  const name = path.slice(directory.length + 1);
  const isOthers = isSame(directory, store) && name !== ownName && isOwnName(name);
  if (isOthers || isInside(directory, join(store, 'content'))) {
    throw new SpinneyError('ERR_MOUNT', `Cannot use ${path} as ${what}: that is a place of the store's own`);
  }
}

/** Whether a path, which may not exist yet, is `outer` or below it. */
function isInside(path: string, outer: string): boolean {
  if (path === outer || path.startsWith(outer === sep ? sep : `${outer}${sep}`)) return true;
  const id = identityOf(outer);
  if (id === undefined) return false;
  for (let at = path; ; at = dirname(at)) {
    if (identityOf(at) === id) return true;
    if (at === dirname(at)) return false;
  }
}

function isSame(path: string, other: string): boolean {
  return path === other || (identityOf(path) ?? path) === identityOf(other);
}

/** Undefined for what does not exist, cannot be looked at, or must not: a FUSE mount may be dead, an automount waits for us. */
function identityOf(path: string): string | undefined {
  const type = findMount(path)?.type ?? '';
  if (type.startsWith('fuse') || type === AUTOMOUNT_TYPE) return undefined;
  try {
    const status = statSync(path, { bigint: true, throwIfNoEntry: false });
    return status && `${status.dev}:${status.ino}`;
  } catch {
    return undefined;
  }
}
