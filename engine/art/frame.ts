/**
 * One blob image in memory and the allocator inside it.
 *
 * Invariants
 * - A block's size is told by its content (`blockBytes`), so live bytes are the exact sum of reachable blocks.
 * - Blocks come from the exact-size free list, then from the bump cursor, then from larger free blocks. Blocks
 *   are never joined again; compaction rewrites the frame instead.
 * - Only a thread that has the frame latched, or to which nobody else can see it, calls what changes it.
 */
import { BLOB_SIZE } from '../limits.js';
import {
  CLASSES,
  DATA_BYTES,
  H_BLOB_ID,
  H_BUMP,
  H_CLASS_FREE,
  H_COMPACTIONS,
  H_CROSSINGS,
  H_FORMAT_VERSION,
  H_HEIGHT,
  H_LARGE_FREE,
  H_LEAVES,
  H_LIVE_BYTES,
  H_MAGIC,
  H_ROOT,
  HEADER_BYTES,
  IMAGE_FORMAT_VERSION,
  IMAGE_MAGIC,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  L_KEY_LENGTH,
  L_VALUE_LENGTH,
  L_VERSION_HIGH,
  L_VERSION_LOW,
  L_VERSION_MID,
  leafBytes,
  N_PREFIX_LENGTH,
} from './layout.js';

/** How far into the list of large free blocks an allocation looks. */
const LARGE_LIST_STEPS = 32;

export class Frame {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;

  /** Views of the BLOB_SIZE bytes of `buffer` at `offset` (a multiple of 8). */
  constructor(buffer: ArrayBufferLike, offset: number) {
    this.u8 = new Uint8Array(buffer, offset, BLOB_SIZE);
    this.u16 = new Uint16Array(buffer, offset, BLOB_SIZE / 2);
    this.u32 = new Uint32Array(buffer, offset, BLOB_SIZE / 4);
    this.f64 = new Float64Array(buffer, offset, BLOB_SIZE / 8);
  }

  /** Makes this an empty blob: no root, everything free. */
  format(blobId: number): void {
    this.u8.fill(0, 0, HEADER_BYTES);
    this.u32[H_MAGIC >> 2] = IMAGE_MAGIC;
    this.u16[H_FORMAT_VERSION >> 1] = IMAGE_FORMAT_VERSION;
    this.u32[H_BLOB_ID >> 2] = blobId;
    this.u16[H_HEIGHT >> 1] = 1;
    this.u32[H_BUMP >> 2] = HEADER_BYTES;
  }

  get blobId(): number {
    return this.u32[H_BLOB_ID >> 2];
  }
  /** Pointer to the root node, 0 for none. */
  get root(): number {
    return this.u16[H_ROOT >> 1];
  }
  set root(pointer: number) {
    this.u16[H_ROOT >> 1] = pointer;
  }
  get liveBytes(): number {
    return this.u32[H_LIVE_BYTES >> 2];
  }
  get leaves(): number {
    return this.u32[H_LEAVES >> 2];
  }
  get crossings(): number {
    return this.u32[H_CROSSINGS >> 2];
  }
  get compactions(): number {
    return this.u32[H_COMPACTIONS >> 2];
  }
  set compactions(count: number) {
    this.u32[H_COMPACTIONS >> 2] = count;
  }
  get height(): number {
    return this.u16[H_HEIGHT >> 1];
  }
  set height(height: number) {
    this.u16[H_HEIGHT >> 1] = height;
  }
  /** Bytes that a compaction would leave unallocated. */
  get freeBytes(): number {
    return DATA_BYTES - this.u32[H_LIVE_BYTES >> 2];
  }
  /** Bytes never yet allocated: any block up to this size can be had. */
  get bumpBytes(): number {
    return BLOB_SIZE - this.u32[H_BUMP >> 2];
  }

  /** Takes a block of `bytes` (a multiple of 8); returns its offset, or 0 when there is none so large. */
  allocate(bytes: number): number {
    const units = bytes >> 3;
    const u16 = this.u16;
    let offset = 0;
    if (units <= CLASSES) {
      const head = u16[(H_CLASS_FREE >> 1) + units];
      if (head !== 0) {
        u16[(H_CLASS_FREE >> 1) + units] = u16[head << 2];
        offset = head << 3;
      }
    }
    if (offset === 0) {
      const bump = this.u32[H_BUMP >> 2];
      if (bump + bytes <= BLOB_SIZE) {
        this.u32[H_BUMP >> 2] = bump + bytes;
        offset = bump;
      } else {
        offset = this.#allocateFromLarger(units);
        if (offset === 0) return 0;
      }
    }
    this.u32[H_LIVE_BYTES >> 2] += bytes;
    return offset;
  }

  #allocateFromLarger(units: number): number {
    const u16 = this.u16;
    for (let i = units + 1; i <= CLASSES; i++) {
      const head = u16[(H_CLASS_FREE >> 1) + i];
      if (head !== 0) {
        u16[(H_CLASS_FREE >> 1) + i] = u16[head << 2];
        this.#release((head + units) << 3, i - units);
        return head << 3;
      }
    }
    let link = H_LARGE_FREE >> 1;
    for (let step = 0; step < LARGE_LIST_STEPS; step++) {
      const block = u16[link];
      if (block === 0) return 0;
      const size = u16[(block << 2) + 1];
      if (size >= units) {
        u16[link] = u16[block << 2];
        if (size > units) this.#release((block + units) << 3, size - units);
        return block << 3;
      }
      link = block << 2;
    }
    return 0;
  }

  /** Gives back the block of `bytes` (a multiple of 8) at `offset`. */
  free(offset: number, bytes: number): void {
    this.u32[H_LIVE_BYTES >> 2] -= bytes;
    this.#release(offset, bytes >> 3);
  }

  /** A free block holds: u16 next block, u16 its size in units (in the large list only). */
  #release(offset: number, units: number): void {
    const u16 = this.u16;
    const link = units <= CLASSES ? (H_CLASS_FREE >> 1) + units : H_LARGE_FREE >> 1;
    u16[offset >> 1] = u16[link];
    if (units > CLASSES) u16[(offset >> 1) + 1] = units;
    u16[link] = offset >> 3;
  }

  /** Size of the block that the node or leaf at `offset` takes. */
  blockBytes(offset: number): number {
    const kind = this.u8[offset] & 15;
    if (kind === KIND_LEAF) return leafBytes(this.leafKeyLength(offset), this.leafValueLength(offset));
    if (kind === KIND_CROSSING) return 8;
    return innerBytes(kind, this.u8[offset + N_PREFIX_LENGTH]);
  }

  /** Frees the node or leaf at `offset`, not what it points to, and keeps the header's counts. */
  freeNode(offset: number): void {
    const kind = this.u8[offset] & 15;
    if (kind === KIND_LEAF) this.u32[H_LEAVES >> 2]--;
    else if (kind === KIND_CROSSING) this.u32[H_CROSSINGS >> 2]--;
    this.free(offset, this.blockBytes(offset));
  }

  leafKeyLength(offset: number): number {
    return this.u16[(offset + L_KEY_LENGTH) >> 1];
  }

  leafValueLength(offset: number): number {
    return ((this.u8[offset] >> 4) << 16) | this.u16[(offset + L_VALUE_LENGTH) >> 1];
  }

  leafVersion(offset: number): number {
    const high = (this.u8[offset + L_VERSION_HIGH] << 16) | this.u16[(offset + L_VERSION_MID) >> 1];
    const low = this.u32[(offset + L_VERSION_LOW) >> 2];
    // Floating point only where it must be.
    return high === 0 ? low : high * 0x100000000 + low;
  }

  setLeafVersion(offset: number, version: number): void {
    const high = Math.floor(version / 0x100000000);
    this.u32[(offset + L_VERSION_LOW) >> 2] = version >>> 0;
    this.u16[(offset + L_VERSION_MID) >> 1] = high & 0xffff;
    this.u8[offset + L_VERSION_HIGH] = high >>> 16;
  }

  /** Writes a leaf's kind and lengths; the caller writes version, key and value. Does not count it. */
  setLeafHeader(offset: number, keyLength: number, valueLength: number): void {
    this.u8[offset] = KIND_LEAF | ((valueLength >> 16) << 4);
    this.u16[(offset + L_KEY_LENGTH) >> 1] = keyLength;
    this.u16[(offset + L_VALUE_LENGTH) >> 1] = valueLength & 0xffff;
  }

  addLeaves(count: number): void {
    this.u32[H_LEAVES >> 2] += count;
  }

  addCrossings(count: number): void {
    this.u32[H_CROSSINGS >> 2] += count;
  }
}
