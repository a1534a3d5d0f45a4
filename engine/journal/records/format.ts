/**
 * The journal's bytes on disk, shared by writer and reader; engine/FORMAT.md tells them in full.
 * Little-endian throughout. A segment file is a segment header, then groups; a group is a group header, then
 * records; a record is a header of 24 bytes and a body. Every one of these begins at a multiple of 8.
 */
import { crc32 } from 'node:zlib';

/** 2: the heads of the ring tell its size in use. */
export const JOURNAL_FORMAT_VERSION = 2;
/** What is written is of the version above; what is read may be of any from this one on. */
const OLDEST_FORMAT_VERSION = 1;

export function isKnownVersion(version: number): boolean {
  return version >= OLDEST_FORMAT_VERSION && version <= JOURNAL_FORMAT_VERSION;
}

export const UUID_BYTES = 16;

/**
 * "SPJS": magic u32, version u32, store UUID, first LSN u64, seed of the records' CRCs u32, zeros, CRC u32 of the 60
 * bytes before it.
 */
const SEGMENT_MAGIC = 0x534a5053;
export const SEGMENT_HEADER_BYTES = 64;

/** "SPJG": magic u32, length u32, store UUID, first LSN u64, durable LSN u64, zero u32, CRC u32 of the 44 before. */
export const GROUP_MAGIC = 0x474a5053;
export const GROUP_HEADER_BYTES = 48;

/**
 * "SR", a type byte, a zero byte | body length u32 | LSN u64 | header CRC u32 | body CRC u32. The CRCs continue from a
 * seed that each opening of the store draws anew, so that no bytes but those of its own records count as one.
 */
export const RECORD_MAGIC = 0x5253;
export const RECORD_HEADER_BYTES = 24;

const TWO_TO_32 = 0x1_0000_0000;

/** Bytes of a record with a body of `bodyBytes`: header, body, padding to 8. */
export function recordBytes(bodyBytes: number): number {
  return (RECORD_HEADER_BYTES + bodyBytes + 7) & ~7;
}

/** The upper half of an LSN, which is below 2^53; `lsn | 0` is the lower one. */
export function lsnHigh(lsn: number): number {
  return (lsn / TWO_TO_32) | 0;
}

export function lsnFromHalves(low: number, high: number): number {
  return (high >>> 0) * TWO_TO_32 + (low >>> 0);
}

export function writeLsn(view: DataView, offset: number, lsn: number): void {
  view.setInt32(offset, lsn | 0, true);
  view.setInt32(offset + 4, lsnHigh(lsn), true);
}

export function readLsn(view: DataView, offset: number): number {
  return lsnFromHalves(view.getInt32(offset, true), view.getInt32(offset + 4, true));
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function hasUuid(header: Uint8Array, uuid: Uint8Array): boolean {
  for (let index = 0; index < UUID_BYTES; index++) if (header[8 + index] !== uuid[index]) return false;
  return true;
}

export function encodeSegmentHeader(uuid: Uint8Array, firstLsn: number, recordSeed: number): Uint8Array {
  const header = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = viewOf(header);
  view.setUint32(0, SEGMENT_MAGIC, true);
  view.setUint32(4, JOURNAL_FORMAT_VERSION, true);
  header.set(uuid, 8);
  writeLsn(view, 24, firstLsn);
  view.setUint32(32, recordSeed, true);
  view.setUint32(60, crc32(header.subarray(0, 60)), true);
  return header;
}

export interface SegmentHeader {
  version: number;
  ownUuid: boolean;
  firstLsn: number;
  recordSeed: number;
}

/** The header at the start of `bytes`, or undefined where there is none with a right checksum. */
export function decodeSegmentHeader(bytes: Uint8Array, uuid: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC) return undefined;
  if (view.getUint32(60, true) !== crc32(bytes.subarray(0, 60))) return undefined;
  return {
    version: view.getUint32(4, true),
    ownUuid: hasUuid(bytes, uuid),
    firstLsn: readLsn(view, 24),
    recordSeed: view.getUint32(32, true),
  };
}

/** Writes the header of a group of `length` bytes (header included) into the first 48 bytes of `into`. */
export function encodeGroupHeader(
  into: Uint8Array,
  group: { uuid: Uint8Array; length: number; firstLsn: number; durableLsn: number },
): void {
  const view = viewOf(into);
  view.setUint32(0, GROUP_MAGIC, true);
  view.setUint32(4, group.length, true);
  into.set(group.uuid, 8);
  writeLsn(view, 24, group.firstLsn);
  writeLsn(view, 32, group.durableLsn);
  view.setUint32(40, 0, true);
  view.setUint32(44, crc32(into.subarray(0, 44)), true);
}

export interface GroupHeader {
  length: number;
  firstLsn: number;
  durableLsn: number;
}

/** The group header at `offset`, or undefined where there is no valid one of this store. */
export function decodeGroupHeader(
  bytes: Uint8Array,
  offset: number,
  uuid: Uint8Array,
): GroupHeader | undefined {
  if (bytes.length < offset + GROUP_HEADER_BYTES) return undefined;
  const header = bytes.subarray(offset, offset + GROUP_HEADER_BYTES);
  const view = viewOf(header);
  if (view.getUint32(0, true) !== GROUP_MAGIC || !hasUuid(header, uuid)) return undefined;
  if (view.getUint32(44, true) !== crc32(header.subarray(0, 44))) return undefined;
  const length = view.getUint32(4, true);
  const firstLsn = readLsn(view, 24);
  const durableLsn = readLsn(view, 32);
  if (length < GROUP_HEADER_BYTES || length % 8 !== 0 || durableLsn >= firstLsn) return undefined;
  return { length, firstLsn, durableLsn };
}
