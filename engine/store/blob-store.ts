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
 * A name for all that the store holds at one flush: every blob, in the version that it has then, is kept until the pin is
 * removed, whatever becomes of the blob. What a pin shares with the blobs as they are, or with other pins, is there once.
 */
export interface Pin {
  /** From 1, greater than that of every pin before; never used again. At most 2^32 - 1. */
  id: number;
  /** Any text that is not empty, at most MAX_SNAPSHOT_NAME_BYTES as UTF-8; no two pins have the same. */
  name: string;
  /** The pinned images are the tree exactly as of this position of the journal. */
  lsn: number;
  /** Not less than that of any image that the store holds; images written later have greater ones. */
  generation: number;
  /** Milliseconds since 1970. */
  createdAt: number;
}

/** The name of the pin that keeps what is being shipped: no snapshot. No snapshot's name has a zero byte. */
export const SHIPPING_PIN = '\0shipping';

/** Whether people made it. */
export function isSnapshot({ name }: Pin): boolean {
  return name !== SHIPPING_PIN;
}

/** What a flush changes about pins, all of it or nothing. Unlike the mark it is not staged: a flush that fails forgets it. */
export interface PinChanges {
  add?: Pin;
  /** Ids of pins; those that the store does not have are passed over. */
  remove?: readonly number[];
}

/** An image that its blob has left, by one of the pins that keep it. */
export interface KeptImage {
  pin: number;
  id: BlobId;
}

/** The pins of a store. Any thread may ask; a pin is there from the flush that adds it to the one that removes it. */
export interface Pins {
  /** All pins, by ascending id. */
  list(): readonly Pin[];
  /** The greatest id that a pin ever had; 0 if there never was one. */
  lastId(): number;
  /**
   * Copies the image that the pin keeps of the blob. Throws ERR_NOT_FOUND where there is no such pin (any more),
   * ERR_BLOB_MISSING where it has no such blob, ERR_BLOB_CORRUPT, ERR_IO.
   */
  readBlob(pin: number, id: BlobId, into: Uint8Array): void;
  /** Counts of the image that the pin keeps of the blob; undefined where there is no such pin or blob. */
  blobRow(pin: number, id: BlobId): BlobRow | undefined;
  /** The blobs that the pin keeps, ascending; none where there is no such pin. */
  listBlobs(pin: number): BlobId[];
  /** Images that are kept for pins alone: in all, and for each pin those that no other pin keeps. */
  countKept(): { images: number; own: ReadonlyMap<number, number> };
  /** Images that are kept for pins alone, each once. */
  listKept(): KeptImage[];
}

/** Reads of single pages of images, for one thread; what cannot be read so is to be read as a whole. */
export interface ImagePages {
  /** The held image, as far as it was asked for. */
  readonly image: Uint8Array<ArrayBuffer>;
  /** Holds the image that the store has of the blob now, until `letGo`, which must come before the next; false where there is none. */
  hold(id: BlobId): boolean;
  letGo(): void;
  /**
   * Sees that these bytes of the held image are in `image`; false where they cannot be read, are not as they were written, or
   * are not inside of the image.
   */
  need(offset: number, length: number): boolean;
  /** A hint that these bytes, which are in `image`, will be needed again when the blob is held the next time. */
  keep(offset: number, length: number): void;
}

/**
 * Where blob images are kept. A blob image is exactly BLOB_SIZE bytes; engine/FORMAT.md tells its layout.
 * Writes and deletes are staged; `flush` publishes all that is staged, the mark, and what changes about pins, atomically:
 * after a crash either all of it is there or none. `listBlobs`, `hasBlob` and `readBlob` see what is staged.
 * Where an image lies is free for others once neither its blob nor any pin has it.
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
  /**
   * Publishes what is staged. Without a mark the last one stays. A pin that is added keeps what the store holds with this
   * flush. Throws ERR_IO or ERR_NO_SPACE; then it may be called again.
   */
  flush(mark?: CheckpointMark, pins?: PinChanges): void;
  readMark(): CheckpointMark | undefined;
  /** Whether something is staged, or an earlier flush failed and must be repeated. */
  needsFlush(): boolean;
  /** Undefined for a store that cannot keep what is pinned: a tree on it has no snapshots. */
  readonly pins?: Pins;
  /**
   * Reads what tells where each blob lies anew from the disk, beside whoever writes it; a text where it is damaged or cannot be
   * read, so that the store could not be opened again. Any thread may call it.
   */
  verifyIndex?(): string | undefined;
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
  /**
   * Reads of pages, the same for all of a thread; undefined where images are only read as a whole. `keptBytes`, of who asks
   * first: memory for pages that are kept.
   */
  imagePages?(keptBytes: number): ImagePages | undefined;
  close?(): void;
}
