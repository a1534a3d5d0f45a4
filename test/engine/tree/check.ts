/**
 * The invariants of a tree's blobs, checked on the images that a checkpoint left in a store. Meant to be called
 * when nothing is staged or pending: every blob in the store must then be part of the tree.
 */
import { Frame } from '../../../engine/art/frame.js';
import {
  CLASSES,
  CROSSING_BYTES,
  capacityOf,
  H_BUMP,
  H_CLASS_FREE,
  H_LARGE_FREE,
  HEADER_BYTES,
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
} from '../../../engine/art/layout.js';
import { crossingBlobId, crossingHeight } from '../../../engine/art/rewrite.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import type { BlobId, BlobStore } from '../../../engine/store/blob-store.js';
import { verifyImage } from '../../../engine/store/image.js';

const ROOT_BLOB = 1;
/** What a unit of 8 bytes belongs to. */
const UNCLAIMED = 0;
const LIVE = 1;
const FREE = 2;

/** A crossing, as its blob sees it: which node and bytes lead there, and the height that it tells. */
interface Reference {
  blobId: BlobId;
  bytes: Set<number>;
  height: number;
}

interface BlobFacts {
  references: Reference[];
  height: number;
  rootBytes: number[];
}

export interface CheckedTree {
  blobs: number;
  leaves: number;
  liveBytes: number;
  /** Blobs on the longest way. */
  depth: number;
}

class BlobCheck {
  readonly #frame: Frame;
  readonly #id: BlobId;
  readonly #units = new Uint8Array(BLOB_SIZE / 8);
  readonly references: Reference[] = [];
  #leaves = 0;
  #crossings = 0;
  #liveBytes = 0;

  constructor(frame: Frame, id: BlobId) {
    this.#frame = frame;
    this.#id = id;
  }

  fail(what: string): never {
    throw new Error(`Blob ${this.#id}: ${what}`);
  }

  run(): BlobFacts {
    const frame = this.#frame;
    if (frame.blobId !== this.#id) this.fail(`its header names blob ${frame.blobId}`);
    const rootBytes = this.#id === ROOT_BLOB ? [] : this.#checkBlobRoot();
    if (frame.root !== 0) this.#walk(frame.root << 3);
    this.#equal('live bytes', frame.liveBytes, this.#liveBytes);
    this.#equal('leaves', frame.leaves, this.#leaves);
    this.#equal('crossings', frame.crossings, this.#crossings);
    this.#checkFreeLists();
    return { references: this.references, height: frame.height, rootBytes };
  }

  get leaves(): number {
    return this.#leaves;
  }

  #equal(name: string, told: number, found: number): void {
    if (told !== found) this.fail(`the header tells ${told} ${name}, there are ${found}`);
  }

  #claim(offset: number, bytes: number, owner: number): void {
    const bump = this.#frame.u32[H_BUMP >> 2] as number;
    if (offset < HEADER_BYTES || offset % 8 !== 0 || offset + bytes > bump) {
      this.fail(`a block of ${bytes} bytes at ${offset} lies outside the data (bump ${bump})`);
    }
    for (let unit = offset >> 3; unit < (offset + bytes) >> 3; unit++) {
      if (this.#units[unit] !== UNCLAIMED)
        this.fail(`the block of ${bytes} bytes at ${offset} overlaps another`);
      this.#units[unit] = owner;
    }
    if (owner === LIVE) this.#liveBytes += bytes;
  }

  /** The root node of a blob below a crossing: inner, without prefix and terminator. Returns its bytes. */
  #checkBlobRoot(): number[] {
    const { u8, u16, root } = this.#frame;
    if (root === 0) this.fail('it has no root node');
    const node = root << 3;
    const kind = (u8[node] as number) & 15;
    if (kind === KIND_LEAF || kind === KIND_CROSSING) this.fail(`its root is of kind ${kind}`);
    if (u8[node + N_PREFIX_LENGTH] !== 0) this.fail('its root node has a prefix');
    if (u16[(node + N_TERMINATOR) >> 1] !== 0) this.fail('its root node has a terminator');
    return this.#children(node).map(([byte]) => byte);
  }

  #walk(root: number): void {
    const { u8, u16 } = this.#frame;
    const stack = [root];
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      const kind = (u8[node] as number) & 15;
      if (kind < KIND_LEAF || kind > KIND_CROSSING) this.fail(`a node of kind ${kind} at ${node}`);
      this.#claim(node, this.#frame.blockBytes(node), LIVE);
      if (kind === KIND_LEAF) {
        this.#leaves++;
        continue;
      }
      if (kind === KIND_CROSSING) this.fail(`a crossing at ${node} without a byte that leads to it`);
      const terminator = (u16[(node + N_TERMINATOR) >> 1] as number) << 3;
      if (terminator !== 0) {
        if (((u8[terminator] as number) & 15) !== KIND_LEAF)
          this.fail(`the terminator of ${node} is not a leaf`);
        if (this.#frame.leafKeyLength(terminator) !== 0) this.fail(`the terminator of ${node} has key bytes`);
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
      this.references.push(reference);
    }
  }

  /** Bytes and children of an inner node, after a check of its own arrays. */
  #children(node: number): [byte: number, child: number][] {
    const { u8, u16 } = this.#frame;
    const kind = (u8[node] as number) & 15;
    const count = u16[(node + N_COUNT) >> 1] as number;
    if (count > capacityOf(kind)) this.fail(`the node at ${node} has ${count} children`);
    const children: [number, number][] = [];
    if (kind === KIND_N4 || kind === KIND_N16) {
      const slots = (node + (kind === KIND_N4 ? N4_CHILDREN : N16_CHILDREN)) >> 1;
      for (let i = 0; i < count; i++) {
        const byte = u8[node + N_KEYS + i] as number;
        if (i > 0 && byte <= (u8[node + N_KEYS + i - 1] as number))
          this.fail(`the node at ${node} is unsorted`);
        children.push([byte, (u16[slots + i] as number) << 3]);
      }
    } else if (kind === KIND_N48) {
      const taken = new Set<number>();
      for (let byte = 0; byte < 256; byte++) {
        const index = u8[node + N48_INDEX + byte] as number;
        if (index === 0) continue;
        if (taken.has(index)) this.fail(`the node at ${node} uses a slot twice`);
        taken.add(index);
        children.push([byte, (u16[((node + N48_CHILDREN) >> 1) + index - 1] as number) << 3]);
      }
      const slots = u16.subarray((node + N48_CHILDREN) >> 1, ((node + N48_CHILDREN) >> 1) + 48);
      const used = slots.filter((pointer) => pointer !== 0).length;
      if (used !== count) this.fail(`the node at ${node} has ${used} slots in use and ${count} children`);
    } else if (kind === KIND_N256) {
      for (let byte = 0; byte < 256; byte++) {
        const child = u16[((node + N256_CHILDREN) >> 1) + byte] as number;
        if (child !== 0) children.push([byte, child << 3]);
      }
    }
    if (children.length !== count)
      this.fail(`the node at ${node} has ${children.length} children, not ${count}`);
    if (children.some(([, child]) => child === 0))
      this.fail(`the node at ${node} has a child without a node`);
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
      if (units <= CLASSES) this.fail(`a block of ${units} units is in the list of large ones`);
      this.#claim(block << 3, units * 8, FREE);
      block = u16[block << 2] as number;
    }
    const end = (u32[H_BUMP >> 2] as number) >> 3;
    const lost = this.#units.subarray(HEADER_BYTES >> 3, end).indexOf(UNCLAIMED);
    if (lost >= 0) this.fail(`the unit at ${HEADER_BYTES + lost * 8} is neither reachable nor free`);
  }
}

/** Throws an Error that names the blob and what is wrong with it. */
export function checkStore(store: BlobStore): CheckedTree {
  const ids = new Set(store.listBlobs());
  const total: CheckedTree = { blobs: 0, leaves: 0, liveBytes: 0, depth: 0 };
  if (ids.size === 0) return total;
  const facts = new Map<BlobId, BlobFacts>();
  const image = new Uint8Array(BLOB_SIZE);
  const frame = new Frame(image.buffer, 0);
  for (const id of ids) {
    store.readBlob(id, image);
    const damage = verifyImage(image, id);
    if (damage !== undefined) throw new Error(`Blob ${id}: ${damage}`);
    const check = new BlobCheck(frame, id);
    facts.set(id, check.run());
    total.leaves += check.leaves;
    total.liveBytes += frame.liveBytes;
  }
  total.blobs = ids.size;
  total.depth = checkReferences(facts);
  const mark = store.readMark();
  const highest = Math.max(...ids);
  if (mark !== undefined && mark.nextBlobId <= highest)
    throw new Error(`The mark's next blob id is ${mark.nextBlobId}, blob ${highest} exists`);
  return total;
}

/** Every blob but the first is led to by one crossing of one node; returns the tree's true height. */
function checkReferences(facts: ReadonlyMap<BlobId, BlobFacts>): number {
  const parents = new Map<BlobId, BlobId>();
  const order: BlobId[] = [];
  const queue: BlobId[] = [ROOT_BLOB];
  for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
    order.push(id);
    const blob = facts.get(id);
    if (blob === undefined) throw new Error(`Blob ${id}: it is led to and not in the store`);
    for (const { blobId, bytes } of blob.references) {
      const other = parents.get(blobId);
      if (other !== undefined) throw new Error(`Blob ${blobId}: blobs ${other} and ${id} both lead to it`);
      parents.set(blobId, id);
      const stray = facts.get(blobId)?.rootBytes.filter((byte) => !bytes.has(byte)) ?? [];
      if (stray.length > 0)
        throw new Error(`Blob ${blobId}: bytes ${stray.join()} of its root are not led to by blob ${id}`);
      queue.push(blobId);
    }
  }
  for (const id of facts.keys()) {
    if (id !== ROOT_BLOB && !parents.has(id)) throw new Error(`Blob ${id}: nothing leads to it`);
  }
  const heights = new Map<BlobId, number>();
  for (const id of order.reverse()) {
    const blob = facts.get(id) as BlobFacts;
    let height = 1;
    for (const reference of blob.references) {
      const below = heights.get(reference.blobId) as number;
      if (reference.height < below)
        throw new Error(
          `Blob ${id}: its crossing to ${reference.blobId} tells height ${reference.height}, not ${below}`,
        );
      height = Math.max(height, below + 1);
    }
    if (blob.height < height) throw new Error(`Blob ${id}: it tells height ${blob.height}, it has ${height}`);
    heights.set(id, height);
  }
  return heights.get(ROOT_BLOB) ?? 0;
}
