/**
 * Which changes wait. One does where its blob would have to be read, or to become dirty, for it alone, in a tree that does not
 * fit in the cache: there each blob that becomes dirty is written for it. Where many changes come to one blob, it is made ready
 * for them instead. A key of which a change waits has all its changes wait until that is merged.
 */
import { Descent, descend, END_CROSSING } from '../../../art/descent.js';
import { DIRTY } from '../../../cache/frame-cache.js';
import { C_OUT_OF_SPACE, C_WAITING_BARRED, C_WAITING_BLOBS } from '../../../shared/control.js';
import { Looks } from '../../read/looks.js';
import type { TreeState } from '../../state/state.js';

/** With so many changes, of as many as there are frames, a blob is made ready for them. */
const MANY = 8;
/** Share of the frames that may be held: waiting changes are merged from the first on, and no more wait from the second on. */
const MERGED_FROM_SHARE = 1 / 4;
const MOST_SHARE = 3 / 8;
/** Blobs of waiting changes below which it is not worth it. */
const LEAST = 2;

export class WaitingPolicy {
  readonly #state: TreeState;
  readonly #looks = new Looks(MANY);
  readonly #at = new Descent();
  readonly #mergedFrom: number;
  readonly #most: number;

  constructor(state: TreeState) {
    this.#state = state;
    const { heldLimit } = state.cache;
    this.#mergedFrom = Math.max(LEAST, Math.floor(heldLimit * MERGED_FROM_SHARE));
    this.#most = Math.max(LEAST + 1, Math.floor(heldLimit * MOST_SHARE));
  }

  /** Whether so much waits that whoever adds to it is to merge a part first. */
  get isMergingDue(): boolean {
    return Atomics.load(this.#state.control.words, C_WAITING_BLOBS) > this.#mergedFrom;
  }

  /** Whether a change of this key, of which none waits so far, is to. REQUIRES the tree lock. */
  mayWait(key: Uint8Array): boolean {
    if (!this.#mayAny()) return false;
    const { cache } = this.#state;
    const at = this.#at;
    const index = findResident(this.#state, at, key);
    if (index >= 0 && (cache.flags(index) & DIRTY) !== 0) return false;
    const blobId = index >= 0 ? cache.blobIn(index) : at.blobId;
    return !this.#looks.areMany(blobId, cache.count);
  }

  #mayAny(): boolean {
    const { cache, control, blobCount, options } = this.#state;
    const { words } = control;
    const waiting = Atomics.load(words, C_WAITING_BLOBS);
    if (!options.mayWait || blobCount - waiting <= cache.heldLimit || cache.hasUnused) return false;
    if (Atomics.load(words, C_WAITING_BARRED) !== 0 || Atomics.load(words, C_OUT_OF_SPACE) !== 0)
      return false;
    return waiting <= this.#most;
  }
}

/**
 * Walks to where the key is or would be, as far as blobs are resident: the frame where that ends, or -1 where the blob
 * `at.blobId` is missing. REQUIRES the tree lock.
 */
export function findResident(state: TreeState, at: Descent, key: Uint8Array): number {
  const { cache } = state;
  let blobId = state.root;
  let depth = 0;
  for (;;) {
    const index = cache.find(blobId);
    at.blobId = blobId;
    if (index < 0) return -1;
    descend(at, cache.frame(index), key, depth, blobId === state.root);
    if (at.end !== END_CROSSING) return index;
    blobId = at.blobId;
    depth = at.depth;
  }
}
