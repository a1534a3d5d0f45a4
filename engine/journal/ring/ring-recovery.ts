/**
 * The records that only the ring had when the process was killed.
 *
 * Nothing is searched for: from the head on, records follow each other as they were appended, and the first that is not
 * valid or not numbered one more than the last ends them. A record is valid only with the seed of the ring's own
 * opening in its CRCs, under which each LSN was given once; so neither what is left of an earlier lap, nor of an
 * earlier opening, nor the bytes of a value, which cannot know the seed, passes for the next record. This holds
 * after a power cut too, when the pages, the header's among them, may be of any mixture of ages: what is taken are
 * true records that follow on what the segments hold. If they do not follow on it, none is taken.
 *
 * Records are saved to a durable segment before the ring is made anew. After a crash on the way the same records are
 * found in the segments, in the ring, or some in each.
 */
import type { Disk } from '../../disk/disk.js';
import { diskError, hasErrno, readFully } from '../../disk/io.js';
import {
  encodeGroupHeader,
  GROUP_HEADER_BYTES,
  isKnownVersion,
  RECORD_HEADER_BYTES,
  recordBytes,
  SEGMENT_HEADER_BYTES,
} from '../records/format.js';
import { RecordReader } from '../records/record.js';
import {
  corrupt,
  segmentPath,
  unknownVersion,
  writeFully,
  writeSegmentHeader,
} from '../segments/segment-file.js';
import type { TornGroup } from '../segments/segment-reader.js';
import {
  decodeRingHeader,
  latestHead,
  RING_HEADER_BYTES,
  type RingHead,
  type RingHeader,
  ringPath,
} from './ring-file.js';

export interface Store {
  disk: Disk;
  directory: string;
  uuid: Uint8Array;
}

/** Records that follow each other without a gap. */
export interface RingRecords {
  firstLsn: number;
  count: number;
  recordSeed: number;
  bytes: Uint8Array;
}

/** What the ring's file has. */
export interface RingContent {
  /** The first LSN that may be in the ring only. */
  headLsn: number;
  /** The records that the segments have not; undefined where there are none. */
  records: RingRecords | undefined;
  /** File offset where the records end. */
  end: number;
}

/**
 * The ring, with its records from `nextLsn` on, where the segments end; undefined where there is no such file.
 * @param segments those that the log consists of
 * @throws ERR_JOURNAL_CORRUPT, ERR_FORMAT_VERSION, ERR_IO naming the file
 */
export function readRing(
  store: Store,
  segments: readonly { firstLsn: number; recordSeed: number }[],
  nextLsn: number,
): RingContent | undefined {
  const path = ringPath(store.directory);
  const file = readFile(store.disk, path);
  if (file === undefined) return undefined;
  const header = checkedHeader(file, path, store.uuid);
  const head = latestHead(new Int32Array(file.buffer));
  if (head === undefined) throw corrupt(path, 0, 'both heads of the ring are damaged');
  // A later opening than the ring's has written since: somebody put an old file back.
  const isStale = segments.some(
    (segment) => segment.firstLsn >= header.firstLsn && segment.recordSeed !== header.recordSeed,
  );
  if (isStale || head.lsn > nextLsn) return { headLsn: head.lsn, records: undefined, end: 0 };
  return walk(file, header, head, nextLsn);
}

function readFile(disk: Disk, path: string): Uint8Array<ArrayBuffer> | undefined {
  let fd = -1;
  try {
    fd = disk.open(path, { write: false });
    const size = disk.size(fd);
    const bytes = new Uint8Array((size + 7) & ~7);
    return bytes.subarray(0, readFully(disk, fd, bytes, 0, size, 0));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw diskError(`read the journal's ring: ${path}`, error);
  } finally {
    if (fd >= 0) disk.close(fd);
  }
}

/** The file got its name with a header that was durable: without a valid one it is damaged. */
function checkedHeader(file: Uint8Array, path: string, uuid: Uint8Array): RingHeader {
  const header = decodeRingHeader(file, uuid);
  if (header === undefined) throw corrupt(path, 0, "the ring's header is damaged");
  if (!isKnownVersion(header.version)) throw unknownVersion(path, header.version);
  if (!header.ownUuid) throw corrupt(path, 0, 'the ring belongs to another store');
  if (file.length < RING_HEADER_BYTES + header.areaBytes)
    throw corrupt(path, file.length, 'the ring is cut off');
  return header;
}

function walk(
  file: Uint8Array<ArrayBuffer>,
  { ringBytes: wholeBytes, areaBytes, recordSeed }: RingHeader,
  head: RingHead,
  nextLsn: number,
): RingContent {
  const bytes = new Uint8Array(file.buffer, RING_HEADER_BYTES, areaBytes);
  const words = new Int32Array(file.buffer, RING_HEADER_BYTES, areaBytes >> 2);
  const record = new RecordReader();
  const taken: Uint8Array[] = [];
  const ringBytes = head.ringBytes === 0 ? wholeBytes : head.ringBytes;
  let start = head.position & (ringBytes - 1);
  for (let lsn = head.lsn; start + RECORD_HEADER_BYTES <= areaBytes; lsn++) {
    const bodyLength = RecordReader.peek(words, start, recordSeed);
    if (bodyLength < 0 || start + recordBytes(bodyLength) > areaBytes) break;
    if (!record.load(bytes, words, start) || record.lsn !== lsn) break;
    if (lsn >= nextLsn) taken.push(bytes.subarray(start, start + record.size));
    start += record.size;
    if (start >= ringBytes) start -= ringBytes;
  }
  const end = RING_HEADER_BYTES + start;
  if (taken.length === 0) return { headLsn: head.lsn, records: undefined, end };
  const records = { firstLsn: nextLsn, count: taken.length, recordSeed, bytes: joined(taken) };
  return { headLsn: head.lsn, records, end };
}

function joined(pieces: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Where a segment's records end. */
export interface SavePlace {
  path: string;
  offset: number;
  /** Of the file. */
  size: number;
  /** So many bytes behind the records are not zero. */
  cutBytes: number;
  /** The group that the records end in, where that is to be longer. */
  torn?: TornGroup;
  /** What is before this offset is known to be durable. */
  durableTo: number;
}

export function ringGroupBytes({ bytes }: RingRecords): number {
  return GROUP_HEADER_BYTES + bytes.length;
}

/**
 * Makes the records durable, at `place` or in a segment of their own. All before them must be durable. A group that was
 * not written to its end becomes one that ends with its last record, or the records behind it would pass for its own. Who dies
 * on the way has them in the ring, from that group's first record on: the ring's head moves after a group is written.
 */
export function saveRecords({ disk, directory, uuid }: Store, records: RingRecords, place?: SavePlace): void {
  const { firstLsn, recordSeed, bytes } = records;
  const path = place?.path ?? segmentPath(directory, firstLsn);
  const group = new Uint8Array(GROUP_HEADER_BYTES);
  const length = ringGroupBytes(records);
  encodeGroupHeader(group, { uuid, length, firstLsn, durableLsn: firstLsn - 1 });
  let fd = -1;
  try {
    fd = disk.open(path, { write: true, create: true });
    if (place?.torn !== undefined) {
      const { offset, ...torn } = place.torn;
      const ended = new Uint8Array(GROUP_HEADER_BYTES);
      encodeGroupHeader(ended, { uuid, length: place.offset - offset, ...torn });
      writeFully(disk, fd, [ended], offset);
    }
    if (place === undefined) writeSegmentHeader(disk, fd, { directory, uuid, firstLsn, recordSeed });
    writeFully(disk, fd, [group, bytes], place?.offset ?? SEGMENT_HEADER_BYTES);
    disk.fsync(fd);
  } catch (error) {
    throw diskError(`save what the journal's ring held: ${path}`, error);
  } finally {
    if (fd >= 0) disk.close(fd);
  }
}

/** Calls `apply` for each of the records. */
export function replayRecords(
  { bytes, firstLsn, count }: RingRecords,
  apply: (lsn: number, record: RecordReader) => void,
): void {
  const words = new Int32Array(bytes.buffer);
  const record = new RecordReader();
  let offset = 0;
  for (let lsn = firstLsn; lsn < firstLsn + count; lsn++) {
    if (!record.load(bytes, words, offset)) throw new Error('a record of the ring changed while it was read');
    apply(lsn, record);
    offset += record.size;
  }
}
