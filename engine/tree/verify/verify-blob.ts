/**
 * The structure of one blob image: every node is of a known kind, sorted, within the data area and reached once;
 * live and free blocks together are all that was ever allocated; the header's counts are those found.
 */
import type { Frame } from '../../art/frame.js';
import {
  CLASSES,
  CROSSING_BYTES,
  capacityOf,
  H_BUMP,
  H_CLASS_FREE,
  H_LARGE_FREE,
  H_SUMS,
  HEADER_BYTES,
  isRootBlob,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  KIND_N16,
  KIND_N48,
  KIND_N256,
  N_COUNT,
  N_KEYS,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  N4_CHILDREN,
  N16_CHILDREN,
  N48_CHILDREN,
  N48_INDEX,
  N256_CHILDREN,
} from '../../art/layout.js';
import { sumsBytes } from '../../art/measure.js';
import { crossingBlobId, crossingHeight } from '../../art/rewrite.js';
import { BLOB_SIZE, MAX_MEASURE_FIELDS } from '../../limits.js';
import type { BlobId } from '../../store/blob-store.js';

/** What a unit of 8 bytes belongs to. */
const UNCLAIMED = 0;
const LIVE = 1;
const FREE = 2;

/** A crossing, as its blob sees it: which bytes of a node lead there, and the height that it tells. */
export interface Reference {
  blobId: BlobId;
  bytes: Set<number>;
  height: number;
}

/** What a blob tells about others, to be compared with what they tell. */
export interface BlobFacts {
  leaves: number;
  liveBytes: number;
  references: Reference[];
  height: number;
  /** The bytes under which its root node has children; empty for the tree's first blob. */
  rootBytes: number[];
}

class WrongStructure extends Error {}

/** Checks the image in `frame`, which is to be that of blob `id`. Returns a text where something is wrong. */
export function verifyBlob(frame: Frame, id: BlobId): BlobFacts | string {
  try {
    return new BlobCheck(frame, id).run();
  } catch (error) {
    if (error instanceof WrongStructure) return error.message;
    throw error;
  }
}

class BlobCheck {
  readonly #frame: Frame;
  readonly #id: BlobId;
  readonly #units = new Uint8Array(BLOB_SIZE / 8);
  readonly #references: Reference[] = [];
  #leaves = 0;
  #crossings = 0;
  #liveBytes = 0;

  constructor(frame: Frame, id: BlobId) {
    this.#frame = frame;
    this.#id = id;
  }

  /** Ends the check: what comes after the first wrong byte of a structure means little. */
  #fail(what: string): never {
    throw new WrongStructure(what);
  }

  run(): BlobFacts {
    const frame = this.#frame;
    if (frame.blobId !== this.#id) this.#fail(`its header names blob ${frame.blobId}`);
    const bump = frame.u32[H_BUMP >> 2] as number;
    if (bump < HEADER_BYTES || bump > BLOB_SIZE || bump % 8 !== 0) this.#fail(`its data ends at ${bump}`);
    const rootBytes = isRootBlob(this.#id) ? [] : this.#checkBlobRoot();
    this.#claimSums();
    if (frame.root !== 0) this.#walk(frame.root << 3);
    this.#equal('live bytes', frame.liveBytes, this.#liveBytes);
    this.#equal('leaves', frame.leaves, this.#leaves);
    this.#equal('crossings', frame.crossings, this.#crossings);
    this.#checkFreeLists();
    return {
      leaves: this.#leaves,
      liveBytes: this.#liveBytes,
      references: this.#references,
      height: frame.height,
      rootBytes,
    };
  }

  #equal(name: string, told: number, found: number): void {
    if (told !== found) this.#fail(`the header tells ${told} ${name}, there are ${found}`);
  }

  #claim(offset: number, bytes: number, owner: number): void {
    const bump = this.#frame.u32[H_BUMP >> 2] as number;
    if (offset < HEADER_BYTES || offset % 8 !== 0 || offset + bytes > bump) {
      this.#fail(`a block of ${bytes} bytes at ${offset} lies outside the data (bump ${bump})`);
    }
    for (let unit = offset >> 3; unit < (offset + bytes) >> 3; unit++) {
      if (this.#units[unit] !== UNCLAIMED)
        this.#fail(`the block of ${bytes} bytes at ${offset} overlaps another`);
      this.#units[unit] = owner;
    }
    if (owner === LIVE) this.#liveBytes += bytes;
  }

  #claimSums(): void {
    const { u16, u32 } = this.#frame;
    const block = (u16[H_SUMS >> 1] as number) << 3;
    if (block === 0) return;
    const fields = u32[(block >> 2) + 1] as number;
    if (fields === 0 || fields > MAX_MEASURE_FIELDS) this.#fail(`its block of sums has ${fields} fields`);
    this.#claim(block, sumsBytes(fields), LIVE);
  }

  /** The root node of a blob below a crossing: inner, without prefix and terminator. Returns its bytes. */
  #checkBlobRoot(): number[] {
    const { u8, u16, root } = this.#frame;
    if (root === 0) this.#fail('it has no root node');
    const node = root << 3;
    const kind = (u8[node] as number) & 15;
    if (kind === KIND_LEAF || kind === KIND_CROSSING) this.#fail(`its root is of kind ${kind}`);
    if (u8[node + N_PREFIX_LENGTH] !== 0) this.#fail('its root node has a prefix');
    if (u16[(node + N_TERMINATOR) >> 1] !== 0) this.#fail('its root node has a terminator');
    return this.#children(node).map(([byte]) => byte);
  }

  #walk(root: number): void {
    const { u8, u16 } = this.#frame;
    const stack = [root];
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      const kind = (u8[node] as number) & 15;
      if (kind < KIND_LEAF || kind > KIND_CROSSING) this.#fail(`a node of kind ${kind} at ${node}`);
      this.#claim(node, this.#frame.blockBytes(node), LIVE);
      if (kind === KIND_LEAF) {
        this.#leaves++;
        continue;
      }
      if (kind === KIND_CROSSING) this.#fail(`a crossing at ${node} without a byte that leads to it`);
      const terminator = (u16[(node + N_TERMINATOR) >> 1] as number) << 3;
      if (terminator !== 0) {
        if (((u8[terminator] as number) & 15) !== KIND_LEAF)
          this.#fail(`the terminator of ${node} is not a leaf`);
        if (this.#frame.leafKeyLength(terminator) !== 0)
          this.#fail(`the terminator of ${node} has key bytes`);
        stack.push(terminator);
      }
      this.#followChildren(node, stack);
    }
  }

  #followChildren(node: number, stack: number[]): void {
    const { u8 } = this.#frame;
    const crossings = new Map<number, Reference>();
    for (const [byte, child] of this.#children(node)) {
      if (((u8[child] as number) & 15) !== KIND_CROSSING) {
        stack.push(child);
        continue;
      }
      const known = crossings.get(child);
      if (known !== undefined) {
        known.bytes.add(byte);
        continue;
      }
      this.#claim(child, CROSSING_BYTES, LIVE);
      this.#crossings++;
      const reference = {
        blobId: crossingBlobId(this.#frame, child),
        bytes: new Set([byte]),
        height: crossingHeight(this.#frame, child),
      };
      crossings.set(child, reference);
      this.#references.push(reference);
    }
  }

  /** Bytes and children of an inner node, after a check of its own arrays. */
  #children(node: number): [byte: number, child: number][] {
    const { u8, u16 } = this.#frame;
    const kind = (u8[node] as number) & 15;
    const count = u16[(node + N_COUNT) >> 1] as number;
    if (count > capacityOf(kind)) this.#fail(`the node at ${node} has ${count} children`);
    const children: [number, number][] = [];
    if (kind === KIND_N4 || kind === KIND_N16) {
      const slots = (node + (kind === KIND_N4 ? N4_CHILDREN : N16_CHILDREN)) >> 1;
      for (let i = 0; i < count; i++) {
        const byte = u8[node + N_KEYS + i] as number;
        if (i > 0 && byte <= (u8[node + N_KEYS + i - 1] as number))
          this.#fail(`the node at ${node} is unsorted`);
        children.push([byte, (u16[slots + i] as number) << 3]);
      }
    } else if (kind === KIND_N48) {
      const taken = new Set<number>();
      for (let byte = 0; byte < 256; byte++) {
        const index = u8[node + N48_INDEX + byte] as number;
        if (index === 0) continue;
        if (taken.has(index)) this.#fail(`the node at ${node} uses a slot twice`);
        taken.add(index);
        children.push([byte, (u16[((node + N48_CHILDREN) >> 1) + index - 1] as number) << 3]);
      }
      const slots = u16.subarray((node + N48_CHILDREN) >> 1, ((node + N48_CHILDREN) >> 1) + 48);
      const used = slots.filter((pointer) => pointer !== 0).length;
      if (used !== count) this.#fail(`the node at ${node} has ${used} slots in use and ${count} children`);
    } else if (kind === KIND_N256) {
      for (let byte = 0; byte < 256; byte++) {
        const child = u16[((node + N256_CHILDREN) >> 1) + byte] as number;
        if (child !== 0) children.push([byte, child << 3]);
      }
    }
    if (children.length !== count)
      this.#fail(`the node at ${node} has ${children.length} children, not ${count}`);
    if (children.some(([, child]) => child === 0))
      this.#fail(`the node at ${node} has a child without a node`);
    return children;
  }

  /** Live and free blocks together are all that was ever allocated. */
  #checkFreeLists(): void {
    const { u16, u32 } = this.#frame;
    for (let units = 1; units <= CLASSES; units++) {
      for (let block = u16[(H_CLASS_FREE >> 1) + units] as number; block !== 0; ) {
        this.#claim(block << 3, units * 8, FREE);
        block = u16[block << 2] as number;
      }
    }
    for (let block = u16[H_LARGE_FREE >> 1] as number; block !== 0; ) {
      const units = u16[(block << 2) + 1] as number;
      if (units <= CLASSES) this.#fail(`a block of ${units} units is in the list of large ones`);
      this.#claim(block << 3, units * 8, FREE);
      block = u16[block << 2] as number;
    }
    const end = (u32[H_BUMP >> 2] as number) >> 3;
    const lost = this.#units.subarray(HEADER_BYTES >> 3, end).indexOf(UNCLAIMED);
    if (lost >= 0) this.#fail(`the unit at ${HEADER_BYTES + lost * 8} is neither reachable nor free`);
  }
}
