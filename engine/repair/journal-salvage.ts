/**
 * The journal of a store that may be damaged, read without changing it: all of it where it is sound, else its records up to
 * the first that is not.
 */
import type { PreviousEnd } from '../api.js';
import type { Disk } from '../disk/disk.js';
import { readFully } from '../disk/io.js';
import { SpinneyError } from '../errors.js';
import { SEGMENT_HEADER_BYTES, UUID_BYTES } from '../journal/format.js';
import type { RecordReader } from '../journal/record.js';
import { recoverJournal } from '../journal/recovery.js';
import { readRing, replayRecords } from '../journal/ring/ring-recovery.js';
import { findLastRun } from '../journal/run/last-run.js';
import { listSegments } from '../journal/segments/segment-file.js';
import { SegmentReader } from '../journal/segments/segment-reader.js';
import type { Wreck } from './wreck.js';

/** Where the UUID is in a segment's header and in the ring's. */
const UUID_AT = 8;
const RING_FILE = 'journal.ring';
const RING_FIRST_LSN_AT = 24;

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
    return { replay: () => {}, problem: undefined, truncated: undefined, previousEnd: 'closed' };
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
  const newest = segments.at(-1);
  const header = headOf(disk, newest?.path ?? `${dir}/${RING_FILE}`);
  if (header === undefined) return undefined;
  const uuid = header.slice(UUID_AT, UUID_AT + UUID_BYTES);
  const firstLsn = segments[0]?.firstLsn ?? Number(Buffer.from(header).readBigUInt64LE(RING_FIRST_LSN_AT));
  return { disk, directory: dir, uuid, hasRun: false, markLsn: Math.max(firstLsn - 1, 0) };
}

function headOf(disk: Disk, path: string): Uint8Array | undefined {
  if (!disk.exists(path)) return undefined;
  const fd = disk.open(path, { write: false });
  try {
    const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
    return readFully(disk, fd, bytes, 0, bytes.length, 0) === bytes.length ? bytes : undefined;
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
