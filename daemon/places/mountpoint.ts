/**
 * What is at a mountpoint, found without ever touching a mount that may be dead: mountinfo comes first, and only
 * a path that is no mount is looked at itself.
 *
 * A Spinney mount shows its store's path as the device. It is stale when no process holds the store's lock.
 */
import { existsSync, lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NodeDisk } from '../../engine/before-open.js';
import { reasonOf, SpinneyError } from '../../engine/errors.js';
import {
  AUTOMOUNT_TYPE,
  findMount,
  type MountEntry,
  readMountinfo,
} from '../../mount/mountpoints/mountinfo.js';
import { unmountPath } from '../../mount/mountpoints/unmounting.js';
import { hasCode } from '../process/failure.js';
import { findDaemon } from './daemon-record.js';
import { awaitEnd } from './leaving.js';
import { refuseOverlap } from './overlap.js';
import { awaitRestart } from './restarting.js';

export const FILESYSTEM_TYPE = 'fuse.spinney';
const MOST_SYMLINKS = 40;
/** A guard has done its work within this time, or it is dead too. */
const GUARD_DEADLINE_MS = 1_000;
const LOOK_AGAIN_MS = 5;

/**
 * The absolute path of a mountpoint, without symbolic links, as mountinfo shows it. Throws ERR_MOUNT where its
 * parent cannot be reached; a last component that does not exist is kept.
 */
export function resolveMountpoint(path: string): string {
  let current = resolve(path);
  for (let followed = 0; followed <= MOST_SYMLINKS; followed++) {
    if (findMount(current) !== undefined) return current;
    try {
      current = join(realpathSync(dirname(current)), basename(current));
    } catch (error) {
      const why = hasCode(error, 'ENOENT') ? 'does not exist' : `cannot be reached: ${reasonOf(error)}`;
      throw cannotFind(path, `${dirname(current)} ${why}`);
    }
    if (findMount(current) !== undefined) return current;
    let link: string;
    try {
      if (lstatSync(current, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return current;
      link = readlinkSync(current);
    } catch (error) {
      throw cannotFind(path, reasonOf(error));
    }
    current = resolve(dirname(current), link);
  }
  throw cannotFind(path, 'too many symbolic links lead to it');
}

/**
 * The absolute path of a store without symbolic links; what does not exist yet is kept as given. Refuses one
 * inside `mountpoint` and one that is a mount of ours, and looks at it only after that.
 */
export function resolveStore(path: string, mountpoint: string): string {
  refuseOverlap({ mountpoint, store: resolve(path) });
  refuseMount(resolve(path));
  let existing = resolve(path);
  // What a link leads to, or cannot, is told by whoever looks at it.
  while (!existsSync(existing)) existing = dirname(existing);
  const store = join(realpathSync(existing), resolve(path).slice(existing.length));
  refuseOverlap({ mountpoint, store });
  refuseMount(store);
  return store;
}

/** What is mounted from a store is not where one is. */
function refuseMount(store: string): void {
  const mount = findMount(store);
  if (mount === undefined || !isSpinney(mount)) return;
  throw new SpinneyError(
    'ERR_NO_STORE',
    `Cannot use ${store} as a store: it is where the store ${mount.source} is mounted`,
  );
}

/**
 * Makes sure that `store` may be mounted at `mountpoint` (both resolved): an existing, empty directory that is no
 * mount. A stale mount of the same store is detached. Throws ERR_MOUNT with the reason. Returns whether it
 * detached one.
 */
export async function prepareMountpoint(mountpoint: string, store: string): Promise<boolean> {
  const found = findMount(mountpoint);
  // Reading it would wait for the mount that is being made.
  if (found?.type === AUTOMOUNT_TYPE) return false;
  const replaced = found !== undefined && (await replaceIfStale(found, store));
  const status = lstatSync(mountpoint, { throwIfNoEntry: false });
  if (status === undefined) throw cannotMount(mountpoint, 'it does not exist; make the directory first');
  if (!status.isDirectory()) throw cannotMount(mountpoint, 'it is not a directory');
  if (isEmpty(mountpoint)) return replaced;
  throw cannotMount(mountpoint, 'it is not empty; move away what is in it, or give another directory');
}

function isEmpty(mountpoint: string): boolean {
  try {
    return readdirSync(mountpoint).length === 0;
  } catch (error) {
    throw cannotMount(mountpoint, reasonOf(error));
  }
}

/** False: its daemon was on its way out, and has taken it away. */
async function replaceIfStale(found: MountEntry, store: string): Promise<boolean> {
  const { mountpoint } = found;
  await awaitRestart(store, mountpoint);
  const daemon = findDaemon(store, mountpoint);
  if (daemon?.state === 'ending') await awaitEnd(store, daemon, { forced: true });
  if (findMount(mountpoint) === undefined) return false;
  if (!isSpinney(found)) {
    throw cannotMount(mountpoint, `it is a mount already (${found.source}, type ${found.type})`);
  }
  if (found.source !== store) {
    throw cannotMount(mountpoint, `the store ${found.source} is mounted there; "spinney umount" it first`);
  }
  const detached = await withStoreIdle(store, async () => {
    // Looked for again under the lock: whoever held it may have unmounted, or mounted anew, in between.
    const isThere = () => {
      const entry = findMount(mountpoint);
      return entry !== undefined && isSpinney(entry) && entry.source === store;
    };
    // The killed daemon's guard takes it away by itself; a mount that comes later must not meet it at work.
    const deadline = performance.now() + GUARD_DEADLINE_MS;
    while (isThere() && performance.now() < deadline) await sleep(LOOK_AGAIN_MS);
    while (isThere()) await detachMount(mountpoint);
  });
  if (!detached) throw cannotMount(mountpoint, `the store ${store} is mounted there already`);
  return true;
}

/** Runs `work` while no process has the store open, and none can open it. False, and nothing done, otherwise. */
export async function withStoreIdle(store: string, work: () => Promise<void>): Promise<boolean> {
  const disk = new NodeDisk();
  const data = join(store, 'blobs.dat');
  let fd: number;
  try {
    fd = disk.open(data, { write: false });
  } catch (error) {
    // Another user's, who may have it locked.
    if (hasCode(error, 'EACCES')) return false;
    if (!hasCode(error, 'ENOENT')) throw error;
    // No data file, so no process can have it locked.
    await work();
    return true;
  }
  try {
    if (!disk.lock(fd, 'exclusive') || !disk.isSameFile(fd, data)) return false;
    await work();
    return true;
  } finally {
    disk.close(fd);
  }
}

export function isSpinney(entry: MountEntry): boolean {
  return entry.type === FILESYSTEM_TYPE;
}

/** The mount of this store at this place, covered or not. */
export function findMountOf(mountpoint: string, store: string): MountEntry | undefined {
  return readMountinfo().findLast(
    (entry) => entry.mountpoint === mountpoint && entry.source === store && isSpinney(entry),
  );
}

/** Takes the name of the topmost mount at `mountpoint` away at once. Throws ERR_MOUNT. */
export async function detachMount(mountpoint: string): Promise<void> {
  const before = findMount(mountpoint);
  const reason = await unmountPath(mountpoint, 'detach');
  if (reason === undefined || before === undefined) return;
  // Somebody else may have been faster.
  if (findMount(mountpoint)?.mountId === before.mountId) {
    throw new SpinneyError('ERR_MOUNT', `Cannot detach the mount at ${mountpoint}: ${reason}`);
  }
}

function cannotMount(mountpoint: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot mount at ${mountpoint}: ${reason}`);
}

function cannotFind(place: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot find ${place}: ${reason}`);
}
