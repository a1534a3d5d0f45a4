/**
 * The journal of a store that may be damaged, read without changing it: all of it where it is sound, else its records up to
 * the first that is not.
 */
import type { PreviousEnd } from '../api.js';
import type { Disk } from '../disk/disk.js';
import { readFully } from '../disk/io.js';
import { SpinneyError } from '../errors.js';
import { decodeSegmentHeader, UUID_BYTES } from '../journal/records/format.js';
import type { RecordReader } from '../journal/records/record.js';
import { recoverJournal } from '../journal/recovery.js';
import { decodeRingHeader, RING_HEADER_BYTES, ringPath } from '../journal/ring/ring-file.js';
import { readRing, replayRecords } from '../journal/ring/ring-recovery.js';
import { findLastRun } from '../journal/run/last-run.js';
import { listSegments } from '../journal/segments/segment-file.js';
import { SegmentReader } from '../journal/segments/segment-reader.js';
import type { Wreck } from './wreck.js';

/** Where the UUID is in a segment's header and in the ring's. */
const UUID_AT = 8;

type Visit = (lsn: number, record: RecordReader) => void;

export interface SalvagedJournal {
  /** Calls `visit` for each record that can be had, in order; may be called again. */
  replay(visit: Visit): void;
  /** What is wrong with it; undefined where nothing is. */
  problem: string | undefined;
  /** Where bytes of an unfinished write are, which do not count. */
  truncated: { file: string; offset: number; bytes: number } | undefined;
  previousEnd: PreviousEnd;
}

interface Source {
  disk: Disk;
  directory: string;
  uuid: Uint8Array;
  /** Records up to here are in the blobs. */
  markLsn: number;
  hasRun: boolean;
}

/** Reads the journal from the checkpoint on; all that is there where the manifest is lost. */
export function salvageJournal(wreck: Wreck): SalvagedJournal {
  const source = sourceOf(wreck);
  if (source === undefined) {
    const isThere = [
      ringPath(wreck.dir),
      ...listSegments(wreck.disk, wreck.dir).map(({ path }) => path),
    ].some((path) => wreck.disk.exists(path));
    const problem = isThere ? 'Cannot recover the journal: none of its files has a sound header' : undefined;
    return { replay: () => {}, problem, truncated: undefined, previousEnd: 'closed' };
  }
  const recover = (apply: Visit) => recoverJournal({ ...source, readOnly: true, apply });
  try {
    const { truncated, previousEnd } = recover(() => {});
    return { replay: (visit) => void recover(visit), problem: undefined, truncated, previousEnd };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return {
      replay: (visit) => replaySound(source, visit),
      problem: error.message,
      truncated: undefined,
      previousEnd: endOf(source),
    };
  }
}

function isDamage(error: unknown): error is SpinneyError {
  return error instanceof SpinneyError && error.code === 'ERR_JOURNAL_CORRUPT';
}

function sourceOf({ disk, dir, manifest }: Wreck): Source | undefined {
  if (manifest !== undefined) {
    const { uuid, hasRun, mark } = manifest;
    return { disk, directory: dir, uuid, hasRun, markLsn: mark?.lsn ?? 0 };
  }
  // The manifest told whose journal it is; without it the journal's own word is all there is.
  const segments = listSegments(disk, dir);
  const header = headerOf(disk, [...segments.map(({ path }) => path).reverse(), ringPath(dir)]);
  if (header === undefined) return undefined;
  const firstLsn = segments[0]?.firstLsn ?? header.firstLsn;
  return { disk, directory: dir, uuid: header.uuid, hasRun: false, markLsn: Math.max(firstLsn - 1, 0) };
}

/** The first of the headers that is sound: the newest file may have been begun only. */
function headerOf(disk: Disk, paths: readonly string[]): { uuid: Uint8Array; firstLsn: number } | undefined {
  for (const path of paths) {
    const bytes = headOf(disk, path);
    const uuid = bytes.slice(UUID_AT, UUID_AT + UUID_BYTES);
    const header = decodeSegmentHeader(bytes, uuid) ?? decodeRingHeader(bytes, uuid);
    if (header !== undefined) return { uuid, firstLsn: header.firstLsn };
  }
  return undefined;
}

/** As much of the file as a header takes; less where it is shorter, or missing. */
function headOf(disk: Disk, path: string): Uint8Array {
  const bytes = new Uint8Array(RING_HEADER_BYTES);
  if (!disk.exists(path)) return bytes.subarray(0, 0);
  const fd = disk.open(path, { write: false });
  try {
    return bytes.subarray(0, readFully(disk, fd, bytes, 0, bytes.length, 0));
  } finally {
    disk.close(fd);
  }
}

function endOf(source: Source): PreviousEnd {
  try {
    return findLastRun(source, source.markLsn, source.hasRun).end;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return 'power-cut';
  }
}

/** The records that follow the checkpoint without a gap. */
function replaySound(source: Source, visit: Visit): void {
  const { disk, directory, uuid, markLsn } = source;
  const apply: Visit = (lsn, record) => {
    if (lsn > markLsn) visit(lsn, record);
  };
  const read: { firstLsn: number; recordSeed: number }[] = [];
  let nextLsn = markLsn + 1;
  const segments = listSegments(disk, directory);
  for (const { path, firstLsn } of segments.slice(
    Math.max(
      segments.findLastIndex((segment) => segment.firstLsn <= nextLsn),
      0,
    ),
  )) {
    if (firstLsn > nextLsn) break;
    const reader = new SegmentReader(disk, path, uuid);
    try {
      const header = reader.header();
      if (header?.ownUuid !== true || header.firstLsn !== firstLsn) break;
      read.push(header);
      const end = reader.walk(firstLsn, apply);
      if (end.nextLsn < nextLsn) break;
      nextLsn = end.nextLsn;
    } finally {
      reader.close();
    }
  }
  try {
    const ring = readRing(source, read, nextLsn)?.records;
    if (ring !== undefined) replayRecords(ring, apply);
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
}
