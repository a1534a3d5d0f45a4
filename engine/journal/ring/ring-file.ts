/**
 * The file that the ring lies in: its header, how it comes to be and goes. engine/FORMAT.md tells its bytes.
 *
 * Every thread maps the file for itself; the pages are the same. Whatever is stored in them is in the page cache, so
 * a record that is in the ring survives the process, and recovery finds it (ring-recovery.ts).
 *
 * Invariants:
 * - A file of the name `journal.ring` is that of the last opening for writing, and its header was durable before the
 *   file got the name. An old file loses the name durably before its header is rewritten, so that a power cut at
 *   any point leaves the old ring, none, or the new one. What the old one held is in a durable segment by then.
 * - The heads say from which position and LSN on the records may be in the ring only. They are stored one after the
 *   other, after a group's write(2) returned and before its space in the ring is free for reuse: at any point at least
 *   one of them is whole, and the ring still has all records from it on. Each is good for a sector that is damaged
 *   under the other.
 * - The file has its whole size before it is mapped, and what of it is in use has disk space: a store to a hole on a
 *   full disk would kill the process. A small part is in use at first; it is doubled while the ring is empty and nobody can
 *   append, and the heads tell how large it is. The file is never made shorter. It stays when the store is closed, so
 *   that a store on a full disk can be opened again.
 */
import { crc32 } from 'node:zlib';
import type { Disk } from '../../disk/disk.js';
import { diskError, hasErrno } from '../../disk/io.js';
import { crc32Words } from '../records/crc32.js';
import {
  hasUuid,
  JOURNAL_FORMAT_VERSION,
  lsnFromHalves,
  lsnHigh,
  readLsn,
  recordBytes,
  viewOf,
  writeLsn,
} from '../records/format.js';
import { spaceError, writeFully } from '../segments/segment-file.js';
import type { JournalSizes } from '../sizes.js';

/** "SPJR": magic u32, version u32, store UUID, first LSN u64, seed u32, ring and area bytes u32, zeros, CRC u32. */
const RING_MAGIC = 0x524a5053;
const HEADER_CRC_OFFSET = 60;
/** The two heads, in sectors of their own: position u32, bytes in use u32, LSN u64, CRC u32 that continues the header's. */
const HEAD_OFFSETS = [512, 1024] as const;
const HEAD_WORDS = 4;
/** The header's page; records come after it. */
export const RING_HEADER_BYTES = 4096;

const PAGE_BYTES = 4096;

export interface RingHeader {
  version: number;
  ownUuid: boolean;
  /** The LSN that came next when the store was opened. */
  firstLsn: number;
  /** What the CRCs of the records continue from; another one at each opening. */
  recordSeed: number;
  ringBytes: number;
  /** The ring and its overflow area. */
  areaBytes: number;
}

export interface RingHead {
  /** Ring position of the first record that may not be in a segment. */
  position: number;
  /** Size of the ring in use; 0: all of it. */
  ringBytes: number;
  lsn: number;
}

export interface RingOptions {
  directory: string;
  uuid: Uint8Array;
  recordSeed: number;
  sizes: JournalSizes;
}

export function ringPath(directory: string): string {
  return `${directory}/journal.ring`;
}

/** Where the file waits between two openings. */
function sparePath(directory: string): string {
  return `${directory}/journal.ring.spare`;
}

/** Bytes of the ring and the overflow area behind it, which the largest record fits in. */
export function ringAreaBytes(sizes: JournalSizes): number {
  return sizes.ringBytes + recordBytes(sizes.maxBodyBytes);
}

function ringFileBytes(sizes: JournalSizes): number {
  return wholePages(RING_HEADER_BYTES + ringAreaBytes(sizes));
}

/** Bytes of the file that are touched while so many of the ring are in use: no record is larger than those. */
function usedFileBytes(sizes: JournalSizes, ringBytes: number): number {
  return ringBytes === sizes.ringBytes ? ringFileBytes(sizes) : wholePages(RING_HEADER_BYTES + 2 * ringBytes);
}

function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

/**
 * Makes the ring anew, empty and with its name durable, and maps it. What an earlier one held must be in a durable segment.
 * @param firstLsn the LSN that comes next
 * @param ringBytes size of the ring in use
 * @throws ERR_NO_SPACE, ERR_IO naming the file
 */
export function makeRing(
  disk: Disk,
  options: RingOptions,
  firstLsn: number,
  ringBytes = options.sizes.ringBytes,
): ArrayBuffer {
  const { directory, uuid, recordSeed, sizes } = options;
  const spare = sparePath(directory);
  const length = ringFileBytes(sizes);
  const header = new Uint8Array(RING_HEADER_BYTES);
  const view = viewOf(header);
  view.setUint32(0, RING_MAGIC, true);
  view.setUint32(4, JOURNAL_FORMAT_VERSION, true);
  header.set(uuid, 8);
  writeLsn(view, 24, firstLsn);
  view.setUint32(32, recordSeed, true);
  view.setUint32(36, sizes.ringBytes, true);
  view.setUint32(40, ringAreaBytes(sizes), true);
  view.setUint32(HEADER_CRC_OFFSET, crc32(header.subarray(0, HEADER_CRC_OFFSET)), true);
  storeHeads(new Int32Array(header.buffer), 0, firstLsn, ringBytes);
  let fd = -1;
  try {
    retireRing(disk, directory);
    disk.syncDirectory(directory);
    fd = disk.open(spare, { write: true, create: true });
    allocate(disk, fd, spare, usedFileBytes(sizes, ringBytes));
    if (disk.size(fd) < length) disk.truncate(fd, length);
    writeFully(disk, fd, [header], 0);
    disk.fsync(fd);
    disk.rename(spare, ringPath(directory));
    disk.syncDirectory(directory);
    return disk.map(fd, length);
  } catch (error) {
    throw diskError(`make the journal's ring: ${spare}`, error);
  } finally {
    if (fd >= 0) disk.close(fd);
  }
}

/** What a failed attempt got of the space is kept for the next one. */
function allocate(disk: Disk, fd: number, path: string, length: number): void {
  try {
    disk.allocate(fd, 0, length);
  } catch (error) {
    throw spaceError(error, path);
  }
}

/** Gives the file the space that it needs for so many bytes of the ring in use. Throws ERR_NO_SPACE, ERR_IO. */
export function growRing(disk: Disk, { directory, sizes }: RingOptions, ringBytes: number): void {
  const path = ringPath(directory);
  let fd = -1;
  try {
    fd = disk.open(path, { write: true });
    allocate(disk, fd, path, usedFileBytes(sizes, ringBytes));
  } catch (error) {
    throw diskError(`enlarge the journal's ring: ${path}`, error);
  } finally {
    if (fd >= 0) disk.close(fd);
  }
}

/** Maps the ring that another thread made. */
export function mapRing(disk: Disk, { directory, sizes }: RingOptions): ArrayBuffer {
  const path = ringPath(directory);
  let fd = -1;
  try {
    fd = disk.open(path, { write: true });
    return disk.map(fd, ringFileBytes(sizes));
  } catch (error) {
    throw diskError(`map the journal's ring: ${path}`, error);
  } finally {
    if (fd >= 0) disk.close(fd);
  }
}

/** Takes the ring's name away, where there is one. Its records must all be in durable segments. Throws ERR_IO. */
export function retireRing(disk: Disk, directory: string): void {
  const path = ringPath(directory);
  try {
    disk.rename(path, sparePath(directory));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return;
    throw diskError(`put the journal's ring aside: ${path}`, error);
  }
}

/** Stores both heads in the words of a file whose header is there. */
export function storeHeads(words: Int32Array, position: number, lsn: number, ringBytes: number): void {
  const headerCrc = words[HEADER_CRC_OFFSET >> 2]!;
  for (let copy = 0; copy < HEAD_OFFSETS.length; copy++) {
    const at = HEAD_OFFSETS[copy]! >> 2;
    words[at] = position;
    words[at + 1] = ringBytes;
    words[at + 2] = lsn | 0;
    words[at + 3] = lsnHigh(lsn);
    words[at + HEAD_WORDS] = crc32Words(words, at, at + HEAD_WORDS, headerCrc);
  }
}

/** The header at the start of `file`, or undefined where there is none with a right checksum. */
export function decodeRingHeader(file: Uint8Array, uuid: Uint8Array): RingHeader | undefined {
  if (file.length < RING_HEADER_BYTES) return undefined;
  const view = viewOf(file);
  if (view.getUint32(0, true) !== RING_MAGIC) return undefined;
  if (view.getUint32(HEADER_CRC_OFFSET, true) !== crc32(file.subarray(0, HEADER_CRC_OFFSET)))
    return undefined;
  return {
    version: view.getUint32(4, true),
    ownUuid: hasUuid(file, uuid),
    firstLsn: readLsn(view, 24),
    recordSeed: view.getUint32(32, true),
    ringBytes: view.getUint32(36, true),
    areaBytes: view.getUint32(40, true),
  };
}

/** The later one of the heads whose checksum is right. */
export function latestHead(words: Int32Array): RingHead | undefined {
  const headerCrc = words[HEADER_CRC_OFFSET >> 2]!;
  let latest: RingHead | undefined;
  for (const offset of HEAD_OFFSETS) {
    const at = offset >> 2;
    if (crc32Words(words, at, at + HEAD_WORDS, headerCrc) !== words[at + HEAD_WORDS]!) continue;
    const lsn = lsnFromHalves(words[at + 2]!, words[at + 3]!);
    if (latest === undefined || lsn > latest.lsn) {
      latest = { position: words[at]!, ringBytes: words[at + 1]!, lsn };
    }
  }
  return latest;
}
