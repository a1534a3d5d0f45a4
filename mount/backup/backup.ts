/**
 * Makes a directory the backup of a store that may be mounted: a store of one moment of it, and later of another moment by
 * bringing what has changed.
 *
 * - The moment is a snapshot, which stays in the store until the next backup is whole: what it has is not written over meanwhile,
 *   and contents that it shares with files are given up by those before they are written. So what the backup has of it needs
 *   not be compared, and a run that was cut short goes on with the moment that it had begun.
 * - Contents come first, under names that the moment before does not tell of; then the images with the mark, at once; then what no
 *   file has any more is removed.
 */
import { join } from 'node:path';
import { examineDirectory, NodeDisk, readRemoteRecord, refuseUnfinished } from '../../engine/before-open.js';
import { copyImages, countNewImages, SpinneyError } from '../../engine/index.js';
import { ContentFiles } from '../filesystem/contents/content.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { isSameMoment } from '../filesystem/records/backup-record.js';
import { ContentSet } from '../filesystem/records/inode-set.js';
import { ContentCopies, type ContentCounts } from './content-copies.js';
import { type ChangedContent, changedContents, sweep } from './contents.js';
import { RemoteContents } from './remote-contents.js';
import { LiveSource, RestingSource, type SnapshotActions, type Source, type SourceMoment } from './source.js';
import { BackupTarget, hasBackupRecord, readBackupRecord } from './target.js';

export interface BackupProgress {
  /** A part begins, of so many bytes and files. */
  beginBytes(what: string, bytes: number, files: number): void;
  bytes(count: number): void;
  file(): void;
  begin(what: string, steps: number): void;
  step(): void;
  /** A line that stays. */
  note(text: string): void;
}

export interface BackupOptions {
  /** The store that is backed up, and where to. */
  store: string;
  target: string;
  snapshots: SnapshotActions;
  progress: BackupProgress;
}

export interface BackedUp {
  /** Of the store, when the backup was taken: ISO 8601. */
  moment: string;
  snapshot: string;
  lsn: number;
  /** Whether a run that was cut short was brought to its end first. */
  resumed: boolean;
  blobs: { copied: number; skipped: number; bytes: number };
  contents: ContentCounts & { removed: number };
}

const BLOB_BYTES = 512 * 1024;

/**
 * @throws ERR_EXISTS where something else is at the target, ERR_INVALID_ARGUMENT, ERR_STORE_LOCKED, ERR_NOT_FOUND where a content
 *   or the snapshot is missing, ERR_BLOB_CORRUPT, ERR_NO_SPACE, ERR_IO: then the target is what it was before
 */
export async function backUp(options: BackupOptions): Promise<BackedUp> {
  const source = openSource(options.store, options.snapshots);
  try {
    const target = new BackupTarget(options.target, { uuid: source.uuid, path: source.directory });
    try {
      return await new Backup(source, target, options.progress).run();
    } catch (error) {
      throw withAdvice(error, options.store);
    } finally {
      target.close();
    }
  } finally {
    source.close();
  }
}

/** What is to be done where the store turns out to be damaged. */
function withAdvice(error: unknown, store: string): unknown {
  const isDamage =
    error instanceof SpinneyError && (error.code === 'ERR_BLOB_CORRUPT' || error.code === 'ERR_BLOB_MISSING');
  if (!isDamage) return error;
  const advice = `the backup is what it was before: spinney repair tells what can be salvaged of ${store}`;
  return new SpinneyError(error.code, `${error.message}; ${advice}`, { cause: error });
}

function openSource(store: string, snapshots: SnapshotActions): Source {
  const found = examineDirectory(new NodeDisk(), store);
  if (found.state !== 'store')
    throw new SpinneyError('ERR_NO_STORE', `Cannot back up ${store}: it holds no store`);
  refuseUnfinished(store, found);
  if (!hasBackupRecord(store)) return new LiveSource(store, snapshots);
  const record = readBackupRecord(store);
  if (record !== undefined) return new RestingSource(store, record);
  throw new SpinneyError('ERR_NO_STORE', `Cannot back up ${store}: its backup.json is damaged`);
}

class Backup {
  readonly #source: Source;
  readonly #target: BackupTarget;
  readonly #progress: BackupProgress;
  readonly #result: BackedUp = {
    moment: '',
    snapshot: '',
    lsn: 0,
    resumed: false,
    blobs: { copied: 0, skipped: 0, bytes: 0 },
    contents: { files: 0, reflinked: 0, bytes: 0, skipped: 0, fetched: 0, removed: 0 },
  };

  constructor(source: Source, target: BackupTarget, progress: BackupProgress) {
    this.#source = source;
    this.#target = target;
    this.#progress = progress;
  }

  async run(): Promise<BackedUp> {
    this.#refuseLostBase();
    if (!this.#target.record.isSwept) this.#sweep();
    await this.#resume();
    const { record } = this.#target;
    const now = await this.#source.take(record.id);
    await this.#copy(now);
    await this.#source.forget(record.id, now.moment);
    return this.#result;
  }

  /** Without it nobody knows which contents were written since. */
  #refuseLostBase(): void {
    const { base } = this.#target.record;
    if (base === undefined || this.#source instanceof RestingSource) return;
    const found = this.#source.open(base);
    found?.close();
    if (found !== undefined) return;
    throw new SpinneyError(
      'ERR_NOT_FOUND',
      `Cannot go on with the backup ${this.#target.directory}: ${this.#source.directory} has not its snapshot ${base.name} any more, from which the next one goes on; the backup is whole as it is: give a new directory for another, and remove this one then`,
    );
  }

  async #resume(): Promise<void> {
    const { pending, base } = this.#target.record;
    if (pending === undefined) return;
    const moment = this.#source.open(pending);
    if (moment === undefined) {
      this.#progress.note('the last run was cut short, and its snapshot is gone: what it brought is removed');
      sweep(this.#target.store, this.#target.contentDirectory);
      this.#target.drop();
      return;
    }
    this.#progress.note('going on with the run that was cut short');
    this.#result.resumed = true;
    await this.#copy(moment);
    if (base === undefined) this.#progress.note('that backup is whole; now what has changed since');
  }

  async #copy(from: SourceMoment): Promise<void> {
    try {
      const { moment } = from;
      if (!isSameMoment(moment, this.#target.record.base)) {
        this.#target.begin(moment);
        const removed = await this.#copyContents(from);
        this.#copyImages(from);
        this.#target.finish(moment);
        this.#removeContents(removed);
      }
      this.#result.moment = new Date(moment.createdAt).toISOString();
      this.#result.snapshot = moment.name;
      this.#result.lsn = moment.lsn;
    } finally {
      from.close();
    }
  }

  /** Brings all contents that the moment tells of. Returns those that it does not tell of any more. */
  async #copyContents(from: SourceMoment): Promise<ChangedContent[]> {
    const { record, store, contentDirectory } = this.#target;
    const before = record.base === undefined ? undefined : store;
    const baseSnapshot = record.base?.snapshot ?? 0;
    let files = 0;
    let bytes = 0;
    this.#progress.begin('looking for what has changed', 0);
    for (const { after } of changedContents(before, from.images)) {
      if (after === undefined || after.born < baseSnapshot) continue;
      files++;
      bytes += after.size;
    }
    this.#progress.beginBytes('copying contents', bytes, files);
    const remote = this.#remoteOf(from);
    const copies = new ContentCopies(
      {
        from: join(this.#source.directory, 'content'),
        to: contentDirectory,
        baseSnapshot,
        lastSnapshot: () => from.lastSnapshot(),
        remote,
      },
      (count) => this.#progress.bytes(count),
    );
    const old: ChangedContent[] = [];
    const told = new ContentSet();
    try {
      for (const { before: was, after } of changedContents(before, from.images)) {
        if (was !== undefined && (was.ino !== after?.ino || was.born !== after.born)) old.push(was);
        if (after === undefined) continue;
        const { ino, born, size, isLive, where } = after;
        told.add(ino, born);
        await copies.bring({ ino, born, where, mayBeMissing: isLive || size === 0 });
        if (born >= baseSnapshot) this.#progress.file();
      }
      copies.finish();
    } catch (error) {
      this.#refuseGone(from);
      throw error;
    } finally {
      await remote?.close();
    }
    this.#refuseGone(from);
    const { contents } = this.#result;
    for (const name of ['files', 'reflinked', 'bytes', 'skipped', 'fetched'] as const)
      contents[name] += copies.counts[name];
    // A file that was renamed is gone from its old name only.
    return old.filter(({ ino, born }) => !told.has(ino, born));
  }

  /** Undefined: all contents are files of the store. */
  #remoteOf(from: SourceMoment): RemoteContents | undefined {
    const record = readRemoteRecord(this.#source.directory);
    if (record?.isBegun !== true) return undefined;
    return new RemoteContents(record, from, () => this.#source.take(this.#target.record.id));
  }

  /** What was read since a snapshot is gone may be of later moments. */
  #refuseGone(from: SourceMoment): void {
    if (from.isThere()) return;
    throw new SpinneyError(
      'ERR_SNAPSHOT_DELETED',
      `Cannot finish the backup ${this.#target.directory}: its snapshot ${from.moment.name} was deleted meanwhile; the backup is what it was before: run it again`,
    );
  }

  #copyImages(from: SourceMoment): void {
    const { store } = this.#target;
    this.#progress.begin('copying blobs', countNewImages(from.images, store));
    const { written, skipped } = copyImages(from.images, store, from.mark, () => this.#progress.step());
    const { blobs } = this.#result;
    blobs.copied += written;
    blobs.skipped += skipped;
    blobs.bytes += written * BLOB_BYTES;
  }

  #removeContents(removed: readonly ChangedContent[]): void {
    this.#progress.begin('removing contents that no file has', removed.length);
    const files = new ContentFiles(new SystemDisk(), this.#target.contentDirectory, false);
    for (const { ino, born } of removed) {
      files.remove(ino, born);
      this.#progress.step();
    }
    this.#result.contents.removed += removed.length;
    this.#target.swept();
  }

  /** The last run was cut short while it removed contents. */
  #sweep(): void {
    if (this.#target.record.base === undefined) return;
    this.#progress.begin('removing contents that no file has', 0);
    this.#result.contents.removed += sweep(this.#target.store, this.#target.contentDirectory);
    this.#target.swept();
  }
}
