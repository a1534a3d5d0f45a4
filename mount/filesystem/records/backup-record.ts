/**
 * The file `backup.json` of a store that is a backup: of which store, of which of its moments, and which moment is on the way.
 *
 * Contents of a moment on the way are in their places before the tree is: those have a born that is not less than the id of
 * the snapshot that the backup has, so nothing that it tells of is among them.
 */

/** A moment of the store that is backed up: a snapshot of it. */
export interface BackupMoment {
  /** Its id. */
  snapshot: number;
  name: string;
  lsn: number;
  generation: number;
  /** Milliseconds since 1970. */
  createdAt: number;
}

export interface BackupRecord {
  format: 1;
  /** Of this backup; in the names of the snapshots that it is made from. */
  id: string;
  /** The store's uuid, in hex, and where it was. */
  source: string;
  path: string;
  /** What the backup is; undefined: the first one has not come to its end. */
  base?: BackupMoment;
  /** What it is to become next. */
  pending?: BackupMoment;
  /** Contents that are no file's any more have been removed. */
  isSwept: boolean;
}

/** Undefined: it is no such record. */
export function parseBackupRecord(text: string): BackupRecord | undefined {
  try {
    const record = JSON.parse(text) as Partial<BackupRecord> | null;
    const isOne =
      record?.format === 1 &&
      /^[0-9a-f]+$/.test(String(record.id)) &&
      typeof record.source === 'string' &&
      [record.base, record.pending].every((moment) => moment === undefined || isMoment(moment));
    return isOne ? (record as BackupRecord) : undefined;
  } catch {
    return undefined;
  }
}

function isMoment({ snapshot, name, lsn, generation }: Partial<BackupMoment>): boolean {
  return [snapshot, lsn, generation].every(Number.isSafeInteger) && typeof name === 'string';
}

export function isSameMoment(a: BackupMoment | undefined, b: BackupMoment | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.snapshot === b.snapshot && a.lsn === b.lsn && a.generation === b.generation;
}
