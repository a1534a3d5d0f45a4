/**
 * Moves records from the ring to the current segment, and makes segments. Every method says which lock it is called
 * under. Want of space may fail a call and leave the journal usable: where space is reserved, and also where what was reserved
 * is written, on filesystems that never overwrite in place. Any other error latches it.
 *
 * Invariant: a segment with a valid header proves that every record before its first LSN is durable.
 */
import type { Disk } from '../../disk/disk.js';
import { isNoSpace } from '../../disk/io.js';
import type { SpinneyError } from '../../errors.js';
import { encodeGroupHeader, GROUP_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../records/format.js';
import type { Ring } from '../ring/ring.js';
import type { RunMap } from '../run/run-file.js';
import {
  allocateLargest,
  errorText,
  putSegmentHeader,
  type SegmentIdentity,
  segmentPath,
  spaceError,
  writeFully,
} from '../segments/segment-file.js';
import {
  BYTE_COUNT,
  CHANGING_SEGMENT,
  DISCHARGED,
  FILE,
  FILE_LSN,
  FILE_OFFSET,
  type JournalShared,
  PUBLISHED,
  RING_BYTES,
  SPACE,
  SPARE,
  SYNC_COUNT,
  WRITTEN,
} from '../shared.js';
import { type JournalSizes, reserveStep } from '../sizes.js';
import { keepAsSpare, nameSpare, openSpare, reserveSpare } from './spare-segment.js';

/** Space is asked for in multiples of this on a disk that is too full for a whole step. */
const SMALL_STEP_BYTES = 4096;

/**
 * What is held back of a segment's space: the group that `close` ends it with, and two blocks more. A recovery cuts the
 * space off and saves the ring's records to another file; the header and the last, partly filled block of that find room
 * even where nothing else was left on the disk.
 */
const KEPT_BYTES = GROUP_HEADER_BYTES + 2 * SMALL_STEP_BYTES;

export class SegmentWriter {
  readonly #disk: Disk;
  readonly #shared: JournalShared;
  readonly #ring: Ring;
  readonly #run: RunMap;
  readonly #directory: string;
  readonly #uuid: Uint8Array;
  readonly #recordSeed: number;
  readonly #sizes: JournalSizes;
  readonly #groupHeader = new Uint8Array(GROUP_HEADER_BYTES);

  constructor(
    disk: Disk,
    shared: JournalShared,
    ring: Ring,
    run: RunMap,
    store: { directory: string; uuid: Uint8Array; recordSeed: number; sizes: JournalSizes },
  ) {
    this.#disk = disk;
    this.#shared = shared;
    this.#ring = ring;
    this.#run = run;
    this.#directory = store.directory;
    this.#uuid = store.uuid;
    this.#recordSeed = store.recordSeed;
    this.#sizes = store.sizes;
  }

  /** Under FLUSH_LOCK: writes everything published as one group. */
  flush(): void {
    const shared = this.#shared;
    const words = shared.words;
    shared.throwUnlessUsable();
    const from = words[WRITTEN]!;
    const to = Atomics.load(words, PUBLISHED);
    if (from === to) return;
    const firstLsn = shared.writtenLsn + 1;
    const records = this.#ring.pieces(from, to, firstLsn);
    if (records === undefined) throw this.#failure('the ring in memory is damaged');
    const recordsLength = (to - from) | 0;
    this.#writeGroup(firstLsn, recordsLength, records.pieces);
    const { count } = records;
    this.#ring.moveHeads(to, firstLsn + count);
    shared.commitFlush({
      position: to,
      lsn: firstLsn + count - 1,
      discharged: (words[DISCHARGED]! + recordsLength + count * GROUP_HEADER_BYTES) | 0,
      length: GROUP_HEADER_BYTES + recordsLength,
    });
  }

  /** Under SYNC_LOCK: makes durable what was written up to `lsn`, which ends at ring position `position`. */
  sync(position: number, lsn: number): void {
    const shared = this.#shared;
    shared.throwUnlessUsable();
    if (lsn === shared.durableLsn) return;
    const began = performance.now();
    try {
      this.#disk.fdatasync(this.#file());
    } catch (error) {
      throw this.#failure(`${this.#path()}: ${errorText(error)}`);
    }
    shared.syncs.record(performance.now() - began);
    shared.numbers[SYNC_COUNT]!++;
    this.#run.durable(lsn);
    shared.commitSync(position, lsn);
  }

  /** Under FLUSH_LOCK: whether the segment may be given more space in place, rather than be followed by another. */
  canExtend(): boolean {
    return this.#file() >= 0 && this.#end() < this.#sizes.segmentBytes;
  }

  /** Under FLUSH_LOCK: reserves more space at the segment's end, at least `needed` bytes. */
  extend(needed: number): void {
    const step = Math.max(this.#step(), needed);
    const small = Math.ceil(needed / SMALL_STEP_BYTES) * SMALL_STEP_BYTES;
    try {
      const got = allocateLargest(
        this.#disk,
        this.#file(),
        this.#end(),
        small < step ? [step, small] : [step],
      );
      Atomics.add(this.#shared.words, SPACE, got);
    } catch (error) {
      throw spaceError(error, this.#path());
    }
  }

  /**
   * Under both locks, with everything written durable: begins a new segment, and only then gives up the old one, so
   * that reserved records keep their space if there is none for a new one (ERR_NO_SPACE). A new segment begins with
   * room for the charge of a full ring, so that they find theirs in it too. `mayUseSpare`: where the disk is too full.
   */
  changeSegment(mayUseSpare: boolean): void {
    const shared = this.#shared;
    const words = shared.words;
    const firstLsn = shared.writtenLsn + 1;
    const path = segmentPath(this.#directory, firstLsn);
    const segment = { directory: this.#directory, uuid: this.#uuid, firstLsn, recordSeed: this.#recordSeed };
    Atomics.store(words, CHANGING_SEGMENT, 1);
    const { fd, size, isSpare } = this.#allocateSegment(path, segment, mayUseSpare);
    try {
      if (isSpare) nameSpare(this.#disk, this.#directory, path);
      else {
        this.#disk.fsync(fd);
        this.#disk.syncDirectory(this.#directory);
      }
    } catch (error) {
      this.#disk.close(fd);
      throw this.#failure(`${path}: ${errorText(error)}`);
    }
    const oldFile = this.#file();
    const oldOffset = words[FILE_OFFSET]!;
    // It is the next spare, as soon as a checkpoint covers it.
    const kept = isSpare ? Math.min(this.#end(), Math.max(oldOffset, this.least())) : oldOffset;
    if (isSpare) Atomics.store(words, SPARE, 0);
    shared.numbers[FILE_LSN] = firstLsn;
    this.#run.segment(firstLsn);
    Atomics.store(words, FILE_OFFSET, SEGMENT_HEADER_BYTES);
    Atomics.store(words, SPACE, size - SEGMENT_HEADER_BYTES - KEPT_BYTES);
    Atomics.store(words, FILE, fd);
    Atomics.store(words, CHANGING_SEGMENT, 0);
    if (oldFile >= 0) this.#shed(oldFile, kept);
  }

  /** Under SYNC_LOCK: sees that there is a spare segment, as far as the disk has space; whether there is one. */
  keepSpare(ringBytes = this.#shared.words[RING_BYTES]!): boolean {
    const { words } = this.#shared;
    const least = this.least(ringBytes);
    if (Atomics.load(words, SPARE) >= least) return true;
    try {
      Atomics.store(words, SPARE, reserveSpare(this.#disk, this.#directory, least));
    } catch (error) {
      if (!isNoSpace(error)) throw spaceError(error, this.#directory);
    }
    return Atomics.load(words, SPARE) >= least;
  }

  /** Under both locks: whether the current segment has, or now gets, the least size for a ring of so many bytes. */
  isAsLargeAs(ringBytes: number): boolean {
    const missing = this.#file() < 0 ? 0 : this.least(ringBytes) - this.#end();
    if (missing <= 0) return true;
    try {
      allocateLargest(this.#disk, this.#file(), this.#end(), [missing]);
      Atomics.add(this.#shared.words, SPACE, missing);
      return true;
    } catch (error) {
      if (isNoSpace(error)) return false;
      throw spaceError(error, this.#path());
    }
  }

  /** Under SYNC_LOCK: removes a segment that a checkpoint covers, or makes it the spare where there is none. Throws errno errors. */
  discard(path: string): void {
    const { words } = this.#shared;
    if (Atomics.load(words, SPARE) >= this.least()) {
      this.#disk.unlink(path);
      this.#disk.syncDirectory(this.#directory);
      return;
    }
    Atomics.store(words, SPARE, keepAsSpare(this.#disk, this.#directory, path, this.least()));
    this.keepSpare();
  }

  /**
   * Under both locks, with everything written durable and covered by a checkpoint up to `lsn`: where there is no spare, makes
   * the current segment the spare and begins a new one, which may be it.
   */
  restart(lsn: number): void {
    const { words, writtenLsn } = this.#shared;
    const fd = this.#file();
    const isMostlyFree = !this.hasGroups() || words[FILE_OFFSET]! < this.#end() / 2;
    if (fd < 0 || isMostlyFree || writtenLsn > lsn || Atomics.load(words, SPARE) >= this.least()) return;
    try {
      Atomics.store(words, SPARE, keepAsSpare(this.#disk, this.#directory, this.#path(), this.least()));
      this.closeFile();
      this.changeSegment(true);
    } catch (error) {
      throw this.#failure(`${this.#path()}: ${errorText(error)}`);
    }
  }

  /** Under both locks: whether more than `bytes` of the current segment are used by groups. */
  hasGroupsBeyond(bytes: number): boolean {
    return this.hasGroups() && this.#shared.words[FILE_OFFSET]! > bytes;
  }

  /** Under both locks: whether a group has been written to the current segment. */
  hasGroups(): boolean {
    return this.#file() >= 0 && this.#shared.words[FILE_OFFSET]! > SEGMENT_HEADER_BYTES;
  }

  /**
   * Under both locks, with everything written durable: ends the current segment with an empty group, which proves
   * at the next open that all before it was durable; or removes the segment where it holds nothing.
   */
  closeSegment(): void {
    const shared = this.#shared;
    const fd = this.#file();
    if (fd < 0) return;
    const path = this.#path();
    const isUsed = this.hasGroups();
    const hasSpare = Atomics.load(shared.words, SPARE) >= this.least();
    if (isUsed) this.#writeGroup(shared.writtenLsn + 1, 0, []);
    try {
      if (isUsed) {
        if (hasSpare) this.#disk.truncate(fd, shared.words[FILE_OFFSET]! + GROUP_HEADER_BYTES);
        this.#disk.fdatasync(fd);
      } else {
        this.discard(path);
      }
    } catch (error) {
      throw this.#failure(`${path}: ${errorText(error)}`);
    }
  }

  /** Under both locks: closes the current segment's file as it is. */
  closeFile(): void {
    const fd = this.#file();
    if (fd < 0) return;
    Atomics.store(this.#shared.words, FILE, -1);
    this.#disk.close(fd);
  }

  #writeGroup(firstLsn: number, recordsLength: number, pieces: Uint8Array[]): void {
    const shared = this.#shared;
    const length = GROUP_HEADER_BYTES + recordsLength;
    encodeGroupHeader(this.#groupHeader, {
      uuid: this.#uuid,
      length,
      firstLsn,
      durableLsn: shared.durableLsn,
    });
    const offset = shared.words[FILE_OFFSET]!;
    try {
      writeFully(this.#disk, this.#file(), [this.#groupHeader, ...pieces], offset);
    } catch (error) {
      // Nothing is lost: the ring has the records still, and they will be written here in whole.
      if (isNoSpace(error)) throw spaceError(error, this.#path());
      throw this.#failure(`${this.#path()}: ${errorText(error)}`);
    }
    shared.numbers[BYTE_COUNT]! += length;
  }

  /** Opens a segment's file, empty but for its reserved space and a header that is not durable; on failure nothing has changed. */
  #allocateSegment(
    path: string,
    segment: SegmentIdentity,
    mayUseSpare: boolean,
  ): { fd: number; size: number; isSpare: boolean } {
    const least = this.least();
    let fd = -1;
    try {
      fd = this.#disk.open(path, { write: true, create: true });
      // A file that an earlier attempt could not remove again.
      this.#disk.truncate(fd, 0);
      const size = allocateLargest(this.#disk, fd, 0, [Math.max(this.#step(), least), least]);
      this.#putHeader(fd, path, segment);
      return { fd, size, isSpare: false };
    } catch (error) {
      if (fd >= 0) this.#remove(fd, path);
      const spare = Atomics.load(this.#shared.words, SPARE);
      if (isNoSpace(error) && mayUseSpare && spare >= least) return this.#openSpare(path, segment, spare);
      Atomics.store(this.#shared.words, CHANGING_SEGMENT, 0);
      throw spaceError(error, path);
    }
  }

  #putHeader(fd: number, path: string, segment: SegmentIdentity): void {
    try {
      putSegmentHeader(this.#disk, fd, segment);
    } catch (error) {
      throw isNoSpace(error) ? error : this.#failure(`${path}: ${errorText(error)}`);
    }
  }

  #openSpare(
    path: string,
    segment: SegmentIdentity,
    size: number,
  ): { fd: number; size: number; isSpare: boolean } {
    try {
      return { fd: openSpare(this.#disk, size, segment), size, isSpare: true };
    } catch (error) {
      Atomics.store(this.#shared.words, CHANGING_SEGMENT, 0);
      throw spaceError(error, path);
    }
  }

  /** The smallest segment: any records that the ring has, or may get, find room in it. */
  least(ringBytes = this.#shared.words[RING_BYTES]!): number {
    return SEGMENT_HEADER_BYTES + ringBytes + KEPT_BYTES;
  }

  /** What is reserved at a time. */
  #step(): number {
    return reserveStep(this.#sizes, this.#shared.numbers[BYTE_COUNT]!);
  }

  /**
   * Removes a file that has no header yet. If it stayed, its name would misstate where the segment before it ends.
   * (Recovery passes over such a file, should the process die here.)
   */
  #remove(fd: number, path: string): void {
    this.#disk.close(fd);
    try {
      this.#disk.unlink(path);
    } catch (error) {
      throw this.#failure(`${path}: ${errorText(error)}`);
    }
  }

  /** Closes a finished segment and gives its unused space back; keeping that would only cost space. */
  #shed(fd: number, end: number): void {
    try {
      this.#disk.truncate(fd, end);
    } catch {
      // Recovery takes zeros after the last group for its end.
    }
    this.#disk.close(fd);
  }

  #file(): number {
    return Atomics.load(this.#shared.words, FILE);
  }

  #path(): string {
    return segmentPath(this.#directory, this.#shared.numbers[FILE_LSN]!);
  }

  /** Where the segment's reserved space ends. */
  #end(): number {
    const words = this.#shared.words;
    return words[FILE_OFFSET]! + Atomics.load(words, SPACE) + KEPT_BYTES;
  }

  #failure(cause: string): SpinneyError {
    this.#shared.fail(cause);
    return this.#shared.failure();
  }
}
