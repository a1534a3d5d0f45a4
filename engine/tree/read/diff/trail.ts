/**
 * A way through one side of a comparison, in the order of keys. It stands at an item: a leaf; an inner node with all below it;
 * or a crossing, that is all below one byte of a node, in another blob. `key` begins with `length` bytes that all keys of
 * the item begin with (a leaf: its whole key). An item can be passed (`next`) or gone into (`open`).
 *
 * The images on the way are taken from `Images`, and nobody changes them: so nothing is validated here.
 */
import type { Frame } from '../../../art/frame.js';
import {
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  KIND_N16,
  LEAF_HEADER_BYTES,
  N_COUNT,
  N_KEYS,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  N4_CHILDREN,
  N16_CHILDREN,
  prefixOffset,
  ROOT_BLOB,
  X_BLOB_ID,
} from '../../../art/layout.js';
import { findChild, nextChildByte, positionAfter } from '../../../art/node.js';
import type { BlobId } from '../../../store/blob-store.js';
import type { Bound } from '../../state/bound.js';
import type { Image, Images } from './images.js';
import type { Side } from './sides.js';

export const AT_END = 0;
export const AT_LEAF = 1;
export const AT_NODE = 2;
export const AT_CROSSING = 3;

/** An inner node on the way. */
interface Step {
  image: Image;
  node: number;
  /** What comes next: -1 the terminator, else the index of a child (N4, N16) or its least byte. */
  position: number;
  /** Bytes of the key up to and with the node's prefix. */
  length: number;
}

export class Trail {
  readonly side: Side;
  readonly #images: Images;
  readonly #prefix: Uint8Array;
  readonly #from: Bound;
  readonly #steps: Step[] = [];
  /** Whether all that comes now is at the bound or after it. */
  #isBehindFrom = false;
  at = AT_END;
  key = new Uint8Array(1024);
  length = 0;
  /** Bytes of the key that are those of the item before, too. */
  base = 0;
  /** Of a leaf and of a node: where it is. */
  image: Image | undefined;
  node = 0;
  /** Of a crossing: where it leads. */
  blobId: BlobId = 0;

  /** Stands at the first item that may have a key of the prefix from `from` on. `from` is not before the prefix. */
  constructor(side: Side, images: Images, prefix: Uint8Array, from: Bound) {
    this.side = side;
    this.#images = images;
    this.#prefix = prefix;
    this.#from = from;
    if (side.isEmpty) return;
    const image = images.take(side, ROOT_BLOB);
    const pointer = image.frame.root;
    if (pointer !== 0) this.#standAt(image, pointer << 3, 0);
    images.giveBack(image);
    if (this.at !== AT_END && !this.#isWanted()) this.next();
  }

  get frame(): Frame {
    return this.image!.frame;
  }

  /** Passes the item by. */
  next(): void {
    this.#leave();
    const steps = this.#steps;
    for (;;) {
      const top = steps[steps.length - 1];
      if (top === undefined) {
        this.base = 0;
        return;
      }
      const { image, node, length } = top;
      this.base = length;
      if (top.position < 0) {
        top.position = 0;
        const leaf = image.frame.u16[(node + N_TERMINATOR) >> 1]! << 3;
        if (leaf !== 0) this.#standAt(image, leaf, length);
      } else if (!this.#standAtChild(top)) {
        steps.pop();
        this.#images.giveBack(image);
        continue;
      }
      if (this.at === AT_END) continue;
      if (this.#isWanted()) return;
      this.#leave();
    }
  }

  /** Goes into the node or the crossing; then stands at the first item below it, or at the one behind it where there is none. */
  open(): void {
    if (this.at === AT_NODE) {
      const { image, node, length } = this;
      image!.users++;
      this.#steps.push({
        image: image!,
        node,
        position: this.#firstPosition(image!.frame, node, length),
        length,
      });
      this.next();
      return;
    }
    const { length, blobId } = this;
    const image = this.#images.take(this.side, blobId);
    const { frame } = image;
    const slot = findChild(frame, frame.root << 3, this.key[length - 1]!);
    this.at = AT_END;
    if (slot !== 0) this.#standAt(image, frame.u16[slot >> 1]! << 3, length);
    this.#images.giveBack(image);
    if (this.at === AT_END || !this.#isWanted()) this.next();
  }

  /** Gives back all that it has taken. */
  end(): void {
    this.#leave();
    for (const { image } of this.#steps) this.#images.giveBack(image);
    this.#steps.length = 0;
  }

  #leave(): void {
    if (this.image !== undefined) this.#images.giveBack(this.image);
    this.image = undefined;
    this.at = AT_END;
  }

  /** Makes the node's next child the item; false where there is none. */
  #standAtChild(step: Step): boolean {
    const { image, node, position, length } = step;
    const { frame } = image;
    const { u8, u16 } = frame;
    const kind = u8[node]! & 15;
    let byte: number;
    let child: number;
    if (kind === KIND_N4 || kind === KIND_N16) {
      if (position >= u16[(node + N_COUNT) >> 1]!) return false;
      byte = u8[node + N_KEYS + position]!;
      child = u16[((node + (kind === KIND_N4 ? N4_CHILDREN : N16_CHILDREN)) >> 1) + position]!;
      step.position = position + 1;
    } else {
      byte = nextChildByte(frame, node, position);
      if (byte < 0) return false;
      child = u16[findChild(frame, node, byte) >> 1]!;
      step.position = byte + 1;
    }
    this.#reserve(length + 1);
    this.key[length] = byte;
    this.#standAt(image, child << 3, length + 1);
    return true;
  }

  /** Makes the node at `node`, to which the first `length` bytes of the key lead, the item. */
  #standAt(image: Image, node: number, length: number): void {
    const { frame } = image;
    const { u8 } = frame;
    const kind = u8[node]! & 15;
    if (kind === KIND_CROSSING) {
      this.at = AT_CROSSING;
      this.blobId = frame.u32[(node + X_BLOB_ID) >> 2]!;
      this.length = length;
      return;
    }
    const isLeaf = kind === KIND_LEAF;
    const count = isLeaf ? frame.leafKeyLength(node) : u8[node + N_PREFIX_LENGTH]!;
    const from = isLeaf ? node + LEAF_HEADER_BYTES : node + prefixOffset(kind);
    this.#reserve(length + count);
    const key = this.key;
    for (let i = 0; i < count; i++) key[length + i] = u8[from + i]!;
    image.users++;
    this.image = image;
    this.node = node;
    this.length = length + count;
    this.at = isLeaf ? AT_LEAF : AT_NODE;
  }

  /** Whether the item may have a key that is asked for. Behind the prefix there is none, and the trail ends. */
  #isWanted(): boolean {
    const { key, length, base } = this;
    const prefix = this.#prefix;
    for (let i = base; i < length && i < prefix.length; i++) {
      if (key[i] === prefix[i]) continue;
      if (key[i]! > prefix[i]!) this.#passAll();
      return key[i]! > prefix[i]!;
    }
    if (length < prefix.length && this.at === AT_LEAF) return false;
    return this.#isBehindFrom || this.#reachesFrom();
  }

  /** Ends the trail: as if nothing came after. */
  #passAll(): void {
    this.end();
  }

  #reachesFrom(): boolean {
    const { key, length, at } = this;
    const { key: from, inclusive } = this.#from;
    const common = Math.min(length, from.length);
    let i = 0;
    while (i < common && key[i] === from[i]) i++;
    if (i < common) {
      this.#isBehindFrom = key[i]! > from[i]!;
      return this.#isBehindFrom;
    }
    if (length > from.length) this.#isBehindFrom = true;
    if (length > from.length || at !== AT_LEAF) return true;
    return length === from.length && inclusive;
  }

  /** Where the children of the node to which `length` bytes of the key lead begin to count. */
  #firstPosition(frame: Frame, node: number, length: number): number {
    const { key: from } = this.#from;
    if (this.#isBehindFrom || length >= from.length) return -1;
    for (let i = 0; i < length; i++) if (this.key[i] !== from[i]) return -1;
    const byte = from[length]!;
    return byte === 0 ? 0 : positionAfter(frame, node, byte - 1);
  }

  #reserve(length: number): void {
    if (length <= this.key.length) return;
    const grown = new Uint8Array(Math.max(length, this.key.length * 2));
    grown.set(this.key);
    this.key = grown;
  }
}
