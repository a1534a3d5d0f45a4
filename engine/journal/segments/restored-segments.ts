/** Segments made of records that come from elsewhere, for a store that is about to be opened: opening it replays them. */
import { randomInt } from 'node:crypto';
import type { Disk } from '../../disk/disk.js';
import { diskError } from '../../disk/io.js';
import { JOURNAL_SEGMENT_BYTES } from '../../limits.js';
import { encodeGroupHeader, GROUP_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../records/format.js';
import { encodeRecord, type RecordType } from '../records/record.js';
import { segmentPath, writeFully, writeSegmentHeader } from './segment-file.js';

export interface RestoredRecord {
  lsn: number;
  type: RecordType;
  body: Uint8Array;
}

export class RestoredSegments {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #uuid: Uint8Array;
  readonly #seed = randomInt(1, 2 ** 32);
  #fd = -1;
  #offset = 0;

  /** REQUIRES a store without a journal, that nobody has open. */
  constructor(disk: Disk, directory: string, uuid: Uint8Array) {
    this.#disk = disk;
    this.#directory = directory;
    this.#uuid = uuid;
  }

  /** Adds records, which follow on those before without a gap. @throws ERR_IO, ERR_NO_SPACE */
  add(records: readonly RestoredRecord[]): void {
    if (records.length === 0) return;
    const bytes = records.map(({ lsn, type, body }) => encodeRecord(lsn, type, body, this.#seed));
    const length = GROUP_HEADER_BYTES + bytes.reduce((sum, record) => sum + record.length, 0);
    const firstLsn = records[0]!.lsn;
    try {
      if (this.#fd < 0 || this.#offset + length > JOURNAL_SEGMENT_BYTES) this.#begin(firstLsn);
      const header = new Uint8Array(GROUP_HEADER_BYTES);
      encodeGroupHeader(header, { uuid: this.#uuid, length, firstLsn, durableLsn: firstLsn - 1 });
      writeFully(this.#disk, this.#fd, [header, ...bytes], this.#offset);
      this.#offset += length;
    } catch (error) {
      throw diskError(`restore the journal in ${this.#directory}`, error);
    }
  }

  /** Makes all of it durable. @throws ERR_IO, ERR_NO_SPACE */
  end(): void {
    try {
      this.#close();
    } catch (error) {
      throw diskError(`restore the journal in ${this.#directory}`, error);
    }
  }

  #begin(firstLsn: number): void {
    // A header proves that all before it is durable.
    this.#close();
    this.#fd = this.#disk.open(segmentPath(this.#directory, firstLsn), { write: true, create: true });
    const segment = { directory: this.#directory, uuid: this.#uuid, firstLsn, recordSeed: this.#seed };
    writeSegmentHeader(this.#disk, this.#fd, segment);
    this.#offset = SEGMENT_HEADER_BYTES;
  }

  #close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    try {
      this.#disk.fsync(fd);
    } finally {
      this.#disk.close(fd);
    }
  }
}
