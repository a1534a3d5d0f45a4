/** What a file may grow by where bytes are limited. Asked before it grows; the size is that of its backing file. */
import { newAttributes } from '../arguments.js';
import { type FileStatus, newFileStatus } from '../contents/disk/content-disk.js';
import type { OpenInode } from '../contents/open-inode.js';
import type { Found, Inodes } from '../inodes/inodes.js';
import type { Addition } from '../inodes/quotas.js';
import { isKeptByNumber, parentOf, pathOfKey } from '../records/keys.js';
import * as record from '../records/record.js';
import type { Attributes } from '../types.js';

/** Modes of fallocate(2) that never make a file longer: KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE; and one that always does. */
const SIZE_KEEPING = 0x01 | 0x02 | 0x08;
const INSERT_RANGE = 0x20;
const ROOT = new Uint8Array(0);

export class Growth {
  readonly #inodes: Inodes;
  readonly #status: FileStatus = newFileStatus();
  readonly #attributes: Attributes = newAttributes();

  constructor(inodes: Inodes) {
    this.#inodes = inodes;
  }

  /** Whether bytes are limited where the file is. */
  isLimited(inode: OpenInode): boolean {
    const { quotas, orphans } = this.#inodes;
    return !quotas.isEmpty && !orphans.has(inode.ino) && quotas.limitsBytes(directoryOf(inode.key));
  }

  /** Takes room for the file to have `size` bytes at least; 0, or -EDQUOT. */
  to(inode: OpenInode, size: number): number {
    if (!this.isLimited(inode)) return 0;
    return this.#take(inode.key, this.#sizeOf(inode), size);
  }

  /** As `to`, for fallocate(2) with its modes. */
  byAllocation(inode: OpenInode, mode: number, offset: number, length: number): number {
    if (!this.isLimited(inode) || (mode & SIZE_KEEPING) !== 0) return 0;
    const size = (mode & INSERT_RANGE) !== 0 ? this.#sizeOf(inode) + length : offset + length;
    return this.to(inode, size);
  }

  /** As `to`, for a file that need not be open, by its record. */
  ofRecord(found: Found, size: number): number {
    const { quotas, orphans } = this.#inodes;
    if (quotas.isEmpty || orphans.has(record.inoOf(found.record))) return 0;
    this.#inodes.attributes(found.record, this.#attributes);
    return this.#take(found.key, this.#attributes.size, size);
  }

  #take(key: Uint8Array, from: number, to: number): number {
    return this.#inodes.quotas.take(directoryOf(key), growth(from, to));
  }

  #sizeOf(inode: OpenInode): number {
    if (!inode.hasContent) return 0;
    this.#inodes.descriptors.status(inode, this.#status);
    return this.#status.size;
  }
}

/** Where a file's bytes count, by its record's key: one with several names counts in the root alone. */
function directoryOf(key: Uint8Array): Uint8Array {
  return isKeptByNumber(key) ? ROOT : parentOf(pathOfKey(key));
}

function growth(from: number, to: number): Addition {
  return { bytes: Math.max(0, to - from), files: 0 };
}
