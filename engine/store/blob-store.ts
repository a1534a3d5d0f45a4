import type { MeasureName } from '../art/measure.js';

/** Names a blob. An unsigned 32-bit number from 1; never reused within a store. */
export type BlobId = number;

/** What a checkpoint publishes together with its blobs. */
export interface CheckpointMark {
  /** The image in the store is the tree exactly as of this position of the journal. */
  lsn: number;
  /** Number of the checkpoint; also stamped into the blob images that it wrote. */
  generation: number;
  /** The next blob id to give out. */
  nextBlobId: BlobId;
  /** Blobs that left the tree by `lsn` and that the store may still hold. */
  pendingDeletes: readonly BlobId[];
  /** The measure whose sums the blobs carry; absent where there is none. */
  measure?: MeasureName;
}

/** A blob's counts, for stats; a store that keeps them beside its index spares stats the reading of blobs. */
export interface BlobRow {
  id: BlobId;
  generation: number;
  liveBytes: number;
  leaves: number;
  crossings: number;
  compactions: number;
  height: number;
  /** The sums of its records, one for each field of the tree's measure; absent where they are not known. */
  sums?: readonly number[];
}

/**
 * Where blob images are kept. A blob image is exactly BLOB_SIZE bytes; engine/FORMAT.md tells its layout.
 * Writes and deletes are staged; `flush` publishes all that is staged, and the mark, atomically: after a
 * crash either all of it is there or none. `listBlobs`, `hasBlob` and `readBlob` see what is staged.
 * One thread calls the mutating methods (writeBlob, deleteBlob, flush); any thread may read.
 */
export interface BlobStore {
  /** Copies the blob's image into `into` (BLOB_SIZE bytes). Throws ERR_BLOB_MISSING, ERR_BLOB_CORRUPT, ERR_IO. */
  readBlob(id: BlobId, into: Uint8Array): void;
  writeBlob(id: BlobId, image: Uint8Array): void;
  /** Idempotent: deleting a blob that the store does not hold is no error. */
  deleteBlob(id: BlobId): void;
  listBlobs(): BlobId[];
  hasBlob(id: BlobId): boolean;
  /** Publishes what is staged. Without a mark the last one stays. Throws ERR_IO or ERR_NO_SPACE; then it may be called again. */
  flush(mark?: CheckpointMark): void;
  readMark(): CheckpointMark | undefined;
  /** Whether something is staged, or an earlier flush failed and must be repeated. */
  needsFlush(): boolean;
  /** Counts of a blob as last written, without reading it, where the store keeps them. */
  blobRow?(id: BlobId): BlobRow | undefined;
  // What a store has whose writes need a disk's space: slots for images that were given theirs beforehand.

  /** Images that can be written whatever the disk has left. For the thread that writes. */
  readySlots?(): number;
  /** Makes up to `count` more slots ready, as far as the disk has space; returns how many. Throws ERR_IO. */
  reserveSlots?(count: number): number;
  /** Gives the space of ready slots beyond `keep` back. */
  trimSlots?(keep: number): void;
  /** Bytes that the store's disk has left. */
  freeBytes?(): number;
  /** A hint that these blobs will be read soon, in this order; returns at once. Blobs that the store does not hold are passed over. */
  readAhead?(ids: readonly BlobId[]): void;
  close?(): void;
}
