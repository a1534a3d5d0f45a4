/**
 * What a directory holds before it is opened as a store. Looking changes nothing, and what is not a store is never
 * changed.
 *
 * A store is told by its mark: a file of a store's name that begins with that file's magic. A making that was cut short
 * (by a kill, a power cut, a full disk) has no mark yet: then the data file, which is made durable before any other, or
 * what a daemon begins early is there, and nothing but names of a store's. The same rule finds a store all of whose marks are damaged.
 */
import { dirname } from 'node:path';
import type { Disk } from '../../disk/disk.js';
import { diskError, hasErrno, readFully } from '../../disk/io.js';
import { SpinneyError } from '../../errors.js';
import { IMAGE_MAGIC } from '../image.js';
import { LOG_MAGIC } from './manifest/manifest-reader.js';
import { RECORD_MAGIC } from './manifest/record.js';
import {
  BACKUP_FILE,
  countedNames,
  DATA_FILE,
  isEarly,
  isOwnName,
  LOG_FILE,
  MANIFEST_FILE,
  UNFINISHED_FILE,
} from './names.js';

/** `begun`: the making of a store was cut short, and is taken up. `store`: whole or damaged. `foreign`: something else. */
export type DirectoryState = 'missing' | 'empty' | 'begun' | 'store' | 'foreign';

export interface ExaminedDirectory {
  state: DirectoryState;
  /** All entries. */
  names: string[];
}

const MARKS: readonly (readonly [name: string, magic: number])[] = [
  [MANIFEST_FILE, RECORD_MAGIC],
  [LOG_FILE, LOG_MAGIC],
  [DATA_FILE, IMAGE_MAGIC],
];
const MAGIC_BYTES = 4;
/** So many entries are named of what is not a store. */
const MOST_NAMED = 3;

/** Looks at a directory, or at the place for one. @throws ERR_NO_STORE where it is no directory, ERR_IO */
export function examineDirectory(disk: Disk, dir: string): ExaminedDirectory {
  try {
    const names = disk.list(dir);
    return { state: stateOf(disk, dir, countedNames(names)), names };
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return { state: 'missing', names: [] };
    if (hasErrno(error, 'ENOTDIR')) {
      throw new SpinneyError('ERR_NO_STORE', `Cannot use ${dir} as a store: it is not a directory`);
    }
    throw diskError(`look for a store in ${dir}`, error);
  }
}

function stateOf(disk: Disk, dir: string, names: readonly string[]): DirectoryState {
  if (names.length === 0) return 'empty';
  const hasManifest = names.includes(MANIFEST_FILE);
  const hasData = names.includes(DATA_FILE);
  if (names.every(isEarly)) return 'begun';
  if (names.includes(UNFINISHED_FILE) && !hasData && names.every(isOwnName)) return 'begun';
  const isOwn = (hasData && names.every(isOwnName)) || ((hasData || hasManifest) && isMarked(disk, dir));
  if (!isOwn) return 'foreign';
  return hasManifest || sizeOf(disk, `${dir}/${DATA_FILE}`) > 0 ? 'store' : 'begun';
}

/**
 * Whether a directory has a store's mark, told without listing it. A file that cannot be what its name says (a link, a
 * directory) is no mark.
 * @throws the errors of open(2) other than those that say that there is none
 */
export function isMarked(disk: Disk, dir: string): boolean {
  return MARKS.some(([name, magic]) => magicOf(disk, `${dir}/${name}`) === magic);
}

function magicOf(disk: Disk, path: string): number | undefined {
  return ofFile(disk, path, (fd) => {
    const bytes = new Uint8Array(MAGIC_BYTES);
    const length = readFully(disk, fd, bytes, 0, MAGIC_BYTES, 0);
    return length === MAGIC_BYTES ? new DataView(bytes.buffer).getUint32(0, true) : undefined;
  });
}

function sizeOf(disk: Disk, path: string): number {
  return ofFile(disk, path, (fd) => disk.size(fd)) ?? 0;
}

function ofFile<T>(disk: Disk, path: string, look: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = disk.open(path, { write: false });
  } catch (error) {
    const isNone = error instanceof SpinneyError || hasErrno(error, 'ENOENT') || hasErrno(error, 'EISDIR');
    if (isNone) return undefined;
    throw error;
  }
  try {
    return look(fd);
  } finally {
    disk.close(fd);
  }
}

/** Refuses a directory that holds something else than a store. @throws ERR_NO_STORE naming some of what is there */
export function refuseForeign(dir: string, { state, names }: ExaminedDirectory): void {
  if (state !== 'foreign') return;
  throw new SpinneyError(
    'ERR_NO_STORE',
    `Cannot use ${dir} as a store: it holds something else (${someOf(countedNames(names))}); ` +
      'a store is made only in a directory that is empty or does not exist yet',
  );
}

/** `a, b, c and 12 more`, in order, so that the same directory always gives the same words. */
function someOf(names: readonly string[]): string {
  const sorted = [...names].sort();
  const shown = sorted.slice(0, MOST_NAMED).map((name) => JSON.stringify(name).slice(1, -1));
  const rest = sorted.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}

/** Refuses a store that a repair or a first backup has not finished. @throws ERR_NO_STORE */
export function refuseUnfinished(dir: string, { names }: ExaminedDirectory): void {
  if (!names.includes(UNFINISHED_FILE)) return;
  const verb = names.includes(BACKUP_FILE) ? 'spinney backup' : 'spinney repair, spinney load';
  throw new SpinneyError(
    'ERR_NO_STORE',
    `Cannot use ${dir} as a store: the command that was to make it (${verb}) has not come to its end; run it again`,
  );
}

/**
 * Refuses a directory that holds something else than a store. `make`: makes one that is missing, and takes one that is
 * empty or was begun.
 * @throws ERR_NO_STORE where something else is there, ERR_UNSAFE where it is another user's, ERR_NO_SPACE, ERR_IO
 */
export function prepareDirectory(disk: Disk, dir: string, { make }: { make: boolean }): void {
  const found = examineDirectory(disk, dir);
  refuseForeign(dir, found);
  if (!make) return;
  try {
    disk.mkdir(dir);
    if (found.state !== 'store') disk.syncDirectory(dirname(dir));
  } catch (error) {
    throw diskError(`create a store in ${dir}`, error);
  }
}
