/** Reading a segment file in order, through a window that is larger than any record. */
import type { Disk } from '../../disk/disk.js';
import { SpinneyError } from '../../errors.js';
import { MAX_RECORD_BODY_BYTES } from '../../limits.js';
import {
  decodeGroupHeader,
  decodeSegmentHeader,
  GROUP_HEADER_BYTES,
  GROUP_MAGIC,
  RECORD_HEADER_BYTES,
  recordBytes,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from '../records/format.js';
import { RecordReader } from '../records/record.js';
import { errorText } from './segment-file.js';

const WINDOW_BYTES = 4 * 1024 * 1024 + recordBytes(MAX_RECORD_BODY_BYTES);

/** Where the valid part of a segment ends. */
export interface SegmentEnd {
  /** File offset behind the last valid record, or behind the last group where all of it is valid. */
  offset: number;
  /** The LSN that would come next. */
  nextLsn: number;
  /** Highest LSN that a group in the valid part says was durable. */
  durableLsn: number;
  /** The last group, where only a part of it is valid. */
  torn?: TornGroup;
}

/** A group of which only the first records are there: the process died while it was written. */
export interface TornGroup {
  /** File offset of its header. */
  offset: number;
  firstLsn: number;
  durableLsn: number;
}

export class SegmentReader {
  readonly path: string;
  readonly size: number;
  readonly #disk: Disk;
  readonly #uuid: Uint8Array;
  readonly #fd: number;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  /** The window holds `#length` bytes of the file from `#start` on. */
  #start = 0;
  #length = 0;

  constructor(disk: Disk, path: string, uuid: Uint8Array) {
    this.path = path;
    this.#disk = disk;
    this.#uuid = uuid;
    this.#fd = this.#io(() => disk.open(path, { write: false }));
    try {
      this.size = this.#io(() => disk.size(this.#fd));
    } catch (error) {
      this.close();
      throw error;
    }
    const buffer = new ArrayBuffer(Math.min(WINDOW_BYTES, (this.size + 7) & ~7));
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Int32Array(buffer);
  }

  close(): void {
    this.#disk.close(this.#fd);
  }

  header(): SegmentHeader | undefined {
    const at = this.#at(0, SEGMENT_HEADER_BYTES);
    return at < 0 ? undefined : decodeSegmentHeader(this.#bytes.subarray(at), this.#uuid);
  }

  /**
   * Steps through the records, which are to be numbered from `firstLsn` on, up to the first that is not valid.
   * What `visit` gets holds during the call only; `offset` is the record's in the file.
   */
  walk(firstLsn: number, visit: (lsn: number, record: RecordReader, offset: number) => void): SegmentEnd {
    const record = new RecordReader();
    let nextLsn = firstLsn;
    let durableLsn = 0;
    let offset = SEGMENT_HEADER_BYTES;
    const seed = this.header()?.recordSeed ?? 0;
    let torn: TornGroup | undefined;
    for (;;) {
      const at = this.#at(offset, GROUP_HEADER_BYTES);
      const group = at < 0 ? undefined : decodeGroupHeader(this.#bytes, at, this.#uuid);
      if (group === undefined || group.firstLsn !== nextLsn) break;
      durableLsn = Math.max(durableLsn, group.durableLsn);
      const groupEnd = offset + group.length;
      let recordOffset = offset + GROUP_HEADER_BYTES;
      while (
        recordOffset < groupEnd &&
        this.#load(record, recordOffset, groupEnd, seed) &&
        record.lsn === nextLsn
      ) {
        visit(nextLsn, record, recordOffset);
        nextLsn++;
        recordOffset += record.size;
      }
      if (recordOffset < groupEnd) {
        // A group without a single record is left out whole.
        if (nextLsn > group.firstLsn) {
          torn = { offset, firstLsn: group.firstLsn, durableLsn: group.durableLsn };
          offset = recordOffset;
        }
        break;
      }
      offset = groupEnd;
    }
    return { offset, nextLsn, durableLsn, ...(torn !== undefined && { torn }) };
  }

  /**
   * Looks through what lies beyond `offset` for groups.
   * @returns how many there are, the highest LSN that one of them says was durable, and where the zeros begin that the
   * file ends with, to 8 bytes; `offset` where there is nothing else
   */
  scan(offset: number): { groups: number; durableLsn: number; end: number } {
    let groups = 0;
    let durableLsn = 0;
    let end = offset;
    let position = offset;
    while (position < this.size) {
      const length = Math.min(8, this.size - position);
      const at = this.#at(position, length);
      if (at < 0) break;
      const word = this.#words[at >> 2]!;
      const header = word === GROUP_MAGIC ? this.#at(position, GROUP_HEADER_BYTES) : -1;
      const group = header < 0 ? undefined : decodeGroupHeader(this.#bytes, header, this.#uuid);
      if (group === undefined) {
        if (!this.#isZero(position - this.#start, length)) end = position + length;
        position += 8;
      } else {
        groups++;
        durableLsn = Math.max(durableLsn, group.durableLsn);
        // Not into the group: a value in it may look like anything.
        position += group.length;
        end = Math.min(position, this.size);
      }
    }
    return { groups, durableLsn, end };
  }

  #isZero(at: number, length: number): boolean {
    for (let index = at; index < at + length; index++) if (this.#bytes[index] !== 0) return false;
    return true;
  }

  #load(record: RecordReader, offset: number, groupEnd: number, seed: number): boolean {
    const header = this.#at(offset, RECORD_HEADER_BYTES);
    const bodyLength = header < 0 ? -1 : RecordReader.peek(this.#words, header, seed);
    if (bodyLength < 0 || offset + recordBytes(bodyLength) > groupEnd) return false;
    const at = this.#at(offset, recordBytes(bodyLength));
    return at >= 0 && record.load(this.#bytes, this.#words, at);
  }

  /**
   * Index in the window of `length` bytes at file offset `offset`, a multiple of 8, so that the index is one too;
   * -1 where the file ends before.
   */
  #at(offset: number, length: number): number {
    if (offset < this.#start || offset + length > this.#start + this.#length) {
      if (offset + length > this.size) return -1;
      this.#fill(offset);
      if (length > this.#length) return -1;
    }
    return offset - this.#start;
  }

  #fill(offset: number): void {
    this.#start = offset;
    this.#length = 0;
    while (this.#length < this.#bytes.length) {
      const { length } = this.#bytes;
      const got = this.#io(() =>
        this.#disk.read(this.#fd, this.#bytes, this.#length, length - this.#length, offset + this.#length),
      );
      if (got === 0) return;
      this.#length += got;
    }
  }

  #io<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      if (error instanceof SpinneyError) throw error;
      throw new SpinneyError('ERR_IO', `Cannot read the journal: ${this.path}: ${errorText(error)}`, {
        cause: error,
      });
    }
  }
}
