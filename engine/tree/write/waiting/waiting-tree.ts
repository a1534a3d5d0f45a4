/**
 * The tree of changes that wait beside the tree itself: of each key the last one, a value or that it is deleted. It is a tree
 * like the other, in the same cache, store and checkpoints, with blobs of ids of its own. All REQUIRES the tree lock.
 */

import { TOMBSTONE } from '../../../art/layout.js';
import { insertAt } from '../../../art/write.js';
import type { TreeState } from '../../state/state.js';
import { BatchPlan } from '../batch-plan.js';
import type { NetChange } from '../changes.js';
import { Finder } from '../finder.js';
import { Grafting } from '../grafting.js';
import { Mutation, sizeOf } from '../mutation.js';
import { Splitting } from '../splitting.js';

const EMPTY = new Uint8Array(0);

export class WaitingTree {
  readonly state: TreeState;
  readonly mutation: Mutation;
  readonly #splitting: Splitting;
  readonly #plan: BatchPlan;
  readonly #finder: Finder;

  /** `tree` is the tree itself. */
  constructor(tree: TreeState) {
    this.state = tree.forWaiting();
    this.mutation = new Mutation(this.state);
    this.#splitting = new Splitting(this.state, this.mutation);
    const grafting = new Grafting(this.state, this.mutation, this.#splitting);
    this.#plan = new BatchPlan(this.state, this.mutation, this.#splitting, grafting);
    this.#finder = new Finder(this.state);
  }

  /** The version of the key's change, with TOMBSTONE added where it is deleted; undefined: none waits. */
  version(key: Uint8Array): number | undefined {
    return this.state.look() ? this.#finder.version(key) : undefined;
  }

  /** The value that waits, a copy. */
  value(key: Uint8Array): Uint8Array | undefined {
    return this.state.look() ? this.#finder.value(key) : undefined;
  }

  /** Makes sure that `store` of this change can be done, but for room in a frame. May throw a Need. */
  prepare(key: Uint8Array): void {
    const { state, mutation } = this;
    if (!state.look()) mutation.makeRootBlob();
    mutation.descend(key);
    mutation.prepare(mutation.target);
  }

  /** Stores a prepared change where the descent ended, or else after it has made room for it; false: that was done first. */
  store(key: Uint8Array, value: Uint8Array | undefined, version: number): boolean {
    const { mutation } = this;
    mutation.change(mutation.target);
    const isStored = insertAt(
      mutation.at,
      key,
      value ?? EMPTY,
      value === undefined ? version + TOMBSTONE : version,
    );
    if (!mutation.committed) mutation.endChanges();
    if (!isStored) this.#splitting.makeRoom(mutation.levels - 1, sizeOf(key, value ?? EMPTY));
    return isStored;
  }

  /** As `prepare`, for a batch without grafts; `maySplit` as for a BatchPlan. */
  prepareAll(changes: readonly NetChange[], maySplit: boolean): void {
    const { state, mutation } = this;
    if (!state.look()) mutation.makeRootBlob();
    this.#plan.prepare(
      changes.map(({ key, value }) => ({ key, value: value ?? EMPTY })),
      maySplit,
    );
  }

  /** Stores what `prepareAll` made sure of. Frames stay latched until `mutation.endChanges`. */
  storeAll(changes: readonly NetChange[], version: number): void {
    const { mutation } = this;
    mutation.committed = true;
    try {
      for (const { key, value } of changes) {
        do this.prepare(key);
        while (!this.store(key, value, version));
      }
    } finally {
      mutation.committed = false;
    }
  }
}
