/** The public shapes of the engine: what `Tree` takes and gives. `Tree` itself is in tree/tree.ts. */
import type { MeasureOptions } from './art/measure.js';
import type { Latency } from './histogram.js';
import type { BlobStore } from './store/blob-store.js';
import type { TreeStats } from './tree-stats.js';

export type { Latency, MeasureOptions };

/** A key is any bytes; a string is taken as UTF-8. */
export type Key = Uint8Array | string;

/**
 * What an acknowledged write survives.
 * - `buffered`: acknowledged when in the journal's ring, a mapped file: survives a killed process; fdatasync every second.
 * - `written`: the same, and throws where the journal has failed meanwhile.
 * - `synced`: acknowledged once fdatasync returned; survives a power cut.
 */
export type Durability = 'buffered' | 'written' | 'synced';

/**
 * How the use of a directory before this one ended.
 * - `none`: there was none, or the tree is in no directory.
 * - `closed`: by `close`. All that was written is there.
 * - `killed`: without it, in the system's present run and on the filesystem as it is mounted now. All that the process
 *   had written is there, but what it was about to write is not.
 * - `power-cut`: in any other way. What was not made durable may be missing.
 */
export type PreviousEnd = 'none' | 'closed' | 'killed' | 'power-cut';

export interface CheckpointOptions {
  /** Whether rounds run by themselves. Default: true for `{ dir }`, else false. */
  enabled?: boolean;
  /** Milliseconds between looks at whether there is something to do. Default 1000. */
  idleIntervalMs?: number;
  /**
   * A round begins when this many blobs are dirty. Default: before writers would have to wait for frames. It also begins
   * when the journal has grown by 64 MiB since the last, or by a quarter of what the round has to write, up to 256 MiB.
   */
  dirtyBlobThreshold?: number;
  /** Whether background rounds also merge small blobs back, within a budget. Default true. */
  autoMerge?: boolean;
  /** `inline`: on timers of the opening thread. `worker`: a maintenance worker thread. Default `inline`. */
  host?: 'inline' | 'worker';
}

export interface TreeOptions {
  /**
   * A directory with a file store; one is made where the directory is missing or empty (unless `readOnly`). Anything else
   * there is ERR_NO_STORE, and nothing is changed; another user's, or a link in it, is ERR_UNSAFE.
   */
  dir?: string;
  /** Keep everything in memory. */
  memory?: boolean;
  /** The caller's own BlobStore; no journal, inline only. */
  store?: BlobStore;
  /**
   * Bytes of frames kept in memory, rounded down to 512 KiB; at least 8 MiB. Memory is taken as far as blobs are read.
   * Default: a quarter of the memory that the process may use (its control groups' limits seen), at least 64 MiB.
   */
  cacheBytes?: number;
  /** For `{ dir }`. Default `written`. */
  durability?: Durability;
  readOnly?: boolean;
  /** Memory and `{ store }` trees: mirror every write into the store. Default true. */
  flushOnWrite?: boolean;
  checkpoint?: CheckpointOptions;
  /**
   * What is to be added up over records, for `measure`. Recorded by its name: a tree that has another is refused with
   * ERR_MEASURE. A tree that has none yet gets its sums now, which reads and rewrites all its blobs once (`onProgress` is told);
   * where the disk has no space for that, or the tree is opened read-only, blobs without sums are looked at when they are
   * needed. Opened for writing without a measure, a tree gives up the one that it had.
   */
  measure?: MeasureOptions;
  /** Told how far work that takes long at opening has come: how many of how many blobs have their sums. */
  onProgress?: (done: number, total: number) => void;
  /** Of makeImageBoard: where images are asked for that a store which was taken over has not fetched yet. Somebody must serve it. */
  images?: SharedArrayBuffer;
}

/** What opening a directory found in its journal beyond the last checkpoint. */
export interface Recovery {
  /** Records played back. */
  replayed: number;
  /** How many of them only the journal's ring had: the process before was killed. */
  fromRing: number;
  /** The unfinished write that the journal ended with, which was cut off (or would be, if the tree was not read-only). */
  truncated?: { file: string; offset: number; bytes: number };
}

/** A value and its compare-and-set token: the LSN of the write that made it. */
export interface TreeRecord {
  value: Uint8Array;
  version: number;
}

/** A key with its record. */
export interface KeyRecord extends TreeRecord {
  key: Uint8Array;
}

export interface RangeOptions {
  /** Only keys that begin with this. Default: all. */
  prefix?: Key;
  /** Only entries after this key; a rolled-up prefix given here skips all of it. */
  startAfter?: Key;
  /** A byte or a one-byte string: keys that have it after the prefix are rolled up into one entry. */
  delimiter?: number | string;
  /** Leave values out (`value` is then empty), which copies less. */
  keysOnly?: boolean;
}

export interface RangeKey {
  type: 'key';
  key: Uint8Array;
  value: Uint8Array;
  version: number;
}
/** All keys that begin with `prefix`, which ends with the delimiter. */
export interface RangePrefix {
  type: 'prefix';
  prefix: Uint8Array;
}
export type RangeEntry = RangeKey | RangePrefix;

/**
 * Records operations for `atomic`; nothing happens before the callback has returned. Keys and values are copied.
 * @throws ERR_KEY_TOO_LARGE, ERR_VALUE_TOO_LARGE, ERR_INVALID_ARGUMENT, ERR_BATCH_TOO_LARGE, from the call that is wrong
 */
export interface Batch {
  /** Stores the value. */
  put(key: Key, value: Uint8Array): void;
  /** Guard: the batch fails if the key exists. */
  putIfAbsent(key: Key, value: Uint8Array): void;
  /** Guard: the batch fails if the key's version is another, or the key is absent. */
  compareAndPut(key: Key, version: number, value: Uint8Array): void;
  /** Deletes the key if it is there. */
  delete(key: Key): void;
  /** Guard: the batch fails if the key's version is another, or the key is absent. */
  deleteIfVersion(key: Key, version: number): void;
  /** Guard: the batch fails if `src` is absent, or `dst` exists and `force` is not given. */
  rename(src: Key, dst: Key, options?: { force?: boolean }): void;
  /** Guard: the batch fails if `dstPrefix` is not empty once `srcPrefix` is detached. */
  renamePrefix(srcPrefix: Key, dstPrefix: Key): void;
  /** Deletes all keys that begin with the prefix, those that the batch put included. */
  deletePrefix(prefix: Key): void;
  /** Guard: the batch fails if the key's version is another, or the key is absent. */
  assertVersion(key: Key, version: number): void;
  /** Guard: the batch fails if the key exists. */
  assertAbsent(key: Key): void;
  /** Guard: the batch fails if a key begins with the prefix. */
  assertPrefixEmpty(prefix: Key): void;
}

export interface AtomicOptions {
  /**
   * The batch takes away, or only changes what is there: it may use what is kept back on a full disk so that removals go
   * on. What it puts beside that (a time, a note of what is yet to be cleaned up) is to be less than what it deletes.
   * Default false. Single deletes, `deletePrefix`, and puts of a value no longer than the one before may by themselves.
   */
  mayUseReserve?: boolean;
}

/**
 * What can be read of a tree, as it is or as a view shows it.
 *
 * Thread safety: any number of threads read at a time, each through its own Tree object; readers take no lock, and
 * writers do not wait for them. Each call sees the tree as it was at one moment during the call; of a range that holds
 * for each batch of at most 256 entries. Costs are in blobs on the way down (one to four) and bytes copied; a blob that is
 * not in the cache costs one read of 512 KiB. Returned bytes are the caller's own copies.
 *
 * @throws ERR_CLOSED, ERR_POISONED, ERR_IO, ERR_BLOB_CORRUPT, ERR_BLOB_MISSING, ERR_NO_SPACE (the way down does not fit
 *   into the cache), ERR_INVALID_ARGUMENT; in a view also ERR_VIEW_EXPIRED
 */
export interface TreeReads {
  /** The key's value (0 to 128 KiB), or undefined where there is no such key. One descent. */
  get(key: Key): Uint8Array | undefined;
  /** The key's value and version, or undefined. One descent. */
  getRecord(key: Key): TreeRecord | undefined;
  /** The key's version, an LSN below 2^53, or undefined. One descent; the value is not copied. */
  getVersion(key: Key): number | undefined;
  /**
   * Entries in the order of their bytes. Lazy: one descent, and a look at it for each batch (20 entries at first, 256 at most), a step
   * for each entry. A key that is there throughout the iteration is given exactly once, whatever else changes
   * meanwhile; one that comes or goes may be given or not. With a delimiter a level is rolled up, S3-style: a step
   * for each rolled-up prefix, however many keys it stands for. Where the iteration comes to a blob that cannot be read it
   * throws UnreadableBlobError; `next` may be called again then, and goes on behind the keys that the error stands for.
   */
  range(options?: RangeOptions): IterableIterator<RangeEntry>;
  /** The longest key that `key` begins with, itself included, with its record; undefined where there is none. One descent. */
  longestPrefix(key: Key): KeyRecord | undefined;
  /** Whether no key begins with the prefix. One descent. */
  isPrefixEmpty(prefix: Key): boolean;
  /**
   * How many keys begin with the prefix, but at most `limit` (a number from 0; default: no limit). Up to a limit of 4096 a
   * step for each key counted; with a larger one, or none, as `measure`, and of one moment as that is.
   */
  countPrefix(prefix: Key, limit?: number): number;
  /**
   * The sums of the tree's measure, by their fields' names, over all records whose keys begin with the prefix, at one moment.
   * Blobs that lie wholly below the prefix tell theirs without being read, unless others hang from them. So the
   * cost is a step for each blob, and one for each record in the blob where the prefix begins. Writers wait meanwhile.
   * @throws ERR_MEASURE in a tree, or a thread, without a measure
   */
  measure(prefix: Key): Record<string, number>;
  /**
   * The values of the records below the prefix that count anything in one field of the measure, in no order, at one moment.
   * Blobs whose records count nothing in it are passed over, so this costs what `measure` does and a step for each record in
   * the others.
   * @throws ERR_MEASURE as `measure`
   */
  valuesCounted(prefix: Key, field: string): Uint8Array[];
}

/** A snapshot: the tree as it was at one moment, under a name. */
export interface Snapshot {
  /** 1 to 255 bytes as UTF-8, with no slash and no zero byte, and neither `.` nor `..`. */
  name: string;
  /** 1 for a tree's first; never given to another, also after the snapshot was deleted. */
  id: number;
  /** It has every mutation up to this one, and no other. */
  lsn: number;
  /** Milliseconds since 1970. */
  createdAt: number;
}

export interface SnapshotInfo extends Snapshot {
  /** Bytes of blobs that only this snapshot keeps: what its deletion gives back. */
  ownBytes: number;
}

/**
 * The reads of a snapshot, for the thread that opened it. They go on until `close`, or until the snapshot is deleted.
 * @throws as TreeReads; ERR_SNAPSHOT_DELETED, ERR_CLOSED
 */
export interface SnapshotReads extends TreeReads {
  readonly snapshot: Readonly<Snapshot>;
  /** Gives its frames back. Closing twice is no error. */
  close(): void;
}

export interface SnapshotReadOptions {
  /** Bytes of frames, as those of a tree; each that opens the snapshot has its own. Default: 8 MiB, which is the least. */
  cacheBytes?: number;
}

/** A key that two trees have different values of, or that only one of them has. */
export interface TreeChange {
  key: Uint8Array;
  before: TreeRecord | undefined;
  after: TreeRecord | undefined;
}

export interface DiffOptions {
  /** Only keys that begin with this. Default: all. */
  prefix?: Key;
}

/**
 * The operations of an open tree. Implemented by `Tree`.
 *
 * Thread safety: any number of threads write at a time, each through its own Tree object. Every mutation is atomic:
 * readers see all of it or nothing. Writers of single keys go on beside each other; batches, and writes that need a blob
 * to be loaded, split or made ready, are made one at a time. A mutation returns when it is as durable as the tree's
 * durability level says.
 *
 * @throws as TreeReads; mutations also ERR_READ_ONLY, ERR_NO_SPACE, ERR_JOURNAL_FAILED, ERR_KEY_TOO_LARGE (keys have 1 to
 *   16,384 bytes), ERR_VALUE_TOO_LARGE (values have at most 131,072). A mutation that throws has changed nothing, save
 *   where the error's `isMade` is set: then it was made, and is only not known to last, for want of space or, after
 *   ERR_JOURNAL_FAILED, until reopening tells.
 */
export interface TreeOperations extends TreeReads {
  /**
   * How the use of the directory before this one ended; the same in every thread. `power-cut` is told until something
   * was written after it, so whoever has to set right what it left begins by writing that down.
   */
  readonly previousEnd: PreviousEnd;
  /** Stores the value, whether the key is there or not. One descent, one journal record. */
  put(key: Key, value: Uint8Array): void;
  /** Stores the value where the key is absent; returns whether it did. */
  putIfAbsent(key: Key, value: Uint8Array): boolean;
  /** Stores the value where the key's version is still `version` (a whole number from 0); returns whether it did. */
  compareAndPut(key: Key, version: number, value: Uint8Array): boolean;
  /** Deletes the key; returns whether it was there. Takes keys of any length. */
  delete(key: Key): boolean;
  /** Deletes the key where its version is still `version`; returns whether it did. */
  deleteIfVersion(key: Key, version: number): boolean;
  /**
   * Moves a key's value to another key, as one change; the version is new. Two descents, one journal record.
   * @throws ERR_NOT_FOUND where `src` is absent, ERR_EXISTS where `dst` is there and `force` is not given
   */
  rename(src: Key, dst: Key, options?: { force?: boolean }): void;
  /**
   * Moves all keys that begin with one prefix to another, without visiting them: the cost is that of copying a frame at
   * most, however many they are. An empty source is nothing to do. Versions stay. (With an empty prefix on either side the
   * keys are moved one by one, in one batch.)
   * @throws ERR_PREFIX_NOT_EMPTY where keys begin with `dstPrefix` once the source is detached
   */
  renamePrefix(srcPrefix: Key, dstPrefix: Key): void;
  /**
   * Deletes all keys that begin with the prefix, as one change. A step and an entry of the journal record for each key.
   * @throws ERR_BATCH_TOO_LARGE beyond 32,768 keys
   */
  deletePrefix(prefix: Key): void;
  /**
   * Does all of what the callback records, or nothing where a guard fails (returns false). The callback only records,
   * before it returns; where it throws nothing is done. Guards see what the operations before them did. One journal record.
   * @throws ERR_INVALID_ARGUMENT where the callback is asynchronous
   * @throws ERR_BATCH_TOO_LARGE beyond 32,768 operations, 4 MiB, or as many blobs as the cache may hold changed at once
   */
  atomic(record: (batch: Batch) => void, options?: AtomicOptions): boolean;
  /**
   * Calls `read` with the keys that begin with the prefix as they are at this instant, and returns what it returns;
   * threads (and `read` itself) may write meanwhile. Beginning and ending cost a moment; each blob that changes for the
   * first time while views go on is copied once, by its writer, into one of a fixed number of slots (a quarter of the
   * cache, 16 at least), which writers never wait for. What the view gives is for the time of the call: it ends with `read`,
   * also with an asynchronous one.
   * @throws ERR_VIEW_EXPIRED, from the view's reads or from here, where more blobs changed than there are slots, or 64
   *   views go on; what `read` throws
   */
  view<T>(prefix: Key, read: (view: TreeReads) => T): T;
  /**
   * Keeps the tree as it is now under a name: all that was acknowledged before the call, to one mutation exactly. Costs a
   * checkpoint of what changed since the last one and one record, whatever the size of the tree; other threads go on
   * meanwhile. It is durable when this returns, at any durability level; after a crash before that it is there whole or not at
   * all. A blob that changes for the first time after it takes its space on the disk once more.
   * @throws ERR_INVALID_ARGUMENT (the name), ERR_EXISTS, ERR_TOO_MANY_SNAPSHOTS (there are 1024), ERR_NO_SNAPSHOTS (the tree is
   *   on a BlobStore without pins), ERR_READ_ONLY, what made the checkpoint fail; then there is no snapshot
   */
  snapshot(name: string): SnapshotInfo;
  /** All snapshots, by ascending id. A step for each blob that is kept for them. @throws ERR_NO_SNAPSHOTS */
  snapshots(): SnapshotInfo[];
  /**
   * Deletes a snapshot and frees what only it kept; one record. Whoever reads it meanwhile gets ERR_SNAPSHOT_DELETED.
   * @throws ERR_NOT_FOUND, ERR_NO_SNAPSHOTS, ERR_READ_ONLY, ERR_NO_SPACE, ERR_IO; then it is there still
   */
  deleteSnapshot(name: string): void;
  /** Opens a snapshot for reading, with a cache of its own. @throws ERR_NOT_FOUND, ERR_NO_SNAPSHOTS, ERR_INVALID_ARGUMENT */
  at(name: string, options?: SnapshotReadOptions): SnapshotReads;
  /**
   * The keys whose values differ between two snapshots, or a snapshot and the tree as it is (undefined), in the order of their
   * bytes; a key that was written anew with the same value is not among them. Lazy: changes are found 256 at a time at most. Blobs
   * that both share are passed over, so the cost is that of those that differ, and of those with crossings. Writers go
   * on; of the tree as it is each such batch is of one moment.
   * @throws ERR_NOT_FOUND, ERR_NO_SNAPSHOTS, ERR_INVALID_ARGUMENT; from `next` as TreeReads, ERR_SNAPSHOT_DELETED,
   *   ERR_VIEW_EXPIRED (the tree as it is changes too fast for the cache)
   */
  diff(
    before: string | undefined,
    after: string | undefined,
    options?: DiffOptions,
  ): IterableIterator<TreeChange>;
  /** LSN of the last mutation, 0 in a new tree. No lock, no I/O. */
  lastLsn(): number;
  /** Every mutation up to this LSN survives a power cut. No lock, no I/O. */
  durableLsn(): number;
  /** What an acknowledged write survives; undefined for a tree without a journal. No lock, no I/O. */
  readonly durability: Durability | undefined;
  /**
   * Changes the level for the writes of all threads. At `synced` all that was acknowledged before is durable, too, when this
   * returns.
   * @throws ERR_INVALID_ARGUMENT where there is no journal, ERR_READ_ONLY, ERR_JOURNAL_FAILED, ERR_NO_SPACE; then the level is the old one
   */
  setDurability(level: Durability): void;
  /** Makes everything acknowledged so far durable: at most one fdatasync, shared with other callers. */
  sync(): void;
  /**
   * Publishes the tree as of now in the store, and cuts the journal. Writes each blob that changed since the last one;
   * other threads go on meanwhile. Nothing to do costs nothing.
   * @throws what made the round fail; the next one tries again
   */
  checkpoint(): void;
  /** Rewrites all blobs without gaps and merges small ones, in steps between which readers and writers go on. */
  compact(): void;
  /**
   * Figures about the tree. A row for each blob: cost grows with their number; no blob is read for it.
   * @throws ERR_IO also where another thread has had the tree to itself for two seconds, as while a disk hangs
   */
  stats(): TreeStats;
}
