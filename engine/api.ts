/** The public shapes of the engine: what `Tree` takes and gives. `Tree` itself is in tree/tree.ts. */
import type { BlobRow, BlobStore } from './store/blob-store.js';

/** A key is any bytes; a string is taken as UTF-8. */
export type Key = Uint8Array | string;

/**
 * What an acknowledged write survives.
 * - `buffered`: acknowledged when in the ring; a killed process may lose the last 10 ms.
 * - `written`: acknowledged once write(2) returned; survives a killed process; fdatasync every second.
 * - `synced`: acknowledged once fdatasync returned; survives a power cut.
 */
export type Durability = 'buffered' | 'written' | 'synced';

export interface CheckpointOptions {
  /** Whether rounds run by themselves. Default: true for `{ dir }`, else false. */
  enabled?: boolean;
  /** Milliseconds between looks at whether there is something to do. Default 1000. */
  idleIntervalMs?: number;
  /** A round begins when this many blobs are dirty, or the journal has grown by a segment. Default 64. */
  dirtyBlobThreshold?: number;
  /** Whether background rounds also merge small blobs back, within a budget. Default true. */
  autoMerge?: boolean;
  /** `inline`: on timers of the opening thread. `worker`: a maintenance worker thread. Default `inline`. */
  host?: 'inline' | 'worker';
}

export interface TreeOptions {
  /** A directory with a file store; made where it is missing (unless `readOnly`). */
  dir?: string;
  /** Keep everything in memory. */
  memory?: boolean;
  /** The caller's own BlobStore; no journal, inline only. */
  store?: BlobStore;
  /** Bytes of frames kept in memory, rounded down to 512 KiB. Default 256 MiB, at least 8 MiB. */
  cacheBytes?: number;
  /** For `{ dir }`. Default `written`. */
  durability?: Durability;
  readOnly?: boolean;
  /** Memory and `{ store }` trees: mirror every write into the store. Default true. */
  flushOnWrite?: boolean;
  checkpoint?: CheckpointOptions;
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

/** Records operations for `atomic`; nothing happens before the callback has returned. */
export interface Batch {
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
  deletePrefix(prefix: Key): void;
  assertVersion(key: Key, version: number): void;
  assertAbsent(key: Key): void;
  assertPrefixEmpty(prefix: Key): void;
}

export interface TreeStats {
  blobCount: number;
  /** blobCount times the blob size. */
  totalSpaceUsed: number;
  /** Bytes of nodes and leaves in all blobs. */
  liveBytes: number;
  /** liveBytes / totalSpaceUsed; 0 for an empty tree. */
  averageFill: number;
  /** Blobs on the longest way from the root. */
  maxBlobDepth: number;
  keyCount: number;
  blobs: BlobRow[];
  /** Blobs changed since the last checkpoint. */
  bmDirtyCount: number;
  /** Blobs that left the tree and whose deletion from the store is not durable yet. */
  bmPendingDeleteCount: number;
  cacheBytes: number;
  cacheHits: number;
  cacheMisses: number;
  optimisticRestarts: number;
  /** Subtrees moved to a blob of their own because a frame was full. */
  spillovers: number;
  merges: number;
  compactions: number;
  /** LSN of the last mutation. */
  lastLsn: number;
  journal: { appends: number; syncs: number; bytes: number };
  checkpoint: {
    rounds: number;
    failures: number;
    lastLsn: number;
    lastError: string | undefined;
    lastDurationMs: number;
  };
}

/** What can be read of a tree, as it is or as a view shows it. */
export interface TreeReads {
  get(key: Key): Uint8Array | undefined;
  getRecord(key: Key): TreeRecord | undefined;
  getVersion(key: Key): number | undefined;
  range(options?: RangeOptions): IterableIterator<RangeEntry>;
  /** The longest key that `key` begins with, itself included. */
  longestPrefix(key: Key): KeyRecord | undefined;
  isPrefixEmpty(prefix: Key): boolean;
  /** How many keys begin with the prefix, counted up to `limit` (default: all). */
  countPrefix(prefix: Key, limit?: number): number;
}

/** The operations of an open tree, which all threads that attach to it share. Implemented by `Tree`. */
export interface TreeOperations extends TreeReads {
  put(key: Key, value: Uint8Array): void;
  /** Returns false, and changes nothing, where the key exists. */
  putIfAbsent(key: Key, value: Uint8Array): boolean;
  compareAndPut(key: Key, version: number, value: Uint8Array): boolean;
  /** Returns whether the key was there. */
  delete(key: Key): boolean;
  deleteIfVersion(key: Key, version: number): boolean;
  rename(src: Key, dst: Key, options?: { force?: boolean }): void;
  renamePrefix(srcPrefix: Key, dstPrefix: Key): void;
  deletePrefix(prefix: Key): void;
  /** All or nothing; false: a guard failed and nothing was done. The callback only records. */
  atomic(record: (batch: Batch) => void): boolean;
  /** Calls `read` with the keys below the prefix as they are at this instant; writers go on meanwhile. */
  view<T>(prefix: Key, read: (view: TreeReads) => T): T;
  /** LSN of the last mutation. */
  lastLsn(): number;
  /** Every mutation up to this LSN survives a power cut. */
  durableLsn(): number;
  /** Makes everything acknowledged so far durable. */
  sync(): void;
  checkpoint(): void;
  compact(): void;
  stats(): TreeStats;
}
