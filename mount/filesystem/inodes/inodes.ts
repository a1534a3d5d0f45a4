/**
 * Finding, reading and replacing inode records, wherever they are, and what all operations share.
 *
 * Invariants:
 * - An inode's record is at one place: its entry's `d` key; or its `i` key, once it has had a second name; or,
 *   without a name, its `o` key or (nothing to reclaim after a crash) only in `orphans`.
 * - `opens` has an entry for each inode with open handles, and its `key` is where the record is, or will be put.
 * - A record has LIVE in the tree before its backing file changes. LIVE with no such open inode is left over from
 *   a crash, or somebody may still write to the backing file, through a mapping or a descriptor that the kernel passed
 *   through; the backing file tells the truth then too. It is settled once nobody does.
 * - A backing file without a name (`spare`) belongs to an open inode whose record tells size 0. It gets its name before
 *   the record tells more.
 * - A record that is LIVE has a backing file, and one that is not has one of just its size; of size 0 it may have none.
 *   Only a power cut leaves it otherwise, which is settled at the next start; all else is damage: refused, never made to fit.
 * - A content that a snapshot may have, as `snapshots` tells by the record's born, is not written: the inode gets another
 *   one first (open-files/renewal.ts). A file that is open when a snapshot is taken, or mapped, is the one that
 *   is written on, under another name.
 * - Records that the tree returns are private copies, and are changed in place.
 */

import type { AtomicOptions, Batch, TreeOperations } from '../../../engine/api.js';
import { type ErrorCode, SpinneyError } from '../../../engine/errors.js';
import { MAX_KEY_BYTES } from '../../../engine/limits.js';
import { newAttributes } from '../arguments.js';
import type { AwayContents } from '../contents/away/away.js';
import type { ContentFiles } from '../contents/content.js';
import type { Descriptors } from '../contents/descriptors.js';
import { type FileStatus, newFileStatus } from '../contents/disk/content-disk.js';
import type { Clock } from '../contents/disk/system.js';
import type { OpenInode } from '../contents/open-inode.js';
import type { PowerCut } from '../contents/power-cut.js';
import { hasBeenWritten, type SpareFiles } from '../contents/spares/spare-files.js';
import type { Troubles } from '../contents/troubles.js';
import { EAGAIN, EINVAL, ENAMETOOLONG, ENOENT } from '../errno.js';
import type { InodeNumbers } from '../records/inode-numbers.js';
import { entryKey, equalBytes, KeyBuffer, orphanKey, SLASH } from '../records/keys.js';
import { Labels } from '../records/labels.js';
import * as record from '../records/record.js';
import { SnapshotIds } from '../records/snapshot-ids.js';
import type { Attributes, InodeKeepers, Place, Reclaimer } from '../types.js';
import { LeftTable } from './left-table.js';
import { OrphanTable } from './orphan-table.js';
import { Quotas } from './quotas.js';
import { type Found, findByKey, followEntry, type ReadableInodes } from './readable.js';
import { applyTimes, raiseChangeTime, raiseTimes } from './times.js';
import { usageBelow } from './usage.js';

export const NAME_MAX = 255;
/** Returned by an attempt whose guards failed. */
export const RETRY = 1;
/** For batches that remove, or change what is there: they are made on a full disk too. */
export const REMOVAL: AtomicOptions = { mayUseReserve: true };
const MAX_ATTEMPTS = 16;
/** What a tree says that takes no changes, for now or for good. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['ERR_NO_SPACE', 'ERR_JOURNAL_FAILED', 'ERR_IO']);

export type { Found } from './readable.js';

export class Inodes implements ReadableInodes {
  readonly tree: TreeOperations;
  readonly content: ContentFiles;
  /** Contents that a remote has; undefined: there is none. */
  readonly away: AwayContents | undefined;
  /** Undefined: a backing file has its inode's name from the beginning. */
  readonly spares: SpareFiles | undefined;
  readonly descriptors: Descriptors;
  readonly numbers: InodeNumbers;
  readonly labels: Labels;
  readonly clock: Clock;
  readonly reclaimer: Reclaimer;
  readonly troubles: Troubles;
  readonly readOnly: boolean;
  readonly keepsNodes: boolean;
  readonly rests: boolean;
  /** Name of the snapshot directory that every directory has beside its entries; undefined: none has. */
  readonly hiddenName: Uint8Array | undefined;
  readonly opens = new Map<number, OpenInode>();
  /** The live ones whose backing files are spares, and since which second, in this order. */
  readonly borrowers = new Map<OpenInode, number>();
  readonly left: LeftTable;
  readonly orphans: OrphanTable;
  /** Of orphans that are no more: their records are yet to be deleted, which have no content. */
  readonly ended: number[] = [];
  /** What the last power cut may have left otherwise than its record says, where it was not settled. */
  readonly cut: PowerCut;
  readonly keys = new KeyBuffer(MAX_KEY_BYTES);
  readonly snapshots: SnapshotIds;
  /** What was made, but is not known to last, failed with this. */
  #failure: unknown;
  readonly quotas: Quotas;
  readonly #status: FileStatus = newFileStatus();
  readonly #attributes: Attributes = newAttributes();

  constructor(parts: {
    tree: TreeOperations;
    content: ContentFiles;
    away: AwayContents | undefined;
    spares: SpareFiles | undefined;
    descriptors: Descriptors;
    numbers: InodeNumbers;
    clock: Clock;
    reclaimer: Reclaimer;
    troubles: Troubles;
    cut: PowerCut;
    readOnly: boolean;
    keepsNodes: boolean;
    rests: boolean;
    hiddenName: Uint8Array | undefined;
    keepers: InodeKeepers | undefined;
  }) {
    this.tree = parts.tree;
    this.content = parts.content;
    this.away = parts.away;
    this.spares = parts.spares;
    this.descriptors = parts.descriptors;
    this.numbers = parts.numbers;
    this.labels = new Labels(parts.tree);
    this.snapshots = new SnapshotIds(parts.tree);
    this.clock = parts.clock;
    this.reclaimer = parts.reclaimer;
    this.troubles = parts.troubles;
    this.cut = parts.cut;
    this.orphans = new OrphanTable(parts.keepers?.orphans);
    this.left = new LeftTable(parts.keepers?.left);
    this.readOnly = parts.readOnly;
    this.keepsNodes = parts.keepsNodes;
    this.rests = parts.rests;
    this.quotas = new Quotas(parts.tree, (path) => usageBelow(this, path));
    this.hiddenName = parts.hiddenName;
  }

  /** The inode record at a place (never a link). */
  read(place: Place): Uint8Array | undefined {
    if (typeof place !== 'number') return this.follow(this.tree.get(this.keys.entry(place)));
    const orphan = this.orphans.get(place);
    return orphan === null ? this.tree.get(orphanKey(place)) : orphan;
  }

  /** The inode record that an entry's record stands for. */
  follow(entry: Uint8Array | undefined): Uint8Array | undefined {
    return followEntry(this.tree, entry);
  }

  /** As `read`, with what is needed to replace the record by `replace`. Undefined: nothing is there. */
  find(place: Place): Found | undefined {
    if (typeof place !== 'number') return this.findByKey(entryKey(place));
    const orphan = this.orphans.get(place);
    if (orphan === undefined) return undefined;
    if (orphan === null) return this.findByKey(orphanKey(place));
    return { key: orphanKey(place), record: new Uint8Array(orphan), version: 0 };
  }

  findByKey(key: Uint8Array): Found | undefined {
    return findByKey(this.tree, key);
  }

  /** Puts a changed record back; false where it was changed by another since it was found. */
  replace(found: Found): boolean {
    if (found.version !== 0) {
      try {
        return this.tree.compareAndPut(found.key, found.version, found.record);
      } catch (error) {
        return this.#asMade(error);
      }
    }
    this.orphans.set(record.inoOf(found.record), found.record);
    return true;
  }

  /**
   * As `replace`, for who only reads, which goes on when nothing can be changed any more: what is not put back now is settled
   * again by the next one that asks.
   */
  replaceIfPossible(found: Found): void {
    try {
      this.replace(found);
    } catch (error) {
      if (!(error instanceof SpinneyError) || !REFUSALS.has(error.code)) throw error;
    }
    this.takeFailure();
  }

  /**
   * As the tree's `atomic`. A change that was made, and is only not known to last, counts as done, so that what is kept in
   * memory follows the tree. The operation that it is part of fails in the end, with `takeFailure`.
   */
  atomic(record: (batch: Batch) => void, options?: AtomicOptions): boolean {
    try {
      return this.tree.atomic(record, options);
    } catch (error) {
      return this.#asMade(error);
    }
  }

  #asMade(error: unknown): true {
    if (!(error instanceof SpinneyError) || !error.isMade) throw error;
    this.#failure ??= error;
    return true;
  }

  /** What the operation failed with that has made its changes; undefined: nothing. To be asked, and forgotten, once. */
  takeFailure(): unknown {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  /** Whether `takeFailure` has something to tell. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Gives an orphan that was only in memory its `o` record, because there is now something to reclaim. */
  keepOrphan(found: Found): void {
    try {
      this.tree.put(found.key, found.record);
    } catch (error) {
      this.#asMade(error);
    }
    this.orphans.set(record.inoOf(found.record), null);
    found.version = this.tree.getVersion(found.key) ?? 0;
  }

  /** Decodes a record, and asks the backing file what only it knows. */
  attributes(inode: Uint8Array, out: Attributes): void {
    record.readAttributes(inode, out);
    if (this.cut.isSeen && this.cut.shorten(out)) return;
    if (!record.hasFlag(inode, record.LIVE)) return;
    const open = this.opens.get(out.ino);
    out.live = open === undefined || open.live || this.readOnly;
    // Other writes are system calls that the kernel sees, whoever carries them out.
    out.changesUnseen = out.live && (open === undefined || open.mayBeMapped || this.readOnly);
    const status = this.#status;
    if (open?.hasContent === true) this.descriptors.status(open, status);
    else if (!this.content.status(out.ino, record.bornOf(inode), status)) return;
    const { ctimeSeconds, ctimeNanos } = out;
    out.size = status.size;
    out.blocks = status.blocks;
    const aligned = open ?? this.left.get(out.ino);
    const isAligned =
      status.mtimeSeconds === aligned?.alignedSeconds && status.mtimeNanos === aligned.alignedNanos;
    if (!isAligned && hasBeenWritten(status)) applyTimes(out, status);
    if (open === undefined) return;
    if (open.written) raiseTimes(out, open.writtenSeconds, open.writtenNanos);
    const isSeen = status.mtimeSeconds === open.seenSeconds && status.mtimeNanos === open.seenNanos;
    if (open.isPassed && !isSeen) raiseChangeTime(out, ctimeSeconds, ctimeNanos + 1);
  }

  /**
   * Brings a live record up to date with its backing file, which gets its name if it was written, and clears LIVE; the
   * caller puts it.
   */
  settle(inode: Uint8Array): void {
    const open = this.opens.get(record.inoOf(inode));
    if (open?.spare !== undefined) {
      if (this.descriptors.isWritten(open)) this.nameContent(open);
      else {
        record.clearFlag(inode, record.CONTENT);
        this.borrowers.delete(open);
      }
    }
    const now = this.#attributes;
    this.attributes(inode, now);
    record.setSize(inode, now.size);
    record.setBlocks(inode, now.blocks);
    record.setTime(inode, record.MTIME, now.mtimeSeconds, now.mtimeNanos);
    record.setTime(inode, record.CTIME, now.ctimeSeconds, now.ctimeNanos);
    record.clearFlag(inode, record.LIVE);
    this.left.delete(now.ino);
  }

  /**
   * Whether the record is live although nobody has the file open, and nobody writes to its backing file either. One whose
   * backing file is missing is not: nothing is known of its content.
   */
  isLeftLive(inode: Uint8Array): boolean {
    const ino = record.inoOf(inode);
    return (
      record.hasFlag(inode, record.LIVE) &&
      !this.opens.has(ino) &&
      this.content.isAtRest(ino, record.bornOf(inode))
    );
  }

  /** Answers lookup and getattr, and settles what is live no more. */
  answer(inode: Uint8Array, place: Place, out: Attributes): number {
    if (!this.readOnly && this.isLeftLive(inode)) {
      const found = this.find(place);
      if (found === undefined) return -ENOENT;
      this.settle(found.record);
      record.readAttributes(found.record, out);
      this.replaceIfPossible(found);
      return 0;
    }
    this.attributes(inode, out);
    return 0;
  }

  /** Sets one or more of a record's times to the present, as the clock was last read. */
  stamp(inode: Uint8Array, ...which: number[]): void {
    for (const time of which) record.setTime(inode, time, this.clock.seconds, this.clock.nanos);
    const open = this.opens.get(record.inoOf(inode));
    if (open?.isPassed !== true || !open.hasContent || !which.includes(record.CTIME)) return;
    this.noteContentTime(open);
  }

  /** Another mtime of the backing file from now on means a write. */
  noteContentTime(open: OpenInode): void {
    this.descriptors.status(open, this.#status);
    open.seenSeconds = this.#status.mtimeSeconds;
    open.seenNanos = this.#status.mtimeNanos;
  }

  /** Gives an open backing file the record's mtime; one that is unwritten needs none. */
  alignContent(open: OpenInode, inode: Uint8Array): void {
    if (open.spare === undefined || this.descriptors.isWritten(open)) {
      this.setContentTime(open, inode);
      return;
    }
    this.noteContentTime(open);
    open.alignedSeconds = open.seenSeconds;
    open.alignedNanos = open.seenNanos;
  }

  setContentTime(open: OpenInode, inode: Uint8Array): void {
    const seconds = record.secondsOf(inode, record.MTIME);
    const fd = this.descriptors.use(open);
    this.content.disk.setModificationTime(fd, seconds, record.nanosOf(inode, record.MTIME));
    this.noteContentTime(open);
    open.alignedSeconds = open.seenSeconds;
    open.alignedNanos = open.seenNanos;
  }

  /** As `setContentTime`, of a record that is LIVE although the inode is not open here. */
  setLeftTime(found: Found): void {
    const inode = found.record;
    const ino = record.inoOf(inode);
    const born = record.bornOf(inode);
    const seconds = record.secondsOf(inode, record.MTIME);
    this.content.setModificationTime(ino, born, seconds, record.nanosOf(inode, record.MTIME));
    if (!this.content.status(ino, born, this.#status)) return;
    const { mtimeSeconds: alignedSeconds, mtimeNanos: alignedNanos } = this.#status;
    this.left.set(ino, { alignedSeconds, alignedNanos, key: found.key });
  }

  /** The inode's record is at `key` from now on. */
  keyMoved(ino: number, key: Uint8Array): void {
    for (const known of [this.opens.get(ino), this.left.get(ino)]) if (known !== undefined) known.key = key;
  }

  /** What is known by its record's key, to be changed where that moves with others. */
  *known(): Iterable<{ key: Uint8Array }> {
    yield* this.opens.values();
    yield* this.left.values();
  }

  /** Gives the backing file that the inode has borrowed the inode's name. */
  nameContent(open: OpenInode): void {
    if (open.spare === undefined) return;
    this.spares?.name(open.spare, open.ino);
    open.spare = undefined;
    this.borrowers.delete(open);
  }

  /**
   * Marks a directory as changed. Its mtime becomes another one even when the clock stood still, since caches of
   * its entries are validated by it.
   */
  stampDirectory(inode: Uint8Array): void {
    let { seconds, nanos } = this.clock;
    const lastSeconds = record.secondsOf(inode, record.MTIME);
    const lastNanos = record.nanosOf(inode, record.MTIME);
    if (seconds === lastSeconds && nanos <= lastNanos) {
      nanos = lastNanos + 1;
      if (nanos === 1_000_000_000) {
        seconds++;
        nanos = 0;
      }
    }
    record.setTime(inode, record.MTIME, seconds, nanos);
    record.setTime(inode, record.CTIME, seconds, nanos);
  }

  /** The inode has no user and no name left: its content goes once that is durable. */
  reclaim(ino: number, born: number): void {
    this.left.delete(ino);
    this.content.discard(ino, born);
    this.troubles.mended(ino);
    this.reclaimer.schedule(ino, born, this.tree.lastLsn());
  }

  /** Whether this is the name of snapshot directories, which no entry that is made may have. */
  isHidden(name: Uint8Array): boolean {
    return this.hiddenName !== undefined && equalBytes(name, this.hiddenName);
  }

  /** Whether anyone may still use the inode when its last name goes. */
  isUsed(ino: number): boolean {
    return this.keepsNodes || this.opens.has(ino);
  }
}

/** Runs an attempt until its guards hold. Only this process changes the tree, so that is nearly always once. */
export function retry(attempt: () => number): number {
  for (let i = 0; i < MAX_ATTEMPTS; i++) {
    const result = attempt();
    if (result !== RETRY) return result;
  }
  return -EAGAIN;
}

/** 0 where a new entry may have this name and its key is not too long; a negative errno otherwise. */
export function checkNewName(parent: Uint8Array, name: Uint8Array): number {
  if (name.length > NAME_MAX || parent.length + name.length + 2 > MAX_KEY_BYTES) return -ENAMETOOLONG;
  if (name.length === 0) return -ENOENT;
  if (name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e))) return -EINVAL;
  for (let i = 0; i < name.length; i++) if (name[i] === SLASH || name[i] === 0) return -EINVAL;
  return 0;
}
