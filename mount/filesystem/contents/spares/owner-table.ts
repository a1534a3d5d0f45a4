/**
 * The file `owners`: which inode each spare is lent to. It is never synced, for it is read only by those who find the
 * store after the daemon was killed, in the page cache.
 *
 * An entry has 32 bytes, so that none is on two pages and a kill leaves it whole:
 *
 *   offset type
 *        0  u32   CRC of the rest, which continues that of the boot's id, plus the entry's slot
 *        4  u32   number of the spare, plus 1
 *        8  f64   inode that it is lent to, plus 2^48 times its content's born mod 32; 0: nobody
 *       16  f64   the spare's own inode number in the filesystem below
 *       24  f64   its time of birth, in nanoseconds
 *
 * Slot 0 tells of the directory `spares` itself, with DIRECTORY_NUMBER: in a copy of the store its identity is another, and
 * there those of the spares say nothing. An entry of zeros was never used.
 *
 * The CRC finds the one bit of an entry that was flipped: of 32 bytes no two that are valid differ in fewer than five.
 */

import { crc32 } from 'node:zlib';
import { SpinneyError } from '../../../../engine/errors.js';
import type { FileIdentity } from '../../types.js';
import { type ContentDisk, newFileStatus, readFully } from '../disk/content-disk.js';

export const OWNER_BYTES = 32;
export const NOBODY = 0;
/** Above all inode numbers. */
const BORN_UNIT = 2 ** 48;
/** What is left of a born: at a start no spare is lent as a content older than this many snapshots. */
const BORNS = 32;
const DIRECTORY_NUMBER = 0xffff_fffe;
/** In place of the boot's id: what a clean end left behind, whatever comes after. */
const ANY_BOOT = 'any';
/** What the table of version 0.1 begins with: the boot's id as text. */
const EARLIER_TABLE = /^([0-9a-f-]{36}|any)\0/;

/** An entry that is valid. */
export interface Owner {
  /** Of the spare. */
  number: number;
  /** NOBODY: it is lent to none. */
  ino: number;
  /** Of the content that it is. */
  born: number;
  identity: FileIdentity;
}

/** Makes entries, for one who writes them; the bytes are valid until the next is made. */
export class OwnerEncoder {
  readonly bytes = new Uint8Array(OWNER_BYTES);
  readonly #words = new Uint32Array(this.bytes.buffer);
  readonly #numbers = new Float64Array(this.bytes.buffer);
  readonly #checked = this.bytes.subarray(4);
  readonly #seed: number;

  /** `boot`: undefined for what is valid after any boot. */
  constructor(boot: string | undefined) {
    this.#seed = seedOf(boot ?? ANY_BOOT);
  }

  /** Puts the entry for this slot into `bytes`. */
  encode(slot: number, number: number, ino: number, born: number, identity: FileIdentity): void {
    this.#words[1] = number + 1;
    this.#numbers[1] = ino + (born % BORNS) * BORN_UNIT;
    this.#numbers[2] = identity.file;
    this.#numbers[3] = identity.birth;
    this.#words[0] = crc32(this.#checked, (this.#seed + slot) >>> 0);
  }

  /** As `encode`, for slot 0. */
  encodeDirectory(identity: FileIdentity): void {
    this.encode(0, DIRECTORY_NUMBER, NOBODY, 0, identity);
  }
}

/** What a table tells. */
export interface OwnerTable {
  owners: Owner[];
  /** Of the directory that it was made in; undefined where that cannot be told. */
  directory: FileIdentity | undefined;
  /** Entries that cannot be told. */
  damaged: number;
}

/**
 * Reads the table at `path`; one that is missing is empty. `boot`: of what was left by a kill; undefined: only what a clean
 * end left is wanted. `last`: the newest snapshot that ever was.
 * @throws ERR_FORMAT_VERSION for one of an earlier version that is still of use
 */
export function readOwners(
  disk: ContentDisk,
  path: string,
  boot: string | undefined,
  last: number,
): OwnerTable {
  const table: OwnerTable = { owners: [], directory: undefined, damaged: 0 };
  const bytes = readIfThere(disk, path);
  const earlier = EARLIER_TABLE.exec(bytes.toString('latin1', 0, 64))?.[1];
  if (earlier !== undefined) {
    if (earlier !== ANY_BOOT && earlier !== disk.bootId()) return table;
    throw new SpinneyError(
      'ERR_FORMAT_VERSION',
      `Cannot read ${path}: version 0.1.0 was killed and left it; mount and unmount the store with that version once`,
    );
  }
  const seeds = [ANY_BOOT, ...(boot === undefined ? [] : [boot])].map(seedOf);
  for (let at = 0; at < bytes.length; at += OWNER_BYTES) {
    const entry = bytes.subarray(at, at + OWNER_BYTES);
    const slot = at / OWNER_BYTES;
    if (entry.length === OWNER_BYTES && (isValid(entry, slot, seeds) || isMended(entry, slot, seeds))) {
      if (!isEmpty(entry)) take(table, entry, last);
    } else if (boot !== undefined) {
      table.damaged++;
    }
  }
  return table;
}

function take(table: OwnerTable, entry: Buffer, last: number): void {
  const number = entry.readUInt32LE(4) - 1;
  const identity = { file: entry.readDoubleLE(16), birth: entry.readDoubleLE(24) };
  if (number === DIRECTORY_NUMBER) table.directory = identity;
  else {
    const owner = entry.readDoubleLE(8);
    const behind = last - Math.floor(owner / BORN_UNIT);
    // The newest that it can be.
    const born = behind < 0 ? 0 : last - (behind % BORNS);
    table.owners.push({ number, ino: owner % BORN_UNIT, born, identity });
  }
}

function isValid(entry: Buffer, slot: number, seeds: readonly number[]): boolean {
  if (isEmpty(entry)) return true;
  const told = entry.readUInt32LE(0);
  return seeds.some((seed) => crc32(entry.subarray(4), (seed + slot) >>> 0) === told);
}

/** Flips back the one bit that was flipped, if that is all; else leaves the entry as it is. */
function isMended(entry: Buffer, slot: number, seeds: readonly number[]): boolean {
  for (let bit = 0; bit < OWNER_BYTES * 8; bit++) {
    entry[bit >> 3]! ^= 1 << (bit & 7);
    if (isValid(entry, slot, seeds)) return true;
    entry[bit >> 3]! ^= 1 << (bit & 7);
  }
  return false;
}

function isEmpty(entry: Buffer): boolean {
  return entry.every((byte) => byte === 0);
}

function seedOf(boot: string): number {
  return crc32(boot);
}

function readIfThere(disk: ContentDisk, path: string): Buffer {
  const fd = disk.open(path, 'read');
  if (fd < 0) return Buffer.alloc(0);
  try {
    const status = newFileStatus();
    disk.status(fd, status);
    const bytes = Buffer.alloc(status.size);
    return bytes.subarray(0, readFully(disk, fd, bytes));
  } finally {
    disk.close(fd);
  }
}
