/**
 * Moves records from the ring to the current segment, and makes segments. Every method says which lock it is called
 * under. Reserving space is the only thing that may fail and leave the journal usable; any other error latches it.
 *
 * Invariant: a segment with a valid header proves that every record before its first LSN is durable.
 */
import type { Disk } from '../disk/disk.js';
import type { SpinneyError } from '../errors.js';
import { encodeGroupHeader, GROUP_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './format.js';
import type { Ring } from './ring.js';
import type { RunMap } from './run-file.js';
import {
  allocateLargest,
  errorText,
  segmentPath,
  spaceError,
  writeFully,
  writeSegmentHeader,
} from './segment-file.js';
import {
  BYTE_COUNT,
  CHANGING_SEGMENT,
  DISCHARGED,
  FILE,
  FILE_LSN,
  FILE_OFFSET,
  type JournalShared,
  PUBLISHED,
  SPACE,
  SYNC_COUNT,
  WRITTEN,
} from './shared.js';
import type { JournalSizes } from './sizes.js';

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
    try {
      this.#disk.fdatasync(this.#file());
    } catch (error) {
      throw this.#failure(`${this.#path()}: ${errorText(error)}`);
    }
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
    const step = Math.max(this.#sizes.reserveBytes, needed);
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
   * room for the charge of a full ring, so that they find theirs in it too.
   */
  changeSegment(): void {
    const shared = this.#shared;
    const words = shared.words;
    const firstLsn = shared.writtenLsn + 1;
    const path = segmentPath(this.#directory, firstLsn);
    Atomics.store(words, CHANGING_SEGMENT, 1);
    const { fd, size } = this.#allocateSegment(path);
    try {
      writeSegmentHeader(this.#disk, fd, {
        directory: this.#directory,
        uuid: this.#uuid,
        firstLsn,
        recordSeed: this.#recordSeed,
      });
    } catch (error) {
      this.#disk.close(fd);
      throw this.#failure(`${path}: ${errorText(error)}`);
    }
    const oldFile = this.#file();
    const oldOffset = words[FILE_OFFSET]!;
    shared.numbers[FILE_LSN] = firstLsn;
    this.#run.segment(firstLsn);
    Atomics.store(words, FILE_OFFSET, SEGMENT_HEADER_BYTES);
    Atomics.store(words, SPACE, size - SEGMENT_HEADER_BYTES - KEPT_BYTES);
    Atomics.store(words, FILE, fd);
    Atomics.store(words, CHANGING_SEGMENT, 0);
    if (oldFile >= 0) this.#shed(oldFile, oldOffset);
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
    if (isUsed) this.#writeGroup(shared.writtenLsn + 1, 0, []);
    try {
      if (isUsed) {
        this.#disk.truncate(fd, shared.words[FILE_OFFSET]! + GROUP_HEADER_BYTES);
        this.#disk.fdatasync(fd);
      } else {
        this.#disk.unlink(path);
        this.#disk.syncDirectory(this.#directory);
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
      throw this.#failure(`${this.#path()}: ${errorText(error)}`);
    }
    shared.numbers[BYTE_COUNT]! += length;
  }

  /** Opens a segment's file, empty but for its reserved space; on failure nothing has changed. */
  #allocateSegment(path: string): { fd: number; size: number } {
    const least = SEGMENT_HEADER_BYTES + this.#sizes.ringBytes + KEPT_BYTES;
    let fd = -1;
    try {
      fd = this.#disk.open(path, { write: true, create: true });
      // A file that an earlier attempt could not remove again.
      this.#disk.truncate(fd, 0);
      const sizes = [Math.max(this.#sizes.reserveBytes, least), least];
      return { fd, size: allocateLargest(this.#disk, fd, 0, sizes) };
    } catch (error) {
      if (fd >= 0) this.#discard(fd, path);
      Atomics.store(this.#shared.words, CHANGING_SEGMENT, 0);
      throw spaceError(error, path);
    }
  }

  /**
   * Removes a file that has no header yet. If it stayed, its name would misstate where the segment before it ends.
   * (Recovery passes over such a file, should the process die here.)
   */
  #discard(fd: number, path: string): void {
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
