/**
 * The ring begins small, so that an empty store is small, and is doubled with use: at first by one who holds nothing, who
 * gets the disk space, then by one under whose hand nobody can append, who begins to use it.
 */
import type { Disk } from '../../disk/disk.js';
import { SpinneyError } from '../../errors.js';
import type { Ring } from '../ring/ring.js';
import { growRing, type RingOptions } from '../ring/ring-file.js';
import { BYTE_COUNT, type JournalShared, RING_BYTES, WRITTEN } from '../shared.js';
import { recordCharge } from '../sizes.js';
import type { GroupCommit } from './group-commit.js';
import type { SegmentWriter } from './segment-writer.js';

/** The ring is doubled once so many times its size has been written. */
const BYTES_BEFORE_GROWTH = 4;
/** And where the disk has so many times its new size free; with it grow the spare, and the least that a segment takes. */
const FREE_FOR_GROWTH = 16;

export class RingGrowth {
  readonly #disk: Disk;
  readonly #options: RingOptions;
  readonly #shared: JournalShared;
  readonly #ring: Ring;
  readonly #writer: SegmentWriter;
  readonly #commit: GroupCommit;

  constructor(
    disk: Disk,
    options: RingOptions,
    shared: JournalShared,
    ring: Ring,
    writer: SegmentWriter,
    commit: GroupCommit,
  ) {
    this.#disk = disk;
    this.#options = options;
    this.#shared = shared;
    this.#ring = ring;
    this.#writer = writer;
    this.#commit = commit;
  }

  /** Whether the ring should be larger, for a record with so large a body or for as much as is written. */
  isDue(bodyBytes: number): boolean {
    const inUse = this.#shared.words[RING_BYTES]!;
    if (inUse === this.#options.sizes.ringBytes) return false;
    return (
      recordCharge(bodyBytes) > inUse || this.#shared.numbers[BYTE_COUNT]! >= BYTES_BEFORE_GROWTH * inUse
    );
  }

  /**
   * Gets the space for a ring that is twice as large, or as large as a record with this body needs. Returns its size; 0
   * where the disk is too full. Called with nothing held.
   */
  prepare(bodyBytes: number): number {
    const { ringBytes: most, maxBodyBytes } = this.#options.sizes;
    const charge = recordCharge(Math.min(bodyBytes, maxBodyBytes));
    let ringBytes = Math.min(most, this.#shared.words[RING_BYTES]! * 2);
    while (ringBytes < charge) ringBytes *= 2;
    const isNeeded = charge > this.#shared.words[RING_BYTES]!;
    const { directory } = this.#options;
    if (!isNeeded && this.#disk.freeBytes(directory) < ringBytes * FREE_FOR_GROWTH) return 0;
    let hasSpace = false;
    this.#commit.underBothLocks(() => {
      // A segment, and one that becomes the spare, must take in what the ring can hold.
      if (!this.#writer.keepSpare(ringBytes) || !this.#writer.isAsLargeAs(ringBytes)) return;
      try {
        growRing(this.#disk, this.#options, ringBytes);
        hasSpace = true;
      } catch (error) {
        if (!(error instanceof SpinneyError) || error.code !== 'ERR_NO_SPACE') throw error;
      }
    });
    return hasSpace ? ringBytes : 0;
  }

  /** Uses so many bytes of the ring, which have been prepared, from now on. REQUIRES that nobody can append. */
  enlarge(ringBytes: number): void {
    const { words } = this.#shared;
    this.#commit.underFlushLock(() => {
      if (words[RING_BYTES]! >= ringBytes) return;
      Atomics.store(words, RING_BYTES, ringBytes);
      this.#ring.moveHeads(words[WRITTEN]!, this.#shared.writtenLsn + 1);
    });
  }
}
