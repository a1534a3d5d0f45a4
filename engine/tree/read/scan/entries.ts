/** What a scan gives out: copies of what it stands at. Belongs to one scanner, and is told of its way. */
import type { RangeEntry } from '../../../api.js';
import type { Frame } from '../../../art/frame.js';
import { LEAF_HEADER_BYTES } from '../../../art/layout.js';
import { BLOB_SIZE } from '../../../limits.js';
import { Slab } from '../../state/slab.js';
import { impossible, type TreeState } from '../../state/state.js';
import type { Way } from '../way.js';

const EMPTY = new Uint8Array(0);

export class Entries {
  readonly #state: TreeState;
  readonly #way: Way;
  readonly #slab = new Slab();

  constructor(state: TreeState, way: Way) {
    this.#state = state;
    this.#way = way;
  }

  /** Gives out the key up to the delimiter at `cut`, and passes over all that begins with that. */
  rollUp(cut: number, out: RangeEntry[]): void {
    const way = this.#way;
    out.push({ type: 'prefix', prefix: this.#slab.copy(way.keyWords, 0, cut + 1) });
    while (way.depth > 0 && way.lengths[way.depth - 1]! > cut) way.depth--;
  }

  /** Gives out a leaf, whose key the way has; false where its lengths cannot be, as in a frame under change. */
  give(frame: Frame, leaf: number, length: number, keysOnly: boolean, out: RangeEntry[]): boolean {
    const way = this.#way;
    const start = leaf + LEAF_HEADER_BYTES + frame.leafKeyLength(leaf);
    const valueLength = frame.leafValueLength(leaf);
    if (start + valueLength > BLOB_SIZE) {
      if (way.isValid())
        throw impossible(this.#state.place, this.#state.cache.blobIn(way.frames[way.level]!));
      return false;
    }
    out.push({
      type: 'key',
      key: this.#slab.copy(way.keyWords, 0, length),
      value: keysOnly ? EMPTY : this.#slab.copy(frame.u32, start, valueLength),
      version: frame.leafVersion(leaf),
    });
    return true;
  }
}
