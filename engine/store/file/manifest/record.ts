/**
 * One record of the manifest: the whole of `manifest` (a snapshot) or one entry of `manifest.log` (a delta); where pins are
 * concerned with its pins part (pins-part.ts) behind it. Byte tables are in engine/FORMAT.md. The header has its own CRC, so
 * the counts in it, from which the length of the body follows, can be trusted before the body is looked at.
 */
import { crc32 } from 'node:zlib';
import { WAITING_BLOBS } from '../../../art/layout.js';
import type { MeasureName } from '../../../art/measure.js';
import { MAX_MEASURE_FIELDS, MAX_MEASURE_NAME_BYTES } from '../../../limits.js';
import type { BlobId, CheckpointMark } from '../../blob-store.js';
import {
  decodePinsHeader,
  decodePinsPart,
  encodePinsPart,
  type PinsHeader,
  type PinsPart,
  pinsPartBytes,
} from '../pins/pins-part.js';
import { ROW_BYTES, readRow, writeRow, writeSums } from '../row.js';
import { MAX_SLOTS, type StoredRow } from '../slot-map.js';

/** "SPMR" */
export const RECORD_MAGIC = 0x524d5053;
/**
 * Version 1 has no HAS_RUN, version 2 no HAS_PINS and no measures, version 3 no blobs of waiting changes; all are read. What is
 * written is of version 3, or of 4 where rows are of such blobs: who does not know of them must not open the store.
 */
export const MANIFEST_VERSION = 4;
const VERSION_WITHOUT_WAITING = 3;
const OLDEST_VERSION = 1;
export const HEADER_BYTES = 64;
export const UUID_BYTES = 16;
export const RECORD_ALIGNMENT = 8;

const KIND = { snapshot: 1, delta: 2 } as const;
export type RecordKind = keyof typeof KIND;

const OFFSET = {
  magic: 0, // u32
  version: 4, // u16
  kind: 6, // u16
  headerCrc: 8, // u32, of the header with these four bytes taken as zero
  bodyCrc: 12, // u32, of the body with its padding
  uuid: 16, // 16 bytes
  base: 32, // f64
  sequence: 40, // f64
  rows: 48, // u32
  deletes: 52, // u32
  pendingDeletes: 56, // u32
  flags: 60, // u32
} as const;
const HAS_MARK = 1;
const HAS_RUN = 2;
const HAS_PINS = 4;
/** Bits of the flags: fields of the measure, 0 for none, and bytes of its name. */
const FIELDS_SHIFT = 8;
const FIELDS_MASK = 0xf;
const NAME_SHIFT = 16;
const NAME_MASK = 0xff;
const MARK_BYTES = 24;

export interface RecordHeader {
  kind: RecordKind;
  /** The store's identity. */
  uuid: Uint8Array;
  /** Sequence number of the snapshot that this record follows; a snapshot's own. */
  base: number;
  sequence: number;
  rows: number;
  deletes: number;
  pendingDeletes: number;
  hasMark: boolean;
  hasRun: boolean;
  /** Fields of the measure, and bytes of its name; 0: none. */
  fields: number;
  nameBytes: number;
  bodyCrc: number;
  /** Of the pins part, if there is one. */
  pins: PinsHeader | undefined;
  /** Bytes of the record without its pins part, and with it. */
  ownLength: number;
  length: number;
}

export interface ManifestRecord {
  kind: RecordKind;
  uuid: Uint8Array;
  base: number;
  sequence: number;
  rows: readonly StoredRow[];
  deletes: readonly BlobId[];
  mark: CheckpointMark | undefined;
  /** The store has a record of its last run (journal.run), whose loss is damage. */
  hasRun: boolean;
  /** Changes about pins; of a snapshot all pins, and all rows that are kept for them. */
  pins: PinsPart | undefined;
  /** The measure that the rows' sums are of. */
  measure: MeasureName | undefined;
}

/** Bytes, without a pins part, of a record with so many rows, deletes and, if it carries a mark, pending deletes. */
export function recordBytes(
  rows: number,
  deletes: number,
  pendingDeletes: number,
  hasMark: boolean,
  measure: MeasureName | undefined,
): number {
  const nameBytes = measure?.name.length ?? 0;
  return bytesOf(rows, deletes + pendingDeletes, hasMark, measure?.fields ?? 0, nameBytes);
}

function bytesOf(rows: number, ids: number, hasMark: boolean, fields: number, nameBytes: number): number {
  const body = (hasMark ? MARK_BYTES : 0) + rows * (ROW_BYTES + fields * 8) + ids * 4 + nameBytes;
  return HEADER_BYTES + Math.ceil(body / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
}

export function encodeRecord(record: ManifestRecord): Uint8Array {
  const { rows, deletes, mark, measure, pins } = record;
  const pendingDeletes = mark?.pendingDeletes ?? [];
  const ownBytes = recordBytes(
    rows.length,
    deletes.length,
    pendingDeletes.length,
    mark !== undefined,
    measure,
  );
  const whole = new Uint8Array(ownBytes + (pins === undefined ? 0 : pinsPartBytes(pins)));
  if (pins !== undefined) encodePinsPart(pins, record.sequence, whole.subarray(ownBytes));
  const bytes = whole.subarray(0, ownBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(OFFSET.magic, RECORD_MAGIC, true);
  const namesAny = namesWaiting(rows.map(({ id }) => id));
  view.setUint16(OFFSET.version, namesAny ? MANIFEST_VERSION : VERSION_WITHOUT_WAITING, true);
  view.setUint16(OFFSET.kind, KIND[record.kind], true);
  bytes.set(record.uuid, OFFSET.uuid);
  view.setFloat64(OFFSET.base, record.base, true);
  view.setFloat64(OFFSET.sequence, record.sequence, true);
  view.setUint32(OFFSET.rows, rows.length, true);
  view.setUint32(OFFSET.deletes, deletes.length, true);
  view.setUint32(OFFSET.pendingDeletes, pendingDeletes.length, true);
  const fields = measure?.fields ?? 0;
  const name = Buffer.from(measure?.name ?? '', 'latin1');
  const flags =
    (mark === undefined ? 0 : HAS_MARK) |
    (record.hasRun ? HAS_RUN : 0) |
    (pins === undefined ? 0 : HAS_PINS) |
    (fields << FIELDS_SHIFT) |
    (name.length << NAME_SHIFT);
  view.setUint32(OFFSET.flags, flags, true);
  let at = HEADER_BYTES;
  if (mark !== undefined) {
    view.setFloat64(at, mark.lsn, true);
    view.setFloat64(at + 8, mark.generation, true);
    view.setFloat64(at + 16, mark.nextBlobId, true);
    at += MARK_BYTES;
  }
  for (const row of rows) {
    writeRow(view, at, row);
    writeSums(view, at + ROW_BYTES, row, fields);
    at += ROW_BYTES + fields * 8;
  }
  for (const list of [deletes, pendingDeletes]) {
    for (const id of list) {
      view.setUint32(at, id, true);
      at += 4;
    }
  }
  bytes.set(name, at);
  view.setUint32(OFFSET.bodyCrc, crc32(bytes.subarray(HEADER_BYTES)), true);
  view.setUint32(OFFSET.headerCrc, crc32(bytes.subarray(0, HEADER_BYTES)), true);
  return whole;
}

export function namesWaiting(ids: readonly BlobId[]): boolean {
  return ids.some((id) => id >= WAITING_BLOBS);
}

/** Reads the header at `at`, and that of the pins part; a string tells why there is none. @throws VersionMismatch */
export function decodeHeader(bytes: Uint8Array, at: number): RecordHeader | string {
  if (at + HEADER_BYTES > bytes.length) return 'the record header is cut short';
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  if (view.getUint32(OFFSET.magic, true) !== RECORD_MAGIC) return 'the record magic is missing';
  const plain = bytes.slice(at, at + HEADER_BYTES);
  plain.fill(0, OFFSET.headerCrc, OFFSET.headerCrc + 4);
  if (crc32(plain) !== view.getUint32(OFFSET.headerCrc, true)) return 'the CRC of the record header is wrong';
  const version = view.getUint16(OFFSET.version, true);
  if (version < OLDEST_VERSION || version > MANIFEST_VERSION) throw new VersionMismatch(version);
  const kind = view.getUint16(OFFSET.kind, true);
  if (kind !== KIND.snapshot && kind !== KIND.delta) return `the record kind is ${kind}`;
  const rows = view.getUint32(OFFSET.rows, true);
  const deletes = view.getUint32(OFFSET.deletes, true);
  const pendingDeletes = view.getUint32(OFFSET.pendingDeletes, true);
  const flags = view.getUint32(OFFSET.flags, true);
  const hasMark = (flags & HAS_MARK) !== 0;
  const fields = (flags >> FIELDS_SHIFT) & FIELDS_MASK;
  const nameBytes = (flags >> NAME_SHIFT) & NAME_MASK;
  if (fields > MAX_MEASURE_FIELDS || nameBytes > MAX_MEASURE_NAME_BYTES) {
    return `the record's measure has ${fields} fields and a name of ${nameBytes} bytes`;
  }
  const sequence = view.getFloat64(OFFSET.sequence, true);
  const ownLength = bytesOf(rows, deletes + pendingDeletes, hasMark, fields, nameBytes);
  const pins = (flags & HAS_PINS) === 0 ? undefined : decodePinsHeader(bytes, at + ownLength, sequence);
  if (typeof pins === 'string') return pins;
  return {
    kind: kind === KIND.snapshot ? 'snapshot' : 'delta',
    uuid: bytes.slice(at + OFFSET.uuid, at + OFFSET.uuid + UUID_BYTES),
    base: view.getFloat64(OFFSET.base, true),
    sequence,
    rows,
    deletes,
    pendingDeletes,
    hasMark,
    hasRun: (flags & HAS_RUN) !== 0,
    fields,
    nameBytes,
    bodyCrc: view.getUint32(OFFSET.bodyCrc, true),
    pins,
    ownLength,
    length: ownLength + (pins?.length ?? 0),
  };
}

/** Reads the body that belongs to a header at `at`; a string tells why there is none. */
export function decodeRecord(bytes: Uint8Array, at: number, header: RecordHeader): ManifestRecord | string {
  if (at + header.length > bytes.length) return `the record is cut short, it has ${header.length} bytes`;
  const body = bytes.subarray(at + HEADER_BYTES, at + header.ownLength);
  if (crc32(body) !== header.bodyCrc) return 'the CRC of the record body is wrong';
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let pos = header.hasMark ? MARK_BYTES : 0;
  const rows: StoredRow[] = [];
  for (let i = 0; i < header.rows; i++) {
    const row = readRow(view, pos, header.fields);
    pos += ROW_BYTES + header.fields * 8;
    if (row.id === 0 || row.slot >= MAX_SLOTS) return `the row of blob ${row.id} names slot ${row.slot}`;
    rows.push(row);
  }
  const readIds = (count: number): BlobId[] => {
    const ids: BlobId[] = [];
    for (let i = 0; i < count; i++, pos += 4) ids.push(view.getUint32(pos, true));
    return ids;
  };
  const deletes = readIds(header.deletes);
  const pendingDeletes = readIds(header.pendingDeletes);
  const mark = header.hasMark
    ? {
        lsn: view.getFloat64(0, true),
        generation: view.getFloat64(8, true),
        nextBlobId: view.getFloat64(16, true),
        pendingDeletes,
      }
    : undefined;
  const pins = header.pins && decodePinsPart(bytes, at + header.ownLength, header.pins);
  if (typeof pins === 'string') return pins;
  const { kind, uuid, base, sequence, hasRun, fields, nameBytes } = header;
  const name = Buffer.from(body.subarray(pos, pos + nameBytes)).toString('latin1');
  const measure = fields === 0 ? undefined : { name, fields };
  return { kind, uuid, base, sequence, rows, deletes, mark, hasRun, measure, pins };
}

/** A whole record of another format version: not damage, but not for this release. */
export class VersionMismatch extends Error {
  readonly version: number;

  constructor(version: number) {
    super(`format version ${version}`);
    this.version = version;
  }
}
