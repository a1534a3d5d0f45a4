/**
 * Whether a directory may be used as a store, told before anything is changed in it, and then making it private.
 *
 * What must hold: nothing that is not a store is changed. A store is the caller's own, and so is what is in it: a file or
 * link that somebody else put there would have the daemon, often root's, write where that leads
 * (docs/decisions/safe-stores.md).
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  type Stats,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  countedNames,
  type ExaminedDirectory,
  examineDirectory,
  isMarked,
  isOwnName,
  NodeDisk,
  readRemoteRecord,
  refuseForeign,
  refuseUnfinished,
} from '../../engine/before-open.js';
import { reasonOf, SpinneyError } from '../../engine/errors.js';
import { hasCode } from '../process/failure.js';

/** Bits that let others than the owner in. */
const OTHERS = 0o077;
const STICKY_FOR_ALL = 0o1002;

export interface ExamineOptions {
  readOnly: boolean;
  mustExist?: boolean;
  /** One that is being made of a remote, and was not finished, is gone on with. */
  mayBeUnfinished?: boolean;
}

/**
 * Looks at the store, whose path has no symbolic links, and changes nothing. Returns whether there is one already. Throws
 * ERR_NO_STORE where there is none and none may be made, ERR_UNSAFE where it is not the caller's or not safe to use, ERR_IO.
 */
export function examineStore(store: string, options: ExamineOptions): boolean {
  const { readOnly, mustExist = readOnly, mayBeUnfinished = false } = options;
  const status = statusOf(store);
  if (status === undefined) {
    if (mustExist) throw noStore(store, 'no such store');
    refuseNested(store);
    return false;
  }
  if (!status.isDirectory()) {
    throw new SpinneyError('ERR_NO_STORE', `Cannot use ${store} as a store: it is not a directory`);
  }
  const found = isReadable(store) ? examineDirectory(new NodeDisk(), store) : undefined;
  // What it is comes before whose it is: it tells more.
  if (found !== undefined) {
    refuseForeign(store, found);
    if (!mayBeUnfinished || readRemoteRecord(store)?.isBegun !== false) refuseUnfinished(store, found);
  }
  refuseOwner(store, status);
  if (found === undefined) throw cannotUse(store, 'permission denied');
  if (mustExist && found.state !== 'store') throw noStore(store, 'it holds no store');
  if (!readOnly && isOnReadOnlyFilesystem(store)) {
    throw new SpinneyError(
      'ERR_READ_ONLY',
      `Cannot use the store ${store}: its filesystem is read-only; mount it with --read-only`,
    );
  }
  if (found.state === 'empty' && (status.mode & STICKY_FOR_ALL) === STICKY_FOR_ALL) {
    throw cannotUse(store, 'it is a directory for everybody (mode 1777); give a directory inside it');
  }
  refuseNested(store);
  refuseStrangeEntries(store, found);
  if (!readOnly) refuseSharedUse(store, status, found);
  return found.state === 'store';
}

/**
 * Makes the directory of the store where it is missing, and private where it is not: contents of all users' files lie in
 * it, and have no permissions of their own. Returns what is to be told of one that others could read. REQUIRES examineStore.
 */
export function makePrivate(store: string): string | undefined {
  try {
    const warning = openToOthers(store);
    makeDirectories(store);
    const fd = openSync(store, constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      const status = fstatSync(fd);
      refuseOwner(store, status);
      if ((status.mode & OTHERS) === 0) return undefined;
      fchmodSync(fd, 0o700);
    } finally {
      closeSync(fd);
    }
    // Up to now others may have put something into it.
    const isStore = examineStore(store, { readOnly: false, mayBeUnfinished: true });
    return isStore && warning !== undefined ? `${warning}; it is private from now on` : undefined;
  } catch (error) {
    if (error instanceof SpinneyError) throw error;
    throw new SpinneyError('ERR_IO', `Cannot use the store ${store}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** As `mkdir -p`. Node's own goes round for ever where a filesystem makes no directories, as /proc, and says ENOENT. */
function makeDirectories(path: string): void {
  if (existsSync(path)) return;
  makeDirectories(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return;
    if (!hasCode(error, 'ENOENT')) throw error;
    throw new SpinneyError(
      'ERR_IO',
      `Cannot make the store ${path}: no directories can be made in ${dirname(path)}`,
    );
  }
}

/** What is to be told of a store that others can read. */
export function openToOthers(store: string): string | undefined {
  const mode = statusOf(store)?.mode ?? 0;
  if ((mode & OTHERS) === 0) return undefined;
  const bits = (mode & 0o777).toString(8);
  return `Others can get at the contents of all files in the store ${store}, whose mode is ${bits}`;
}

export function isOnReadOnlyFilesystem(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return false;
  } catch (error) {
    return hasCode(error, 'EROFS');
  }
}

function isReadable(directory: string): boolean {
  try {
    accessSync(directory, constants.R_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function statusOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new SpinneyError('ERR_IO', `Cannot use the store ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function refuseOwner(store: string, { uid }: Stats): void {
  const own = process.geteuid?.();
  if (uid === own) return;
  throw cannotUse(
    store,
    `it belongs to uid ${uid}, and this process runs as uid ${own}; run it as its owner, or, if you trust what is in it, ` +
      `take it over (chown -R ${own} ${store})`,
  );
}

/** Below another store's directory it would be in the way there, and go away with it. */
function refuseNested(store: string): void {
  for (let outer = dirname(store); ; outer = dirname(outer)) {
    if (isStore(outer)) throw cannotUse(store, `it lies inside another store, ${outer}`);
    if (outer === dirname(outer)) return;
  }
}

/** False also where that cannot be told. */
function isStore(directory: string): boolean {
  try {
    return isMarked(new NodeDisk(), directory);
  } catch {
    return false;
  }
}

/** Each entry of a store's name must be what the store has under that name, and the caller's. */
function refuseStrangeEntries(store: string, { names }: ExaminedDirectory): void {
  for (const name of countedNames(names)) {
    if (!isOwnName(name)) continue;
    const status = lstatSync(join(store, name), { throwIfNoEntry: false });
    const problem = status && problemOf(name, status);
    if (problem !== undefined) throw cannotUse(store, `its ${name} ${problem}`);
  }
}

function problemOf(name: string, status: Stats): string | undefined {
  if (status.isSymbolicLink()) return 'is a symbolic link, which nothing in a store is; remove it';
  const own = process.geteuid?.();
  if (status.uid !== own) return `belongs to uid ${status.uid}, and this process runs as uid ${own}`;
  if (name === 'content') return status.isDirectory() ? undefined : 'is not a directory';
  if (name === 'control.sock') return status.isSocket() ? undefined : 'is not a socket';
  if (!status.isFile()) return 'is not a plain file';
  // The manifest is never written in place, and may have two names for a moment.
  return status.nlink > 1 && !/^manifest(\.old)?$/.test(name)
    ? 'has a second name (a hard link), which would be changed too; put a copy in its place'
    : undefined;
}

/** Its mode is only the store's to change as long as nothing else is in it. */
function refuseSharedUse(store: string, { mode }: Stats, { names }: ExaminedDirectory): void {
  const foreign = names.find((name) => !isOwnName(name));
  if (foreign === undefined || (mode & OTHERS) === 0) return;
  throw cannotUse(
    store,
    `others may enter it, and it also has what is not the store's (${foreign}); move that away, or make it private ` +
      `yourself (chmod 700 ${store})`,
  );
}

function noStore(store: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_NO_STORE', `Cannot mount the store ${store} read-only: ${reason}`);
}

function cannotUse(store: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_UNSAFE', `Cannot use the store ${store}: ${reason}`);
}
