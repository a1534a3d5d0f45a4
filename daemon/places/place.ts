/**
 * What a path means that a command was given: something in a mount of ours, or a store. Mounts of ours are found by the table of
 * mounts alone and never looked at, since one may be dead or hang; below one a path is taken as it is written.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { reasonOf, SpinneyError } from '../../engine/errors.js';
import { AUTOMOUNT_TYPE, type MountEntry, readMountinfo } from '../../mount/mountpoints/mountinfo.js';
import { hasCode } from '../process/failure.js';
import { Lookout } from './look/lookout.js';
import { isSpinney } from './mountpoint.js';

export interface Place {
  /** Absolute, without symbolic links up to the mount. */
  path: string;
  /** The mount of ours that it is in. */
  mount: MountEntry | undefined;
}

const MOST_SYMLINKS = 40;

/** Throws ERR_MOUNT where the path leads nowhere. What does not exist is kept as it is given. */
export function findPlace(given: string): Place {
  const mounts = readMountinfo();
  const mountAt = (path: string) => mounts.findLast((entry) => entry.mountpoint === path);
  let path = '/';
  let mount = mountAt(path);
  let rest = namesOf(resolve(given));
  for (let followed = 0; rest.length > 0; ) {
    path = join(path, rest.shift()!);
    const found = mountAt(path);
    mount = found ?? mount;
    const mayLook = found === undefined && !(mount !== undefined && isUntouchable(mount));
    const target = mayLook ? linkAt(path, given) : undefined;
    if (target === undefined) continue;
    if (++followed > MOST_SYMLINKS) throw cannotFind(given, 'too many symbolic links lead to it');
    rest = [...namesOf(resolve(dirname(path), target)), ...rest];
    path = '/';
    mount = mountAt(path);
  }
  return { path, mount: mount !== undefined && isSpinney(mount) ? mount : undefined };
}

/** The mount of ours that the path is in. */
export function mountAround(path: string): MountEntry | undefined {
  return findPlace(path).mount;
}

/** A store that is in a mount of ours can be told from the mount's own directories only by a look at it. */
export async function isStoreWithin({ path }: Place): Promise<boolean> {
  const lookout = new Lookout();
  const isStore = await lookout.ask('isStore', path);
  await lookout.close();
  return isStore === true;
}

function isUntouchable(mount: MountEntry): boolean {
  return isSpinney(mount) || mount.type === AUTOMOUNT_TYPE;
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}

/** Where the link leads; undefined: it is none. */
function linkAt(path: string, given: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw cannotFind(given, reasonOf(error));
  }
}

function cannotFind(place: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot find ${place}: ${reason}`);
}
