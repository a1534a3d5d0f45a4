/**
 * Follows a journal's segments while they are written: for whoever carries records away. It reads nothing but what it is told to be
 * written, so it needs no lock.
 */
import type { Disk } from '../../disk/disk.js';
import { diskError, readFully } from '../../disk/io.js';
import {
  decodeGroupHeader,
  decodeSegmentHeader,
  GROUP_HEADER_BYTES,
  RECORD_HEADER_BYTES,
  recordBytes,
  SEGMENT_HEADER_BYTES,
} from '../records/format.js';
import { RecordReader } from '../records/record.js';
import { listSegments } from './segment-file.js';

/**
 * 'whole': all that was asked for; 'more': there is more of it than was wanted at a time; 'cut': the next record is not there any more, or is
 * damaged: a checkpoint has it.
 */
export type TailRead = 'whole' | 'more' | 'cut';

export class JournalTail {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #uuid: Uint8Array;
  readonly #shared: { heldLsn: number };
  readonly #record = new RecordReader();
  #nextLsn: number;
  /** The segment that is open; -1: none. */
  #fd = -1;
  #seed = 0;
  /** Where its next group begins. */
  #offset = 0;
  /** The group that is read, and where its next record begins. */
  #bytes = new Uint8Array(0);
  #words = new Int32Array(0);
  #at = 0;

  constructor(
    disk: Disk,
    store: { directory: string; uuid: Uint8Array },
    shared: { heldLsn: number },
    nextLsn: number,
  ) {
    this.#disk = disk;
    this.#directory = store.directory;
    this.#uuid = store.uuid;
    this.#shared = shared;
    this.#nextLsn = nextLsn;
  }

  /** Records after `lsn` are not cut off, whatever checkpoints cover, unless the disk is full. Infinity: nothing is held any more. */
  holdAfter(lsn: number): void {
    this.#shared.heldLsn = lsn;
  }

  /** The first LSN that was not read yet. */
  get nextLsn(): number {
    return this.#nextLsn;
  }

  /**
   * Reads on to `lastLsn`, or until it has read `enoughBytes`. REQUIRES that all up to there is in segments. What `visit` gets holds
   * during the call only.
   * @throws ERR_IO, and what `visit` throws: the next call goes on with the record that it was at
   */
  read(lastLsn: number, enoughBytes: number, visit: (lsn: number, record: RecordReader) => void): TailRead {
    const record = this.#record;
    for (let bytes = 0; this.#nextLsn <= lastLsn; bytes += record.size) {
      if (bytes >= enoughBytes) return 'more';
      if (!this.#hasNext()) return 'cut';
      visit(this.#nextLsn, record);
      this.#nextLsn++;
      this.#at += record.size;
    }
    return 'whole';
  }

  close(): void {
    if (this.#fd >= 0) this.#disk.close(this.#fd);
    this.#fd = -1;
    this.#at = this.#bytes.length;
  }

  /** Loads the record with the next LSN, and stays at it. */
  #hasNext(): boolean {
    try {
      for (;;) {
        for (; this.#load(); this.#at += this.#record.size)
          if (this.#record.lsn === this.#nextLsn) return true;
        if (!this.#loadGroup() && !this.#openSegment()) return false;
      }
    } catch (error) {
      throw diskError(`read the journal in ${this.#directory}`, error);
    }
  }

  /** The record of the group that is at `#at`; false behind its last. */
  #load(): boolean {
    const { length } = this.#bytes;
    if (this.#at + RECORD_HEADER_BYTES > length) return false;
    const bodyBytes = RecordReader.peek(this.#words, this.#at, this.#seed);
    if (bodyBytes < 0 || this.#at + recordBytes(bodyBytes) > length) return false;
    return this.#record.load(this.#bytes, this.#words, this.#at);
  }

  /** The next group of the segment; false where there is none yet, or none any more. */
  #loadGroup(): boolean {
    if (this.#fd < 0) return false;
    const header = this.#readAt(this.#offset, GROUP_HEADER_BYTES);
    const group = decodeGroupHeader(header, 0, this.#uuid);
    if (group === undefined || group.firstLsn > this.#nextLsn) return false;
    const length = group.length - GROUP_HEADER_BYTES;
    this.#bytes = this.#readAt(this.#offset + GROUP_HEADER_BYTES, length);
    this.#words = new Int32Array(this.#bytes.buffer);
    this.#at = 0;
    this.#offset += group.length;
    return this.#bytes.length === length;
  }

  /** Opens the segment that the next record must be in, unless that is open already; whether there is one. */
  #openSegment(): boolean {
    const segment = listSegments(this.#disk, this.#directory).findLast(
      ({ firstLsn }) => firstLsn <= this.#nextLsn,
    );
    this.close();
    if (segment === undefined || segment.firstLsn === this.#lastOpened) return false;
    this.#fd = this.#disk.open(segment.path, { write: false });
    const header = decodeSegmentHeader(this.#readAt(0, SEGMENT_HEADER_BYTES), this.#uuid);
    if (!header?.ownUuid || header.firstLsn !== segment.firstLsn) return false;
    this.#lastOpened = segment.firstLsn;
    this.#seed = header.recordSeed;
    this.#offset = SEGMENT_HEADER_BYTES;
    return true;
  }

  #readAt(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array((length + 7) & ~7);
    return bytes.subarray(0, readFully(this.#disk, this.#fd, bytes, 0, length, offset));
  }

  /** First LSN of the segment that was opened last. */
  #lastOpened = -1;
}
