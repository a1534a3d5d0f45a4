/**
 * Writes a reply: the out header, then the operation's structure at the offsets that protocol.ts tells, in one
 * buffer that is used again and again, so that header and payload leave in one write.
 *
 * Every field of a structure must be written, or the body cleared before: the buffer holds the last reply.
 */
import type { Attributes } from '../../filesystem/types.js';
import { Attr, AttrOut, EntryOut, OutHeader, STATX_MASK, StatxOut } from './protocol.js';

const TWO_32 = 0x1_0000_0000;
/** Unit that the kernel reads and writes in; st_blksize. */
const BLOCK_SIZE = 4096;

/** What an operation returns when no reply is to be sent now. Below every errno. */
export const NO_REPLY = -0x10000;

/** For how long the kernel may answer by itself. */
export class Timeout {
  static readonly NONE = new Timeout(0);
  readonly seconds: number;
  readonly nanos: number;

  constructor(seconds: number) {
    this.seconds = Math.floor(seconds);
    this.nanos = Math.floor((seconds - this.seconds) * 1e9);
  }

  /** Whether the kernel must ask each time. */
  get isNone(): boolean {
    return this.seconds === 0 && this.nanos === 0;
  }
}

export class Reply {
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;

  constructor(capacity: number) {
    const memory = new ArrayBuffer(capacity);
    this.bytes = new Uint8Array(memory);
    this.#words = new Uint32Array(memory);
  }

  /** Where the body begins in `bytes`. */
  static readonly BODY = OutHeader.SIZE;

  /** Bytes that a body may have. */
  get capacity(): number {
    return this.bytes.length - OutHeader.SIZE;
  }

  /** Writes the header and returns the length of the whole reply. `error` is 0 or a negative errno. */
  finish(uniqueLow: number, uniqueHigh: number, error: number, bodyLength: number): number {
    const length = OutHeader.SIZE + bodyLength;
    this.#words[OutHeader.LENGTH >> 2] = length;
    this.#words[OutHeader.ERROR >> 2] = error;
    this.#words[OutHeader.UNIQUE >> 2] = uniqueLow;
    this.#words[(OutHeader.UNIQUE >> 2) + 1] = uniqueHigh;
    return length;
  }

  /** The node of the fuse_entry_out that is the body. */
  get entryNode(): number {
    const at = (OutHeader.SIZE + EntryOut.NODEID) >> 2;
    return this.#words[at + 1]! * TWO_32 + this.#words[at]!;
  }

  /** Copies the first `count` words, header included, to `into` from index `at` on. */
  copyWords(into: Uint32Array, at: number, count: number): void {
    for (let i = 0; i < count; i++) into[at + i] = this.#words[i]!;
  }

  /** Zeroes the body's first `length` bytes, a multiple of 4. */
  clear(length: number): void {
    this.#words.fill(0, OutHeader.SIZE >> 2, (OutHeader.SIZE + length) >> 2);
  }

  u32(offset: number, value: number): void {
    this.#words[(OutHeader.SIZE + offset) >> 2] = value;
  }

  /** Takes negative numbers too: two's complement. */
  u64(offset: number, value: number): void {
    const at = (OutHeader.SIZE + offset) >> 2;
    this.#words[at] = value;
    this.#words[at + 1] = Math.floor(value / TWO_32);
  }

  /** fuse_attr at `at`. */
  attributes(at: number, from: Attributes): void {
    this.u64(at + Attr.INO, from.ino);
    this.u64(at + Attr.SIZE_OF_FILE, from.size);
    this.u64(at + Attr.BLOCKS, from.blocks);
    this.u64(at + Attr.ATIME, from.atimeSeconds);
    this.u64(at + Attr.MTIME, from.mtimeSeconds);
    this.u64(at + Attr.CTIME, from.ctimeSeconds);
    this.u32(at + Attr.ATIME_NANOS, from.atimeNanos);
    this.u32(at + Attr.MTIME_NANOS, from.mtimeNanos);
    this.u32(at + Attr.CTIME_NANOS, from.ctimeNanos);
    this.u32(at + Attr.MODE, from.mode);
    this.u32(at + Attr.NLINK, from.nlink);
    this.u32(at + Attr.UID, from.uid);
    this.u32(at + Attr.GID, from.gid);
    this.u32(at + Attr.RDEV, from.rdev);
    this.u32(at + Attr.BLOCK_SIZE, BLOCK_SIZE);
    this.u32(at + Attr.FLAGS, 0);
  }

  /** fuse_entry_out at `at`. Inode numbers are never reused, so the generation is always 0. */
  entry(at: number, from: Attributes, entryTimeout: Timeout, attributeTimeout: Timeout): void {
    this.u64(at + EntryOut.NODEID, from.ino);
    this.u64(at + EntryOut.GENERATION, 0);
    this.u64(at + EntryOut.ENTRY_VALID, entryTimeout.seconds);
    this.u64(at + EntryOut.ATTR_VALID, attributeTimeout.seconds);
    this.u32(at + EntryOut.ENTRY_VALID_NANOS, entryTimeout.nanos);
    this.u32(at + EntryOut.ATTR_VALID_NANOS, attributeTimeout.nanos);
    this.attributes(at + EntryOut.ATTR, from);
  }

  /** fuse_attr_out as the body. */
  attrOut(from: Attributes, attributeTimeout: Timeout): void {
    this.u64(AttrOut.ATTR_VALID, attributeTimeout.seconds);
    this.u64(AttrOut.ATTR_VALID_NANOS, attributeTimeout.nanos);
    this.attributes(AttrOut.ATTR, from);
  }

  /** fuse_statx_out as the body. */
  statxOut(from: Attributes, attributeTimeout: Timeout): void {
    this.clear(StatxOut.SIZE);
    this.u64(StatxOut.ATTR_VALID, attributeTimeout.seconds);
    this.u32(StatxOut.ATTR_VALID_NANOS, attributeTimeout.nanos);
    this.u32(StatxOut.MASK, STATX_MASK);
    this.u32(StatxOut.BLOCK_SIZE, BLOCK_SIZE);
    this.u32(StatxOut.NLINK, from.nlink);
    this.u32(StatxOut.UID, from.uid);
    this.u32(StatxOut.GID, from.gid);
    this.u32(StatxOut.MODE, from.mode & 0xffff);
    this.u64(StatxOut.INO, from.ino);
    this.u64(StatxOut.SIZE_OF_FILE, from.size);
    this.u64(StatxOut.BLOCKS, from.blocks);
    this.u64(StatxOut.ATIME, from.atimeSeconds);
    this.u32(StatxOut.ATIME + 8, from.atimeNanos);
    this.u64(StatxOut.BTIME, from.btimeSeconds);
    this.u32(StatxOut.BTIME + 8, from.btimeNanos);
    this.u64(StatxOut.CTIME, from.ctimeSeconds);
    this.u32(StatxOut.CTIME + 8, from.ctimeNanos);
    this.u64(StatxOut.MTIME, from.mtimeSeconds);
    this.u32(StatxOut.MTIME + 8, from.mtimeNanos);
    // The kernel's 32-bit device number: minor bits 0..7, major 8..19, the rest of minor from 20.
    this.u32(StatxOut.RDEV_MAJOR, (from.rdev >>> 8) & 0xfff);
    this.u32(StatxOut.RDEV_MINOR, (from.rdev & 0xff) | ((from.rdev >>> 12) & 0xfff00));
  }
}
