/**
 * The write-ahead log, as the engine sees it.
 *
 * A writer, under the tree's writer mutex: `reserve`; if that is false, it releases the mutex, calls `makeRoom` and
 * begins again; else it changes the tree, calls one `append...` and releases the mutex, then calls `acknowledge`.
 * LSNs are consecutive. Between a successful `reserve` and its `append...` nothing else may be appended.
 *
 * An appended record is in the ring, which is a mapped file (ring-file.ts), and survives a killed process from then
 * on. What is in the ring is moved to segments when space is needed, by `flush`, and on the way to `synced`.
 *
 * Everything else may be called by any thread at any time. The state is in shared memory: `share` gives a handle
 * that can be posted to another thread, where `attach` opens it. After a failed write or fdatasync every call on every
 * thread throws ERR_JOURNAL_FAILED with the cause.
 */
import { randomInt } from 'node:crypto';
import type { Durability, PreviousEnd } from '../api.js';
import type { Disk } from '../disk/disk.js';
import { SpinneyError } from '../errors.js';
import type { Latency } from '../histogram.js';
import { GROUP_HEADER_BYTES } from './records/format.js';
import {
  RECORD_BATCH,
  RECORD_DELETE,
  RECORD_DELETE_PREFIX,
  RECORD_GRAFT,
  RECORD_PUT,
  type RecordType,
} from './records/record.js';
import { Ring } from './ring/ring.js';
import { makeRing, mapRing, type RingOptions, retireRing } from './ring/ring-file.js';
import { beginRun, RunMap, readRun } from './run/run-file.js';
import { JournalTail } from './segments/journal-tail.js';
import { segmentBytes } from './segments/segment-file.js';
import {
  ACTIVITY,
  BYTE_COUNT,
  CHARGED,
  controlBytes,
  DISCHARGED,
  FLUSH_LOCK,
  JournalShared,
  OPENED_LSN,
  PUBLISHED,
  RING_BYTES,
  SLEEPING,
  SPACE,
  SYNC_COUNT,
  SYNC_LOCK,
  SYNCED,
  WRITTEN,
} from './shared.js';
import { assertSizes, DEFAULT_SIZES, firstRingBytes, type JournalSizes, recordCharge } from './sizes.js';
import { removeCoveredSegments } from './writing/covered-segments.js';
import { GroupCommit } from './writing/group-commit.js';
import { RingGrowth } from './writing/ring-growth.js';
import { Room } from './writing/room.js';
import { SegmentWriter } from './writing/segment-writer.js';

const EMPTY = new Uint8Array(0);

export interface JournalOptions {
  disk: Disk;
  directory: string;
  /** The store's, 16 bytes. */
  uuid: Uint8Array;
  /** The LSN that the next record will have. */
  nextLsn: number;
  durability: Durability;
  /** What `recoverJournal` told of it. */
  previousEnd: PreviousEnd;
  /** Default: the engine's limits. */
  sizes?: JournalSizes;
}

/** What another thread needs to attach; can be posted to it. */
export interface JournalHandle extends RingOptions {
  control: SharedArrayBuffer;
  /** Where in its file the run's record is. */
  runOffset: number;
}

export interface JournalCounters {
  /** Records appended since the journal was opened. */
  appends: number;
  /** Calls of fdatasync that made records durable. */
  syncs: number;
  /** Bytes written, group headers included. */
  bytes: number;
}

export class Journal {
  readonly #disk: Disk;
  readonly #handle: JournalHandle;
  readonly #shared: JournalShared;
  readonly #words: Int32Array;
  readonly #ring: Ring;
  /** This thread's mapping of the ring's file, until it is ended. */
  #mapping: ArrayBuffer | undefined;
  readonly #run: RunMap;
  readonly #writer: SegmentWriter;
  readonly #commit: GroupCommit;
  readonly #room: Room;
  readonly ringGrowth: RingGrowth;

  private constructor(handle: JournalHandle, disk: Disk, run: RunMap, mapping: ArrayBuffer) {
    this.#disk = disk;
    this.#handle = handle;
    this.#shared = new JournalShared(handle.control);
    this.#words = this.#shared.words;
    this.#mapping = mapping;
    this.#run = run;
    this.#ring = new Ring(mapping, handle.sizes, handle.recordSeed, this.#words);
    this.#writer = new SegmentWriter(disk, this.#shared, this.#ring, run, handle);
    this.#commit = new GroupCommit(this.#shared, this.#writer);
    this.#room = new Room(handle, this.#shared, this.#writer, this.#commit);
    this.ringGrowth = new RingGrowth(disk, handle, this.#shared, this.#ring, this.#writer, this.#commit);
  }

  /**
   * Opens the journal for writing. Everything before `nextLsn` must be durable and recovered, see `recoverJournal`.
   * Begins a run and makes the ring's file; the first segment is made when a record first needs it.
   * @throws ERR_NO_SPACE, ERR_IO naming the file
   */
  static open(options: JournalOptions): Journal {
    const { disk, directory, uuid, nextLsn, durability, previousEnd, sizes = DEFAULT_SIZES } = options;
    assertSizes(sizes);
    const control = new SharedArrayBuffer(controlBytes());
    const recordSeed = randomInt(1, 2 ** 32);
    const found = readRun(disk, directory, uuid);
    const last = typeof found === 'string' ? undefined : found;
    const lsn = nextLsn - 1;
    const runOffset = beginRun(disk, { directory, uuid, last, endBefore: previousEnd, lsn });
    const handle = { control, directory, uuid, recordSeed, runOffset, sizes };
    const run = RunMap.map(disk, directory, runOffset);
    try {
      const ringBytes = firstRingBytes(sizes);
      const journal = new Journal(handle, disk, run, makeRing(disk, handle, nextLsn, ringBytes));
      journal.#shared.initialise(nextLsn, ringBytes, durability);
      run.opened();
      journal.keepSpare();
      return journal;
    } catch (error) {
      run.drop();
      throw error;
    }
  }

  /** Opens, in another thread, the journal that `share` gave the handle of. Throws ERR_CLOSED, ERR_IO. */
  static attach(handle: JournalHandle, disk: Disk): Journal {
    let run: RunMap | undefined;
    try {
      run = RunMap.map(disk, handle.directory, handle.runOffset);
      return new Journal(handle, disk, run, mapRing(disk, handle));
    } catch (error) {
      run?.drop();
      const shared = new JournalShared(handle.control);
      if (shared.closed) shared.throwUnlessUsable();
      throw error;
    }
  }

  share(): JournalHandle {
    return this.#handle;
  }

  // Appending, under the tree's writer mutex.

  /** Whether ring and file have room for a record with a body of this many bytes. */
  reserve(bodyBytes: number): boolean {
    const words = this.#words;
    // DISCHARGED first: a flush in between can then only make the answer too cautious.
    const inRing = (words[CHARGED]! - Atomics.load(words, DISCHARGED)) | 0;
    const needed = inRing + recordCharge(bodyBytes);
    const fits = needed <= Atomics.load(words, SPACE) && needed <= words[RING_BYTES]!;
    return fits && bodyBytes <= this.#handle.sizes.maxBodyBytes && this.#shared.usable;
  }

  appendPut(lsn: number, key: Uint8Array, value: Uint8Array): void {
    this.#appendOperation(lsn, RECORD_PUT, key, value);
  }

  appendDelete(lsn: number, key: Uint8Array): void {
    this.#appendOperation(lsn, RECORD_DELETE, key, EMPTY);
  }

  appendGraft(lsn: number, source: Uint8Array, destination: Uint8Array): void {
    this.#appendOperation(lsn, RECORD_GRAFT, source, destination);
  }

  appendDeletePrefix(lsn: number, prefix: Uint8Array): void {
    this.#appendOperation(lsn, RECORD_DELETE_PREFIX, prefix, EMPTY);
  }

  /** Appends the first `length` bytes of `body`, which a BatchEncoder made, as one record. */
  appendBatch(lsn: number, body: Uint8Array, length: number): void {
    const position = this.#words[PUBLISHED]!;
    this.#publish(lsn, position, this.#ring.putBody(position, lsn, RECORD_BATCH, body, length));
  }

  #appendOperation(lsn: number, type: RecordType, first: Uint8Array, second: Uint8Array): void {
    const position = this.#words[PUBLISHED]!;
    this.#publish(lsn, position, this.#ring.putOperation(position, lsn, type, first, second));
  }

  #publish(lsn: number, position: number, size: number): void {
    const charged = (this.#words[CHARGED]! + size + GROUP_HEADER_BYTES) | 0;
    this.#run.appended(lsn);
    this.#shared.publish(lsn, (position + size) | 0, charged);
  }

  // Room, waiting and flushing: any thread, holding nothing.

  /**
   * Makes room for a record that `reserve` had none for: flushes the ring, reserves file space, begins a segment.
   * Another writer may take the room first, so `reserve` has the last word. `mayUseSpare`: on a full disk the segment that
   * is kept for removals may be begun; a checkpoint makes another one.
   * @throws ERR_NO_SPACE naming the file, after which the journal goes on as before
   */
  makeRoom(bodyBytes: number, mayUseSpare = false): void {
    this.#room.make(bodyBytes, mayUseSpare);
  }

  /**
   * What the durability demands of a mutation with this LSN; also wakes the maintenance thread. At `written` nothing is
   * left to wait for: the record survives the process since it was appended. What it throws has `isMade`.
   */
  acknowledge(lsn: number): void {
    const { durability } = this.#shared;
    try {
      if (durability === 'synced') this.waitSynced(lsn);
      else if (durability === 'written' && this.#shared.failed) throw this.#shared.failure();
    } catch (error) {
      if (error instanceof SpinneyError) error.isMade = true;
      throw error;
    }
    this.#wakeMaintenance();
  }

  /** Returns once the record with this LSN is in a segment. */
  waitWritten(lsn: number): void {
    this.#commit.waitWritten(lsn);
  }

  /** Returns once the record with this LSN survives a power cut. */
  waitSynced(lsn: number): void {
    this.#commit.waitSynced(lsn);
  }

  /** Moves what is in the ring to the segments. */
  flush(): void {
    this.waitWritten(this.publishedLsn());
  }

  /** Makes everything appended so far durable. */
  sync(): void {
    this.waitSynced(this.publishedLsn());
  }

  /**
   * Closes the current segment and begins a new one, so that a checkpoint can remove it; does nothing where the segment
   * holds no records, or no more than `beyond` bytes. ERR_NO_SPACE where there is no space for another; `mayUseSpare`: as
   * in `makeRoom`.
   */
  rotate(beyond = 0, mayUseSpare = false): void {
    this.#commit.underBothLocks(() => {
      if (this.#writer.hasGroupsBeyond(beyond)) this.#writer.changeSegment(mayUseSpare);
    });
  }

  /** Bytes of the smallest segment, such as the spare is: none is shorter than this while it is written to. */
  get leastSegmentBytes(): number {
    return this.#writer.least();
  }

  /** Sees that there is a spare segment, as far as the disk has space for one; whether there is one. */
  keepSpare(): boolean {
    const shared = this.#shared;
    shared.lock(SYNC_LOCK);
    try {
      return this.#writer.keepSpare();
    } finally {
      shared.unlock(SYNC_LOCK);
    }
  }

  /**
   * Removes the segments whose records are all at or below `lsn`, oldest first, each durably before the next: those
   * that remain are always the end of the log without a gap. Never the current one, and none that is held, but for space.
   */
  removeBefore(coveredLsn: number, isForSpace = false): void {
    const shared = this.#shared;
    shared.throwUnlessUsable();
    const lsn = isForSpace ? coveredLsn : Math.min(coveredLsn, shared.heldLsn);
    shared.lock(SYNC_LOCK);
    try {
      removeCoveredSegments(this.#disk, this.#handle.directory, lsn, shared, this.#writer);
    } finally {
      shared.unlock(SYNC_LOCK);
    }
    if (!this.keepSpare()) this.#commit.underBothLocks(() => this.#writer.restart(lsn));
  }

  /** The records from `nextLsn` on, for who carries them away. */
  tail(nextLsn: number): JournalTail {
    return new JournalTail(this.#disk, this.#handle, this.#shared, nextLsn);
  }

  /**
   * Syncs, gives unused space back, notes the end of the run, takes the ring's name away and closes the file. Nobody may append any more. Where
   * it fails, the ring stays for recovery to read. Segments that are covered by a checkpoint at `coveredLsn` are removed,
   * so that the next opening need not look through them.
   */
  close(coveredLsn = -1): void {
    const shared = this.#shared;
    shared.lock(SYNC_LOCK);
    shared.lock(FLUSH_LOCK);
    try {
      if (shared.closed) return;
      try {
        this.#writer.flush();
        this.#writer.sync(this.#words[WRITTEN]!, shared.writtenLsn);
        this.#writer.closeSegment();
        this.#run.closed(shared.writtenLsn);
      } finally {
        this.#writer.closeFile();
        shared.close();
        this.detach();
      }
      const { directory } = this.#handle;
      retireRing(this.#disk, directory);
      removeCoveredSegments(
        this.#disk,
        directory,
        Math.min(coveredLsn, shared.heldLsn),
        shared,
        this.#writer,
      );
    } finally {
      shared.unlock(FLUSH_LOCK);
      shared.unlock(SYNC_LOCK);
    }
  }

  /** Ends this thread's mappings; other threads keep theirs. This object is of no use afterwards. */
  detach(): void {
    const mapping = this.#mapping;
    if (mapping === undefined) return;
    this.#mapping = undefined;
    this.#ring.drop();
    this.#disk.unmap(mapping);
    this.#run.drop();
  }

  /** To be called once a thread that used the journal is gone for good, so that others can take its place. */
  threadDied(threadId: number): void {
    this.#shared.threadDied(threadId);
  }

  /** What `acknowledge` waits for. */
  get durability(): Durability {
    return this.#shared.durability;
  }

  /**
   * Changes the level for all threads at once. At `synced` all that was acknowledged before is durable when this returns: a
   * writer has appended its record before it looks at the level, so one that saw the old level is part of what is synced here.
   * @throws what kept that from being so; the level is the old one then
   */
  setDurability(level: Durability): void {
    const shared = this.#shared;
    shared.throwUnlessUsable();
    const before = shared.durability;
    shared.durability = level;
    try {
      if (level === 'synced') this.sync();
    } catch (error) {
      shared.durability = before;
      throw error;
    }
    // Its sleep is as long as the old level allowed.
    Atomics.add(this.#words, ACTIVITY, 1);
    Atomics.notify(this.#words, ACTIVITY);
  }

  /** What ended the journal's work; every call throws it. */
  failure(): SpinneyError | undefined {
    return this.#shared.failed ? this.#shared.failure() : undefined;
  }

  publishedLsn(): number {
    return this.#shared.publishedLsn;
  }

  writtenLsn(): number {
    return this.#shared.writtenLsn;
  }

  durableLsn(): number {
    return this.#shared.durableLsn;
  }

  /** Bytes in the ring that are in no segment yet. */
  unflushedBytes(): number {
    const written = Atomics.load(this.#words, WRITTEN);
    return (Atomics.load(this.#words, PUBLISHED) - written) >>> 0;
  }

  /** Bytes in the ring or written that a power cut would lose. */
  unsyncedBytes(): number {
    const synced = Atomics.load(this.#words, SYNCED);
    return (Atomics.load(this.#words, PUBLISHED) - synced) >>> 0;
  }

  counters(): JournalCounters {
    const { numbers } = this.#shared;
    return {
      appends: this.publishedLsn() - numbers[OPENED_LSN]!,
      syncs: numbers[SYNC_COUNT]!,
      bytes: numbers[BYTE_COUNT]!,
    };
  }

  /** How long the calls of fdatasync took that `counters` tells of. */
  syncLatency(): Latency {
    return this.#shared.syncs.latency();
  }

  /** Bytes of all segment files, reserved space included. */
  sizeOnDisk(): number {
    return segmentBytes(this.#disk, this.#handle.directory);
  }

  /**
   * A word that changes, and is notified, when there is something to flush or sync again. To sleep: read the word,
   * `setSleeping(true)`, go on unless `unsyncedBytes()` is 0, `Atomics.wait` for the word to change.
   */
  get activity(): { array: Int32Array; index: number } {
    return { array: this.#words, index: ACTIVITY };
  }

  setSleeping(sleeping: boolean): void {
    Atomics.store(this.#words, SLEEPING, sleeping ? 1 : 0);
  }

  #wakeMaintenance(): void {
    const words = this.#words;
    if (Atomics.load(words, SLEEPING) === 0 || Atomics.exchange(words, SLEEPING, 0) === 0) return;
    Atomics.add(words, ACTIVITY, 1);
    Atomics.notify(words, ACTIVITY);
  }
}
