/**
 * The bytes of a blob image, as numbers. engine/FORMAT.md describes the same layout in prose; all integers are
 * little-endian. A frame is a blob image in memory, and typed arrays over it are read and written directly, so
 * the machine must be little-endian too (x86-64 and arm64 are).
 */
import { BLOB_SIZE } from '../limits.js';

/** "SPRN" */
export const IMAGE_MAGIC = 0x4e525053;
export const IMAGE_FORMAT_VERSION = 1;

/** The tree's first blob. It exists once the first key was put, and its root node may be any node. */
export const ROOT_BLOB = 1;
/**
 * Blobs of the tree of waiting changes have ids from here on, and its first blob from WAITING_ROOTS on: there is no more than
 * one at a time. See docs/decisions/waiting-puts.md.
 */
export const WAITING_BLOBS = 0x40000000;
export const WAITING_ROOTS = 0x60000000;
/** A leaf there whose version has this added says that the key is deleted. */
export const TOMBSTONE = 2 ** 52;

/** Whether it is a tree's first blob. */
export function isRootBlob(blobId: number): boolean {
  return blobId === ROOT_BLOB || blobId >= WAITING_ROOTS;
}

// Header: byte offsets.
export const H_MAGIC = 0;
export const H_FORMAT_VERSION = 4;
export const H_BLOB_ID = 8;
export const H_CRC = 12;
export const H_GENERATION = 16;
export const H_LIVE_BYTES = 24;
export const H_LEAVES = 28;
export const H_CROSSINGS = 32;
export const H_COMPACTIONS = 36;
/** Blobs on the longest way down from this one, itself included; an upper bound between compactions. */
export const H_HEIGHT = 40;
/** Pointer to the root node; 0 in an empty root blob. */
export const H_ROOT = 42;
/** First byte never yet allocated. */
export const H_BUMP = 44;
/** Free list of blocks larger than MAX_CLASS_BYTES. */
export const H_LARGE_FREE = 48;
/** Pointer to the block of sums (measure.ts); 0: there is none. */
export const H_SUMS = 50;
/** Free lists of blocks of exactly 8 x i bytes, for i in 1..CLASSES; entry 0 is unused. */
export const H_CLASS_FREE = 52;
export const CLASSES = 128;
export const MAX_CLASS_BYTES = CLASSES * 8;
/** The data area begins here. */
export const HEADER_BYTES = 320;
export const DATA_BYTES = BLOB_SIZE - HEADER_BYTES;

// A pointer is a byte offset in the frame divided by 8; 0 is none (the header is there).

// Kinds: the low four bits of a node's first byte.
export const KIND_LEAF = 1;
export const KIND_N4 = 2;
export const KIND_N16 = 3;
export const KIND_N48 = 4;
export const KIND_N256 = 5;
export const KIND_CROSSING = 6;

// Leaf: byte offsets from its start. The high four bits of the kind byte are bits 16..19 of the value length.
export const L_VERSION_HIGH = 1; // bits 48..52
export const L_KEY_LENGTH = 2; // u16
export const L_VERSION_LOW = 4; // u32
export const L_VERSION_MID = 8; // u16, bits 32..47
export const L_VALUE_LENGTH = 10; // u16, bits 0..15
export const LEAF_HEADER_BYTES = 12; // then the key's rest, then the value

// Inner node: common part.
export const N_PREFIX_LENGTH = 1; // u8
export const N_TERMINATOR = 2; // u16 pointer to the leaf whose key ends here
export const N_COUNT = 4; // u16 children
// N4 and N16: sorted key bytes, then their child pointers.
export const N_KEYS = 8;
export const N4_CHILDREN = 12;
export const N4_PREFIX = 20;
export const N16_CHILDREN = 24;
export const N16_PREFIX = 56;
// N48: for each byte its slot + 1, or 0; then 48 child pointers.
export const N48_INDEX = 8;
export const N48_CHILDREN = 264;
export const N48_PREFIX = 360;
// N256: a child pointer for each byte.
export const N256_CHILDREN = 8;
export const N256_PREFIX = 520;

// Crossing: the children of the node that points here, for the bytes that point here, are in another blob:
// its root node has them under the same bytes. All bytes of a node that lead to one blob share one crossing.
export const X_HEIGHT = 2; // u16, the blob's height when it was last known
export const X_BLOB_ID = 4; // u32
export const CROSSING_BYTES = 8;

/** Block of sums: u32 identity of the measure, u32 number of fields; then an f64 for each field. */
export const SUMS_HEADER_BYTES = 8;

export function leafBytes(keyLength: number, valueLength: number): number {
  return (LEAF_HEADER_BYTES + keyLength + valueLength + 7) & ~7;
}

/** Offset of an inner node's prefix from its start. */
export function prefixOffset(kind: number): number {
  return kind === KIND_N4
    ? N4_PREFIX
    : kind === KIND_N16
      ? N16_PREFIX
      : kind === KIND_N48
        ? N48_PREFIX
        : N256_PREFIX;
}

/** Offset of an inner node's child pointers from its start. */
export function childrenOffset(kind: number): number {
  return kind === KIND_N4
    ? N4_CHILDREN
    : kind === KIND_N16
      ? N16_CHILDREN
      : kind === KIND_N48
        ? N48_CHILDREN
        : N256_CHILDREN;
}

export function innerBytes(kind: number, prefixLength: number): number {
  return (prefixOffset(kind) + prefixLength + 7) & ~7;
}

/** Most children of an inner node of this kind. */
export function capacityOf(kind: number): number {
  return kind === KIND_N4 ? 4 : kind === KIND_N16 ? 16 : kind === KIND_N48 ? 48 : 256;
}

/** The smallest kind that holds so many children. */
export function kindFor(children: number): number {
  return children <= 4 ? KIND_N4 : children <= 16 ? KIND_N16 : children <= 48 ? KIND_N48 : KIND_N256;
}
