import { SpinneyError } from '../../errors.js';
import { MAX_BATCH_OPERATIONS, MAX_RECORD_BODY_BYTES } from '../../limits.js';
import {
  BATCH_HEADER_BYTES,
  BATCH_OPERATION_BYTES,
  type OperationKind,
  RECORD_DELETE,
  RECORD_DELETE_PREFIX,
  RECORD_GRAFT,
  RECORD_PUT,
} from './record.js';

const EMPTY = new Uint8Array(0);
const INITIAL_BYTES = 4096;

/**
 * Builds the body of a batch record in a buffer that is kept from batch to batch. A batch beyond the limits
 * throws ERR_BATCH_TOO_LARGE from the call that would exceed them, before anything was changed.
 */
export class BatchEncoder {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = BATCH_HEADER_BYTES;
  #count = 0;

  /** Begins a new batch. */
  reset(): void {
    this.#length = BATCH_HEADER_BYTES;
    this.#count = 0;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#add(RECORD_PUT, key, value);
  }

  delete(key: Uint8Array): void {
    this.#add(RECORD_DELETE, key, EMPTY);
  }

  graft(source: Uint8Array, destination: Uint8Array): void {
    this.#add(RECORD_GRAFT, source, destination);
  }

  deletePrefix(prefix: Uint8Array): void {
    this.#add(RECORD_DELETE_PREFIX, prefix, EMPTY);
  }

  /** Operations so far. */
  get count(): number {
    return this.#count;
  }

  /** Body bytes so far, for `reserve` and `appendBatch`. */
  get length(): number {
    return this.#length;
  }

  /** The buffer whose first `length` bytes are the body; it holds until the next call that adds or resets. */
  body(): Uint8Array {
    this.#view.setUint32(0, this.#count, true);
    return this.#bytes;
  }

  #add(kind: OperationKind, first: Uint8Array, second: Uint8Array): void {
    const needed = this.#length + BATCH_OPERATION_BYTES + first.length + second.length;
    if (this.#count === MAX_BATCH_OPERATIONS) {
      throw new SpinneyError(
        'ERR_BATCH_TOO_LARGE',
        `Cannot add to the batch: it has the most operations that one may have, ${MAX_BATCH_OPERATIONS}`,
      );
    }
    if (needed > MAX_RECORD_BODY_BYTES) {
      throw new SpinneyError(
        'ERR_BATCH_TOO_LARGE',
        `Cannot add to the batch: it would take ${needed} bytes, the limit is ${MAX_RECORD_BODY_BYTES}`,
      );
    }
    if (needed > this.#bytes.length) this.#grow(needed);
    let at = this.#length;
    this.#bytes[at] = kind;
    this.#view.setUint32(at + 1, first.length, true);
    this.#view.setUint32(at + 5, second.length, true);
    at += BATCH_OPERATION_BYTES;
    this.#bytes.set(first, at);
    this.#bytes.set(second, at + first.length);
    this.#length = needed;
    this.#count++;
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.min(MAX_RECORD_BODY_BYTES, Math.max(needed, 2 * this.#bytes.length)));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
