/**
 * Contents after a power cut.
 *
 * The kernel writes contents to the disk when it likes, half a minute late or more, while records are durable after a second.
 * So a cut leaves records that tell more bytes than there are, with the time of a change that is lost: what compares sizes
 * and times, as `rsync -a` does, would never mend the file. Such records are settled at the next start, before anybody sees
 * them: to the size that is there, and the present time.
 *
 * Candidates are the records that are LIVE, and those that were put after contents were last known to be durable
 * (content-mark.ts): only their files are looked at. It may also be that the record of a change is lost and that of the
 * content is not, where an older file was truncated or grew in the last second. Then the record tells what was before. This is
 * found when the file is opened, and known by the time at which its content changed last.
 */
import type { TreeOperations, TreeReads } from '../../../engine/api.js';
import type { MountLog } from '../../types.js';
import { bornOfKey, ENTRIES_PREFIX, INODES_PREFIX, keptPrefix, showKey } from '../records/keys.js';
import * as record from '../records/record.js';
import type { Attributes } from '../types.js';
import type { ContentFiles } from './content.js';
import { copyContent, copyPath } from './content-copy.js';
import type { ContentMark } from './content-mark.js';
import { type FileStatus, newFileStatus } from './disk/content-disk.js';
import { faultOf, NO_FILE } from './disk/faults.js';
import type { Clock } from './disk/system.js';

/** A filesystem's clock may be this far behind ours. */
const SLACK_SECONDS = 1;

/** The cut that the store saw last, as far as it still matters. */
export interface Cut {
  /** LSN at the start after it; 0: there was none. */
  lsn: number;
  /** It came between these, in seconds. */
  after: number;
  before: number;
}

export function cutOf(mark: ContentMark | undefined): Cut {
  return { lsn: mark?.cutLsn ?? 0, after: mark?.cutAfter ?? 0, before: mark?.cutBefore ?? 0 };
}

/** As `cutOf` takes it. */
export function markOf(cut: Cut): Pick<ContentMark, 'cutLsn' | 'cutAfter' | 'cutBefore'> {
  return { cutLsn: cut.lsn, cutAfter: cut.after, cutBefore: cut.before };
}

interface Shortened {
  size: number;
  blocks: number;
}

export class PowerCut {
  readonly #content: ContentFiles;
  readonly #clock: Clock;
  readonly #log: MountLog;
  readonly #status: FileStatus = newFileStatus();
  /** What cannot be settled, since the filesystem is only read. */
  readonly #shortened = new Map<number, Shortened>();
  #cut: Cut = { lsn: 0, after: 0, before: 0 };
  #takenLsn = 0;

  constructor(content: ContentFiles, clock: Clock, log: MountLog) {
    this.#content = content;
    this.#clock = clock;
    this.#log = log;
  }

  /** Whether `shorten` may have something to say. */
  get isSeen(): boolean {
    return this.#shortened.size > 0;
  }

  /** From here on `leftOver` goes by this cut. */
  note(cut: Cut): void {
    this.#cut = cut;
  }

  /** The store came from a remote, with the changes up to this one. Contents may have been behind them. */
  noteTaken(lsn: number): void {
    this.#takenLsn = lsn;
  }

  /** Whether the content of a record with this version may be behind it, in a remote that the store came from. */
  isLagging(version: number): boolean {
    return version > 0 && version <= this.#takenLsn;
  }

  /**
   * Settles the records that tell more, or less, than there is, among those that are LIVE or above `durableLsn`. Returns
   * how many, and calls `settled` with the name of each. With `readOnly` nothing is put: `shorten` answers for them. `seen` is
   * called with the record of each file that has a content.
   */
  settle(
    tree: TreeOperations,
    durableLsn: number,
    readOnly: boolean,
    settled: (where: string, had: number, has: number) => void,
    seen: (inode: Uint8Array) => void,
  ): void {
    for (const prefix of [ENTRIES_PREFIX, INODES_PREFIX]) {
      for (const item of tree.range({ prefix })) {
        if (item.type !== 'key' || record.isLink(item.value)) continue;
        const inode = item.value;
        if (record.typeOf(inode) !== record.REGULAR) continue;
        if (record.hasFlag(inode, record.CONTENT)) seen(inode);
        const isLive = record.hasFlag(inode, record.LIVE);
        if (!isLive && (item.version <= durableLsn || !record.hasFlag(inode, record.CONTENT))) continue;
        const bytes = this.#bytesLeft(tree, inode, readOnly);
        // What is short here may be whole in a remote.
        const isFaulty = !isLive && faultOf(inode, bytes) !== undefined;
        if (isFaulty && !readOnly && healContent(this.#content, inode)) continue;
        if (!isLive && faultOf(inode, bytes) === undefined) continue;
        const had = record.sizeOf(inode);
        const has = Math.max(bytes, 0);
        if (readOnly) this.#shortened.set(record.inoOf(inode), { size: has, blocks: this.#status.blocks });
        else {
          this.fit(inode, has);
          tree.compareAndPut(item.key, item.version, inode);
        }
        settled(showKey(item.key), had, has);
      }
    }
  }

  /** Size of the inode's backing file, or NO_FILE. */
  bytesOf(inode: Uint8Array): number {
    if (this.#content.status(record.inoOf(inode), record.bornOf(inode), this.#status))
      return this.#status.size;
    this.#status.blocks = 0;
    return NO_FILE;
  }

  /**
   * As `bytesOf`. A backing file that is missing may be the copy of one that is kept for snapshots: then it is made
   * again, or that one stands for it.
   */
  #bytesLeft(tree: TreeReads, inode: Uint8Array, readOnly: boolean): number {
    const bytes = this.bytesOf(inode);
    const next = record.bornOf(inode);
    if (bytes !== NO_FILE || next === 0) return bytes;
    const ino = record.inoOf(inode);
    const born = lastKept(tree, ino, next);
    if (born === undefined || !this.#content.status(ino, born, this.#status)) return bytes;
    if (readOnly) this.#content.isAt(ino, next, this.#content.pathOf(ino, born));
    else {
      const copy = { ino, born, next };
      copyContent(this.#content, copy);
      this.#content.name(copyPath(this.#content.directory, copy), ino, next);
    }
    return this.bytesOf(inode);
  }

  /** Gives the record, whose content was just looked at, the size that is there, and the present time. */
  fit(inode: Uint8Array, bytes: number): void {
    this.#clock.read();
    record.setSize(inode, bytes);
    record.setBlocks(inode, this.#status.blocks);
    for (const time of [record.MTIME, record.CTIME]) {
      record.setTime(inode, time, this.#clock.seconds, this.#clock.nanos);
    }
    record.clearFlag(inode, record.LIVE);
  }

  /** Corrects the attributes of what could not be settled; returns whether it was one. */
  shorten(out: Attributes): boolean {
    const found = this.#shortened.get(out.ino);
    if (found === undefined) return false;
    out.size = found.size;
    out.blocks = found.blocks;
    out.mtimeSeconds = this.#cut.before;
    out.mtimeNanos = 0;
    out.ctimeSeconds = this.#cut.before;
    out.ctimeNanos = 0;
    return true;
  }

  isShortened(ino: number): boolean {
    return this.#shortened.has(ino);
  }

  /** As `fit`, for one that was found only now. */
  fitLeftOver(inode: Uint8Array, version: number, where: string, fault: string): void {
    this.fit(inode, Math.max(this.bytesOf(inode), 0));
    const cause = this.isLagging(version)
      ? 'the remote had no more when the store was taken over'
      : 'a power cut left it so';
    this.#log('warn', `${where}: ${fault}; ${cause}: it has what is there, and the present time`);
  }

  /**
   * Whether a content that is not what a record with this version says was left so by the cut. To be asked just after a stat
   * of the content.
   */
  leftOver(version: number): boolean {
    const { lsn, after, before } = this.#cut;
    if (version === 0 || version > lsn) return false;
    const changed = this.#content.disk.lastChangeSeconds();
    return changed >= after - SLACK_SECONDS && changed <= before;
  }
}

/** As `heal` of contents that are away, for the record's. */
export function healContent({ away }: ContentFiles, inode: Uint8Array): boolean {
  if (away === undefined) return false;
  const [seconds, nanos] = [record.secondsOf(inode, record.MTIME), record.nanosOf(inode, record.MTIME)];
  return away.heal(record.inoOf(inode), record.bornOf(inode), record.sizeOf(inode), seconds, nanos);
}

/** The newest content of the inode before that made after snapshot `next` that is kept for snapshots. */
export function lastKept(tree: TreeReads, ino: number, next: number): number | undefined {
  let last: number | undefined;
  for (const item of tree.range({ prefix: keptPrefix(ino), keysOnly: true })) {
    if (item.type === 'key' && bornOfKey(item.key) < next) last = bornOfKey(item.key);
  }
  return last;
}
