/**
 * Reading the journal back after a crash or a clean end.
 *
 * Two passes: the first validates everything and finds the end of the log; then the files are repaired, durably; the
 * second applies. So nothing is applied of a journal that turns out corrupt, and a checkpoint that is made while
 * records are applied never runs ahead of what is durable.
 *
 * What was durable is known from: the checkpoint's LSN; the first LSN of each segment, which is made after all before
 * it was synced; the durable LSN in each group. A record missing at or below that is corruption, and then no
 * file is touched. A record missing above it is where the log ends; unless the record of the last run, in a file of its
 * own, tells that the log reached further and that nothing can have taken away what is missing (last-run.ts).
 *
 * Repair removes what validation ignores, and then saves to a segment what only the ring had (ring-recovery.ts), so a
 * crash during it leads to the same end the next time. The ring stays as it is until the journal is opened.
 */
import type { PreviousEnd } from '../api.js';
import type { Disk } from '../disk/disk.js';
import { readFully } from '../disk/io.js';
import { SpinneyError } from '../errors.js';
import { GROUP_HEADER_BYTES, isKnownVersion } from './records/format.js';
import type { RecordReader } from './records/record.js';
import {
  type RingRecords,
  readRing,
  replayRecords,
  ringGroupBytes,
  type SavePlace,
  saveRecords,
} from './ring/ring-recovery.js';
import { assertReaches, type FilePlace, findLastRun, type LastRun } from './run/last-run.js';
import {
  corrupt,
  errorText,
  listSegments,
  type SegmentName,
  unknownVersion,
  writeFully,
  writeZeros,
} from './segments/segment-file.js';
import { SegmentReader } from './segments/segment-reader.js';

export interface RecoveryOptions {
  disk: Disk;
  directory: string;
  /** The store's, 16 bytes. */
  uuid: Uint8Array;
  /** The LSN of the checkpoint that the tree was loaded from; 0 without one. */
  markLsn: number;
  /** Whether there must be a record of the last run, as the manifest says. */
  hasRun: boolean;
  /** Replay only: no file is changed. */
  readOnly: boolean;
  /**
   * Called for each record after the checkpoint, once, in order. The record's views hold during the call only.
   * What it throws is passed on.
   */
  apply: (lsn: number, record: RecordReader) => void;
}

export interface RecoveryResult {
  /** How the run that left the journal ended. */
  previousEnd: PreviousEnd;
  /** The LSN of the last mutation; the next one gets the number after it. */
  lastLsn: number;
  /** How many records were applied. */
  replayed: number;
  /** How many of the log's last records only the ring had, because the process was killed. */
  fromRing: number;
  /** Where bytes of unfinished writes were cut off, and how many (or would be, if it were not read-only). */
  truncated?: { file: string; offset: number; bytes: number };
}

interface Segment extends SegmentName {
  recordSeed: number;
}

interface LogEnd {
  nextLsn: number;
  /** Where that is; undefined where there is no segment. */
  at?: FilePlace;
  /** Files without a record, which are of no use. */
  useless: SegmentName[];
  /** The segment with the last record and where its valid part ends. */
  last: SavePlace | undefined;
  /** The same of the last segment, with a record or without. */
  tail: SavePlace | undefined;
}

/** Recovers the journal in `directory`. Throws ERR_JOURNAL_CORRUPT, ERR_FORMAT_VERSION, ERR_NO_SPACE, ERR_IO. */
export function recoverJournal(options: RecoveryOptions): RecoveryResult {
  const { markLsn, readOnly } = options;
  const last = findLastRun(options, markLsn, options.hasRun);
  const { segments, useless } = classifySegments(options);
  const needed = dropCovered(segments, markLsn);
  const end = findEnd(options, needed, useless, durableLsnOf(last, markLsn));
  const content = readRing(options, segments, end.nextLsn);
  const ring = content?.records;
  const lastLsn = end.nextLsn - 1 + (ring?.count ?? 0);
  assertReaches(options, last, { lastLsn, segmentsEnd: end.at, ring: content });
  if (!readOnly) {
    const place = ring === undefined ? undefined : placeFor(ring, segments, end);
    repair(options, end, place);
    if (ring !== undefined) saveRecords(options, ring, place);
  }
  let replayed = 0;
  const apply = (lsn: number, record: RecordReader): void => {
    if (lsn <= markLsn) return;
    options.apply(lsn, record);
    replayed++;
  };
  replay(options, needed, end.nextLsn, apply);
  if (ring !== undefined) replayRecords(ring, apply);
  const result: RecoveryResult = { previousEnd: last.end, lastLsn, replayed, fromRing: ring?.count ?? 0 };
  if (end.last !== undefined && end.last.cutBytes > 0) {
    const { path, offset, cutBytes } = end.last;
    result.truncated = { file: path, offset, bytes: cutBytes };
  }
  return result;
}

/** Tells the segments from files that were created but never got a header, which are useless. */
function classifySegments(options: RecoveryOptions): { segments: Segment[]; useless: SegmentName[] } {
  const segments: Segment[] = [];
  const useless: SegmentName[] = [];
  for (const segment of listSegments(options.disk, options.directory)) {
    withReader(options, segment, (reader) => {
      const header = reader.header();
      if (header === undefined) {
        // The header was durable before the first group was written.
        if (reader.scan(0).groups > 0) throw corrupt(segment.path, 0, 'the segment header is damaged');
        useless.push(segment);
        return;
      }
      if (!isKnownVersion(header.version)) throw unknownVersion(segment.path, header.version);
      if (!header.ownUuid) throw corrupt(segment.path, 0, 'the segment belongs to another store');
      if (header.firstLsn !== segment.firstLsn) {
        throw corrupt(segment.path, 0, `the segment begins with LSN ${header.firstLsn}, unlike its name`);
      }
      segments.push({ ...segment, recordSeed: header.recordSeed });
    });
  }
  return { segments, useless };
}

/** Leaves out the segments whose records the checkpoint covers all; a crash came before their removal. */
function dropCovered(segments: Segment[], markLsn: number): Segment[] {
  const first = segments[0];
  if (first === undefined) return [];
  if (first.firstLsn > markLsn + 1) {
    throw corrupt(first.path, 0, `record ${markLsn + 1}, which was durable, is missing before this segment`);
  }
  return segments.slice(segments.findLastIndex((segment) => segment.firstLsn <= markLsn + 1));
}

/** What the last run knew to be durable. */
function durableLsnOf({ record }: LastRun, markLsn: number): number {
  if (record === undefined) return markLsn;
  return Math.max(markLsn, record.state === 'closed' ? record.appendedLsn : record.durableLsn);
}

function findEnd(
  options: RecoveryOptions,
  segments: SegmentName[],
  useless: SegmentName[],
  knownLsn: number,
): LogEnd {
  let nextLsn = segments[0]?.firstLsn ?? options.markLsn + 1;
  let durableLsn = options.markLsn;
  let last: SavePlace | undefined;
  let tail: SavePlace | undefined;
  let previous: FilePlace | undefined;
  for (const [index, segment] of segments.entries()) {
    if (segment.firstLsn > nextLsn) throw missing(previous!.path, previous!.offset, nextLsn);
    if (segment.firstLsn < nextLsn) {
      throw corrupt(segment.path, 0, `record ${segment.firstLsn} is in the segment before it, too`);
    }
    const isLast = index === segments.length - 1;
    withReader(options, segment, (reader) => {
      let durableTo = segment.firstLsn > knownLsn ? 0 : -1;
      const end = reader.walk(nextLsn, (lsn, _record, offset) => {
        if (lsn > knownLsn && durableTo < 0) durableTo = offset - GROUP_HEADER_BYTES;
      });
      if (durableTo < 0) durableTo = end.offset;
      const beyond = isLast ? reader.scan(end.offset) : undefined;
      durableLsn = Math.max(durableLsn, end.durableLsn, beyond?.durableLsn ?? 0);
      previous = { path: segment.path, offset: end.offset };
      const cutBytes = beyond === undefined ? 0 : beyond.end - end.offset;
      const { torn } = end;
      const place = { path: segment.path, offset: end.offset, size: reader.size, cutBytes, durableTo };
      tail = { ...place, ...(torn && { torn }) };
      if (end.nextLsn > segment.firstLsn) last = tail;
      else useless = [...useless, segment];
      nextLsn = end.nextLsn;
    });
  }
  if (durableLsn >= nextLsn && previous !== undefined) throw missing(previous.path, previous.offset, nextLsn);
  return { nextLsn, useless, last, tail, ...(previous !== undefined && { at: previous }) };
}

/**
 * Where the ring's records belong: behind the last record, if the segment there is of the same opening. It has the space that
 * they were promised when they were appended. Undefined where it has not.
 */
function placeFor(ring: RingRecords, segments: readonly Segment[], { tail }: LogEnd): SavePlace | undefined {
  if (tail === undefined || segments.at(-1)?.recordSeed !== ring.recordSeed) return undefined;
  return tail.offset + ringGroupBytes(ring) <= tail.size ? tail : undefined;
}

/**
 * Removes what is beyond the end of the log and makes all before it durable: what may not be is written again, since the
 * run may have ended because its sync failed, and then no later sync covers what was written before. A segment that stays keeps its space: a disk
 * that is full may not have it again.
 */
function repair(options: RecoveryOptions, end: LogEnd, place: SavePlace | undefined): void {
  const { disk, directory } = options;
  let path = directory;
  try {
    const useless = end.useless.filter((segment) => segment.path !== place?.path);
    for (const segment of useless) {
      path = segment.path;
      disk.unlink(path);
    }
    if (useless.length > 0) disk.syncDirectory(directory);
    const last = place ?? end.last;
    if (last === undefined) return;
    path = last.path;
    const fd = disk.open(path, { write: true });
    try {
      if (last.cutBytes > 0)
        writeZeros(disk, fd, last.offset, Math.min(last.cutBytes, last.size - last.offset));
      rewrite(disk, fd, last.durableTo, last.offset);
      disk.fsync(fd);
    } finally {
      disk.close(fd);
    }
  } catch (error) {
    if (error instanceof SpinneyError) throw error;
    throw new SpinneyError('ERR_IO', `Cannot repair the journal: ${path}: ${errorText(error)}`, {
      cause: error,
    });
  }
}

const REWRITTEN_AT_ONCE = 1024 * 1024;

/** Writes the bytes of a file from `start` to `end` as they are. */
function rewrite(disk: Disk, fd: number, start: number, end: number): void {
  const bytes = new Uint8Array(Math.max(0, Math.min(REWRITTEN_AT_ONCE, end - start)));
  for (let at = start; at < end; ) {
    const count = readFully(disk, fd, bytes, 0, Math.min(bytes.length, end - at), at);
    if (count === 0) throw new Error(`the file ends at ${at}`);
    writeFully(disk, fd, [bytes.subarray(0, count)], at);
    at += count;
  }
}

function replay(
  options: RecoveryOptions,
  segments: SegmentName[],
  endLsn: number,
  apply: RecoveryOptions['apply'],
): void {
  let nextLsn = segments[0]?.firstLsn ?? endLsn;
  for (const segment of segments) {
    if (segment.firstLsn >= endLsn) break;
    withReader(options, segment, (reader) => {
      // What is beyond the end was in the ring, and is there now, too.
      nextLsn = reader.walk(nextLsn, (lsn, record) => {
        if (lsn < endLsn) apply(lsn, record);
      }).nextLsn;
    });
  }
  if (nextLsn < endLsn) throw corrupt(options.directory, 0, 'it changed while it was read');
}

function withReader<T>(
  options: RecoveryOptions,
  segment: SegmentName,
  body: (reader: SegmentReader) => T,
): T {
  const reader = new SegmentReader(options.disk, segment.path, options.uuid);
  try {
    return body(reader);
  } finally {
    reader.close();
  }
}

function missing(path: string, offset: number, lsn: number): SpinneyError {
  return corrupt(path, offset, `record ${lsn}, which was durable, is damaged or missing`);
}
