/** All limits of the engine in one place; the relations between them are asserted below. Sizes in bytes. */

/** The unit of persistence and the size of a cache frame. */
export const BLOB_SIZE = 512 * 1024;
/** The unit in which a part of a blob is read, and has a checksum of its own. */
export const PAGE_BYTES = 4096;
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

/** The smallest part of an upload to an object store, but for its last, and the most parts: S3's. */
export const MIN_PART_BYTES = 5 * 1024 * 1024;
export const MAX_PARTS = 10_000;
/** Longest key of an object, as UTF-8: S3's. */
export const MAX_OBJECT_KEY_BYTES = 1024;
/** Records that are acknowledged together go into one object of the journal, up to this. */
export const MAX_JOURNAL_OBJECT_BYTES = 8 * 1024 * 1024;

/** Images in one pack of a remote, and how many packs are put at a time: together what shipping keeps in memory. */
export const PACK_IMAGES = 16;
export const PACKS_AT_ONCE = 4;
/** Records go to a remote this often, unless somebody waits for them; what a machine's death may lose at most, with a request's time. In ms. */
export const SHIP_INTERVAL_MS = 250;
/** After an object with so many of them they go there less often: what a request costs is taken from whoever makes the load. In ms. */
export const LOAD_RECORDS = 256;
export const LOADED_SHIP_INTERVAL_MS = 500;
/** So much of the journal is kept for a remote that is away. What is longer is cut as ever, and a checkpoint shipped in its place. */
export const MAX_HELD_JOURNAL_BYTES = 1024 * 1024 * 1024;
/** A checkpoint is shipped when the remote's journal has so many objects, or bytes: whoever takes over has to replay it. */
export const CHECKPOINT_JOURNAL_OBJECTS = 1024;
export const CHECKPOINT_SHIPPED_BYTES = 16 * 1024 * 1024;
/** Past so many bytes of records and contents that the remote has not, changes are refused. */
export const MAX_UNSHIPPED_BYTES = 16 * 1024 * 1024 * 1024;
/** Contents are shipped in parts of this size; smaller ones share an object of this size. */
export const CONTENT_PART_BYTES = 8 * 1024 * 1024;
/** A content up to this size that somebody waits for goes into its row at first: one request less to wait for. */
export const MAX_CONTENT_IN_ROW_BYTES = 64 * 1024;
/** So do small ones that must be there before records that somebody waits for: so much of them with one object of the journal. */
export const MAX_CONTENTS_IN_ROWS_BYTES = 256 * 1024;
/** Parts of one content that are put at a time. */
export const PARTS_AT_ONCE = 4;
/** What one row in the tree tells of, and rows of one content: 512 GiB. */
export const PARTS_PER_ROW = 1024;
export const MAX_CONTENT_ROWS = 64;
/** Objects of a remote's journal that are fetched at a time. */
export const JOURNAL_FETCHES_AT_ONCE = 16;
/** A follower looks for what is new this often, in ms. */
export const FOLLOW_INTERVAL_MS = 500;
/** Images that are fetched from a remote at a time. */
export const FETCHES_AT_ONCE = 8;

function assertLimit(holds: boolean, relation: string): void {
  if (!holds) throw new Error(`Limits do not fit together: ${relation}`);
}
assertLimit(MAX_LEAF_KEY_BYTES < 0x10000, 'the length of a key in a leaf fits into 16 bits');
assertLimit(
  3 * (MAX_LEAF_KEY_BYTES + MAX_VALUE_BYTES) < BLOB_SIZE,
  'three of the largest leaves fit in a frame',
);
assertLimit(PACK_IMAGES < 0x10000, 'a place in a pack fits into 16 bits');
assertLimit(MAX_RECORD_BODY_BYTES * 2 <= JOURNAL_RING_BYTES, 'two of the largest records fit in the ring');
assertLimit(PARTS_PER_ROW * 40 + 48 <= MAX_VALUE_BYTES, 'a row of parts fits in a value');
assertLimit(MAX_CONTENT_IN_ROW_BYTES + 88 <= MAX_VALUE_BYTES, 'a row with a content fits in a value');
assertLimit(
  MAX_CONTENT_ROWS * (PARTS_PER_ROW * 40 + 128) <= MAX_RECORD_BODY_BYTES,
  'the rows of one content fit in a batch',
);
assertLimit((JOURNAL_RING_BYTES & (JOURNAL_RING_BYTES - 1)) === 0, 'the ring size is a power of two');
assertLimit(JOURNAL_RESERVE_BYTES >= JOURNAL_RING_BYTES, 'a reserve step covers a full ring');
assertLimit(MIN_CACHE_BYTES >= 16 * BLOB_SIZE, 'the smallest cache has 16 frames');
assertLimit(MAX_RECORD_BODY_BYTES + 64 <= MAX_JOURNAL_OBJECT_BYTES, 'the largest record fits in an object');
