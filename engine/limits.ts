/** All limits of the engine in one place; the relations between them are asserted below. Sizes in bytes. */

/** The unit of persistence and the size of a cache frame. */
export const BLOB_SIZE = 512 * 1024;
/** Longest key that a put accepts. A graft can make longer ones, which reads, scans and deletes accept. */
export const MAX_KEY_BYTES = 16 * 1024;
/** Longest part of a key that one leaf stores; what grafts make longer is spelled by inner nodes above it. */
export const MAX_LEAF_KEY_BYTES = 2 * MAX_KEY_BYTES;
export const MAX_VALUE_BYTES = 128 * 1024;
/** Sums that a measure has, and bytes of its name: both are told in few bits of a manifest record. */
export const MAX_MEASURE_FIELDS = 8;
export const MAX_MEASURE_NAME_BYTES = 64;
/** Longest inline prefix of an inner node; longer common prefixes are chained. */
export const MAX_PREFIX_BYTES = 255;

/** A cache that is not given is a quarter of the memory that the process may use, and at least this. */
export const LEAST_DEFAULT_CACHE_BYTES = 64 * 1024 * 1024;
export const MIN_CACHE_BYTES = 8 * 1024 * 1024;
/** Above this a frame's index would not fit the page table's word. */
export const MAX_CACHE_BYTES = 64 * 1024 * 1024 * 1024;

/** The journal's ring, a mapped file. A power of two. */
export const JOURNAL_RING_BYTES = 8 * 1024 * 1024;
/** Largest body of one journal record, so of one batch. */
export const MAX_RECORD_BODY_BYTES = 4 * 1024 * 1024;
/** Most operations in one batch. */
export const MAX_BATCH_OPERATIONS = 32_768;
/** A segment that reached this size is closed and a new one begun. */
export const JOURNAL_SEGMENT_BYTES = 64 * 1024 * 1024;
/** A checkpoint round begins at the latest when the journal has grown by this since the last: what recovery has to replay. */
export const CHECKPOINT_JOURNAL_BYTES = 4 * JOURNAL_SEGMENT_BYTES;
/** Journal file space is reserved in steps of this size, ahead of the records that will need it. */
export const JOURNAL_RESERVE_BYTES = 16 * 1024 * 1024;
/** The ring and those steps begin with this size, a power of two, and double with use. */
export const JOURNAL_FIRST_BYTES = 128 * 1024;

/**
 * Blobs that removals may change on a full disk before a checkpoint must come between: so many slots of the store's
 * data file have disk space that nothing else is given. A smaller tree keeps fewer: it has not so many blobs to change.
 */
export const REMOVAL_SLOTS = 16;

/** Longest name of a snapshot, as UTF-8. */
export const MAX_SNAPSHOT_NAME_BYTES = 255;
/** Most snapshots of a tree at a time. */
export const MAX_SNAPSHOTS = 1024;

function assertLimit(holds: boolean, relation: string): void {
  if (!holds) throw new Error(`Limits do not fit together: ${relation}`);
}
assertLimit(MAX_LEAF_KEY_BYTES < 0x10000, 'the length of a key in a leaf fits into 16 bits');
assertLimit(
  3 * (MAX_LEAF_KEY_BYTES + MAX_VALUE_BYTES) < BLOB_SIZE,
  'three of the largest leaves fit in a frame',
);
assertLimit(MAX_RECORD_BODY_BYTES * 2 <= JOURNAL_RING_BYTES, 'two of the largest records fit in the ring');
assertLimit((JOURNAL_RING_BYTES & (JOURNAL_RING_BYTES - 1)) === 0, 'the ring size is a power of two');
assertLimit(JOURNAL_RESERVE_BYTES >= JOURNAL_RING_BYTES, 'a reserve step covers a full ring');
assertLimit(MIN_CACHE_BYTES >= 16 * BLOB_SIZE, 'the smallest cache has 16 frames');
