/**
 * Attributes named `spinney.*`, which are in no list. `spinney.dir.*` tell what is in a directory and can only be read:
 * those with an `r` of all that is below it, at any depth, without a walk; the others of the directory itself.
 * `spinney.quota.bytes` and `spinney.quota.files` are its limits.
 */
import { EEXIST, EINVAL, ENODATA, ENOENT, ENOTDIR, EPERM } from '../errno.js';
import type { Inodes } from '../inodes/inodes.js';
import type { ReadableInodes } from '../inodes/readable.js';
import { usageBelow } from '../inodes/usage.js';
import { childrenPrefix, SLASH } from '../records/keys.js';
import type { Limits } from '../records/limits.js';
import * as record from '../records/record.js';
import type { Caller, Place } from '../types.js';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

type Sum = (inodes: ReadableInodes, path: Uint8Array, directory: Uint8Array) => number;

const SUMS: ReadonlyMap<string, Sum> = new Map<string, Sum>([
  ['spinney.dir.entries', entriesIn],
  [
    'spinney.dir.files',
    (inodes, path, directory) => entriesIn(inodes, path, directory) - subdirsIn(directory),
  ],
  ['spinney.dir.subdirs', (_inodes, _path, directory) => subdirsIn(directory)],
  [
    'spinney.dir.rentries',
    (inodes, path) => {
      const { files, subdirs } = usageBelow(inodes, path);
      return files + subdirs;
    },
  ],
  ['spinney.dir.rfiles', (inodes, path) => usageBelow(inodes, path).files],
  ['spinney.dir.rsubdirs', (inodes, path) => usageBelow(inodes, path).subdirs],
  ['spinney.dir.rbytes', (inodes, path) => usageBelow(inodes, path).bytes],
]);

const LIMITS: ReadonlyMap<string, keyof Limits> = new Map<string, keyof Limits>([
  ['spinney.quota.bytes', 'bytes'],
  ['spinney.quota.files', 'files'],
]);

/** The value in decimal; or a negative errno, ENODATA where there is no such attribute. */
export function getOwnAttribute(inodes: Inodes, place: Place, name: Uint8Array): Uint8Array | number {
  const limit = LIMITS.get(textOf(name));
  if (limit === undefined) return getSum(inodes, place, name);
  if (inodes.read(place) === undefined) return -ENOENT;
  // A directory that was removed has none.
  const value = typeof place === 'number' ? 0 : inodes.quotas.of(place)[limit];
  return value === 0 ? -ENODATA : decimal(value);
}

/** As `getOwnAttribute`, of sums alone: limits are of the present, and no snapshot has any. */
export function getSum(inodes: ReadableInodes, place: Place, name: Uint8Array): Uint8Array | number {
  const inode = inodes.read(place);
  if (inode === undefined) return -ENOENT;
  const sum = SUMS.get(textOf(name));
  if (sum === undefined || record.typeOf(inode) !== record.DIRECTORY) return -ENODATA;
  // A directory that was removed has nothing in it.
  return decimal(typeof place === 'number' ? 0 : sum(inodes, place, inode));
}

/**
 * Sets a limit: a number, of bytes also with a unit (K, M, G, T, P: powers of 1024); 0 ends it. Root may, and who runs
 * the mount.
 */
export function setOwnAttribute(
  inodes: Inodes,
  caller: Caller,
  place: Place,
  name: Uint8Array,
  value: Uint8Array,
  flags: number,
): number {
  const limit = LIMITS.get(textOf(name));
  if (limit === undefined || !maySetLimits(caller)) return -EPERM;
  const amount = amountIn(value, limit === 'bytes');
  if (amount === undefined) return -EINVAL;
  const path = directoryAt(inodes, place);
  if (typeof path === 'number') return path;
  const limits = inodes.quotas.of(path);
  if (limits[limit] !== 0 && (flags & XATTR_CREATE) !== 0) return -EEXIST;
  if (limits[limit] === 0 && (flags & XATTR_REPLACE) !== 0) return -ENODATA;
  inodes.quotas.set(path, { bytes: limits.bytes, files: limits.files, [limit]: amount });
  return 0;
}

export function removeOwnAttribute(inodes: Inodes, caller: Caller, place: Place, name: Uint8Array): number {
  return setOwnAttribute(inodes, caller, place, name, ZERO, XATTR_REPLACE);
}

const ZERO = Buffer.from('0');

function maySetLimits({ uid }: Caller): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

/** The directory's path, or a negative errno. */
function directoryAt(inodes: Inodes, place: Place): Uint8Array | number {
  const inode = inodes.read(place);
  if (inode === undefined || typeof place === 'number') return -ENOENT;
  return record.typeOf(inode) === record.DIRECTORY ? place : -ENOTDIR;
}

const UNITS = ['', 'K', 'M', 'G', 'T', 'P'];

/** The number that a value tells; undefined where it tells none, or one that is not whole. */
function amountIn(value: Uint8Array, mayHaveUnit: boolean): number | undefined {
  // Some tools store the zero byte that ends a C string.
  const text = Buffer.from(value).toString('latin1').replace(/\0$/, '').trim();
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:iB|B)?$/i.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  if (!mayHaveUnit && !/^\d+$/.test(text)) return undefined;
  const amount = Math.floor(Number(digits) * 1024 ** UNITS.indexOf(unit.toUpperCase()));
  return Number.isSafeInteger(amount) ? amount : undefined;
}

function subdirsIn(directory: Uint8Array): number {
  return record.linksOf(directory) - 2;
}

/** Without directories in it all that is below is in it; else its names are counted. */
function entriesIn(inodes: ReadableInodes, path: Uint8Array, directory: Uint8Array): number {
  const prefix = childrenPrefix(path);
  if (subdirsIn(directory) === 0) return inodes.tree.countPrefix(prefix);
  let entries = 0;
  for (const item of inodes.tree.range({ prefix, delimiter: SLASH, keysOnly: true })) {
    if (item.type === 'key') entries++;
  }
  return entries;
}

function textOf(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1');
}

function decimal(value: number): Uint8Array {
  return Buffer.from(String(value));
}
