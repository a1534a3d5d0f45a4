/**
 * What a record says. One operation: { first length u32, second length u32, first, second }, where put has key
 * and value, delete a key, graft source and destination prefix, deletePrefix a prefix. A batch: { count u32 },
 * then per operation its type byte and the same shape. Nothing inside a body is aligned.
 */
import { MAX_BATCH_OPERATIONS, MAX_RECORD_BODY_BYTES } from '../../limits.js';
import { crc32Words } from './crc32.js';
import { lsnFromHalves, lsnHigh, RECORD_HEADER_BYTES, RECORD_MAGIC, recordBytes } from './format.js';

export const RECORD_PUT = 1;
export const RECORD_DELETE = 2;
export const RECORD_BATCH = 3;
export const RECORD_GRAFT = 4;
export const RECORD_DELETE_PREFIX = 5;

export type OperationKind =
  | typeof RECORD_PUT
  | typeof RECORD_DELETE
  | typeof RECORD_GRAFT
  | typeof RECORD_DELETE_PREFIX;

export type RecordType = OperationKind | typeof RECORD_BATCH;

/** Bytes before the operands of one operation; one more, its type, inside a batch. */
export const OPERATION_HEADER_BYTES = 8;
export const BATCH_HEADER_BYTES = 4;
export const BATCH_OPERATION_BYTES = 1 + OPERATION_HEADER_BYTES;

/** Body bytes of a record with one operation, which is what `reserve` wants to know. */
export function operationBodyBytes(firstLength: number, secondLength: number): number {
  return OPERATION_HEADER_BYTES + firstLength + secondLength;
}

function isOperation(type: number): type is OperationKind {
  return type >= RECORD_PUT && type <= RECORD_DELETE_PREFIX && type !== RECORD_BATCH;
}

/** A whole record, as it is in a ring or a segment whose records' CRCs continue from `seed`. */
export function encodeRecord(lsn: number, type: RecordType, body: Uint8Array, seed: number): Uint8Array {
  const bytes = new Uint8Array(recordBytes(body.length));
  const words = new Int32Array(bytes.buffer);
  bytes.set(body, RECORD_HEADER_BYTES);
  words[0] = RECORD_MAGIC | (type << 16);
  words[1] = body.length;
  words[2] = lsn | 0;
  words[3] = lsnHigh(lsn);
  words[4] = crc32Words(words, 0, 4, seed);
  words[5] = crc32Words(words, 6, words.length, words[4]);
  return bytes;
}

/** Little-endian u32 at any offset. */
function readLength(bytes: Uint8Array, offset: number): number {
  const low = bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16);
  return (low | (bytes[offset + 3]! << 24)) >>> 0;
}

/**
 * Reads records in place. `load` validates one and puts it before the first of its operations; `next` then steps
 * through them (a record that is no batch has one). `first` and `second` are views of the buffer that was loaded
 * from: they hold until it is refilled.
 */
export class RecordReader {
  lsn = 0;
  /** Bytes of the loaded record, padding included. */
  size = 0;
  kind: OperationKind = RECORD_PUT;
  /** Of the record itself, where `kind` is that of the operation. */
  type: RecordType = RECORD_PUT;
  /** put, delete: the key; graft: the source prefix; deletePrefix: the prefix. */
  first: Uint8Array = new Uint8Array(0);
  /** put: the value; graft: the destination prefix; else empty. */
  second: Uint8Array = this.first;

  #bytes: Uint8Array = this.first;
  #isBatch = false;
  #cursor = 0;
  #bodyStart = 0;
  #bodyEnd = 0;
  #remaining = 0;

  /**
   * Body length that the header at `offset` (a multiple of 8) states, or -1 where no header is valid. `seed` is what
   * the CRCs of these records continue from.
   */
  static peek(words: Int32Array, offset: number, seed: number): number {
    const index = offset >> 2;
    const start = words[index]!;
    const length = words[index + 1]!;
    const type = start >>> 16;
    if ((start & 0xffff) !== RECORD_MAGIC || type < RECORD_PUT || type > RECORD_DELETE_PREFIX) return -1;
    if (length < 0 || length > MAX_RECORD_BODY_BYTES) return -1;
    return crc32Words(words, index, index + 4, seed) === words[index + 4]! ? length : -1;
  }

  /**
   * Takes the record at `offset`, whose header `peek` found valid and which lies wholly in the buffer.
   * @returns whether its body is valid: the checksum holds and its lengths add up
   */
  load(bytes: Uint8Array, words: Int32Array, offset: number): boolean {
    const index = offset >> 2;
    const length = words[index + 1]!;
    this.size = recordBytes(length);
    this.lsn = lsnFromHalves(words[index + 2]!, words[index + 3]!);
    const end = index + (this.size >> 2);
    if (crc32Words(words, index + 6, end, words[index + 4]!) !== words[index + 5]!) return false;
    this.#bytes = bytes;
    this.#bodyStart = offset + RECORD_HEADER_BYTES;
    this.#bodyEnd = this.#bodyStart + length;
    this.type = (words[index]! >>> 16) as RecordType;
    return this.#rewind(this.type) && this.#addsUp() && this.#rewind(this.type);
  }

  /** All of its operations, as they are in the buffer. */
  get body(): Uint8Array {
    return this.#bytes.subarray(this.#bodyStart, this.#bodyEnd);
  }

  /** Steps to the next operation; false when there is none left. */
  next(): boolean {
    if (this.#remaining === 0) return false;
    this.#remaining--;
    const bytes = this.#bytes;
    let cursor = this.#cursor;
    if (this.#isBatch) this.kind = bytes[cursor++]! as OperationKind;
    const split = cursor + OPERATION_HEADER_BYTES + readLength(bytes, cursor);
    const end = split + readLength(bytes, cursor + 4);
    this.first = bytes.subarray(cursor + OPERATION_HEADER_BYTES, split);
    this.second = bytes.subarray(split, end);
    this.#cursor = end;
    return true;
  }

  #rewind(type: number): boolean {
    this.#isBatch = type === RECORD_BATCH;
    this.#cursor = this.#bodyStart;
    this.#remaining = 1;
    if (!this.#isBatch) {
      this.kind = type as OperationKind;
      return true;
    }
    if (this.#bodyEnd - this.#bodyStart < BATCH_HEADER_BYTES) return false;
    this.#remaining = readLength(this.#bytes, this.#bodyStart);
    this.#cursor += BATCH_HEADER_BYTES;
    return this.#remaining <= MAX_BATCH_OPERATIONS;
  }

  #addsUp(): boolean {
    let cursor = this.#cursor;
    for (let left = this.#remaining; left > 0; left--) {
      if (this.#isBatch && !isOperation(this.#bytes[cursor++] ?? 0)) return false;
      const operands = cursor + OPERATION_HEADER_BYTES;
      if (operands > this.#bodyEnd) return false;
      cursor = operands + readLength(this.#bytes, cursor) + readLength(this.#bytes, cursor + 4);
      if (cursor > this.#bodyEnd) return false;
    }
    return cursor === this.#bodyEnd;
  }
}
