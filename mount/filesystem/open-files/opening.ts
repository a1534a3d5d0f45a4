/** An inode that nobody had open: its content is opened, and compared with its record. */
import { type FileStatus, newFileStatus } from '../contents/disk/content-disk.js';
import { faultOf, NO_FILE } from '../contents/disk/faults.js';
import { newOpenInode, type OpenInode } from '../contents/open-inode.js';
import { healContent } from '../contents/power-cut.js';
import type { Found, Inodes } from '../inodes/inodes.js';
import { showKey } from '../records/keys.js';
import * as record from '../records/record.js';
import type { OpenContents } from './open-contents.js';

export class Opening {
  readonly #inodes: Inodes;
  readonly #contents: OpenContents;
  readonly #status: FileStatus = newFileStatus();

  constructor(inodes: Inodes, contents: OpenContents) {
    this.#inodes = inodes;
    this.#contents = contents;
  }

  /**
   * `writes`: for who may write; `isReplaced`: the content is truncated next.
   * @throws ContentAwaited where the content must come first, and what `assertSound` does
   */
  open(ino: number, found: Found, writes: boolean, isReplaced: boolean): OpenInode {
    // To be asked before the file is open here too.
    const isWritten =
      record.hasFlag(found.record, record.LIVE) &&
      !this.#inodes.readOnly &&
      this.#inodes.content.hasWriters(ino, record.bornOf(found.record));
    const { descriptors } = this.#inodes;
    const inode = newOpenInode(ino, record.bornOf(found.record), found.key);
    if (record.hasFlag(found.record, record.CONTENT)) {
      if (!writes) inode.partial = this.#inodes.away?.beginPartial(ino, inode.born);
      if (inode.partial !== undefined) inode.hasContent = true;
      else if (!isReplaced || !this.giveUp(found)) descriptors.open(inode);
    }
    try {
      inode.live = isWritten;
      inode.mayBeMapped = isWritten;
      const left = isWritten ? this.#inodes.left.get(ino) : undefined;
      if (left !== undefined) {
        inode.alignedSeconds = left.alignedSeconds;
        inode.alignedNanos = left.alignedNanos;
      }
      if (isWritten && inode.hasContent) this.#inodes.noteContentTime(inode);
      if (isWritten) return inode;
      if (inode.hasContent) descriptors.status(inode, this.#status);
      if (!isReplaced) this.assertSound(found, inode.hasContent ? this.#status.size : NO_FILE);
      if (record.hasFlag(found.record, record.LIVE) && !this.#inodes.readOnly) {
        this.#inodes.settle(found.record);
        this.#inodes.replaceIfPossible(found);
      }
    } catch (error) {
      descriptors.close(inode);
      throw error;
    }
    return inode;
  }

  /**
   * Throws unless the content, which was just looked at and has so many bytes (or NO_FILE), is what the record says, or
   * what a power cut, or a remote that was behind, left: that the record tells from here on.
   * @throws ContentAwaited where a remote has what the record tells of
   */
  assertSound(found: Found, bytes: number): void {
    const { away, content, cut, readOnly, troubles } = this.#inodes;
    const fault = faultOf(found.record, bytes);
    if (fault === undefined) return;
    const ino = record.inoOf(found.record);
    if (!readOnly && bytes !== NO_FILE && healContent(content, found.record))
      away?.require(ino, record.bornOf(found.record));
    const isLeftOver =
      cut.isShortened(ino) ||
      cut.isLagging(found.version) ||
      (bytes !== NO_FILE && cut.leftOver(found.version));
    if (!isLeftOver) troubles.refuse(ino, showKey(found.key), fault);
    if (readOnly) return;
    cut.fitLeftOver(found.record, found.version, showKey(found.key), fault);
    this.#contents.put(found);
    found.version = this.#inodes.tree.getVersion(found.key) ?? 0;
  }

  /** Gives up a content that is not wanted any more, and need not come: a remote has it, and no snapshot. False: that is not so. */
  giveUp({ record: inode }: Found): boolean {
    const { away, content, snapshots } = this.#inodes;
    if (away === undefined || record.bornOf(inode) !== snapshots.last) return false;
    const [ino, born] = [record.inoOf(inode), record.bornOf(inode)];
    if (away.find(ino, born) === undefined || content.isHere(ino, born)) return false;
    away.giveUp(ino, born);
    return true;
  }
}
