/**
 * Reads `manifest` and `manifest.log` and decides what they say.
 *
 * The snapshot in `manifest` has a sequence number S. A delta in the log counts if its base is S; the deltas of S
 * lie one after another from LOG_RECORDS_AT and are numbered S+1, S+2, ... Records with a smaller base are left over from
 * before the snapshot, and are written over by and by.
 *
 * The first place without the record that is due is the end of the log: a flush that did not happen, unless
 * - `confirmed` in the log's header says that a record of this or a later number was durable, or
 * - a whole record of base S, or of a later snapshot, lies behind it.
 * Either means damage: ERR_MANIFEST_CORRUPT.
 */
import { crc32 } from 'node:zlib';
import type { MeasureName } from '../../../art/measure.js';
import type { Disk } from '../../../disk/disk.js';
import { diskError, hasErrno, readFully } from '../../../disk/io.js';
import { SpinneyError } from '../../../errors.js';
import type { BlobId, CheckpointMark } from '../../blob-store.js';
import { LOG_FILE, MANIFEST_FILE } from '../names.js';
import { PinSet } from '../pins/pin-set.js';
import type { StoredRow } from '../slot-map.js';
import {
  decodeHeader,
  decodeRecord,
  MANIFEST_VERSION,
  type ManifestRecord,
  RECORD_ALIGNMENT,
  RECORD_MAGIC,
  UUID_BYTES,
  VersionMismatch,
} from './record.js';

/** "SPML" */
export const LOG_MAGIC = 0x4c4d5053;
const LOG_VERSION = 1;
const LOG_HEADER_BYTES = 32;
const LOG_OFFSET = { magic: 0, version: 4, crc: 8, uuid: 16 } as const;
/** "SPMC" */
const CONFIRM_MAGIC = 0x434d5053;
const CONFIRM_BYTES = 16;
const CONFIRM_OFFSET = { magic: 0, crc: 4, sequence: 8 } as const;
/** The confirmation lies in a sector of its own, as it is written over while the header must stay. */
export const LOG_CONFIRM_AT = 512;
export const LOG_RECORDS_AT = 4096;

export interface ManifestState {
  uuid: Uint8Array;
  /** Sequence number of the snapshot. */
  base: number;
  /** Sequence number of the last record that counts. */
  sequence: number;
  /** Where the next delta goes. */
  logEnd: number;
  /** Size of the log file. */
  logSize: number;
  rows: Map<BlobId, StoredRow>;
  pins: PinSet;
  mark: CheckpointMark | undefined;
  /** Whether the store has a record of its last run. */
  hasRun: boolean;
  /** The measure that the rows' sums are of. */
  measure: MeasureName | undefined;
}

/** Before anything was told, or by the snapshot of this sequence number before it is looked into. */
export function newState(uuid: Uint8Array, logSize: number, base = 0): ManifestState {
  return {
    uuid,
    base,
    sequence: base,
    logEnd: LOG_RECORDS_AT,
    logSize,
    rows: new Map(),
    pins: new PinSet(),
    mark: undefined,
    hasRun: false,
    measure: undefined,
  };
}

export function encodeLogHeader(uuid: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LOG_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(LOG_OFFSET.magic, LOG_MAGIC, true);
  view.setUint16(LOG_OFFSET.version, LOG_VERSION, true);
  bytes.set(uuid, LOG_OFFSET.uuid);
  view.setUint32(LOG_OFFSET.crc, crc32(bytes), true);
  return bytes;
}

export function encodeConfirmation(sequence: number): Uint8Array {
  const bytes = new Uint8Array(CONFIRM_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(CONFIRM_OFFSET.magic, CONFIRM_MAGIC, true);
  view.setFloat64(CONFIRM_OFFSET.sequence, sequence, true);
  view.setUint32(CONFIRM_OFFSET.crc, crc32(bytes), true);
  return bytes;
}

/** @throws ERR_MANIFEST_CORRUPT, ERR_FORMAT_VERSION, ERR_IO */
export function readManifest(disk: Disk, directory: string): ManifestState {
  const snapshotPath = `${directory}/${MANIFEST_FILE}`;
  const snapshotFile = readFile(disk, snapshotPath);
  const { record: snapshot } = decode(snapshotPath, snapshotFile, 0);
  if (snapshot.kind !== 'snapshot') throw corrupt(snapshotPath, 0, 'it is not a snapshot');

  const logPath = `${directory}/${LOG_FILE}`;
  const log = readFile(disk, logPath);
  checkLogHeader(logPath, log, snapshot.uuid);

  const state = newState(snapshot.uuid, log.length, snapshot.sequence);
  apply(state, snapshot);
  for (;;) {
    const next = decodeDelta(logPath, log, state.logEnd, state);
    if (typeof next === 'string') {
      checkLogEnd(logPath, log, state, next);
      break;
    }
    apply(state, next.record);
    state.sequence = next.record.sequence;
    state.logEnd += next.length;
  }
  checkSlots(snapshotPath, state);
  return state;
}

function apply(state: ManifestState, record: ManifestRecord): void {
  if (record.measure?.name !== state.measure?.name || record.measure?.fields !== state.measure?.fields) {
    state.measure = record.measure;
    for (const row of state.rows.values()) delete row.sums;
  }
  for (const id of record.deletes) {
    state.pins.keep(state.rows.get(id));
    state.rows.delete(id);
  }
  for (const row of record.rows) {
    state.pins.keep(state.rows.get(row.id));
    state.rows.set(row.id, row);
  }
  if (record.pins !== undefined) state.pins.apply(record.pins);
  if (record.mark !== undefined) state.mark = record.mark;
  state.hasRun ||= record.hasRun;
}

function checkSlots(path: string, state: ManifestState): void {
  const owners = new Map<number, BlobId>();
  for (const { id, slot } of [...state.rows.values(), ...state.pins.kept.values()]) {
    const other = owners.get(slot);
    if (other !== undefined) throw corrupt(path, 0, `blobs ${other} and ${id} are both in slot ${slot}`);
    owners.set(slot, id);
  }
}

/** The record at `at`, whatever it is; a string if there is none. */
function tryDecode(
  path: string,
  bytes: Uint8Array,
  at: number,
): { record: ManifestRecord; length: number } | string {
  try {
    const header = decodeHeader(bytes, at);
    if (typeof header === 'string') return header;
    const record = decodeRecord(bytes, at, header);
    return typeof record === 'string' ? record : { record, length: header.length };
  } catch (error) {
    if (!(error instanceof VersionMismatch)) throw error;
    throw new SpinneyError(
      'ERR_FORMAT_VERSION',
      `Cannot open ${path}: its format version is ${error.version}, this release reads ${MANIFEST_VERSION}`,
    );
  }
}

function decode(path: string, bytes: Uint8Array, at: number): { record: ManifestRecord; length: number } {
  const found = tryDecode(path, bytes, at);
  if (typeof found === 'string') throw corrupt(path, at, found);
  return found;
}

/** The delta that is due at `at`; a string if something else is there. */
function decodeDelta(
  path: string,
  log: Uint8Array,
  at: number,
  state: ManifestState,
): { record: ManifestRecord; length: number } | string {
  const found = tryDecode(path, log, at);
  if (typeof found === 'string') return found;
  const { kind, uuid, base, sequence } = found.record;
  if (kind !== 'delta' || !sameBytes(uuid, state.uuid)) return 'a record of another store is there';
  if (base !== state.base) return `a record that follows snapshot ${base}, not ${state.base}, is there`;
  if (sequence !== state.sequence + 1) return `record ${sequence} is there, ${state.sequence + 1} is due`;
  return found;
}

function checkLogEnd(path: string, log: Uint8Array, state: ManifestState, problem: string): void {
  const due = state.sequence + 1;
  const confirmed = readConfirmation(log);
  if (confirmed >= due) {
    throw corrupt(path, state.logEnd, `${problem}, but record ${confirmed} was durable`);
  }
  for (let at = state.logEnd; at + RECORD_ALIGNMENT <= log.length; at += RECORD_ALIGNMENT) {
    if (!startsRecord(log, at)) continue;
    const found = tryDecode(path, log, at);
    if (typeof found === 'string') continue;
    const { uuid, base, sequence } = found.record;
    if (sameBytes(uuid, state.uuid) && base >= state.base) {
      throw corrupt(path, state.logEnd, `${problem}, but record ${sequence} lies at offset ${at}`);
    }
  }
}

function startsRecord(log: Uint8Array, at: number): boolean {
  return (
    log[at] === (RECORD_MAGIC & 0xff) &&
    log[at + 1] === ((RECORD_MAGIC >>> 8) & 0xff) &&
    log[at + 2] === ((RECORD_MAGIC >>> 16) & 0xff) &&
    log[at + 3] === RECORD_MAGIC >>> 24
  );
}

function checkLogHeader(path: string, log: Uint8Array, uuid: Uint8Array): void {
  if (log.length < LOG_HEADER_BYTES) throw corrupt(path, 0, 'the header is cut short');
  const header = log.slice(0, LOG_HEADER_BYTES);
  const view = new DataView(header.buffer);
  const crc = view.getUint32(LOG_OFFSET.crc, true);
  view.setUint32(LOG_OFFSET.crc, 0, true);
  if (view.getUint32(LOG_OFFSET.magic, true) !== LOG_MAGIC) throw corrupt(path, 0, 'the magic is missing');
  if (crc32(header) !== crc) throw corrupt(path, 0, 'the CRC of the header is wrong');
  if (!sameBytes(header.subarray(LOG_OFFSET.uuid, LOG_OFFSET.uuid + UUID_BYTES), uuid)) {
    throw corrupt(path, LOG_OFFSET.uuid, 'it belongs to another store');
  }
}

/** The highest record number known to have been durable; 0 if unknown. */
function readConfirmation(log: Uint8Array): number {
  if (log.length < LOG_CONFIRM_AT + CONFIRM_BYTES) return 0;
  const bytes = log.slice(LOG_CONFIRM_AT, LOG_CONFIRM_AT + CONFIRM_BYTES);
  const view = new DataView(bytes.buffer);
  const crc = view.getUint32(CONFIRM_OFFSET.crc, true);
  view.setUint32(CONFIRM_OFFSET.crc, 0, true);
  if (view.getUint32(CONFIRM_OFFSET.magic, true) !== CONFIRM_MAGIC || crc32(bytes) !== crc) return 0;
  return view.getFloat64(CONFIRM_OFFSET.sequence, true);
}

function readFile(disk: Disk, path: string): Uint8Array {
  try {
    const fd = disk.open(path, { write: false });
    try {
      const bytes = new Uint8Array(disk.size(fd));
      return bytes.subarray(0, readFully(disk, fd, bytes, 0, bytes.length, 0));
    } finally {
      disk.close(fd);
    }
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) throw corrupt(path, 0, 'the file is missing');
    throw diskError(`read ${path}`, error);
  }
}

function corrupt(path: string, offset: number, what: string): SpinneyError {
  return new SpinneyError('ERR_MANIFEST_CORRUPT', `Cannot open ${path}: at offset ${offset}: ${what}`);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
