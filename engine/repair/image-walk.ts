/**
 * Walks the records of one blob image, which may be damaged: every pointer is checked before it is followed, and every
 * node is visited once at most. What does not hold together is passed over and counted.
 */
import type { Frame } from '../art/frame.js';
import {
  CROSSING_BYTES,
  capacityOf,
  childrenOffset,
  HEADER_BYTES,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N48,
  KIND_N256,
  LEAF_HEADER_BYTES,
  leafBytes,
  N_COUNT,
  N_KEYS,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  N48_INDEX,
  prefixOffset,
} from '../art/layout.js';
import { crossingBlobId } from '../art/rewrite.js';
import { BLOB_SIZE, MAX_VALUE_BYTES } from '../limits.js';
import type { BlobId } from '../store/blob-store.js';

export interface ImageVisitor {
  /** `rest`: the key's bytes below the blob's prefix. `value` is a view of the image. */
  record?(rest: Uint8Array, value: Uint8Array, version: number): void;
  /** `way`: the bytes from the blob's root to the node whose children are in the other blob. */
  crossing?(way: Uint8Array, blobId: BlobId): void;
}

/** Returns how many nodes could not be followed. */
export function walkImage(frame: Frame, visitor: ImageVisitor): number {
  const walk = new ImageWalk(frame, visitor);
  walk.run();
  return walk.faults;
}

interface Step {
  node: number;
  way: Uint8Array;
}

class ImageWalk {
  readonly #frame: Frame;
  readonly #visitor: ImageVisitor;
  readonly #seen = new Uint8Array(BLOB_SIZE / 8);
  readonly #stack: Step[] = [];
  faults = 0;

  constructor(frame: Frame, visitor: ImageVisitor) {
    this.#frame = frame;
    this.#visitor = visitor;
  }

  run(): void {
    const { root } = this.#frame;
    if (root === 0) return;
    this.#push(root << 3, new Uint8Array(0));
    for (let step = this.#stack.pop(); step !== undefined; step = this.#stack.pop()) this.#visit(step);
  }

  #push(node: number, way: Uint8Array): void {
    if (node < HEADER_BYTES || node + CROSSING_BYTES > BLOB_SIZE) this.faults++;
    else this.#stack.push({ node, way });
  }

  #visit({ node, way }: Step): void {
    const { u8 } = this.#frame;
    const kind = u8[node]! & 15;
    if (kind === KIND_CROSSING) {
      // Several bytes of a node share a crossing.
      if (this.#seen[node >> 3] === 1) return;
      this.#seen[node >> 3] = 1;
      this.#visitor.crossing?.(way, crossingBlobId(this.#frame, node));
      return;
    }
    if (kind < KIND_LEAF || kind > KIND_CROSSING || this.#seen[node >> 3] === 1) {
      this.faults++;
      return;
    }
    this.#seen[node >> 3] = 1;
    if (kind === KIND_LEAF) this.#leaf(node, way);
    else this.#inner(node, kind, way);
  }

  #leaf(node: number, way: Uint8Array): void {
    const frame = this.#frame;
    const keyLength = frame.leafKeyLength(node);
    const valueLength = frame.leafValueLength(node);
    if (valueLength > MAX_VALUE_BYTES || node + leafBytes(keyLength, valueLength) > BLOB_SIZE) {
      this.faults++;
      return;
    }
    const key = node + LEAF_HEADER_BYTES;
    const rest = Buffer.concat([way, frame.u8.subarray(key, key + keyLength)]);
    const value = frame.u8.subarray(key + keyLength, key + keyLength + valueLength);
    this.#visitor.record?.(rest, value, frame.leafVersion(node));
  }

  #inner(node: number, kind: number, way: Uint8Array): void {
    const { u8, u16 } = this.#frame;
    const prefixLength = u8[node + N_PREFIX_LENGTH]!;
    if (node + innerBytes(kind, prefixLength) > BLOB_SIZE) {
      this.faults++;
      return;
    }
    const from = node + prefixOffset(kind);
    const own = Buffer.concat([way, u8.subarray(from, from + prefixLength)]);
    const terminator = u16[(node + N_TERMINATOR) >> 1]!;
    if (terminator !== 0) this.#push(terminator << 3, own);
    for (const [byte, child] of this.#children(node, kind)) {
      const at = child << 3;
      // A crossing stands for the node itself, whose bytes the other blob's root has.
      const isCrossing = at + CROSSING_BYTES <= BLOB_SIZE && (u8[at]! & 15) === KIND_CROSSING;
      this.#push(at, isCrossing ? own : Buffer.concat([own, Buffer.of(byte)]));
    }
  }

  *#children(node: number, kind: number): Generator<[byte: number, pointer: number]> {
    const { u8, u16 } = this.#frame;
    const pointers = (node + childrenOffset(kind)) >> 1;
    if (kind === KIND_N256 || kind === KIND_N48) {
      for (let byte = 0; byte < 256; byte++) {
        const index = kind === KIND_N256 ? byte : u8[node + N48_INDEX + byte]! - 1;
        if (index < 0 || index >= capacityOf(kind)) continue;
        const pointer = u16[pointers + index]!;
        if (pointer !== 0) yield [byte, pointer];
      }
      return;
    }
    const count = Math.min(u16[(node + N_COUNT) >> 1]!, capacityOf(kind));
    for (let i = 0; i < count; i++) yield [u8[node + N_KEYS + i]!, u16[pointers + i]!];
  }
}
