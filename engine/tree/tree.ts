import type {
  AtomicOptions,
  Batch,
  DiffOptions,
  Durability,
  Key,
  KeyRecord,
  MeasureOptions,
  PreviousEnd,
  RangeEntry,
  RangeOptions,
  Recovery,
  SnapshotInfo,
  SnapshotReadOptions,
  SnapshotReads,
  TreeChange,
  TreeOperations,
  TreeOptions,
  TreeReads,
  TreeRecord,
} from '../api.js';
import { Measure } from '../art/measure.js';
import { anchoredPath } from '../disk/anchored-disk.js';
import { SpinneyError } from '../errors.js';
import type { Journal } from '../journal/journal.js';
import { MIN_CACHE_BYTES } from '../limits.js';
import { C_CLOSED } from '../shared/control.js';
import { type BlobStore, type CheckpointMark, type Pin, SHIPPING_PIN } from '../store/blob-store.js';
import { FileBlobStore } from '../store/file/file-blob-store.js';
import type { TreeConditions, TreeStats } from '../tree-stats.js';
import { treeConditions } from './conditions.js';
import {
  cacheBytesOf,
  closeState,
  inlineWriter,
  openState,
  type Settings,
  settingsOf,
  type Underlying,
} from './open.js';
import { Diff } from './read/diff/diff.js';
import { Reader } from './read/reader.js';
import { Reads } from './read/reads.js';
import { Scanner } from './read/scanner.js';
import { openSnapshot } from './read/snapshot-reads.js';
import { Views } from './read/view.js';
import { readersOf } from './read/waiting/readers.js';
import {
  callback,
  endedThread,
  keyBytes,
  optionsOf,
  prefixBytes,
  valueBytes,
  versionNumber,
} from './state/arguments.js';
import { setDurability } from './state/durability.js';
import { keptFree } from './state/free-slots.js';
import { findPin, keptForShipping, pinsOf, snapshotDeleted, snapshotName } from './state/pins.js';
import { attachState, handleOf, type TreeHandle } from './state/shared-tree.js';
import { NEED_FRAMES, type TreeState } from './state/state.js';
import { snapshotsOf, treeStats } from './stats.js';
import { Compaction } from './upkeep/compaction.js';
import { completeSums } from './upkeep/complete-sums.js';
import { InlineMaintenance, type Maintenance, type Schedule, satisfy } from './upkeep/maintenance.js';
import { MaintenanceHost } from './upkeep/maintenance-host.js';
import { RemoteMaintenance } from './upkeep/remote-maintenance.js';
import { Round } from './upkeep/round.js';
import type { GuardFailure } from './write/batch.js';
import { Batches } from './write/batches.js';
import type { Change } from './write/changes.js';
import { ABSENT, ANY_VERSION } from './write/mutation.js';
import { projectionOf } from './write/projected-tree.js';
import { Writer } from './write/writer.js';

/** Nobody alive has the lock for so long unless the disk hangs. */
const LEAVE_TAKING_MS = 250;

/** How writes of a tree without a journal reach its store by themselves. */
type Mirror = 'never' | 'each write' | 'when looked at';

/**
 * An ordered map from byte keys to byte values, kept in blobs: the engine's public face.
 *
 * All calls are synchronous. Any number of threads may have the tree open: the opener, and those that `attach` to
 * the handle that `share` gives; each uses its own Tree object. Costs: get, put and delete are one descent; a range
 * costs one descent for each 256 entries and a step for each. Keys have 1 to 16 KiB, values 0 to 128 KiB.
 *
 * Errors that any call can throw: ERR_CLOSED, ERR_POISONED, ERR_IO, ERR_BLOB_CORRUPT, ERR_BLOB_MISSING; any
 * mutation: ERR_READ_ONLY, ERR_NO_SPACE, ERR_JOURNAL_FAILED, ERR_KEY_TOO_LARGE, ERR_VALUE_TOO_LARGE. A mutation
 * that throws has changed nothing, save ERR_JOURNAL_FAILED, after which only reopening tells; the failure of a
 * caller's own store with `flushOnWrite`: then the change is made and only its mirroring failed; and at `synced`
 * ERR_NO_SPACE of a disk that never overwrites, which had none for what was reserved: the change is made, and durable once a
 * later call has synced it.
 */
export class Tree implements TreeOperations {
  /** What `open` found in a directory's journal; undefined for other trees and in threads that attached. */
  readonly recovery: Readonly<Recovery> | undefined;
  readonly previousEnd: PreviousEnd;
  readonly #state: TreeState;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #reads: Reads;
  readonly #views: Views;
  readonly #compaction: Compaction;
  readonly #batches: Batches;
  readonly #settings: Settings | undefined;
  readonly #mirror: Mirror;
  readonly #settled = <T>(action: () => T): T => {
    const merging = this.#writer.waits?.merging;
    return merging === undefined ? action() : merging.settled(action);
  };
  #round: Round | undefined;
  #maintenance: Maintenance;
  #worker: MaintenanceHost | undefined;
  /** Threads that have died, and whose views are still to be ended. */
  readonly #ended: number[] = [];

  private constructor(state: TreeState, settings?: Settings, recovery?: Recovery) {
    this.#state = state;
    this.recovery = recovery;
    this.previousEnd = state.options.previousEnd;
    this.#settings = settings;
    this.#reader = new Reader(state, () => satisfy(state, this.#maintenance, NEED_FRAMES));
    this.#writer = new Writer(state, (need, wanted) => satisfy(state, this.#maintenance, need, wanted));
    const { waits } = this.#writer;
    const seen = projectionOf(this.#writer, waits?.scanner ?? new Scanner(state, this.#reader));
    this.#batches = new Batches(this.#writer, seen);
    const check = () => state.checkOpen();
    const waiting = waits && {
      state: waits.state,
      isAny: () => waits.state.look(),
      // Who only reads goes through them.
      ...(!state.options.readOnly && { settled: this.#settled }),
    };
    const { points, scans, sums } = readersOf(state, this.#reader, check, waiting);
    this.#reads = new Reads(points, scans, sums, check);
    this.#views = new Views(state, this.#reader.makeRoom);
    this.#compaction = new Compaction(state, this.#writer);
    this.#mirror = mirrorOf(settings);
    if (settings === undefined) {
      this.#maintenance = new RemoteMaintenance(state);
    } else {
      this.#round = new Round(state);
      this.#maintenance = new InlineMaintenance(state, this.#round, scheduleOf(settings));
      if (settings.schedule.host === 'worker' && !settings.readOnly) this.#startWorker(settings.schedule);
    }
  }

  /**
   * Opens the tree in a directory, in memory, or on the caller's BlobStore; see TreeOptions. A directory is locked
   * for this process until `close`, and what its journal holds beyond the last checkpoint is recovered first.
   * @throws ERR_NO_STORE, ERR_STORE_LOCKED, ERR_NEEDS_RECOVERY, ERR_FORMAT_VERSION, ERR_MANIFEST_CORRUPT,
   *   ERR_JOURNAL_CORRUPT, ERR_INVALID_ARGUMENT
   * @param underlying for tests: what a directory is on instead of the machine's disk
   */
  static open(options: TreeOptions, underlying?: Underlying): Tree {
    const settings = settingsOf(options);
    const { state, recovery } = openState(settings, underlying);
    try {
      completeSums(state, inlineWriter(state), settings.onProgress);
      return new Tree(state, settings, recovery);
    } catch (error) {
      closeState(state);
      throw error;
    }
  }

  /**
   * Opens, in another thread, the tree whose `share` gave the handle. It lives as long as the opener's. A tree with a measure is
   * given it here too, since functions do not cross threads; without it the thread only reads, and sums nothing up.
   * @throws ERR_MEASURE where the tree has another measure
   */
  static attach(handle: TreeHandle, { measure }: { measure?: MeasureOptions } = {}): Tree {
    return new Tree(attachState(handle, 'reader', measure && new Measure(measure)));
  }

  /** Where the tree's checkpoints are: to be read only, and for the time that the tree is open. */
  get store(): BlobStore {
    return this.#state.store;
  }

  /** The tree's journal, for whoever ships its records; undefined for a tree that is in no directory, or only read. */
  get journal(): Journal | undefined {
    return this.#state.journal;
  }

  /**
   * A handle for other threads, to be posted to them. From then on a maintenance worker runs the checkpoints of a
   * tree that is open for writing.
   * @throws ERR_NOT_SHAREABLE for a tree without a directory
   */
  share(): TreeHandle {
    const handle = handleOf(this.#state);
    if (this.#settings !== undefined && this.#worker === undefined && !this.#state.options.readOnly) {
      this.#startWorker(this.#settings.schedule);
    }
    return handle;
  }

  /**
   * A path that leads to the tree's directory for this process, wherever the directory is moved to, until the tree is
   * closed. Undefined for a tree that is in no directory, and where /proc is not mounted.
   */
  get location(): string | undefined {
    const { anchor } = this.#state.options;
    return anchor === undefined ? undefined : anchoredPath(anchor);
  }

  // Reads.

  /** The key's value, a copy; undefined where there is none. */
  get(key: Key): Uint8Array | undefined {
    return this.#reads.get(key);
  }

  getRecord(key: Key): TreeRecord | undefined {
    return this.#reads.getRecord(key);
  }

  getVersion(key: Key): number | undefined {
    return this.#reads.getVersion(key);
  }

  /**
   * Entries in key order. Lazy: entries are collected up to 256 at a time, and a key that was there throughout the
   * iteration is given exactly once whatever changes meanwhile. With a delimiter a level is rolled up, at the cost
   * of one short walk for each rolled-up prefix however many keys it stands for.
   */
  range(options: RangeOptions = {}): IterableIterator<RangeEntry> {
    return this.#reads.range(options);
  }

  longestPrefix(key: Key): KeyRecord | undefined {
    return this.#reads.longestPrefix(key);
  }

  isPrefixEmpty(prefix: Key): boolean {
    return this.#reads.isPrefixEmpty(prefix);
  }

  countPrefix(prefix: Key, limit?: number): number {
    return this.#reads.countPrefix(prefix, limit);
  }

  measure(prefix: Key): Record<string, number> {
    return this.#reads.measure(prefix);
  }

  valuesCounted(prefix: Key, field: string): Uint8Array[] {
    return this.#reads.valuesCounted(prefix, field);
  }

  view<T>(prefix: Key, read: (view: TreeReads) => T): T {
    this.#state.checkOpen();
    return this.#views.run(prefixBytes(prefix), callback(read, 'begin a view'));
  }

  // Mutations.

  put(key: Key, value: Uint8Array): void {
    this.#writer.write(keyBytes(key), valueBytes(value), ANY_VERSION);
    this.#wrote();
  }

  putIfAbsent(key: Key, value: Uint8Array): boolean {
    return this.#wrote(this.#writer.write(keyBytes(key), valueBytes(value), ABSENT));
  }

  /** Stores the value where the key's version is still `version`. */
  compareAndPut(key: Key, version: number, value: Uint8Array): boolean {
    return this.#wrote(this.#writer.write(keyBytes(key), valueBytes(value), versionNumber(version)));
  }

  delete(key: Key): boolean {
    return this.#wrote(this.#writer.remove(prefixBytes(key), ANY_VERSION));
  }

  deleteIfVersion(key: Key, version: number): boolean {
    return this.#wrote(this.#writer.remove(prefixBytes(key), versionNumber(version)));
  }

  /** @throws ERR_NOT_FOUND where `src` is absent, ERR_EXISTS where `dst` is there and `force` is not given */
  rename(src: Key, dst: Key, options: { force?: boolean } = {}): void {
    const failure = this.#play((batch) => batch.rename(src, dst, options));
    if (failure === 'absent')
      throw new SpinneyError('ERR_NOT_FOUND', `Cannot rename ${show(src)}: there is no such key`);
    if (failure !== undefined)
      throw new SpinneyError('ERR_EXISTS', `Cannot rename ${show(src)}: ${show(dst)} exists`);
  }

  /**
   * Moves all keys below one prefix to another, without visiting them: the cost is that of copying a frame at most,
   * however many they are. An empty source is nothing to do. Versions stay. (With an empty prefix on either side the
   * keys are moved one by one, in one batch.)
   * @throws ERR_PREFIX_NOT_EMPTY where keys begin with `dstPrefix` once the source is detached
   */
  renamePrefix(srcPrefix: Key, dstPrefix: Key): void {
    const failure = this.#play((batch) => batch.renamePrefix(srcPrefix, dstPrefix));
    if (failure === undefined) return;
    throw new SpinneyError(
      'ERR_PREFIX_NOT_EMPTY',
      `Cannot rename prefix ${show(srcPrefix)}: keys begin with ${show(dstPrefix)}`,
    );
  }

  /** Deletes all keys that begin with the prefix, in one batch. @throws ERR_BATCH_TOO_LARGE */
  deletePrefix(prefix: Key): void {
    this.#play((batch) => batch.deletePrefix(prefix), true);
  }

  /**
   * Does all of what the callback records, or nothing where a guard fails (returns false). The callback only
   * records; an exception from it records nothing. The batch is one journal record.
   * @throws ERR_BATCH_TOO_LARGE beyond 32,768 operations, 4 MiB, or as many blobs as the cache may hold changed at once
   */
  atomic(record: (batch: Batch) => void, options: AtomicOptions = {}): boolean {
    const { mayUseReserve = false } = optionsOf(options, 'make a batch');
    return this.#play(callback(record, 'make a batch'), mayUseReserve) === undefined;
  }

  /** Makes what a record of another tree's journal made, on the state that it was made on, as one change and one record. */
  apply(changes: Change[]): void {
    this.#batches.apply(changes);
    this.#wrote();
  }

  #play(record: (batch: Batch) => void, mayUseReserve = false): GuardFailure | undefined {
    const failure = this.#batches.play(record, mayUseReserve);
    this.#wrote(failure === undefined);
    return failure;
  }

  /** After a mutation of a tree without a journal: brings the store up to date if each write is to be mirrored. */
  #wrote(changed = true): boolean {
    if (changed && this.#mirror === 'each write') this.#round?.run();
    return changed;
  }

  // Snapshots.

  snapshot(name: string): SnapshotInfo {
    this.#state.checkWritable();
    this.#settled(() => this.#maintenance.takeSnapshot(snapshotName(name)));
    const taken = this.snapshots().find((snapshot) => snapshot.name === name);
    if (taken === undefined) throw snapshotDeleted(name, this.#state.place);
    return taken;
  }

  snapshots(): SnapshotInfo[] {
    this.#state.checkOpen();
    return snapshotsOf(this.#state);
  }

  deleteSnapshot(name: string): void {
    this.#state.checkWritable();
    this.#maintenance.deleteSnapshot(snapshotName(name));
  }

  /** What `keepForShipping` keeps, if it does: another process may have died over it. */
  get keptForShipping(): { pin: Pin; mark: CheckpointMark } | undefined {
    return keptForShipping(this.#state);
  }

  /**
   * Makes a checkpoint, and keeps it beside those that follow until `releaseShipped`: for whoever carries it away. There is one at a time.
   * It is no snapshot. Where a maintenance worker does it, the thread is not blocked.
   * @throws ERR_EXISTS where there is one, ERR_NO_SNAPSHOTS, and as `checkpoint`
   */
  async keepForShipping(): Promise<{ pin: Pin; mark: CheckpointMark }> {
    this.#state.checkWritable();
    const merging = this.#writer.waits?.merging;
    merging?.bar();
    try {
      merging?.all();
      await this.#maintenance.takeSnapshotBeside(SHIPPING_PIN);
    } finally {
      merging?.release();
    }
    return this.keptForShipping!;
  }

  releaseShipped(): void {
    this.#state.checkWritable();
    if (this.keptForShipping !== undefined) this.#maintenance.deleteSnapshot(SHIPPING_PIN);
  }

  at(name: string, options: SnapshotReadOptions = {}): SnapshotReads {
    const { cacheBytes = MIN_CACHE_BYTES } = optionsOf(options, 'open a snapshot');
    this.#state.checkOpen();
    const pin = findPin(this.#state, name, 'open');
    return openSnapshot(this.#state, pin, pinsOf(this.#state), cacheBytesOf(cacheBytes));
  }

  diff(
    before: string | undefined,
    after: string | undefined,
    options: DiffOptions = {},
  ): IterableIterator<TreeChange> {
    const { prefix = '' } = optionsOf(options, 'compare');
    const state = this.#state;
    state.checkOpen();
    const pinOf = (name: string | undefined) =>
      name === undefined ? undefined : findPin(state, name, 'compare');
    return new Diff(state, pinsOf(state), [pinOf(before), pinOf(after)], prefixBytes(prefix), this.#settled);
  }

  // Durability and upkeep.

  lastLsn(): number {
    return this.#state.journal?.publishedLsn() ?? this.#state.lsn();
  }

  durableLsn(): number {
    return this.#state.journal?.durableLsn() ?? this.#state.lsn();
  }

  get durability(): Durability | undefined {
    return this.#state.journal?.durability;
  }

  setDurability(level: Durability): void {
    setDurability(this.#state, level);
  }

  /** Everything acknowledged so far is durable when this returns. A tree without a journal has nothing to sync. */
  sync(): void {
    this.#state.checkOpen();
    this.#state.journal?.sync();
  }

  /** Publishes the tree as of now in the store, and cuts the journal. Throws what made the round fail. */
  checkpoint(): void {
    this.#state.checkOpen();
    if (this.#state.options.readOnly) this.#state.checkWritable();
    this.#maintenance.checkpoint();
  }

  /** Rewrites all blobs without gaps and merges small ones; readers and writers go on meanwhile. */
  compact(): void {
    this.#settled(() => {});
    this.#compaction.run();
    this.#wrote();
  }

  /** What may be wrong. Takes no lock, waits for nothing and is cheap; also after `close`, and of a tree that is poisoned. */
  conditions(): TreeConditions {
    return treeConditions(this.#state);
  }

  stats(): TreeStats {
    this.#state.checkOpen();
    if (this.#mirror === 'when looked at') this.#round?.run();
    return treeStats(this.#state);
  }

  /**
   * To be called when a thread that had attached has ended; the tree is poisoned if that was in the middle of a change.
   * @throws ERR_INVALID_ARGUMENT for -1, which is what a Worker's `threadId` is by then: it has to be noted before
   */
  threadDied(threadId: number): void {
    const owner = endedThread(threadId) + 1;
    const { treeLock, appendLock, roundLock, compactLock, snapshotLock, journal, cache } = this.#state;
    for (const lock of [appendLock, treeLock, roundLock, compactLock, snapshotLock]) lock.abandonedBy(owner);
    journal?.threadDied(threadId);
    this.#ended.push(owner);
    // Who holds the lock may have died, too, and only this thread is told of it: its views are ended with the next one's, then.
    if (treeLock.lockWithin(LEAVE_TAKING_MS) !== true) return;
    for (const thread of this.#ended.splice(0)) cache.views.endThose(thread);
    treeLock.unlock();
  }

  /**
   * Closes the tree: the journal is made durable and the lock released; with checkpoints enabled one is made first,
   * so that the next open has nothing to replay. An attached Tree only ends its own use. Closing twice is no error.
   * @throws what kept the last words from being written; the tree is closed all the same
   */
  close(): void {
    const state = this.#state;
    if (this.#settings === undefined) {
      state.end();
      return;
    }
    const { words } = state.control;
    if (Atomics.load(words, C_CLOSED) !== 0) return;
    const { schedule, readOnly } = this.#settings;
    try {
      if (schedule.enabled && !readOnly && !state.treeLock.abandoned) {
        this.#mergeAtEnd();
        this.#maintenance.checkpoint();
      }
    } finally {
      Atomics.store(words, C_CLOSED, 1);
      this.#stopMaintenance();
      closeState(state);
    }
  }

  /** Has older releases open the store. Where it cannot be, what waits is in the checkpoint as well as the rest. */
  #mergeAtEnd(): void {
    try {
      this.#settled(() => {});
    } catch (error) {
      if (!(error instanceof SpinneyError)) throw error;
    }
  }

  /** Hands the store's writing to a worker. */
  #startWorker(schedule: Schedule): void {
    const state = this.#state;
    const { store } = state;
    if (!(store instanceof FileBlobStore)) return;
    this.#findFirstSlots();
    // What a failed round left staged only another round can publish or take back.
    if (store.needsFlush()) this.#round?.run();
    store.handOver();
    this.#stopMaintenance();
    this.#round = undefined;
    this.#maintenance = new RemoteMaintenance(state);
    this.#worker = new MaintenanceHost(state, handleOf(state), schedule, (id) => this.threadDied(id));
  }

  /** The first write need not wait until the worker has come to life. */
  #findFirstSlots(): void {
    if (this.#state.blobCount > 0) return;
    try {
      this.#maintenance.findSpace({ freeSlots: keptFree(1) + 1, forJournal: false, forRemoval: true });
    } catch {
      // It will be refused, then.
    }
  }

  #stopMaintenance(): void {
    if (this.#maintenance instanceof InlineMaintenance) this.#maintenance.stop();
    this.#worker?.stop();
    this.#worker = undefined;
  }
}

function scheduleOf(settings: Settings): Schedule {
  return { ...settings.schedule, enabled: settings.schedule.enabled && !settings.readOnly };
}

function mirrorOf(settings: Settings | undefined): Mirror {
  if (settings === undefined || !settings.flushOnWrite || settings.readOnly) return 'never';
  // Nobody but the tree itself can look into its private store, so its mirror need not be ahead of a look.
  return settings.kind === 'memory' ? 'when looked at' : 'each write';
}

function show(key: Key): string {
  const text = typeof key === 'string' ? key : Buffer.from(key).toString();
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}
