/**
 * Brings the records of a tree's journal into a remote's, in order, without a gap.
 *
 * What must hold:
 * - Only records that are durable here go there: after a power cut the remote never has more than the store.
 * - What is at rest by these records is in the remote before them, as far as it is small: whoever takes over does not find a file without its
 *   content. What is large comes later. Rows of contents are records, and go with them.
 * - Every record is read, though a checkpoint that has it is HEAD's by then: contents that it tells of are known by that.
 * - A content that a record tells of is kept here until whoever ships contents has it, whatever fails between.
 * - A record that was cut off before it was shipped is in a checkpoint that is. Then the next object begins behind that, and whoever looks after
 *   contents looks for those that were not read.
 */
import { RECORD_PUT, type RecordReader } from '../../journal/records/record.js';
import type { JournalTail } from '../../journal/segments/journal-tail.js';
import {
  CONTENT_PART_BYTES,
  MAX_CONTENTS_IN_ROWS_BYTES,
  MAX_HELD_JOURNAL_BYTES,
  MAX_RECORD_BODY_BYTES,
} from '../../limits.js';
import type { RemoteWriter } from '../../remote/remote-writer.js';
import type { Tree } from '../../tree/tree.js';
import type { ContentId, ContentPlaces, ContentShipper } from '../contents/content-shipper.js';
import { shippedRecord } from '../records.js';
import { noteObject, type ShippedState } from './shipped-state.js';

/** One more record always finds room in the object. */
const ENOUGH_BYTES = MAX_RECORD_BODY_BYTES - 1024;

export interface RecordShipperOptions {
  tree: Tree;
  writer: RemoteWriter;
  state: ShippedState;
  contents: (ContentPlaces & { shipper: ContentShipper }) | undefined;
}

export class RecordShipper {
  readonly #options: RecordShipperOptions;
  #tail: JournalTail;
  #isCut = false;
  /** Records that were read, and are not there yet. */
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #lastLsn = 0;
  /** Contents at rest by what was read, that whoever ships contents does not know of yet; up to which record it knows of all. */
  readonly #atRest = new Map<string, ContentId>();
  #toldLsn: number;
  shippedBytes = 0;
  /** Records that the last call has shipped. */
  lastCount = 0;
  /** Bytes of the journal when all of it up to `state.lsn` was in it. */
  #journalBytes: number;

  /** REQUIRES a tree with a journal. */
  constructor(options: RecordShipperOptions) {
    this.#options = options;
    const { state } = options;
    this.#tail = this.#journal.tail(state.lsn + 1);
    this.#tail.holdAfter(state.lsn);
    this.#toldLsn = state.lsn;
    this.#journalBytes = this.#written;
  }

  /** Whether only a checkpoint can go on from what the remote has. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** The remote has all records up to here, and their contents are there, or are known to wait. */
  get settledLsn(): number {
    return Math.min(this.#options.state.lsn, this.#toldLsn);
  }

  /** Records that are not settled, and about how many bytes of the journal. */
  get waiting(): { records: number; bytes: number } {
    const records = Math.max(0, this.#journal.publishedLsn() - this.settledLsn);
    return { records, bytes: records === 0 ? 0 : Math.max(0, this.#written - this.#journalBytes) };
  }

  /** Of a journal that grows while nothing is shipped no more than a bound is kept: a checkpoint has it. */
  tendHold(): void {
    const isBeyond = this.waiting.bytes > MAX_HELD_JOURNAL_BYTES;
    this.#tail.holdAfter(isBeyond ? Number.POSITIVE_INFINITY : this.settledLsn);
  }

  /**
   * Ships what there is, in one object; false where there is nothing, or it is cut. `isAwaited`: somebody waits for it.
   * @throws ERR_REMOTE_TAKEN, ERR_CLOSED, and as the journal: then nothing is lost, and it may be called again
   */
  async shipSome({ isAwaited }: { isAwaited: boolean }): Promise<boolean> {
    const { state, writer } = this.#options;
    this.lastCount = 0;
    const isAllTold = this.#toldLsn >= this.#journal.publishedLsn();
    if (this.#isCut || (isAllTold && this.#lastLsn <= state.lsn)) return false;
    this.#journal.sync();
    this.#read();
    if (await this.#shipContents(isAwaited)) {
      this.#journal.sync();
      this.#read();
      this.#tell((id, shipper) => shipper.add(id));
    }
    if (this.#pieces.length === 0) return false;
    const lastLsn = this.#lastLsn;
    if (lastLsn <= state.lsn) {
      // A checkpoint has brought them there.
      this.#pieces = [];
      this.#bytes = 0;
      this.tendHold();
      return true;
    }
    const written = this.#written;
    const body = Buffer.concat(this.#pieces);
    const place = await writer.append(body);
    this.#pieces = [];
    this.#bytes = 0;
    this.shippedBytes += body.length;
    this.lastCount = lastLsn - state.lsn;
    noteObject(state, { place, lastLsn, bytes: body.length });
    if (lastLsn >= this.#journal.publishedLsn()) this.#journalBytes = written;
    else this.#journalBytes = Math.min(written, this.#journalBytes + body.length);
    this.tendHold();
    return true;
  }

  /** A checkpoint that has all up to `state.lsn` is HEAD's. True: records were cut off that nobody has read. */
  goOn(): boolean {
    const { state } = this.#options;
    this.tendHold();
    if (!this.#isCut) return false;
    this.#tail.close();
    this.#tail = this.#journal.tail(state.lsn + 1);
    this.#toldLsn = state.lsn;
    this.#isCut = false;
    this.#pieces = [];
    this.#bytes = 0;
    this.tendHold();
    return true;
  }

  /** Where the remote is lost, nothing of the journal is kept for it any more; else for who goes on with it. */
  close({ isLost }: { isLost: boolean }): void {
    this.#tail.close();
    if (isLost) this.#tail.holdAfter(Number.POSITIVE_INFINITY);
  }

  get #journal() {
    return this.#options.tree.journal!;
  }

  get #written(): number {
    return this.#journal.counters().bytes + this.#journal.unflushedBytes();
  }

  /** Reads on, up to what is durable; notes the contents that are at rest by what was read. */
  #read(): void {
    const read = this.#tail.read(this.#journal.durableLsn(), ENOUGH_BYTES - this.#bytes, (lsn, record) => {
      const piece = shippedRecord(lsn, record);
      this.#noteContents(record);
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      this.#lastLsn = lsn;
    });
    // What was read before goes there all the same.
    if (read === 'cut') this.#isCut = true;
  }

  #noteContents(record: RecordReader): void {
    const { contents } = this.#options;
    if (contents === undefined) return;
    while (record.next()) {
      // What is taken away, or moved as it is, tells of none.
      if (record.kind !== RECORD_PUT) continue;
      const content = contents.contentOf(record.first, record.second);
      if (content === undefined || content.isLive) continue;
      this.#atRest.set(`${content.ino}.${content.born}`, content);
    }
  }

  /** Sees that the remote has the small ones, or will have them with these records, in their rows; whether any was shipped. */
  async #shipContents(isAwaited: boolean): Promise<boolean> {
    let bytes = 0;
    const waits: Promise<void>[] = [];
    this.#tell((id, shipper) => {
      const size = shipper.sizeOf(id);
      if (size === undefined) return;
      bytes += size;
      // Whoever waits for the records is not to wait for another request first.
      const mayStayInRow = isAwaited && bytes <= MAX_CONTENTS_IN_ROWS_BYTES;
      if (bytes > CONTENT_PART_BYTES) shipper.add(id);
      // One that cannot be read is told by whoever ships it.
      else waits.push(shipper.shipped(id, mayStayInRow).catch(() => {}));
    });
    await Promise.all(waits);
    return waits.length > 0;
  }

  /** Hands on all contents that were noted. */
  #tell(hand: (id: ContentId, shipper: ContentShipper) => void): void {
    const { contents } = this.#options;
    for (const id of this.#atRest.values()) hand(id, contents!.shipper);
    this.#atRest.clear();
    this.#toldLsn = this.#tail.nextLsn - 1;
  }
}
