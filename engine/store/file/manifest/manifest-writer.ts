/**
 * Publishes records: deltas appended to `manifest.log`, and snapshots that replace `manifest`.
 *
 * Invariants
 * - `inDoubt` is set before anything that may or may not become durable and cleared when a record is durable for
 *   certain. While it is set, only a snapshot may be written: the state of the log is unknown.
 * - The log is written to only while the snapshot that it follows is durable under the name `manifest`.
 * - Space for the next snapshot (`manifest.spare`) and for deltas (the log's tail) is reserved ahead, so that
 *   publishing works on a full disk. A snapshot that is replaced becomes the spare with all its space, and before the data
 *   file gets more slots both files get room for the rows of as many blobs (`reserve`): so there is always a spare
 *   that is large enough. (Where a filesystem has no hard links the old snapshot's space goes back to the disk, and
 *   the next spare is to be had from it again.)
 */
import type { MeasureName } from '../../../art/measure.js';
import type { Disk } from '../../../disk/disk.js';
import { diskError, isNoSpace, writeFully } from '../../../disk/io.js';
import { SpinneyError } from '../../../errors.js';
import type { BlobId, CheckpointMark } from '../../blob-store.js';
import { LOG_FILE, MANIFEST_FILE, RETIRED_FILE, SPARE_FILE } from '../names.js';
import { type PinsPart, pinsPartBytes } from '../pins/pins-part.js';
import type { StoredRow } from '../slot-map.js';
import {
  encodeConfirmation,
  encodeLogHeader,
  LOG_CONFIRM_AT,
  LOG_RECORDS_AT,
  type ManifestState,
} from './manifest-reader.js';
import { encodeRecord, namesWaiting, recordBytes } from './record.js';

/** The log is reserved in steps of this size. */
const LOG_STEP_BYTES = 32 * 1024;
/** It may always grow to this size, if the disk has the space. */
const LOG_LEAST_LIMIT = 256 * 1024;
/** Beyond that, the log is compacted when it is this many times as large as a snapshot would be. */
const LOG_TO_SNAPSHOT = 2;
const SPARE_STEP_BYTES = 8 * 1024;

export interface Delta {
  rows: readonly StoredRow[];
  deletes: readonly BlobId[];
  /** The new mark; undefined leaves the last one. */
  mark: CheckpointMark | undefined;
  /** What changes about pins; of a snapshot all about them. */
  pins: PinsPart | undefined;
}
/** Everything that holds after the publish. */
export type Snapshot = Omit<Delta, 'deletes'>;

/** Makes the log of a new store, durable but for its name; returns its size. */
export function createLog(disk: Disk, directory: string, uuid: Uint8Array): number {
  const path = `${directory}/${LOG_FILE}`;
  try {
    const fd = disk.open(path, { write: true, create: true });
    try {
      disk.truncate(fd, 0);
      disk.allocate(fd, 0, LOG_STEP_BYTES);
      writeFully(disk, fd, encodeLogHeader(uuid), 0);
      disk.fsync(fd);
      return LOG_STEP_BYTES;
    } finally {
      disk.close(fd);
    }
  } catch (error) {
    throw diskError(`create ${path}`, error);
  }
}

export class ManifestWriter {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #uuid: Uint8Array;
  readonly #logFd: number;
  #base: number;
  #sequence: number;
  #logEnd: number;
  #logSize: number;
  /** Bytes that the spare has space for, and those that the manifest has, which will be the next spare. */
  #spareSize = 0;
  #manifestSize = 0;
  #inDoubt = false;
  #hasRun: boolean;
  /** The measure that the rows' sums are of, from the next record on. */
  measure: MeasureName | undefined;

  /** @param state what the files say; all of it durable, except when a snapshot is written before any delta. */
  constructor(disk: Disk, directory: string, state: ManifestState) {
    this.#disk = disk;
    this.#directory = directory;
    this.#uuid = state.uuid;
    this.#base = state.base;
    this.#sequence = state.sequence;
    this.#logEnd = state.logEnd;
    this.#logSize = state.logSize;
    this.#hasRun = state.hasRun;
    this.measure = state.measure;
    this.#findRetired();
    this.#spareSize = this.#sizeOf(SPARE_FILE);
    this.#manifestSize = this.#sizeOf(MANIFEST_FILE);
    const path = `${directory}/${LOG_FILE}`;
    try {
      this.#logFd = disk.open(path, { write: true });
    } catch (error) {
      throw diskError(`open ${path}`, error);
    }
  }

  get inDoubt(): boolean {
    return this.#inDoubt;
  }

  /** All records from the next on say so; readers take it from any of those that count. */
  setHasRun(): void {
    this.#hasRun = true;
  }

  close(): void {
    this.#disk.close(this.#logFd);
  }

  /**
   * Makes a change durable, as a delta or, where that is not possible or not wise, as the snapshot that `whole` gives, of
   * `blobCount` rows and a pins part of `pinBytes`.
   * @throws ERR_NO_SPACE, ERR_IO; `inDoubt` then tells whether it may be durable all the same.
   */
  publish(delta: Delta, whole: () => Snapshot, blobCount: number, pinBytes: number): void {
    const { rows, deletes, mark, pins } = delta;
    const pending = mark?.pendingDeletes.length ?? 0;
    const deltaBytes =
      recordBytes(rows.length, deletes.length, pending, mark !== undefined, this.measure) +
      (pins === undefined ? 0 : pinsPartBytes(pins));
    const snapshotBytes = recordBytes(blobCount, 0, pending, true, this.measure) + pinBytes;
    const logLimit = LOG_RECORDS_AT + Math.max(LOG_LEAST_LIMIT, LOG_TO_SNAPSHOT * snapshotBytes);
    // The log has no record that older releases refuse: not even behind a snapshot is one left over that they would meet.
    const appends =
      !this.#inDoubt &&
      this.#logEnd + deltaBytes <= logLimit &&
      !isOfWaiting(delta) &&
      this.#reserveLog(deltaBytes);
    if (appends) this.#append(delta);
    else this.writeSnapshot(whole());
    this.#keepSpare(snapshotBytes);
  }

  /** Replaces `manifest`. The deltas in the log no longer count then, and their space is used anew. */
  writeSnapshot(snapshot: Snapshot): void {
    const sequence = this.#sequence + 1;
    const bytes = encodeRecord({
      kind: 'snapshot',
      uuid: this.#uuid,
      base: sequence,
      sequence,
      rows: snapshot.rows,
      deletes: [],
      mark: snapshot.mark,
      hasRun: this.#hasRun,
      measure: this.measure,
      pins: snapshot.pins,
    });
    const spare = `${this.#directory}/${SPARE_FILE}`;
    const manifest = `${this.#directory}/${MANIFEST_FILE}`;
    const retired = `${this.#directory}/${RETIRED_FILE}`;
    let isKept = false;
    try {
      this.#writeSpare(spare, bytes);
      // Only now: a number that was not tried would be a gap in the log.
      this.#sequence = sequence;
      this.#inDoubt = true;
      const written = Math.max(this.#spareSize, bytes.length);
      this.#spareSize = 0;
      isKept = this.#manifestSize > 0 && this.#disk.link(manifest, retired);
      this.#disk.rename(spare, manifest);
      this.#disk.syncDirectory(this.#directory);
      if (isKept) this.#spareSize = this.#manifestSize;
      this.#manifestSize = written;
    } catch (error) {
      throw diskError(`replace ${manifest}`, error);
    }
    this.#inDoubt = false;
    this.#base = sequence;
    this.#logEnd = LOG_RECORDS_AT;
    if (isKept) this.#makeSpare(retired, spare);
    this.#keepSpare(bytes.length);
  }

  /** A snapshot that was replaced just before its process ended is the spare, too. */
  #findRetired(): void {
    const [retired, spare] = [`${this.#directory}/${RETIRED_FILE}`, `${this.#directory}/${SPARE_FILE}`];
    try {
      if (!this.#disk.exists(retired)) return;
      const fd = this.#disk.open(retired, { write: false });
      const isInUse = this.#disk.isSameFile(fd, `${this.#directory}/${MANIFEST_FILE}`);
      this.#disk.close(fd);
      if (isInUse || this.#disk.exists(spare)) this.#disk.unlink(retired);
      else this.#disk.rename(retired, spare);
    } catch {
      // Nothing depends on it: the next snapshot takes the name.
    }
  }

  /** The snapshot before lends its space to the next. */
  #makeSpare(retired: string, spare: string): void {
    try {
      this.#disk.rename(retired, spare);
    } catch {
      this.#spareSize = 0;
    }
  }

  /**
   * Makes sure that a snapshot of so many rows, kept ones among them, which takes `pinBytes` more for pins, and the one after
   * it, will find their space; false where the disk is too full.
   */
  reserve(rows: number, pinBytes: number): boolean {
    const bytes = recordBytes(rows, 0, rows, true, this.measure) + pinBytes;
    return this.#reserveSpare(bytes) && this.#reserveManifest();
  }

  #append(delta: Delta): void {
    const sequence = ++this.#sequence;
    const bytes = encodeRecord({
      kind: 'delta',
      uuid: this.#uuid,
      base: this.#base,
      sequence,
      hasRun: this.#hasRun,
      measure: this.measure,
      ...delta,
    });
    this.#inDoubt = true;
    try {
      writeFully(this.#disk, this.#logFd, bytes, this.#logEnd);
      this.#disk.fdatasync(this.#logFd);
    } catch (error) {
      throw diskError(`append to ${this.#directory}/${LOG_FILE}`, error);
    }
    this.#inDoubt = false;
    this.#logEnd += bytes.length;
    this.#confirm(sequence);
  }

  /** Lets a later reader tell damage to this record from a flush that did not happen. Not synced: a bonus. */
  #confirm(sequence: number): void {
    try {
      writeFully(this.#disk, this.#logFd, encodeConfirmation(sequence), LOG_CONFIRM_AT);
    } catch {
      // The record itself is durable.
    }
  }

  /** Whether the log has room for a record of so many bytes. */
  #reserveLog(bytes: number): boolean {
    const end = this.#logEnd + bytes;
    if (end <= this.#logSize) return true;
    const size = Math.ceil(end / LOG_STEP_BYTES) * LOG_STEP_BYTES;
    try {
      this.#disk.allocate(this.#logFd, this.#logSize, size - this.#logSize);
    } catch (error) {
      if (isNoSpace(error)) return false;
      throw diskError(`reserve space in ${this.#directory}/${LOG_FILE}`, error);
    }
    this.#logSize = size;
    return true;
  }

  /** Writes every byte of the record, also after an attempt that failed: a failed fsync cannot just be repeated. */
  #writeSpare(path: string, bytes: Uint8Array): void {
    const fd = this.#disk.open(path, { write: true, create: true });
    try {
      this.#disk.allocate(fd, 0, bytes.length);
      writeFully(this.#disk, fd, bytes, 0);
      this.#disk.fsync(fd);
    } finally {
      this.#disk.close(fd);
    }
  }

  /** Reserves room for a snapshot of `bytes` and half as much again; false where the disk does not have it. */
  /** As `#reserveSpare`, after a publish, which stands whatever becomes of this: the next one finds out. */
  #keepSpare(bytes: number): void {
    try {
      this.#reserveSpare(bytes);
    } catch (error) {
      if (!(error instanceof SpinneyError)) throw error;
    }
  }

  #reserveSpare(bytes: number): boolean {
    if (bytes <= this.#spareSize) return true;
    const size = Math.ceil((bytes * 1.5) / SPARE_STEP_BYTES) * SPARE_STEP_BYTES;
    if (!this.#allocate(SPARE_FILE, size)) return false;
    this.#spareSize = size;
    return true;
  }

  /** Gives the manifest as much space as the spare. What lies behind its record does not count. */
  #reserveManifest(): boolean {
    if (this.#manifestSize === 0 || this.#manifestSize >= this.#spareSize) return true;
    if (!this.#allocate(MANIFEST_FILE, this.#spareSize)) return false;
    this.#manifestSize = this.#spareSize;
    return true;
  }

  #allocate(name: string, size: number): boolean {
    try {
      const fd = this.#disk.open(`${this.#directory}/${name}`, { write: true, create: true });
      try {
        this.#disk.allocate(fd, 0, size);
      } finally {
        this.#disk.close(fd);
      }
      return true;
    } catch (error) {
      if (isNoSpace(error)) return false;
      throw diskError(`reserve space in ${this.#directory}/${name}`, error);
    }
  }

  /** Bytes of the file; 0 where there is none. */
  #sizeOf(name: string): number {
    try {
      const fd = this.#disk.open(`${this.#directory}/${name}`, { write: false });
      try {
        return this.#disk.size(fd);
      } finally {
        this.#disk.close(fd);
      }
    } catch {
      return 0;
    }
  }
}

/** Whether it is about blobs of waiting changes. */
function isOfWaiting({ rows, deletes }: Delta): boolean {
  return namesWaiting(deletes) || namesWaiting(rows.map(({ id }) => id));
}
