/** The figures that a tree gives, and what may be wrong with it. */
import type { Latency } from './histogram.js';
import type { BlobRow } from './store/blob-store.js';

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
  /** Keys in the tree, not yet with `waitingChanges`. */
  keyCount: number;
  /** Keys that were put or deleted, and are still to be merged into a tree that is larger than its cache. Reads see them. */
  waitingChanges: number;
  blobs: BlobRow[];
  /** Blobs changed since the last checkpoint. */
  bmDirtyCount: number;
  /** Blobs that left the tree and whose deletion from the store is not durable yet. */
  bmPendingDeleteCount: number;
  cacheBytes: number;
  /** Of that, what holds blobs. */
  cacheUsedBytes: number;
  cacheHits: number;
  cacheMisses: number;
  /** Keys looked up in blobs that were not in memory, by some of their pages. */
  coldReads: number;
  optimisticRestarts: number;
  /** Blobs that could not be read, and still cannot as far as is known; 16 at most. */
  unreadableBlobs: UnreadableBlobStats[];
  /** Subtrees moved to a blob of their own because a frame was full. */
  spillovers: number;
  merges: number;
  compactions: number;
  /** Snapshots, and bytes of blobs that only these keep. */
  snapshots: { count: number; bytes: number };
  /** LSN of the last mutation. */
  lastLsn: number;
  /** Why every change is refused until the tree is opened again. */
  failure: string | undefined;
  journal: { appends: number; syncs: number; bytes: number };
  space: {
    /** A write that adds was refused with ERR_NO_SPACE, and there is no space for one yet. Removals go on. */
    exhausted: boolean;
    /** Bytes that the store's disk had left when it was last looked at, within a second or so; 0 for a tree that is on none. */
    freeBytes: number;
    /** Slots that are kept ready in the data file, beyond those that dirty blobs are going to need. */
    freeSlots: number;
  };
  checkpoint: {
    rounds: number;
    failures: number;
    lastLsn: number;
    lastError: string | undefined;
    lastDurationMs: number;
    /** One is under way. */
    isRunning: boolean;
    /** When it was published, as ISO 8601 tells it; undefined: none has been since the tree was opened. */
    lastAt: string | undefined;
  };
  /** How long each took since the tree was opened: checkpoints, journal fdatasync calls, and blobs that were read into the cache. */
  latency: { checkpoint: Latency; journalSync: Latency; blobLoad: Latency };
}

export interface UnreadableBlobStats {
  id: number;
  /** How often reading it failed. */
  errors: number;
  /**
   * What the keys in it and in the blobs below it begin with, at most 256 bytes, as text: bytes that are no printable
   * ASCII are written as \\xNN. Undefined where that is not known.
   */
  prefix: string | undefined;
  /** The snapshot whose image it is; left out for a blob as it is. */
  snapshot?: string;
}

/** What may be wrong with a tree. */
export interface TreeConditions
  extends Pick<TreeStats, 'failure' | 'unreadableBlobs' | 'space' | 'checkpoint' | 'lastLsn'> {
  /** Why nothing can be done with the tree until it is opened again. */
  poisoned: string | undefined;
  /** Every mutation up to this LSN survives a power cut. */
  durableLsn: number;
  /** What the journal has grown by since the last checkpoint that succeeded, or since the tree was opened; 0 without a journal. */
  uncheckpointedBytes: number;
}
