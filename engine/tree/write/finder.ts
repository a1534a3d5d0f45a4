/** Looks for single keys under the tree lock, when nothing changes. */
import { findLeaf, LEADS_ON, LeadsOn, NO_LEAF, TORN } from '../../art/descent.js';
import type { Frame } from '../../art/frame.js';
import { LEAF_HEADER_BYTES } from '../../art/layout.js';
import { BLOB_SIZE } from '../../limits.js';
import { type ColdReader, TO_BE_LOADED } from '../read/cold-reader.js';
import { Slab } from '../state/slab.js';
import { impossible, type TreeState } from '../state/state.js';

export class Finder {
  readonly #state: TreeState;
  readonly #cold: ColdReader | undefined;
  readonly #slab = new Slab();
  readonly #leadsOn = new LeadsOn();
  #leaf = 0;

  /** With `cold` blobs that are not resident are looked into by pages, else they are loaded. */
  constructor(state: TreeState, cold?: ColdReader) {
    this.#state = state;
    this.#cold = cold;
  }

  /** The key's version. */
  version(key: Uint8Array): number | undefined {
    return this.#find(key)?.leafVersion(this.#leaf);
  }

  /** The key's value, a copy. */
  value(key: Uint8Array): Uint8Array | undefined {
    const frame = this.#find(key);
    if (frame === undefined) return undefined;
    const start = this.#leaf + LEAF_HEADER_BYTES + frame.leafKeyLength(this.#leaf);
    const length = frame.leafValueLength(this.#leaf);
    if (start + length > BLOB_SIZE) throw impossible(this.#state.place, frame.blobId);
    return this.#slab.copy(frame.u32, start, length);
  }

  /** The frame that has the key, whose leaf is then `#leaf`. Frames on the way are not pinned, and need not stay. */
  #find(key: Uint8Array): Frame | undefined {
    const state = this.#state;
    if (!state.hasRoot) return undefined;
    const at = this.#leadsOn;
    at.blobId = state.root;
    at.depth = 0;
    for (;;) {
      const { blobId, depth } = at;
      let frame: Frame;
      let leaf = TO_BE_LOADED;
      if (this.#cold !== undefined && state.cache.find(blobId) < 0)
        leaf = this.#cold.findLocked(key, depth, blobId);
      if (leaf !== TO_BE_LOADED) frame = (this.#cold as ColdReader).frame;
      else {
        frame = state.frameOf(blobId);
        leaf = findLeaf(at, frame, key, depth);
      }
      if (leaf === LEADS_ON) continue;
      if (leaf === TORN) throw impossible(state.place, blobId);
      this.#leaf = leaf;
      return leaf === NO_LEAF ? undefined : frame;
    }
  }
}
