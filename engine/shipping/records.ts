/** What is in an object of a remote's journal: records of the local one, in order. Their bytes are told in FORMAT.md. */
import { SpinneyError } from '../errors.js';
import { RECORD_HEADER_BYTES, recordBytes } from '../journal/records/format.js';
import { encodeRecord, RecordReader, type RecordType } from '../journal/records/record.js';
import type { Change } from '../tree/write/changes.js';
import { changesOf } from '../tree/write/record-changes.js';

/** What the CRCs of records in a remote continue from: there the object tells what it is. */
const SEED = 0;

export interface ShippedRecord {
  lsn: number;
  type: RecordType;
  /** Its operations as they are in a journal; a view. */
  body: Uint8Array;
  /** The same, to be applied; views. */
  changes: Change[];
}

export function shippedRecord(lsn: number, record: RecordReader): Uint8Array {
  return encodeRecord(lsn, record.type, record.body, SEED);
}

/**
 * The records of an object's body, in order, without a gap between them.
 * @throws ERR_REMOTE_CORRUPT where it is none, ERR_FORMAT_VERSION where this version does not know what they say
 */
export function* recordsOf(body: Uint8Array): IterableIterator<ShippedRecord> {
  // Records are read by words.
  const bytes = new Uint8Array((body.length + 7) & ~7);
  bytes.set(body);
  const words = new Int32Array(bytes.buffer);
  let lsn = 0;
  for (let at = 0; at < body.length; ) {
    const record = new RecordReader();
    const bodyBytes = at + RECORD_HEADER_BYTES > body.length ? -1 : RecordReader.peek(words, at, SEED);
    const isWhole =
      bodyBytes >= 0 && at + recordBytes(bodyBytes) <= body.length && record.load(bytes, words, at);
    if (!isWhole || (at > 0 && record.lsn !== lsn + 1)) {
      throw new SpinneyError(
        'ERR_REMOTE_CORRUPT',
        `Cannot read the remote's journal: at byte ${at} of an object's records there is none`,
      );
    }
    lsn = record.lsn;
    yield {
      lsn,
      type: record.type,
      body: record.body,
      changes: changesOf(record, 'Cannot read what was shipped'),
    };
    at += record.size;
  }
}

/** The LSNs of an object's first and last record. */
export function rangeOfRecords(body: Uint8Array): { firstLsn: number; lastLsn: number } {
  let firstLsn = 0;
  let lastLsn = 0;
  for (const { lsn } of recordsOf(body)) {
    if (firstLsn === 0) firstLsn = lsn;
    lastLsn = lsn;
  }
  return { firstLsn, lastLsn };
}
