/**
 * Where the backup is: a store that nobody else uses while this is open.
 *
 * What must hold: it is always the moment `base` of its record, or, from the flush of the images on, `pending`. Until the first
 * one is whole it is marked as unfinished, and nobody mounts it.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import {
  BACKUP_FILE,
  countedNames,
  examineDirectory,
  NodeDisk,
  UNFINISHED_FILE,
} from '../../engine/before-open.js';
import { FileBlobStore, SpinneyError } from '../../engine/index.js';
import {
  type BackupMoment,
  type BackupRecord,
  isSameMoment,
  parseBackupRecord,
} from '../filesystem/records/backup-record.js';

const CONTENT_DIRECTORY = 'content';

export class BackupTarget {
  readonly directory: string;
  readonly store: FileBlobStore;
  #record: BackupRecord;

  /**
   * Makes the backup where there is none.
   * @param source uuid of the store that is backed up, in hex, and where that is
   * @throws ERR_EXISTS, ERR_INVALID_ARGUMENT, ERR_STORE_LOCKED, ERR_NO_SPACE, ERR_IO
   */
  constructor(directory: string, source: { uuid: string; path: string }) {
    this.directory = directory;
    refuseNested(source.path, directory);
    if (!hasBackupRecord(directory)) makeTarget(directory, source);
    this.store = FileBlobStore.open({ dir: directory, create: true });
    try {
      this.#record = this.#recordOf(source);
      this.#forgetPins();
    } catch (error) {
      this.store.close();
      throw error;
    }
  }

  get record(): Readonly<BackupRecord> {
    return this.#record;
  }

  get contentDirectory(): string {
    return join(this.directory, CONTENT_DIRECTORY);
  }

  /** What is copied from here on is of this moment. */
  begin(moment: BackupMoment): void {
    this.#save({ ...this.#record, pending: moment });
    // Snapshots that are taken here one day have ids above all that contents tell as their born.
    if (this.store.pins.lastId() >= moment.snapshot) return;
    const { lsn = 0, generation = 0 } = this.store.readMark() ?? {};
    const { snapshot: id, createdAt } = moment;
    this.store.flush(undefined, { add: { id, name: `backup ${id}`, lsn, generation, createdAt } });
    this.#forgetPins();
  }

  /** The images have been published, and all contents are there. */
  finish(moment: BackupMoment): void {
    const { pending: _, ...record } = this.#record;
    this.#save({ ...record, base: moment, isSwept: false });
    rmSync(join(this.directory, UNFINISHED_FILE), { force: true });
    syncDirectory(this.directory);
  }

  /** The moment on the way is to be forgotten; what it brought has been removed. */
  drop(): void {
    const { pending: _, ...record } = this.#record;
    this.#save(record);
  }

  /** Contents that no file has are removed. */
  swept(): void {
    if (!this.#record.isSwept) this.#save({ ...this.#record, isSwept: true });
  }

  close(): void {
    this.store.close();
  }

  #forgetPins(): void {
    const ids = this.store.pins.list().map(({ id }) => id);
    if (ids.length > 0) this.store.flush(undefined, { remove: ids });
  }

  #recordOf(source: { uuid: string; path: string }): BackupRecord {
    const record = readBackupRecord(this.directory);
    if (record === undefined) throw refused(this.directory, `its ${BACKUP_FILE} cannot be read`);
    if (record.source !== source.uuid) {
      throw refused(this.directory, `it is a backup of another store, which was at ${record.path}`);
    }
    const mark = this.store.readMark();
    const isAt = (moment: BackupMoment | undefined) =>
      moment !== undefined && mark?.lsn === moment.lsn && mark.generation === moment.generation;
    if (isAt(record.pending) && !isSameMoment(record.pending, record.base)) {
      // The run was cut short right after the images were published.
      this.#record = record;
      this.finish(record.pending!);
      return this.#record;
    }
    const isAsItWas = record.base === undefined ? mark === undefined : isAt(record.base);
    if (!isAsItWas) throw refused(this.directory, 'it was written to since its last run');
    return record;
  }

  #save(record: BackupRecord): void {
    writeRecord(this.directory, record);
    this.#record = record;
  }
}

/** Whether the directory says that it is a backup. */
export function hasBackupRecord(directory: string): boolean {
  return existsSync(join(directory, BACKUP_FILE));
}

/** Undefined: there is none, or it is damaged. */
export function readBackupRecord(directory: string): BackupRecord | undefined {
  if (!hasBackupRecord(directory)) return undefined;
  return parseBackupRecord(readFileSync(join(directory, BACKUP_FILE), 'utf8'));
}

function makeTarget(directory: string, source: { uuid: string; path: string }): void {
  const status = lstatSync(directory, { throwIfNoEntry: false });
  if (status !== undefined && !status.isDirectory()) throw refused(directory, 'it is not a directory');
  const names = status === undefined ? [] : countedNames(readdirSync(directory));
  // Of a run that was cut short before it had a record.
  const isBegun = names.every((name) => name === `${BACKUP_FILE}.new`);
  if (!isBegun) {
    const isStore = examineDirectory(new NodeDisk(), directory).state === 'store';
    const what = isStore
      ? 'it is a store, and no backup (any more: one that was mounted for writing goes its own way)'
      : `something else is there (${names[0]})`;
    throw refused(directory, what);
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const id = randomBytes(4).toString('hex');
  writeRecord(directory, { format: 1, id, source: source.uuid, path: source.path, isSwept: true });
  // As other commands write it that make stores (new-store.ts): so they leave this one alone.
  const mark = { command: 'backup', source: source.path, boot: '' };
  const advice = 'spinney backup has not finished this store: run it again';
  writeFileSync(join(directory, UNFINISHED_FILE), `${advice}\n${JSON.stringify(mark)}\n`, {
    mode: 0o600,
    flush: true,
  });
  syncDirectory(directory);
  syncDirectory(dirname(directory));
}

function writeRecord(directory: string, record: BackupRecord): void {
  const path = join(directory, BACKUP_FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
  syncDirectory(directory);
}

function refuseNested(source: string, target: string): void {
  const [from, to] = [source, target].map(realPathOf) as [string, string];
  for (const [inner, outer] of [
    [from, to],
    [to, from],
  ] as const) {
    if (relative(outer, inner).startsWith('..')) continue;
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot back up ${from} to ${to}: one lies in the other; give another place`,
    );
  }
}

/** Of a path that need not be there. */
function realPathOf(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const outer = dirname(resolve(path));
  return outer === path ? path : join(realPathOf(outer), relative(outer, resolve(path)));
}

function refused(directory: string, what: string): SpinneyError {
  return new SpinneyError(
    'ERR_EXISTS',
    `Cannot back up to ${directory}: ${what}; nothing was changed there: give an empty or new directory, or remove it`,
  );
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
