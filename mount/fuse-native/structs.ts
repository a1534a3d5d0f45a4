/** The structures that the binding takes in a reply, in u32. */
import * as errno from '../filesystem/errno.js';
import type { Attributes, StatFs } from '../filesystem/types.js';

export const TWO_TO_32 = 4_294_967_296;

/** A value's size where the caller only asks for it (an empty buffer); ERANGE where it does not fit. */
export function copyOut(value: Uint8Array | number, into: Buffer): number {
  if (typeof value === 'number') return value;
  if (into.length === 0) return value.length;
  if (value.length > into.length) return -errno.ERANGE;
  into.set(value);
  return value.length;
}

/**
 * struct stat as the binding takes it, in u32: mode, uid, gid, size (2), dev, nlink, ino, rdev, blksize,
 * blocks (2), then access, modification and change time in milliseconds (2 each).
 */
export function statArray(from: Attributes): Uint32Array {
  const words = new Uint32Array(18);
  words[0] = from.mode;
  words[1] = from.uid;
  words[2] = from.gid;
  setPair(words, 3, from.size);
  words[6] = from.nlink;
  words[7] = from.ino;
  words[8] = from.rdev;
  words[9] = 4096;
  setPair(words, 10, from.blocks);
  setPair(words, 12, milliseconds(from.atimeSeconds, from.atimeNanos));
  setPair(words, 14, milliseconds(from.mtimeSeconds, from.mtimeNanos));
  setPair(words, 16, milliseconds(from.ctimeSeconds, from.ctimeNanos));
  return words;
}

/** Of a directory entry only the type and the number are used. */
export function entryArray(from: Attributes): Uint32Array {
  const words = new Uint32Array(18);
  words[0] = from.mode;
  words[7] = from.ino;
  return words;
}

function milliseconds(seconds: number, nanos: number): number {
  return Math.max(0, seconds * 1000 + Math.floor(nanos / 1_000_000));
}

function setPair(words: Uint32Array, at: number, value: number): void {
  words[at] = value % TWO_TO_32;
  words[at + 1] = Math.floor(value / TWO_TO_32);
}

/** struct statvfs in u32: bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag, namemax. */
export function statfsArray(from: StatFs): Uint32Array {
  // Counts have 32 bits, so a large disk is told in larger blocks.
  let scale = 1;
  while (from.blocks / scale >= TWO_TO_32) scale *= 2;
  const cap = (count: number) => Math.min(count, TWO_TO_32 - 1);
  const words = new Uint32Array(11);
  words[0] = from.blockSize * scale;
  words[1] = from.blockSize * scale;
  words[2] = from.blocks / scale;
  words[3] = from.blocksFree / scale;
  words[4] = from.blocksAvailable / scale;
  words[5] = cap(from.files);
  words[6] = cap(from.filesFree);
  words[7] = cap(from.filesFree);
  words[10] = from.nameMax;
  return words;
}
