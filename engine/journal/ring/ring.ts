/**
 * The ring that records are encoded into, in one thread's mapping of the ring's file (ring-file.ts).
 *
 * A record is contiguous: one that would cross the ring's end goes on in an overflow area behind it, and the same
 * number of bytes at the ring's start stays unused in that lap. Position p is at p modulo the ring's size, so no
 * position needs to know this but the one after such a record.
 *
 * Appending is for the one thread that holds the tree's writer mutex and has reserved; walking for the holder
 * of the flush lock.
 */
import { crc32Words } from '../records/crc32.js';
import { lsnHigh, RECORD_HEADER_BYTES, RECORD_MAGIC, recordBytes } from '../records/format.js';
import { OPERATION_HEADER_BYTES } from '../records/record.js';
import { RING_BYTES } from '../shared.js';
import type { JournalSizes } from '../sizes.js';
import { RING_HEADER_BYTES, ringAreaBytes, storeHeads } from './ring-file.js';

/** Below this, copying byte by byte beats a call of `set`. */
const SHORT_COPY = 24;

export class Ring {
  #bytes: Uint8Array;
  #words: Int32Array;
  #header: Int32Array;
  /** The words that all threads share; one tells the size in use. */
  readonly #shared: Int32Array;
  readonly #seed: number;

  /**
   * `file` is a mapping of a ring's file with these sizes and this seed for the CRCs of its records; `shared` are the
   * journal's words, of which RING_BYTES counts.
   */
  constructor(file: ArrayBuffer, sizes: JournalSizes, recordSeed: number, shared: Int32Array) {
    const area = ringAreaBytes(sizes);
    this.#bytes = new Uint8Array(file, RING_HEADER_BYTES, area);
    this.#words = new Int32Array(file, RING_HEADER_BYTES, area >> 2);
    this.#header = new Int32Array(file, 0, RING_HEADER_BYTES >> 2);
    this.#shared = shared;
    this.#seed = recordSeed;
  }

  /** Changes only while nobody is in here. */
  get #size(): number {
    return this.#shared[RING_BYTES]!;
  }

  /** Lets go of the mapping, so that it can be ended. */
  drop(): void {
    this.#bytes = new Uint8Array(0);
    this.#words = this.#header = new Int32Array(0);
  }

  /**
   * Notes in the file that everything before `position` is in a segment, and that the record there has this LSN. To be
   * called before the space of those records is given free.
   */
  moveHeads(position: number, lsn: number): void {
    storeHeads(this.#header, position, lsn, this.#size);
  }

  /** Encodes a record of one operation at `position`; returns its size. */
  putOperation(position: number, lsn: number, type: number, first: Uint8Array, second: Uint8Array): number {
    const start = position & (this.#size - 1);
    const word = start >> 2;
    const firstAt = start + RECORD_HEADER_BYTES + OPERATION_HEADER_BYTES;
    const secondAt = firstAt + first.length;
    const end = secondAt + second.length;
    this.#words[word + 6] = first.length;
    this.#words[word + 7] = second.length;
    this.#copy(first, first.length, firstAt);
    this.#copy(second, second.length, secondAt);
    return this.#seal(start, end, lsn, type);
  }

  /** Encodes a record whose body is the first `length` bytes of `body`; returns its size. */
  putBody(position: number, lsn: number, type: number, body: Uint8Array, length: number): number {
    const start = position & (this.#size - 1);
    this.#copy(body, length, start + RECORD_HEADER_BYTES);
    return this.#seal(start, start + RECORD_HEADER_BYTES + length, lsn, type);
  }

  #copy(from: Uint8Array, length: number, to: number): void {
    const bytes = this.#bytes;
    if (length <= SHORT_COPY) {
      for (let index = 0; index < length; index++) bytes[to + index] = from[index]!;
    } else {
      bytes.set(length === from.length ? from : from.subarray(0, length), to);
    }
  }

  /** Pads the body that ends at `end` and writes the header before it. */
  #seal(start: number, end: number, lsn: number, type: number): number {
    const words = this.#words;
    const size = (end - start + 7) & ~7;
    for (let at = end; at < start + size; at++) this.#bytes[at] = 0;
    const word = start >> 2;
    words[word] = RECORD_MAGIC | (type << 16);
    words[word + 1] = end - start - RECORD_HEADER_BYTES;
    words[word + 2] = lsn | 0;
    words[word + 3] = lsnHigh(lsn);
    const headerCrc = crc32Words(words, word, word + 4, this.#seed);
    words[word + 4] = headerCrc;
    words[word + 5] = crc32Words(words, word + 6, word + (size >> 2), headerCrc);
    return size;
  }

  /**
   * The records from position `from` up to `to` as one or two contiguous pieces.
   * @returns undefined where what lies there are not records numbered from `firstLsn` on
   */
  pieces(from: number, to: number, firstLsn: number): { pieces: Uint8Array[]; count: number } | undefined {
    const words = this.#words;
    const ringBytes = this.#size;
    const begin = from & (ringBytes - 1);
    let start = begin;
    let split = -1;
    let count = 0;
    for (let position = from; position !== to; count++) {
      const word = start >> 2;
      if ((words[word]! & 0xffff) !== RECORD_MAGIC || words[word + 2]! !== ((firstLsn + count) | 0)) {
        return undefined;
      }
      const size = recordBytes(words[word + 1]!);
      position = (position + size) | 0;
      if (((to - position) | 0) < 0) return undefined;
      start += size;
      if (start >= ringBytes) {
        split = start;
        start -= ringBytes;
      }
    }
    const bytes = this.#bytes;
    if (split < 0) return { pieces: [bytes.subarray(begin, start)], count };
    const pieces = [bytes.subarray(begin, split)];
    if (start > split - ringBytes) pieces.push(bytes.subarray(split - ringBytes, start));
    return { pieces, count };
  }
}
