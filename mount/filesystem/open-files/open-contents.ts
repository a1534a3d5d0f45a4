/**
 * The backing files of open inodes, and which of record and file is the truth.
 *
 * A backing file is made, or borrowed from the spares, when something is first written (or a driver asks for it). Then the
 * record is put with LIVE: from then on size and mtime are the backing file's, after a crash as well. When the
 * last handle that may write is released, they go back into the record. A borrowed file gets its name when it is synced,
 * when the driver has time for it, and when it is released and was written.
 */

import { type FileStatus, newFileStatus } from '../contents/disk/content-disk.js';
import { newOpenInode, type OpenInode } from '../contents/open-inode.js';
import { UNWRITTEN_SECONDS } from '../contents/spares/spare-files.js';
import { type Found, type Inodes, RETRY, retry } from '../inodes/inodes.js';
import * as record from '../records/record.js';

export class OpenContents {
  readonly #inodes: Inodes;
  readonly #status: FileStatus = newFileStatus();

  constructor(inodes: Inodes) {
    this.#inodes = inodes;
  }

  /**
   * An inode that another process had open, as far as it can be told: what was written past that process, and who may
   * write through a mapping, its backing file and the kernel know.
   */
  openAgain(found: Found): OpenInode {
    const ino = record.inoOf(found.record);
    const inode = newOpenInode(ino, record.bornOf(found.record), found.key);
    // One that only readers have may have a backing file that its record does not tell of: nothing was written to it.
    inode.hasContent =
      record.hasFlag(found.record, record.CONTENT) ||
      this.#inodes.content.status(ino, inode.born, this.#status);
    inode.live = record.hasFlag(found.record, record.LIVE) && !this.#inodes.readOnly;
    if (!inode.live || !inode.hasContent) return inode;
    try {
      this.#inodes.noteContentTime(inode);
    } catch {
      // Whoever reads or writes it is told why it is not there.
    }
    return inode;
  }

  /** The inode is written now. */
  stampWritten(inode: OpenInode): void {
    const { clock } = this.#inodes;
    clock.read();
    inode.written = true;
    inode.writtenSeconds = clock.seconds;
    inode.writtenNanos = clock.nanos;
  }

  /** Puts size and times of a live inode back into its record, with one put. */
  settle(inode: OpenInode): void {
    retry(() => {
      const found = this.recordOf(inode);
      this.#inodes.settle(found.record);
      return this.#inodes.replace(found) ? 0 : RETRY;
    });
    inode.live = false;
    inode.written = false;
  }

  /** Puts size and times of a live inode as they are now into its record, which stays LIVE. */
  update(inode: OpenInode): void {
    // A write from here on is told by another mtime than this, or is in the record.
    this.#inodes.descriptors.status(inode, this.#status);
    const { mtimeSeconds, mtimeNanos } = this.#status;
    retry(() => {
      const found = this.recordOf(inode);
      this.#inodes.settle(found.record);
      record.setFlag(found.record, record.LIVE | record.CONTENT);
      return this.#inodes.replace(found) ? 0 : RETRY;
    });
    inode.written = false;
    inode.seenSeconds = mtimeSeconds;
    inode.seenNanos = mtimeNanos;
    inode.alignedSeconds = mtimeSeconds;
    inode.alignedNanos = mtimeNanos;
  }

  /** Closes an inode and settles it; it stays LIVE while others may write to its backing file. */
  leave(inode: OpenInode): void {
    const { content, descriptors, spares } = this.#inodes;
    if (inode.isNamedElsewhere) this.keepContent(inode);
    if (inode.spare !== undefined && spares !== undefined) {
      let isShared: boolean;
      descriptors.leaveToSpare(inode);
      try {
        isShared = spares.isShared(inode.spare);
      } finally {
        descriptors.takeFromSpare(inode);
      }
      if (isShared) this.keepContent(inode);
      else inode.mayBeMapped = false;
    }
    if (!inode.mayBeMapped) {
      this.settle(inode);
      return;
    }
    this.close(inode, false);
    if (!content.hasWriters(inode.ino, inode.born)) {
      this.settle(inode);
      return;
    }
    // What has been told of the file so far holds, and writes from now on are told from that.
    retry(() => {
      const found = this.recordOf(inode);
      this.#inodes.settle(found.record);
      record.setFlag(found.record, record.LIVE);
      if (!this.#inodes.replace(found)) return RETRY;
      this.#inodes.setLeftTime(found);
      return 0;
    });
  }

  /** Makes the backing file, which is made first where there is none, the truth: then nothing is written before LIVE. */
  makeLive(inode: OpenInode): void {
    const found = this.recordOf(inode);
    if (inode.hasContent) {
      this.#renewSpare(inode, found);
      this.#inodes.alignContent(inode, found.record);
    } else this.#createBacking(inode, found);
    if (inode.spare !== undefined) this.#inodes.borrowers.set(inode, this.#inodes.clock.seconds);
    record.setFlag(found.record, record.LIVE | record.CONTENT);
    this.put(found);
    inode.live = true;
  }

  /** `isUnused`: nobody will ask for its content any more. */
  close(inode: OpenInode, isUnused: boolean): void {
    const { spare } = inode;
    const { borrowers, descriptors, spares } = this.#inodes;
    if (spare === undefined) {
      descriptors.close(inode);
      return;
    }
    const isWanted = !isUnused && this.#mayHaveContent(inode);
    descriptors.leaveToSpare(inode);
    inode.spare = undefined;
    borrowers.delete(inode);
    inode.hasContent = isWanted;
    if (isWanted) spares?.keep(spare, inode.ino);
    else spares?.takeBack(spare, inode.mayBeMapped || inode.mayBeSeen || inode.isNamedElsewhere);
  }

  /** Whether its record, or anybody who is left, may want the spare that the inode has borrowed. */
  #mayHaveContent(inode: OpenInode): boolean {
    // Live still: it could not be settled, and its record says that there is content.
    if (inode.live || inode.mayBeMapped) return true;
    try {
      return this.#inodes.descriptors.isWritten(inode);
    } catch {
      // What cannot be told is kept.
      return true;
    }
  }

  /** Gives an open inode's content its name, and before that what it would tell after a crash. */
  keepContent(inode: OpenInode): void {
    const { spare } = inode;
    if (spare === undefined) return;
    if (!this.#inodes.descriptors.isWritten(inode)) {
      // Nothing will be written before it is live again.
      if (!inode.live) return;
      this.#inodes.setContentTime(inode, this.recordOf(inode).record);
      this.#inodes.descriptors.status(inode, this.#status);
      // It was written in between, and the time of that is lost.
      if (this.#status.size > 0) this.stampWritten(inode);
    }
    this.#inodes.nameContent(inode);
  }

  /**
   * Nobody waits for an answer: contents that have had no names for a second get them. Returns whether others wait. Throws
   * what went wrong last, after it tried all.
   */
  rest(): boolean {
    const { borrowers, clock, content, descriptors, spares } = this.#inodes;
    descriptors.fit();
    spares?.rest();
    let failure = content.place();
    if (borrowers.size > 0) clock.read();
    for (const [inode, since] of borrowers) {
      // A clock that was set back is no reason to wait longer.
      if (Math.abs(clock.seconds - since) < 1) break;
      try {
        this.keepContent(inode);
      } catch (error) {
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
    return borrowers.size > 0;
  }

  /** Settles and closes everything, for a clean end. */
  closeAll(): void {
    let failure: unknown;
    for (const inode of this.#inodes.opens.values()) {
      // Descriptors that were passed through outlive a mount that is taken away while they are open.
      inode.mayBeMapped ||= inode.isPassed;
      try {
        if (inode.live && !inode.mayBeMapped) this.settle(inode);
        if (inode.live) this.leave(inode);
      } catch (error) {
        failure = error;
      }
      this.close(inode, false);
    }
    this.#inodes.opens.clear();
    this.#inodes.spares?.close();
    if (failure !== undefined) throw failure;
  }

  /** A borrowed file that was not written when a snapshot was taken is no content of that. */
  #renewSpare(inode: OpenInode, found: Found): void {
    const { snapshots, spares } = this.#inodes;
    if (inode.spare === undefined || inode.born === snapshots.last || inode.isNamedElsewhere) return;
    spares?.lendAs(inode.spare, inode.ino, snapshots.last);
    inode.born = snapshots.last;
    found.record = record.withBorn(found.record, inode.born);
  }

  #createBacking(inode: OpenInode, found: Found): void {
    inode.born = this.#inodes.snapshots.last;
    found.record = record.withBorn(found.record, inode.born);
    if (this.#inodes.spares === undefined) this.#inodes.descriptors.create(inode);
    else {
      this.#inodes.descriptors.promiseSpare(inode.ino, inode.born);
      this.borrow(inode);
    }
    this.#inodes.alignContent(inode, found.record);
  }

  /** Gives the inode the spare that it was promised as its backing file; the spare's mtime stands for that of the inode's record. */
  borrow(inode: OpenInode): void {
    const { spares, borrowers, clock } = this.#inodes;
    const spare = spares?.lend(inode.ino, inode.born);
    if (spare === undefined) return;
    inode.spare = spare;
    this.#inodes.descriptors.takeFromSpare(inode);
    inode.seenSeconds = UNWRITTEN_SECONDS;
    inode.seenNanos = 0;
    inode.alignedSeconds = UNWRITTEN_SECONDS;
    inode.alignedNanos = 0;
    borrowers.set(inode, clock.seconds);
  }

  recordOf(inode: OpenInode): Found {
    const place = this.#inodes.orphans.has(inode.ino)
      ? this.#inodes.find(inode.ino)
      : this.#inodes.findByKey(inode.key);
    if (place === undefined) throw new Error(`Cannot find the record of open inode ${inode.ino}`);
    return place;
  }

  /** Puts a record that gained something to reclaim: one that was only in memory goes into the tree. */
  put(found: Found): void {
    if (found.version === 0) this.#inodes.keepOrphan(found);
    else if (!this.#inodes.replace(found)) {
      throw new Error(`Cannot put the record of inode ${record.inoOf(found.record)}: it changed meanwhile`);
    }
  }
}
