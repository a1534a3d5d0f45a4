/**
 * Files whose content a snapshot may have get another one before they are written.
 *
 * One that nobody has open or mapped gets a copy, which is made first: the record moves to it, with LIVE, in the batch by
 * which the old content becomes one that is kept. The copy has its place after that; a start finds it by the kept
 * one (`left-copies.ts`).
 *
 * One that somebody uses keeps its file, which the kernel may have registered, or somebody mapped. So it is the snapshot
 * that gets the copy: the file gets the new content's name beside the old one, the record moves, and the copy takes the old
 * name. In between the snapshot shows the file as it is: the fact at `splitKey` tells of that, so that a start goes on with
 * it. Where nobody could write yet, the copy is made before all else; where somebody may, as at the moment of a
 * snapshot, right after it.
 */

import type { MountLog } from '../../types.js';
import { copyContent, copyPath, makeEmptyCopy, placeCopy } from '../contents/content-copy.js';
import { type FileStatus, newFileStatus } from '../contents/disk/content-disk.js';
import { findContents, leftCopies } from '../contents/left-copies.js';
import type { OpenInode } from '../contents/open-inode.js';
import { BackingError, ContentAwaited, EIO } from '../errno.js';
import { type Found, type Inodes, REMOVAL } from '../inodes/inodes.js';
import { keptKey, showKey, splitKey } from '../records/keys.js';
import * as record from '../records/record.js';
import type { ContentCopy, ContentWorker } from '../types.js';
import type { OpenContents } from './open-contents.js';

/** How long a copy waits for whoever asked for it. */
const LONGEST_WAIT_SECONDS = 10;
/** Files that one batch gives other contents. */
const SPLITS_PER_BATCH = 256;

/** A copy that somebody waits for. */
interface Awaited {
  copy: ContentCopy;
  /** 0 or a negative errno; undefined: it is being made. */
  result: number | undefined;
  /** When it was done. */
  since: number;
}

/** A file that is to keep its file and get another born. */
interface Split {
  found: Found;
  /** Undefined: nobody has it open here, but somebody writes to it. */
  inode: OpenInode | undefined;
  ino: number;
  born: number;
}

export class Renewal {
  readonly #inodes: Inodes;
  readonly #contents: OpenContents;
  /** Undefined: all is done at once. */
  readonly #worker: ContentWorker | undefined;
  readonly #log: MountLog;
  readonly #status: FileStatus = newFileStatus();
  readonly #awaited = new Map<number, Awaited>();
  /** Copies that are to take the place of what snapshots share with files. */
  readonly #splits = new Map<string, ContentCopy>();
  /** Inodes of such, of which nobody has written to the file yet: nobody may before the copy is there. */
  readonly #unwritten = new Map<number, ContentCopy>();
  /** Of those, the errno of a copy that failed, for who waited. */
  readonly #failed = new Map<number, number>();

  constructor(inodes: Inodes, contents: OpenContents, worker: ContentWorker | undefined, log: MountLog) {
    this.#inodes = inodes;
    this.#contents = contents;
    this.#worker = worker;
    this.#log = log;
  }

  /** Whether there is anything to do before the inode, which is open, is written. */
  isDue(inode: OpenInode): boolean {
    return inode.born < this.#inodes.snapshots.newest || this.#unwritten.size > 0;
  }

  /** Whether a snapshot has the file of an inode that nobody has written yet, until the copy is there. */
  isShared(ino: number): boolean {
    return this.#unwritten.size > 0 && this.#unwritten.has(ino);
  }

  /** Whether a copy of a content of the inode is being made, or waits for its place. */
  isCopying(ino: number): boolean {
    if (this.#awaited.has(ino)) return true;
    for (const copy of this.#splits.values()) if (copy.ino === ino) return true;
    return false;
  }

  /**
   * Readies an open inode to be written: its content is no snapshot's when this returns. `isReplaced`: what is in it is not
   * wanted. Throws ContentAwaited where the driver is to ask again later; what the filesystem below says, ENOSPC for one,
   * with nothing changed.
   */
  renew(inode: OpenInode, isReplaced: boolean): void {
    const { content, descriptors, orphans, snapshots, tree } = this.#inodes;
    const unwritten = this.#unwritten.get(inode.ino);
    if (unwritten !== undefined) this.#awaitSplit(unwritten);
    // What is borrowed is new: when a snapshot is taken it gets its name.
    if (inode.born >= snapshots.newest || !inode.hasContent || inode.spare !== undefined) return;
    const { ino, born } = inode;
    const isOrphan = orphans.has(ino);
    // A snapshot has it only if it had a name by then.
    if (isOrphan && tree.getVersion(keptKey(ino, born)) === undefined) return;
    if (inode.handles === 0 && !inode.live) {
      descriptors.close(inode);
      if (!content.hasUsers(ino, born)) {
        this.#replace(inode, isReplaced, isOrphan);
        return;
      }
    }
    const copy = { ino, born, next: snapshots.last };
    const isWritten = inode.live || inode.writers > 0;
    if (!isWritten) this.#make(copy);
    const found = this.#contents.recordOf(inode);
    try {
      this.#split([{ found, inode, ino, born }], !isWritten);
    } catch (error) {
      content.disk.remove(copyPath(content.directory, copy));
      throw error;
    }
    if (this.#unwritten.has(ino)) this.#awaitSplit(copy);
  }

  /** Makes the copy, or takes the one that was asked for before. */
  #make(copy: ContentCopy): void {
    const { content, clock } = this.#inodes;
    if (this.#worker === undefined) {
      copyContent(content, copy);
      return;
    }
    const awaited = this.#awaited.get(copy.ino);
    if (awaited === undefined || !areEqual(awaited.copy, copy)) {
      clock.read();
      this.#awaited.set(copy.ino, { copy, result: undefined, since: clock.seconds });
      this.#worker.copy(copy);
      throw new ContentAwaited();
    }
    if (awaited.result === undefined) throw new ContentAwaited();
    this.#awaited.delete(copy.ino);
    if (awaited.result < 0) {
      throw new BackingError(-awaited.result, `Cannot copy the content of inode ${copy.ino}`);
    }
  }

  /** The inode, which nobody uses, gets a new file. */
  #replace(inode: OpenInode, isReplaced: boolean, isOrphan: boolean): void {
    const { content, snapshots } = this.#inodes;
    const { ino, born } = inode;
    const copy = { ino, born, next: snapshots.last };
    // A copy that another waits for is being written: it is of use when it is whole.
    if (isReplaced && !this.#awaited.has(ino)) makeEmptyCopy(content, copy);
    else this.#make(copy);
    const path = copyPath(content.directory, copy);
    try {
      const found = this.#contents.recordOf(inode);
      this.#setTime(path, found.record);
      const moved = record.withBorn(found.record, copy.next);
      record.setFlag(moved, record.LIVE | record.CONTENT);
      const done = this.#inodes.atomic((batch) => {
        batch.compareAndPut(found.key, found.version, moved);
        // Of an orphan it was kept when it lost its name.
        if (!isOrphan) snapshots.recordKept(batch, ino, born);
      });
      if (!done) throw new Error(`Cannot put the record of inode ${ino}: it changed meanwhile`);
    } catch (error) {
      content.disk.remove(path);
      throw error;
    }
    inode.born = copy.next;
    inode.identity = undefined;
    inode.nameDurable = false;
    inode.live = true;
    inode.written = false;
    try {
      content.name(path, ino, copy.next);
    } catch {
      content.isAt(ino, copy.next, path);
    }
    this.#inodes.noteContentTime(inode);
    inode.alignedSeconds = inode.seenSeconds;
    inode.alignedNanos = inode.seenNanos;
  }

  /** Gives a copy the mtime of the record, so that another one means a write. */
  #setTime(path: string, inode: Uint8Array): void {
    const { disk } = this.#inodes.content;
    const fd = disk.open(path, 'write');
    try {
      disk.setModificationTime(
        fd,
        record.secondsOf(inode, record.MTIME),
        record.nanosOf(inode, record.MTIME),
      );
    } finally {
      disk.close(fd);
    }
  }

  /**
   * Makes what a snapshot is about to have of files that may be written right now part of their records; their files have
   * their own names from here on. Returns those files.
   */
  beforeSnapshot(): Split[] {
    const { content, left, opens, orphans } = this.#inodes;
    const splits: Split[] = [];
    for (const inode of opens.values()) {
      if (orphans.has(inode.ino) || (!inode.live && inode.writers === 0)) continue;
      this.#contents.keepContent(inode);
      if (inode.live) this.#contents.update(inode);
      if (inode.hasContent && inode.spare === undefined) splits.push(this.#splitOf(inode));
    }
    for (const [ino, { key }] of [...left]) {
      const found = opens.has(ino) || orphans.has(ino) ? undefined : this.#inodes.findByKey(key);
      if (found === undefined || !record.hasFlag(found.record, record.LIVE)) continue;
      const born = record.bornOf(found.record);
      const isWritten = content.hasWriters(ino, born);
      this.#inodes.settle(found.record);
      if (isWritten) record.setFlag(found.record, record.LIVE);
      this.#contents.put(found);
      if (!isWritten) continue;
      this.#inodes.setLeftTime(found);
      splits.push({ found: this.#inodes.findByKey(key) ?? found, inode: undefined, ino, born });
    }
    return splits;
  }

  #splitOf(inode: OpenInode): Split {
    return { found: this.#contents.recordOf(inode), inode, ino: inode.ino, born: inode.born };
  }

  /** The snapshot has been taken: these files go on under other names. What cannot be done is told, and tried again later. */
  afterSnapshot(splits: readonly Split[]): void {
    for (let from = 0; from < splits.length; from += SPLITS_PER_BATCH) {
      const some = splits.slice(from, from + SPLITS_PER_BATCH);
      try {
        this.#split(some, false);
      } catch (error) {
        const files = some.map(({ found }) => showKey(found.key));
        this.#log('error', `A snapshot has files as they go on: ${error}`, { files });
      }
    }
  }

  /** Gives files other names, and snapshots copies of them; `isCopied`: those are whole. */
  #split(splits: readonly Split[], isCopied: boolean): void {
    const { content, orphans, snapshots } = this.#inodes;
    const next = snapshots.last;
    const fact = Buffer.alloc(4);
    fact.writeUInt32LE(next);
    this.#inodes.atomic((batch) => {
      for (const { ino, born } of splits) batch.put(splitKey(ino, born), fact);
    });
    let linked = 0;
    try {
      for (const { ino, born } of splits) {
        content.link(ino, born, next);
        linked++;
      }
      const done = this.#inodes.atomic((batch) => {
        for (const { found, ino, born } of splits) {
          batch.compareAndPut(found.key, found.version, record.withBorn(found.record, next));
          if (!orphans.has(ino)) snapshots.recordKept(batch, ino, born);
        }
      });
      if (!done) throw new Error('Cannot put the records of open files: they changed meanwhile');
    } catch (error) {
      for (const { ino } of splits.slice(0, linked)) content.remove(ino, next);
      this.#inodes.atomic((batch) => {
        for (const { ino, born } of splits) batch.delete(splitKey(ino, born));
      }, REMOVAL);
      throw error;
    }
    for (const { inode, ino, born } of splits) {
      if (inode !== undefined) {
        inode.born = next;
        inode.nameDurable = false;
      }
      this.#goOn({ ino, born, next }, isCopied);
    }
  }

  /** A snapshot shares a content with a file: it is to get the copy. */
  #goOn(copy: ContentCopy, isCopied: boolean): void {
    const { content } = this.#inodes;
    this.#splits.set(keyOf(copy), copy);
    // What is written before the copy has its place is the snapshot's, too.
    if (isCopied) this.#unwritten.set(copy.ino, copy);
    if (this.#worker !== undefined) {
      if (isCopied) this.#worker.place(copy);
      else this.#worker.copy(copy);
      return;
    }
    try {
      if (!isCopied) copyContent(content, copy);
      placeCopy(content, copy);
    } catch (error) {
      this.placed(copy, -numberOf(error));
      return;
    }
    this.placed(copy, 0);
  }

  /** Returns when the copy has its place. */
  #awaitSplit(copy: ContentCopy): void {
    const failure = this.#failed.get(copy.ino);
    this.#failed.delete(copy.ino);
    if (failure !== undefined) {
      throw new BackingError(failure, `Cannot copy the content of inode ${copy.ino} for a snapshot`);
    }
    if (!this.#splits.has(keyOf(copy))) this.#goOn(copy, false);
    if (!this.#unwritten.has(copy.ino)) return;
    if (this.#worker === undefined) this.#awaitSplit(copy);
    throw new ContentAwaited();
  }

  /** The worker has made a copy, or `result` is the negative errno of why not. */
  copied(copy: ContentCopy, result: number): void {
    const { clock, content } = this.#inodes;
    const awaited = this.#awaited.get(copy.ino);
    if (awaited !== undefined && areEqual(awaited.copy, copy)) {
      clock.read();
      awaited.result = result;
      awaited.since = clock.seconds;
    } else if (!this.#isSplit(copy)) {
      content.disk.remove(copyPath(content.directory, copy));
    } else if (result < 0) {
      this.placed(copy, result);
    } else {
      this.#worker?.place(copy);
    }
  }

  #isSplit(copy: ContentCopy): boolean {
    const split = this.#splits.get(keyOf(copy));
    return split !== undefined && areEqual(split, copy);
  }

  /** The worker has given a copy its place, or `result` is the negative errno of why not. */
  placed(copy: ContentCopy, result: number): void {
    this.#splits.delete(keyOf(copy));
    if (result < 0) {
      if (this.#unwritten.has(copy.ino)) this.#failed.set(copy.ino, -result);
      this.#log(
        'error',
        `Cannot copy the content of inode ${copy.ino} for a snapshot, which has it as it goes on until the next start: errno ${-result}`,
      );
      return;
    }
    this.#unwritten.delete(copy.ino);
    this.#inodes.atomic((batch) => batch.delete(splitKey(copy.ino, copy.born)), REMOVAL);
  }

  /** Gives up copies that nobody came for. Returns whether there are others. */
  rest(): boolean {
    if (this.#awaited.size === 0) return false;
    const { clock, content } = this.#inodes;
    clock.read();
    for (const [ino, { copy, result, since }] of this.#awaited) {
      if (result === undefined || Math.abs(clock.seconds - since) < LONGEST_WAIT_SECONDS) continue;
      content.disk.remove(copyPath(content.directory, copy));
      this.#awaited.delete(ino);
    }
    return this.#awaited.size > 0;
  }

  /**
   * At the start: goes on with what a kill, or a power cut (`wasCut`), left in the middle. On a filesystem that is only
   * read nothing is changed: contents are found where they are.
   */
  finishCopies(wasCut: boolean): void {
    const { content, readOnly, tree } = this.#inodes;
    const left = leftCopies(tree, content, wasCut);
    if (readOnly) {
      findContents(content, left);
      return;
    }
    for (const { copy, path } of left.moved) content.name(path, copy.ino, copy.next);
    for (const path of left.garbage) content.disk.remove(path);
    for (const { copy, hasMoved } of left.splits) this.#tryToFinish(copy, hasMoved);
  }

  #tryToFinish(copy: ContentCopy, hasMoved: boolean): void {
    try {
      this.#finishSplit(copy, hasMoved);
    } catch (error) {
      this.#log('error', `Cannot part the content of inode ${copy.ino} from a snapshot's: ${error}`);
    }
  }

  #finishSplit(copy: ContentCopy, hasMoved: boolean): void {
    const { ino, born, next } = copy;
    const { content, tree } = this.#inodes;
    if (hasMoved && !content.status(ino, next, this.#status) && content.status(ino, born, this.#status)) {
      content.link(ino, born, next);
    }
    const isShared = content.areOne(ino, born, next);
    if (!isShared || !hasMoved) {
      if (isShared) content.remove(ino, next);
      tree.delete(splitKey(ino, born));
      return;
    }
    this.#log(
      'warn',
      `A snapshot has the content of inode ${ino} as it is now: the daemon ended before it was copied`,
      { ino },
    );
    if (!content.hasWriters(ino, next)) this.#unwritten.set(ino, copy);
    this.#goOn(copy, false);
  }
}

function keyOf({ ino, born }: ContentCopy): string {
  return `${ino}.${born}`;
}

/** The errno of an error. */
function numberOf(error: unknown): number {
  const { errno } = error as NodeJS.ErrnoException;
  return errno === undefined || errno >= 0 ? EIO : -errno;
}

function areEqual(one: ContentCopy, other: ContentCopy): boolean {
  return one.ino === other.ino && one.born === other.born && one.next === other.next;
}
