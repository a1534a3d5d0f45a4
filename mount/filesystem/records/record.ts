/**
 * The record of an inode, as bytes. A record is read and changed in place by offset, so that answering stat
 * allocates nothing. Little-endian; all fields unsigned but the seconds.
 *
 *   offset bytes
 *        0     1  format: 1 = inode, 2 = link (ends after the ino), 3 = inode of a regular file with what is at 80
 *        1     1  flags: LIVE, CONTENT, XATTRS, ACL, DEFAULT_ACL
 *        2     2  mode: type and permission bits; a link carries the type bits only
 *        4     6  ino
 *       10     4  nlink
 *       14     4  uid
 *       18     4  gid
 *       22     4  rdev
 *       26     8  size
 *       34     6  blocks, units of 512 bytes
 *       40    10  atime: 6 bytes of seconds, two's complement, then 4 bytes of nanoseconds
 *       50    10  mtime
 *       60    10  ctime
 *       70    10  btime
 *       80     -  format 1: target, of a symbolic link
 *       80     4  format 3: born, the newest snapshot's id when the content file was made; else that is 0
 */
import { SpinneyError } from '../../../engine/errors.js';
import type { Attributes } from '../types.js';

const FORMAT_INODE = 1;
const FORMAT_LINK = 2;
const FORMAT_BORN = 3;

/** Open for writing: size, blocks, mtime are those of the backing file. */
export const LIVE = 1;
/** A backing file may exist. Cleared only where none was ever written. */
export const CONTENT = 2;
/** Extended attributes may exist. Never cleared. */
export const XATTRS = 4;
/** There is an access list; there is a default list for what is made in the directory. */
export const ACL = 8;
export const DEFAULT_ACL = 16;

const FLAGS = 1;
const MODE = 2;
const INO = 4;
const NLINK = 10;
const UID = 14;
const GID = 18;
const RDEV = 22;
const SIZE = 26;
const BLOCKS = 34;
export const ATIME = 40;
export const MTIME = 50;
export const CTIME = 60;
export const BTIME = 70;
export const INODE_BYTES = 80;
const BORN = 80;
const BORN_BYTES = 84;
const LINK_BYTES = 10;

/** Seconds are kept within what 6 bytes hold. */
const MAX_SECONDS = 2 ** 47 - 1;

export const TYPE_MASK = 0o170000;
export const DIRECTORY = 0o040000;
export const REGULAR = 0o100000;
export const SYMLINK = 0o120000;
export const FIFO = 0o010000;
export const SOCKET = 0o140000;
export const CHARACTER_DEVICE = 0o020000;
export const BLOCK_DEVICE = 0o060000;
export const SETUID = 0o4000;
export const SETGID = 0o2000;

/** A new inode's record: nlink 1, size 0, all times 0; `target` for a symbolic link, `born` for a regular file. */
export function newRecord(ino: number, mode: number, target?: Uint8Array, born = 0): Uint8Array {
  const record = new Uint8Array(born > 0 ? BORN_BYTES : INODE_BYTES + (target?.length ?? 0));
  record[0] = FORMAT_INODE;
  if (born > 0) {
    record[0] = FORMAT_BORN;
    putUnsigned(record, BORN, 4, born);
  }
  putUnsigned(record, MODE, 2, mode);
  putUnsigned(record, INO, 6, ino);
  setLinks(record, 1);
  if (target !== undefined) {
    record.set(target, INODE_BYTES);
    setSize(record, target.length);
  }
  return record;
}

/** The record of a name whose inode is kept by number. */
export function newLink(ino: number, mode: number): Uint8Array {
  const record = new Uint8Array(LINK_BYTES);
  record[0] = FORMAT_LINK;
  putUnsigned(record, MODE, 2, mode & TYPE_MASK);
  putUnsigned(record, INO, 6, ino);
  return record;
}

/** Whether the record is a link. Throws on bytes that are no record. */
export function isLink(record: Uint8Array): boolean {
  const format = record[0];
  if (format === FORMAT_INODE && record.length >= INODE_BYTES) return false;
  if (format === FORMAT_BORN && record.length === BORN_BYTES) return false;
  if (format === FORMAT_LINK && record.length === LINK_BYTES) return true;
  throw new SpinneyError(
    'ERR_FORMAT_VERSION',
    `Cannot read an entry record: format ${format}, ${record.length} bytes is not one this version knows`,
  );
}

export function inoOf(record: Uint8Array): number {
  return unsigned32(record, INO) + (record[INO + 4]! + record[INO + 5]! * 0x100) * 0x1_0000_0000;
}

export function modeOf(record: Uint8Array): number {
  return record[MODE]! | (record[MODE + 1]! << 8);
}

export function typeOf(record: Uint8Array): number {
  return modeOf(record) & TYPE_MASK;
}

export function linksOf(record: Uint8Array): number {
  return unsigned32(record, NLINK);
}

export function uidOf(record: Uint8Array): number {
  return unsigned32(record, UID);
}

export function gidOf(record: Uint8Array): number {
  return unsigned32(record, GID);
}

export function sizeOf(record: Uint8Array): number {
  return unsigned32(record, SIZE) + unsigned32(record, SIZE + 4) * 0x1_0000_0000;
}

/** Id of the newest snapshot when the file's content was made; with the ino it tells the content from earlier ones. */
export function bornOf(record: Uint8Array): number {
  return record[0] === FORMAT_BORN ? unsigned32(record, BORN) : 0;
}

/** Bytes that the inode's record has, without a target. */
export function bytesOf(record: Uint8Array): number {
  return record[0] === FORMAT_BORN ? BORN_BYTES : INODE_BYTES;
}

/** The record of a regular file, or a longer or shorter one, for a content that was made after snapshot `born`. */
export function withBorn(record: Uint8Array, born: number): Uint8Array {
  const bytes = born > 0 ? BORN_BYTES : INODE_BYTES;
  let changed = record;
  if (record.length !== bytes) {
    changed = new Uint8Array(bytes);
    changed.set(record.subarray(0, INODE_BYTES));
    changed[0] = born > 0 ? FORMAT_BORN : FORMAT_INODE;
  }
  if (born > 0) putUnsigned(changed, BORN, 4, born);
  return changed;
}

export function hasFlag(record: Uint8Array, flag: number): boolean {
  return (record[FLAGS]! & flag) !== 0;
}

/**
 * Counts the record, for FILESYSTEM_MEASURE: files, directories, bytes below 2^40 and units of 2^40, and 1 instead of the
 * bytes where LIVE. Of bytes that are no record, anything.
 */
export function countRecord(value: Uint8Array, out: Float64Array): void {
  if (value[0] === FORMAT_LINK && value.length === LINK_BYTES) {
    out[0] = 1;
    return;
  }
  if ((value[0] !== FORMAT_INODE && value[0] !== FORMAT_BORN) || value.length < INODE_BYTES) return;
  if ((value[MODE + 1]! & 0o360) === DIRECTORY >> 8) {
    out[1] = 1;
    return;
  }
  out[0] = 1;
  if ((value[FLAGS]! & LIVE) !== 0) {
    out[4] = 1;
    return;
  }
  const low = value[SIZE]! | (value[SIZE + 1]! << 8) | (value[SIZE + 2]! << 16) | (value[SIZE + 3]! << 24);
  const high = value[SIZE + 4]!;
  // Floating point only where it must be: this is done with every change of a record.
  out[2] = high === 0 && low >= 0 ? low : (low >>> 0) + high * 0x1_0000_0000;
  const units = value[SIZE + 5]! | (value[SIZE + 6]! << 8) | (value[SIZE + 7]! << 16);
  if (units !== 0) out[3] = units;
}

/** The symbolic link's target: a view of the record. */
export function targetOf(record: Uint8Array): Uint8Array {
  return record.subarray(INODE_BYTES);
}

/** `which`: ATIME, MTIME, CTIME or BTIME. */
export function secondsOf(record: Uint8Array, which: number): number {
  const high = ((record[which + 4]! | (record[which + 5]! << 8)) << 16) >> 16;
  return high * 0x1_0000_0000 + unsigned32(record, which);
}

export function nanosOf(record: Uint8Array, which: number): number {
  return unsigned32(record, which + 6);
}

/** A copy of an inode record for another number. */
export function withIno(record: Uint8Array, ino: number): Uint8Array {
  const copy = record.slice();
  putUnsigned(copy, INO, 6, ino);
  return copy;
}

export function setMode(record: Uint8Array, mode: number): void {
  putUnsigned(record, MODE, 2, mode);
}

export function setLinks(record: Uint8Array, links: number): void {
  putUnsigned(record, NLINK, 4, links);
}

export function setOwner(record: Uint8Array, uid: number, gid: number): void {
  putUnsigned(record, UID, 4, uid);
  putUnsigned(record, GID, 4, gid);
}

export function setUid(record: Uint8Array, uid: number): void {
  putUnsigned(record, UID, 4, uid);
}

export function setGid(record: Uint8Array, gid: number): void {
  putUnsigned(record, GID, 4, gid);
}

export function setDevice(record: Uint8Array, rdev: number): void {
  putUnsigned(record, RDEV, 4, rdev);
}

export function setSize(record: Uint8Array, size: number): void {
  putUnsigned(record, SIZE, 8, size);
}

export function setBlocks(record: Uint8Array, blocks: number): void {
  putUnsigned(record, BLOCKS, 6, blocks);
}

export function setFlag(record: Uint8Array, flag: number): void {
  record[FLAGS] = record[FLAGS]! | flag;
}

export function clearFlag(record: Uint8Array, flag: number): void {
  record[FLAGS] = record[FLAGS]! & ~flag;
}

/** `which`: ATIME, MTIME, CTIME or BTIME. Seconds beyond 2^47 either way are clamped. */
export function setTime(record: Uint8Array, which: number, seconds: number, nanos: number): void {
  const clamped = Math.max(-MAX_SECONDS, Math.min(MAX_SECONDS, seconds));
  const high = Math.floor(clamped / 0x1_0000_0000);
  putUnsigned(record, which, 4, clamped - high * 0x1_0000_0000);
  putUnsigned(record, which + 4, 2, high & 0xffff);
  putUnsigned(record, which + 6, 4, nanos);
}

/** Decodes an inode record (not a link). */
export function readAttributes(record: Uint8Array, out: Attributes): void {
  out.ino = inoOf(record);
  out.mode = modeOf(record);
  out.nlink = unsigned32(record, NLINK);
  out.uid = unsigned32(record, UID);
  out.gid = unsigned32(record, GID);
  out.rdev = unsigned32(record, RDEV);
  out.size = sizeOf(record);
  out.blocks =
    unsigned32(record, BLOCKS) + (record[BLOCKS + 4]! + record[BLOCKS + 5]! * 0x100) * 0x1_0000_0000;
  out.atimeSeconds = secondsOf(record, ATIME);
  out.atimeNanos = nanosOf(record, ATIME);
  out.mtimeSeconds = secondsOf(record, MTIME);
  out.mtimeNanos = nanosOf(record, MTIME);
  out.ctimeSeconds = secondsOf(record, CTIME);
  out.ctimeNanos = nanosOf(record, CTIME);
  out.btimeSeconds = secondsOf(record, BTIME);
  out.btimeNanos = nanosOf(record, BTIME);
  out.live = false;
  out.changesUnseen = false;
}

function unsigned32(bytes: Uint8Array, at: number): number {
  return bytes[at]! + bytes[at + 1]! * 0x100 + bytes[at + 2]! * 0x1_0000 + bytes[at + 3]! * 0x100_0000;
}

function putUnsigned(bytes: Uint8Array, at: number, length: number, value: number): void {
  let rest = value;
  for (let i = 0; i < length; i++) {
    bytes[at + i] = rest % 0x100;
    rest = Math.floor(rest / 0x100);
  }
}
