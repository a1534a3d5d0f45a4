/**
 * Snapshots as the filesystem layer takes and deletes them, and what it reads of them.
 *
 * A snapshot of the tree has all names and attributes. Its contents are those that its records tell, by ino and born: shared
 * with files until those are written (open-files/renewal.ts), kept when files give them up (inodes/removal.ts). Deleting a
 * snapshot frees what no other needs, a few contents at a time. A fact in the tree (PURGE_KEY) says that this is not done.
 */
import type { SnapshotInfo } from '../../../engine/api.js';
import { SpinneyError } from '../../../engine/errors.js';
import type { MountLog, PurgeProgress } from '../../types.js';
import { type FileStatus, newFileStatus } from '../contents/disk/content-disk.js';
import { EIO, ENOENT } from '../errno.js';
import { type Inodes, REMOVAL } from '../inodes/inodes.js';
import { deleteEnded, deleteOrphanRecords } from '../inodes/orphans.js';
import type { OpenFiles } from '../open-files/open-files.js';
import {
  bornOfKey,
  inoOfKey,
  KEPT_PREFIX,
  keptKey,
  orphanKey,
  PURGE_KEY,
  splitKey,
} from '../records/keys.js';
import { completePositions } from '../records/positions.js';
import * as record from '../records/record.js';
import { diedOf } from '../records/snapshot-ids.js';
import type { Attributes, ContentCopy, ContentName, ContentWorker, SnapshotOperations } from '../types.js';

/** Kept contents that one step looks at: less than a millisecond. */
const EXAMINED_PER_STEP = 128;
/** Contents whose removal was asked for, and is not done. */
const MOST_REMOVALS = 1024;
const NOTHING = new Uint8Array(0);

export class Snapshots implements SnapshotOperations {
  readonly #inodes: Inodes;
  readonly #files: OpenFiles;
  readonly #worker: ContentWorker | undefined;
  readonly #beforeSnapshot: (() => void) | undefined;
  readonly #log: MountLog;
  readonly #status: FileStatus = newFileStatus();
  #progress: PurgeProgress | undefined;
  /** Contents are durable, so that what they were copied from can go. */
  #isSynced = false;
  /** Up to where kept contents have been looked at; undefined: nowhere yet. */
  #cursor: Uint8Array | undefined;
  #isAtEnd = false;
  readonly #scheduled = new Set<string>();

  constructor(
    inodes: Inodes,
    files: OpenFiles,
    driver: { worker?: ContentWorker; beforeSnapshot?: () => void },
    log: MountLog,
  ) {
    this.#inodes = inodes;
    this.#files = files;
    this.#worker = driver.worker;
    this.#beforeSnapshot = driver.beforeSnapshot;
    this.#log = log;
  }

  /** At the start: goes on with what was not done. */
  start(): void {
    if (!this.#inodes.readOnly && this.#inodes.tree.getVersion(PURGE_KEY) !== undefined) this.#purge();
  }

  /**
   * Takes a snapshot of this moment. Files that are open for writing, or mapped so, are in it with what they have now, which is
   * copied, or shared where the filesystem below can, right after it.
   * @throws ERR_EXISTS, and what the engine says of a name; ERR_READ_ONLY
   */
  take(name: string): SnapshotInfo {
    const { readOnly, snapshots, tree } = this.#inodes;
    if (readOnly)
      throw new SpinneyError('ERR_READ_ONLY', `Cannot take snapshot ${name}: the mount is read-only`);
    completePositions(tree);
    this.#beforeSnapshot?.();
    deleteEnded(this.#inodes);
    const written = this.#files.renewal.beforeSnapshot();
    const before = snapshots.last;
    try {
      return tree.snapshot(name);
    } finally {
      // Whatever it says: nothing may be written that a snapshot has.
      snapshots.load(tree);
      if (snapshots.last !== before) {
        this.#files.renewal.afterSnapshot(written);
        this.#inodes.atomic((batch) => snapshots.recordLast(batch), REMOVAL);
      }
    }
  }

  /**
   * Deletes a snapshot. What only it had is removed after that, bit by bit (`work`, `progress`).
   * @throws ERR_NOT_FOUND; ERR_READ_ONLY
   */
  delete(name: string): void {
    const { readOnly, snapshots, tree } = this.#inodes;
    if (readOnly)
      throw new SpinneyError('ERR_READ_ONLY', `Cannot delete snapshot ${name}: the mount is read-only`);
    const found = tree.snapshots().find((snapshot) => snapshot.name === name);
    if (found === undefined)
      throw new SpinneyError('ERR_NOT_FOUND', `Cannot delete snapshot ${name}: there is none`);
    this.#inodes.atomic((batch) => batch.put(PURGE_KEY, NOTHING), REMOVAL);
    // A power cut must not bring a record back whose content is removed by then.
    tree.sync();
    tree.deleteSnapshot(name);
    snapshots.removed(found.id);
    this.#purge();
  }

  /** How far the removal of what no snapshot needs is; undefined: nothing is to be removed. */
  get progress(): Readonly<PurgeProgress> | undefined {
    return this.#progress;
  }

  /** There is time: looks at some kept contents. Returns whether it did anything. */
  work(): boolean {
    if (this.#progress === undefined || !this.#isSynced) return false;
    if (this.#isAtEnd || this.#scheduled.size >= MOST_REMOVALS) return false;
    this.#examine(this.#progress);
    this.#endIfDone();
    this.#tellFailure();
    return true;
  }

  #purge(): void {
    this.#progress = { examined: 0, removed: this.#progress?.removed ?? 0, done: 0 };
    this.#cursor = undefined;
    this.#isAtEnd = false;
    this.#isSynced = false;
    if (this.#worker !== undefined) {
      this.#worker.syncContents();
      return;
    }
    const { disk, directory } = this.#inodes.content;
    const fd = disk.openDirectory(directory);
    try {
      this.#inodes.content.syncAll(fd);
    } finally {
      disk.close(fd);
    }
    this.#isSynced = true;
  }

  #examine(progress: PurgeProgress): void {
    const { snapshots, tree, numbers } = this.#inodes;
    const range = { prefix: KEPT_PREFIX, ...(this.#cursor !== undefined && { startAfter: this.#cursor }) };
    const unneeded: ContentName[] = [];
    let examined = 0;
    for (const item of tree.range(range)) {
      if (item.type !== 'key') continue;
      this.#cursor = item.key;
      const content = { ino: inoOfKey(item.key), born: bornOfKey(item.key) };
      if (!snapshots.isNeeded(content.born, diedOf(item.value))) unneeded.push(content);
      if (++examined === EXAMINED_PER_STEP) break;
    }
    progress.examined += examined;
    this.#isAtEnd = examined < EXAMINED_PER_STEP;
    progress.done = this.#isAtEnd ? 1 : Math.min(1, inoOfKey(this.#cursor!) / numbers.end);
    for (const content of unneeded) this.#free(content);
  }

  #free({ ino, born }: ContentName): void {
    const { reclaimer, tree } = this.#inodes;
    const key = keyOf(ino, born);
    if (this.#scheduled.has(key)) return;
    const orphan = this.#inodes.orphans.has(ino) ? tree.get(orphanKey(ino)) : undefined;
    if (orphan !== undefined && record.bornOf(orphan) === born) {
      // Somebody still has it open: from here on it goes with the orphan.
      this.#forget([{ ino, born }]);
      return;
    }
    this.#scheduled.add(key);
    reclaimer.schedule(ino, born, tree.lastLsn());
  }

  /** These contents have been removed: what is known of them goes, and of the orphans that had them. */
  reclaimed(contents: readonly ContentName[]): void {
    this.#forgetShipped(contents);
    const isKept = ({ ino, born }: ContentName): boolean => this.#scheduled.has(keyOf(ino, born));
    const orphans = contents.filter((content) => !isKept(content)).map(({ ino }) => ino);
    deleteOrphanRecords(this.#inodes, orphans);
    const kept = contents.filter(isKept);
    if (kept.length === 0) return;
    this.#forget(kept);
    for (const { ino, born } of kept) this.#scheduled.delete(keyOf(ino, born));
    if (this.#progress !== undefined) this.#progress.removed += kept.length;
    this.#endIfDone();
  }

  /** Before their records, which another start would go by. */
  #forgetShipped(contents: readonly ContentName[]): void {
    const { away } = this.#inodes;
    if (away === undefined) return;
    const shipped = contents.filter(({ ino, born }) => away.find(ino, born) !== undefined);
    if (shipped.length > 0) {
      this.#inodes.atomic((batch) => {
        for (const { ino, born } of shipped) away.rows.remove(batch, ino, born);
      }, REMOVAL);
    }
    away.forget(contents);
  }

  #forget(contents: readonly ContentName[]): void {
    this.#inodes.atomic((batch) => {
      for (const { ino, born } of contents) {
        batch.delete(keptKey(ino, born));
        batch.delete(splitKey(ino, born));
      }
    }, REMOVAL);
  }

  #endIfDone(): void {
    if (!this.#isAtEnd || this.#scheduled.size > 0) return;
    this.#inodes.atomic((batch) => batch.delete(PURGE_KEY), REMOVAL);
    this.#progress = undefined;
  }

  /** The worker's answers. */
  copied(copy: ContentCopy, result: number): void {
    this.#files.renewal.copied(copy, result);
    this.#tellFailure();
  }

  placed(copy: ContentCopy, result: number): void {
    this.#files.renewal.placed(copy, result);
    this.#tellFailure();
  }

  /** Nobody waits for what was made here and may not last. */
  #tellFailure(): void {
    const failure = this.#inodes.takeFailure();
    if (failure !== undefined) this.#log('error', `Copies for snapshots may be lost: ${failure}`);
  }

  contentsSynced(result: number): void {
    this.#isSynced = result === 0;
    if (result < 0)
      this.#log(
        'error',
        `Cannot remove what only deleted snapshots had, before the next start: errno ${-result}`,
      );
  }

  /**
   * A descriptor, for reading alone, of the content of a regular file as a snapshot has it: `inode` is the file's record as
   * the snapshot's tree tells it. The caller closes it (`closeContent`). A negative errno: ENOENT where there are no bytes, EIO
   * where they are missing.
   */
  contentOf(inode: Uint8Array): number {
    const { content } = this.#inodes;
    if (!record.hasFlag(inode, record.CONTENT)) return -ENOENT;
    const fd = content.openToRead(record.inoOf(inode), record.bornOf(inode));
    if (fd >= 0) return fd;
    const isEmpty = record.sizeOf(inode) === 0 || record.hasFlag(inode, record.LIVE);
    return isEmpty ? -ENOENT : -EIO;
  }

  closeContent(fd: number): void {
    this.#inodes.content.disk.close(fd);
  }

  /** Attributes of a file as a snapshot has it, by its record there (no link). */
  attributesOf(inode: Uint8Array, out: Attributes): void {
    record.readAttributes(inode, out);
    if (!record.hasFlag(inode, record.LIVE)) return;
    // It was open for writing: its content tells what there is.
    if (!this.#inodes.content.status(out.ino, record.bornOf(inode), this.#status)) return;
    out.size = this.#status.size;
    out.blocks = this.#status.blocks;
    const { mtimeSeconds, mtimeNanos } = this.#status;
    const isLater =
      mtimeSeconds > out.mtimeSeconds || (mtimeSeconds === out.mtimeSeconds && mtimeNanos > out.mtimeNanos);
    if (!isLater) return;
    out.mtimeSeconds = mtimeSeconds;
    out.mtimeNanos = mtimeNanos;
    if (mtimeSeconds < out.ctimeSeconds) return;
    out.ctimeSeconds = mtimeSeconds;
    out.ctimeNanos = mtimeNanos;
  }
}

function keyOf(ino: number, born: number): string {
  return `${ino}.${born}`;
}
