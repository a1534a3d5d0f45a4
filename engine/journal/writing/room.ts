/** Room for records that are to be appended, in the ring and in the current segment. Any thread may ask for some, holding neither lock. */
import { SpinneyError } from '../../errors.js';
import { CHARGED, DISCHARGED, type JournalShared, RING_BYTES, SPACE } from '../shared.js';
import { recordCharge } from '../sizes.js';
import type { GroupCommit } from './group-commit.js';
import type { SegmentWriter } from './segment-writer.js';

export class Room {
  readonly #directory: string;
  readonly #maxBodyBytes: number;
  readonly #words: Int32Array;
  readonly #writer: SegmentWriter;
  readonly #commit: GroupCommit;

  constructor(
    journal: { directory: string; sizes: { maxBodyBytes: number } },
    shared: JournalShared,
    writer: SegmentWriter,
    commit: GroupCommit,
  ) {
    this.#directory = journal.directory;
    this.#maxBodyBytes = journal.sizes.maxBodyBytes;
    this.#words = shared.words;
    this.#writer = writer;
    this.#commit = commit;
  }

  /** As the journal's `makeRoom`. */
  make(bodyBytes: number, mayUseSpare: boolean): void {
    if (bodyBytes > this.#maxBodyBytes) {
      throw new SpinneyError(
        'ERR_BATCH_TOO_LARGE',
        `Cannot journal a mutation of ${bodyBytes} bytes: the limit is ${this.#maxBodyBytes}`,
      );
    }
    const charge = recordCharge(bodyBytes);
    if (charge > this.#words[RING_BYTES]!) {
      throw new SpinneyError(
        'ERR_NO_SPACE',
        `Cannot journal a mutation of ${bodyBytes} bytes in ${this.#directory}: the disk has no space for a larger ring`,
      );
    }
    if (this.#commit.underFlushLock(() => this.#hasRoom(charge) || this.#extendedIfPossible(charge))) return;
    this.#commit.underBothLocks(() => {
      if (this.#hasRoom(charge) || this.#extendedIfPossible(charge)) return;
      this.#writer.changeSegment(mayUseSpare);
    });
  }

  #hasRoom(charge: number): boolean {
    return this.#neededSpace(charge) <= Atomics.load(this.#words, SPACE);
  }

  /** Under FLUSH_LOCK: makes the current segment longer, if it may be and the disk has space; else false. */
  #extendedIfPossible(charge: number): boolean {
    if (!this.#writer.canExtend()) return false;
    try {
      this.#writer.extend(this.#neededSpace(charge));
      return true;
    } catch (error) {
      if (error instanceof SpinneyError && error.code === 'ERR_NO_SPACE') return false;
      throw error;
    }
  }

  #neededSpace(charge: number): number {
    return ((Atomics.load(this.#words, CHARGED) - this.#words[DISCHARGED]!) | 0) + charge;
  }
}
