/**
 * Taking a name from an inode, as part of a batch: planned before it, recorded in it, settled after it. An inode
 * that loses its last name becomes an orphan for as long as someone uses it; where a crash would leave something
 * to reclaim (content, extended attributes), the orphan is a record in the tree.
 */
import type { Batch } from '../../../engine/api.js';
import { entryXattrPrefix, inodeXattrPrefix, isKeptByNumber, orphanKey, pathOfKey } from '../records/keys.js';
import * as record from '../records/record.js';
import type { Found, Inodes } from './inodes.js';
import { moveXattrs } from './xattr-keys.js';

export class Removal {
  readonly ino: number;
  /** Names left. */
  readonly links: number;
  readonly #inodes: Inodes;
  readonly #name: Uint8Array;
  readonly #inode: Found;
  readonly #used: boolean;
  readonly #keptAsRecord: boolean;

  /** `name`: key of the entry; `inode`: the record it stands for, which this changes. The clock has been read. */
  constructor(inodes: Inodes, name: Uint8Array, inode: Found) {
    const isDirectory = record.typeOf(inode.record) === record.DIRECTORY;
    this.#inodes = inodes;
    this.#name = name;
    this.#inode = inode;
    this.ino = record.inoOf(inode.record);
    this.links = isDirectory ? 0 : record.linksOf(inode.record) - 1;
    this.#used = inodes.isUsed(this.ino);
    record.setLinks(inode.record, this.links);
    inodes.stamp(inode.record, record.CTIME);
    const hasXattrs = record.hasFlag(inode.record, record.XATTRS);
    const hasContent = record.hasFlag(inode.record, record.CONTENT);
    this.#keptAsRecord = this.links === 0 && (hasContent || (hasXattrs && this.#used));
  }

  /** Records all but the change of the entry itself, which the caller deletes or overwrites. */
  record(batch: Batch): void {
    const inode = this.#inode;
    const byNumber = isKeptByNumber(inode.key);
    if (this.links > 0) {
      batch.compareAndPut(inode.key, inode.version, inode.record);
      return;
    }
    if (byNumber) batch.deleteIfVersion(inode.key, inode.version);
    if (this.#keptAsRecord) batch.put(orphanKey(this.ino), inode.record);
    if (!record.hasFlag(inode.record, record.XATTRS)) return;
    const kept = inodeXattrPrefix(this.ino);
    const prefix = byNumber ? kept : entryXattrPrefix(pathOfKey(this.#name));
    if (!this.#used) batch.deletePrefix(prefix);
    else if (!byNumber) moveXattrs(this.#inodes.tree, batch, prefix, kept);
  }

  /** After the batch succeeded. */
  settle(): void {
    if (this.links > 0) return;
    if (this.#used) {
      this.#inodes.orphans.set(this.ino, this.#keptAsRecord ? null : this.#inode.record);
      const open = this.#inodes.opens.get(this.ino);
      if (open !== undefined) open.key = orphanKey(this.ino);
    } else if (this.#keptAsRecord) {
      this.#inodes.reclaim(this.ino);
    }
  }
}
