import type { Frame } from '../../../art/frame.js';
import {
  capacityOf,
  childrenOffset,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  KIND_N16,
  N_COUNT,
  N_TERMINATOR,
} from '../../../art/layout.js';
import { BLOB_SIZE } from '../../../limits.js';
import type { Image } from './images.js';

/** Deeper than this nothing is looked for: few trees are, and calls must not nest without end. */
const MOST_DEPTH = 200;

// What is known of a node in both images.
const UNKNOWN = 0;
const SAME = 1;
const DIFFERENT = 2;

/**
 * Tells of two images which of their subtrees are the same. Two images of one blob have nearly all of their nodes where they were:
 * so what did not change is passed over at the speed at which memory is compared. Each node is looked at once for as long as
 * the two images are the same.
 */
export class SameSubtrees {
  readonly #known = new Uint8Array(BLOB_SIZE / 8);
  #one: Image | undefined;
  #other: Image | undefined;

  /** Whether all below the node at this offset is the same in both, in the same blocks, and leads to no other blob; false where it cannot tell. */
  has(one: Image, other: Image, node: number): boolean {
    if (one !== this.#one || other !== this.#other) {
      this.#known.fill(UNKNOWN);
      this.#one = one;
      this.#other = other;
    }
    return this.#look(one.frame, other.frame, node, 0);
  }

  #look(one: Frame, other: Frame, node: number, depth: number): boolean {
    const known = this.#known[node >> 3]!;
    if (known !== UNKNOWN) return known === SAME;
    const isSame = depth <= MOST_DEPTH && this.#compare(one, other, node, depth);
    this.#known[node >> 3] = isSame ? SAME : DIFFERENT;
    return isSame;
  }

  #compare(one: Frame, other: Frame, node: number, depth: number): boolean {
    const kind = one.u8[node]! & 15;
    if (kind === KIND_CROSSING) return false;
    if (one !== other) {
      const end = (node + one.blockBytes(node)) >> 2;
      for (let word = node >> 2; word < end; word++) if (one.u32[word] !== other.u32[word]) return false;
    }
    if (kind === KIND_LEAF) return true;
    const { u16 } = one;
    const terminator = u16[(node + N_TERMINATOR) >> 1]! << 3;
    if (terminator !== 0 && !this.#look(one, other, terminator, depth + 1)) return false;
    const first = (node + childrenOffset(kind)) >> 1;
    const count = kind === KIND_N4 || kind === KIND_N16 ? u16[(node + N_COUNT) >> 1]! : capacityOf(kind);
    for (let at = first; at < first + count; at++) {
      const child = u16[at]! << 3;
      if (child !== 0 && !this.#look(one, other, child, depth + 1)) return false;
    }
    return true;
  }
}
