/**
 * Taking a name from an inode, as part of a batch: planned before it, recorded in it, settled after it. An inode
 * that loses its last name becomes an orphan for as long as someone uses it; where a crash would leave something
 * to reclaim (content, extended attributes), the orphan is a record in the tree. A content that snapshots may have is kept
 * for them from here on, whatever becomes of the orphan.
 */
import type { Batch } from '../../../engine/api.js';
import {
  entryXattrPrefix,
  inodeXattrPrefix,
  isKeptByNumber,
  orphanKey,
  pathOfKey,
  positionKey,
} from '../records/keys.js';
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
  /** Whether the content is kept for snapshots. */
  readonly #isKept: boolean;

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
    const born = record.bornOf(inode.record);
    this.#isKept = this.links === 0 && hasContent && born < inodes.snapshots.newest;
    const isLost = hasContent && !this.#isKept;
    const isTreeOnly = hasContent || hasXattrs || !inodes.orphans.canKeep(inode.record);
    this.#keptAsRecord = this.links === 0 && (isLost || (isTreeOnly && this.#used));
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
    if (record.typeOf(inode.record) === record.DIRECTORY) batch.delete(positionKey(this.ino));
    if (this.#keptAsRecord) batch.put(orphanKey(this.ino), inode.record);
    else if (this.#used) this.#inodes.orphans.prepare(this.ino, inode.record);
    if (this.#isKept) this.#inodes.snapshots.recordKept(batch, this.ino, record.bornOf(inode.record));
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
      this.#inodes.keyMoved(this.ino, orphanKey(this.ino));
    } else if (this.#keptAsRecord) {
      this.#inodes.reclaim(this.ino, record.bornOf(this.#inode.record));
    } else if (this.#isKept) {
      this.#inodes.left.delete(this.ino);
      this.#inodes.troubles.mended(this.ino);
    }
  }
}
