/**
 * The pins part of a manifest record: which pins are added and removed, and rows that are kept for pins alone. A delta tells
 * changes of pins; the rows that it takes from their blobs become kept rows by themselves (pin-set.ts). A snapshot tells all.
 *
 * It lies behind the record, begins with a header that has a CRC of its own, and names the record's sequence number: so one
 * that was left there by an earlier record is not taken for it.
 */
import { crc32 } from 'node:zlib';
import { MAX_SNAPSHOT_NAME_BYTES } from '../../../limits.js';
import type { Pin } from '../../blob-store.js';
import { ROW_BYTES, readRow, writeRow } from '../row.js';
import { MAX_SLOTS, type StoredRow } from '../slot-map.js';

/** The image of a blob that has another by now, or none: kept for the pins as old as it or newer, up to `lastPin`. */
export interface KeptRow extends StoredRow {
  lastPin: number;
}

export interface PinsPart {
  /** The greatest id that a pin ever had. */
  lastPin: number;
  pins: readonly Pin[];
  removed: readonly number[];
  kept: readonly KeptRow[];
}

export interface PinsHeader {
  lastPin: number;
  pins: number;
  removed: number;
  kept: number;
  nameBytes: number;
  bodyCrc: number;
  /** Bytes of the whole part. */
  length: number;
}

/** "SPMP" */
const PINS_MAGIC = 0x504d5053;
const HEADER_BYTES = 40;
const OFFSET = {
  magic: 0, // u32
  headerCrc: 4, // u32, of the header with these four bytes taken as zero
  bodyCrc: 8, // u32, of the body with its padding
  lastPin: 12, // u32
  sequence: 16, // f64
  pins: 24, // u32
  removed: 28, // u32
  kept: 32, // u32
  nameBytes: 36, // u32
} as const;
const PIN_BYTES = 32;
/** What a row that is kept takes. */
const KEPT_BYTES = ROW_BYTES + 4;
const ALIGNMENT = 8;

function partBytes(pins: number, removed: number, kept: number, nameBytes: number): number {
  const body = pins * PIN_BYTES + kept * KEPT_BYTES + removed * 4 + nameBytes;
  return HEADER_BYTES + Math.ceil(body / ALIGNMENT) * ALIGNMENT;
}

const nameBytesOf = (pins: readonly Pin[]): number =>
  pins.reduce((sum, { name }) => sum + Buffer.byteLength(name), 0);

/** Bytes of the part that tells all pins, with so many rows that are kept. */
export function wholePartBytes(pins: readonly Pin[], kept: number): number {
  return partBytes(pins.length, 0, kept, nameBytesOf(pins));
}

export function pinsPartBytes({ pins, removed, kept }: PinsPart): number {
  return partBytes(pins.length, removed.length, kept.length, nameBytesOf(pins));
}

/** Writes the part that belongs to the record of this sequence number into `bytes`, which are zero and as many as it takes. */
export function encodePinsPart(part: PinsPart, sequence: number, bytes: Uint8Array): void {
  const { pins, removed, kept, lastPin } = part;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(OFFSET.magic, PINS_MAGIC, true);
  view.setUint32(OFFSET.lastPin, lastPin, true);
  view.setFloat64(OFFSET.sequence, sequence, true);
  view.setUint32(OFFSET.pins, pins.length, true);
  view.setUint32(OFFSET.removed, removed.length, true);
  view.setUint32(OFFSET.kept, kept.length, true);
  view.setUint32(OFFSET.nameBytes, nameBytesOf(pins), true);
  let at = HEADER_BYTES;
  for (const pin of pins) {
    view.setUint32(at, pin.id, true);
    view.setUint32(at + 4, Buffer.byteLength(pin.name), true);
    view.setFloat64(at + 8, pin.lsn, true);
    view.setFloat64(at + 16, pin.generation, true);
    view.setFloat64(at + 24, pin.createdAt, true);
    at += PIN_BYTES;
  }
  for (const row of kept) {
    writeRow(view, at, row);
    view.setUint32(at + ROW_BYTES, row.lastPin, true);
    at += KEPT_BYTES;
  }
  for (const id of removed) {
    view.setUint32(at, id, true);
    at += 4;
  }
  for (const { name } of pins) {
    const text = Buffer.from(name);
    bytes.set(text, at);
    at += text.length;
  }
  view.setUint32(OFFSET.bodyCrc, crc32(bytes.subarray(HEADER_BYTES)), true);
  view.setUint32(OFFSET.headerCrc, crc32(bytes.subarray(0, HEADER_BYTES)), true);
}

/** Reads the header at `at` of the part that belongs to the record of this sequence number; a string tells why there is none. */
export function decodePinsHeader(bytes: Uint8Array, at: number, sequence: number): PinsHeader | string {
  if (at + HEADER_BYTES > bytes.length) return 'the header of its pins part is cut short';
  const plain = bytes.slice(at, at + HEADER_BYTES);
  const view = new DataView(plain.buffer);
  if (view.getUint32(OFFSET.magic, true) !== PINS_MAGIC) return 'the magic of its pins part is missing';
  const crc = view.getUint32(OFFSET.headerCrc, true);
  view.setUint32(OFFSET.headerCrc, 0, true);
  if (crc32(plain) !== crc) return 'the CRC of the header of its pins part is wrong';
  const owner = view.getFloat64(OFFSET.sequence, true);
  if (owner !== sequence) return `its pins part is that of record ${owner}`;
  const pins = view.getUint32(OFFSET.pins, true);
  const removed = view.getUint32(OFFSET.removed, true);
  const kept = view.getUint32(OFFSET.kept, true);
  const nameBytes = view.getUint32(OFFSET.nameBytes, true);
  return {
    lastPin: view.getUint32(OFFSET.lastPin, true),
    pins,
    removed,
    kept,
    nameBytes,
    bodyCrc: view.getUint32(OFFSET.bodyCrc, true),
    length: partBytes(pins, removed, kept, nameBytes),
  };
}

/** Reads the part whose header is at `at`; a string tells why there is none. */
export function decodePinsPart(bytes: Uint8Array, at: number, header: PinsHeader): PinsPart | string {
  const body = bytes.subarray(at + HEADER_BYTES, at + header.length);
  if (body.length < header.length - HEADER_BYTES) return 'its pins part is cut short';
  if (crc32(body) !== header.bodyCrc) return 'the CRC of its pins part is wrong';
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const keptAt = header.pins * PIN_BYTES;
  const removedAt = keptAt + header.kept * KEPT_BYTES;
  let nameAt = removedAt + header.removed * 4;
  const end = nameAt + header.nameBytes;
  const pins: Pin[] = [];
  for (let pos = 0; pos < keptAt; pos += PIN_BYTES) {
    const id = view.getUint32(pos, true);
    const length = view.getUint32(pos + 4, true);
    if (length === 0 || length > MAX_SNAPSHOT_NAME_BYTES || nameAt + length > end)
      return `the name of pin ${id} has ${length} bytes`;
    pins.push({
      id,
      name: Buffer.from(body.subarray(nameAt, nameAt + length)).toString(),
      lsn: view.getFloat64(pos + 8, true),
      generation: view.getFloat64(pos + 16, true),
      createdAt: view.getFloat64(pos + 24, true),
    });
    nameAt += length;
  }
  const kept: KeptRow[] = [];
  for (let pos = keptAt; pos < removedAt; pos += KEPT_BYTES) {
    const row = { ...readRow(view, pos), lastPin: view.getUint32(pos + ROW_BYTES, true) };
    if (row.id === 0 || row.slot >= MAX_SLOTS) return `the kept row of blob ${row.id} names slot ${row.slot}`;
    kept.push(row);
  }
  const removed: number[] = [];
  for (let n = 0; n < header.removed; n++) removed.push(view.getUint32(removedAt + n * 4, true));
  return { lastPin: header.lastPin, pins, removed, kept };
}
