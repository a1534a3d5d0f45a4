/**
 * Where a daemon's log, control socket and record are: in the store, or, where that is on a read-only filesystem, in a
 * directory of its own below the system's or the user's directory for what runs. Its name comes from the store's path,
 * so that clients find it without being told.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SpinneyError } from '../../engine/errors.js';
import { hasCode } from '../process/failure.js';
import { isOnReadOnlyFilesystem } from './store-directory.js';

const NAME_CHARACTERS = 16;

/** All directories in which daemons of this store may keep their files, the store first. */
export function daemonDirectories(store: string): string[] {
  if (!isOnReadOnlyFilesystem(store)) return [store];
  const owner = lstatSync(store, { throwIfNoEntry: false })?.uid ?? 0;
  return [store, ...runDirectories(store, owner)];
}

/**
 * The directory in which this process keeps its daemon's files. One that is not the store is made. Throws ERR_IO where
 * there is no place for one.
 */
export function ownDaemonDirectory(store: string): string {
  if (!isOnReadOnlyFilesystem(store)) return store;
  const places = runDirectories(store, process.geteuid?.() ?? 0);
  const place = places.find((path) => makeOwn(dirname(path)) && makeOwn(path));
  if (place !== undefined) return place;
  throw new SpinneyError(
    'ERR_IO',
    `Cannot mount the store ${store}: its filesystem is read-only, and none of ${places.map(dirname).join(', ')} can be ` +
      'made for the log and the control socket; give --log-file and --control',
  );
}

function runDirectories(store: string, uid: number): string[] {
  const { XDG_RUNTIME_DIR: ownRunDirectory } = process.env;
  const bases = [
    ...(uid === 0 ? ['/run'] : []),
    ...(uid === process.geteuid?.() && ownRunDirectory?.startsWith('/') ? [ownRunDirectory] : []),
    `/run/user/${uid}`,
  ].map((base) => join(base, 'spinney'));
  const name = createHash('sha256').update(store).digest('hex').slice(0, NAME_CHARACTERS);
  return [...new Set([...bases, `/tmp/spinney-${uid}`])].map((base) => join(base, name));
}

/** Makes the directory where it is missing; whether nobody but the caller can put anything into it. */
function makeOwn(directory: string): boolean {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) return false;
  }
  const status = lstatSync(directory, { throwIfNoEntry: false });
  return status?.isDirectory() === true && status.uid === process.geteuid?.() && (status.mode & 0o022) === 0;
}
