/**
 * Brings waiting changes into the tree, in the order of keys, so that each blob of the tree is made resident and dirty once for
 * all that waits for it.
 *
 * A step is one critical section: changes come into one frame of the tree, with their versions, and are forgotten where they
 * waited. So at every moment, and in every checkpoint, the two together are the same keys and values, and nothing is
 * journalled. Steps begin where the last one of this thread ended, and may end at any time.
 */
import type { RangeEntry, RangeKey } from '../../../api.js';
import { Descent, END_FOUND } from '../../../art/descent.js';
import { TOMBSTONE } from '../../../art/layout.js';
import { crossingBlobId, eachCrossing } from '../../../art/rewrite.js';
import { insertAt, removeAt } from '../../../art/write.js';
import { SpinneyError, UnreadableBlobError } from '../../../errors.js';
import { C_REMOVED, C_WAITING_BARRED } from '../../../shared/control.js';
import { Reader } from '../../read/reader.js';
import { Scanner } from '../../read/scanner.js';
import { type Bound, boundAfter } from '../../state/bound.js';
import type { TreeState } from '../../state/state.js';
import { type Mutation, sizeOf } from '../mutation.js';
import type { Splitting } from '../splitting.js';
import { findResident } from './policy.js';
import type { WaitingTree } from './waiting-tree.js';

/** Changes that are looked at at a time, and that one step makes at most. */
const LOOKED_AT = 64;
const MOST_MERGED = 1024;

const EVERYTHING = { prefix: new Uint8Array(0), delimiter: -1, keysOnly: false };
const BEGINNING: Bound = { key: EVERYTHING.prefix, inclusive: true };

export class Merging {
  readonly #state: TreeState;
  readonly #waiting: WaitingTree;
  readonly #mutation: Mutation;
  readonly #splitting: Splitting;
  readonly #locked: <T>(step: () => T) => T;
  readonly #scanner: Scanner;
  /** Where a key's change is in its frame, in the tree and among those that wait. */
  readonly #there = new Descent();
  readonly #here = new Descent();
  #from = BEGINNING;

  /** `mutation` and `splitting` are the tree's; `locked` runs a step under the tree lock, as often as it needs something. */
  constructor(
    state: TreeState,
    waiting: WaitingTree,
    mutation: Mutation,
    splitting: Splitting,
    locked: <T>(step: () => T) => T,
  ) {
    this.#state = state;
    this.#waiting = waiting;
    this.#mutation = mutation;
    this.#splitting = splitting;
    this.#locked = locked;
    // Under the lock it loads what is missing by itself, and throws a Need where it cannot.
    this.#scanner = new Scanner(waiting.state, new Reader(waiting.state, () => {}));
  }

  /** Merges a part of what waits. What cannot be merged goes on waiting. @throws ERR_POISONED */
  some(): void {
    try {
      this.#locked(() => this.#step(true));
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code === 'ERR_POISONED') throw error;
    }
  }

  /** Calls `action` when nothing waits, and nothing will until it has ended. @throws as `all` */
  settled<T>(action: () => T): T {
    this.bar();
    try {
      this.all();
      return action();
    } finally {
      this.release();
    }
  }

  /** From now on nothing more waits than does, until `release` was called as often. */
  bar(): void {
    Atomics.add(this.#state.control.words, C_WAITING_BARRED, 1);
  }

  release(): void {
    Atomics.sub(this.#state.control.words, C_WAITING_BARRED, 1);
  }

  /** Merges all that waits. To be called between `bar` and `release`. @throws UnreadableBlobError, ERR_NO_SPACE, ERR_IO; then it goes on waiting */
  all(): void {
    while (this.#locked(() => this.#step(false)));
  }

  /** `passesBy`: changes whose blob cannot be read are left for another time. False: nothing waits. */
  #step(passesBy: boolean): boolean {
    const { state } = this.#waiting;
    if (!state.look()) return false;
    const changes: RangeKey[] = [];
    const next = this.#collect(this.#from, changes);
    const [first] = changes;
    if (first === undefined) {
      if (this.#from === BEGINNING) this.#drop();
      else this.#from = BEGINNING;
      return state.root !== 0;
    }
    try {
      this.#merge(changes, next);
    } catch (error) {
      if (!passesBy || !(error instanceof UnreadableBlobError)) throw error;
      this.#from = boundAfter(first) ?? BEGINNING;
    }
    return true;
  }

  /** Appends changes from the bound on; returns where the next ones begin. */
  #collect(from: Bound, changes: RangeKey[]): Bound | undefined {
    const found: RangeEntry[] = [];
    const next = this.#scanner.collect(from, LOOKED_AT, EVERYTHING, found);
    for (const entry of found) if (entry.type === 'key') changes.push(entry);
    return next;
  }

  /** Makes all changes that go into one frame of the tree, and are in one where they wait. */
  #merge(changes: RangeKey[], next: Bound | undefined): void {
    const [tree, waiting] = [this.#mutation, this.#waiting.mutation];
    waiting.keepsPace = tree.keepsPace;
    waiting.mayUseReserve = tree.mayUseReserve;
    const { key, value } = changes[0] as RangeKey;
    waiting.descend(key);
    waiting.prepare(waiting.target);
    tree.descend(key);
    tree.prepare(tree.target);
    const [target, source] = [tree.target, waiting.target];
    // All are found before any is made: what is being changed cannot be scanned.
    while (next !== undefined && changes.length < MOST_MERGED) {
      if (!this.#find((changes.at(-1) as RangeKey).key, target, source)) break;
      next = this.#collect(next, changes);
    }
    let count = 0;
    while (count < changes.length && this.#move(changes[count] as RangeKey, target, source)) count++;
    if (count === 0) {
      // The frame is full: it is given room, and the next step finds it.
      tree.endChanges();
      this.#splitting.makeRoom(tree.levels - 1, sizeOf(key, value));
      return;
    }
    const last = (changes[count - 1] as RangeKey).key;
    this.#from = { key: last, inclusive: false };
    for (const mutation of [tree, waiting]) {
      // The way to the frame is that which led to the key. If it is empty now, its blob leaves its tree.
      mutation.descend(last);
      mutation.dropEmpty();
    }
  }

  /** Makes a change in the frame `target`, and forgets it in `source`. False: it belongs elsewhere, or there is no room. */
  #move({ key, value, version }: RangeKey, target: number, source: number): boolean {
    if (!this.#find(key, target, source)) return false;
    const [there, here] = [this.#there, this.#here];
    const { measure } = this.#state;
    const isThere = there.end === END_FOUND;
    measure?.weigh(version < TOMBSTONE ? value : undefined);
    this.#mutation.change(target);
    if (isThere) measure?.takeOff(there.frame, there.node);
    if (version < TOMBSTONE) {
      if (!insertAt(there, key, value, version)) return false;
    } else if (isThere) {
      removeAt(there);
      Atomics.add(this.#state.control.words, C_REMOVED, 1);
    }
    measure?.applyTo(there.frame);
    this.#waiting.mutation.change(source);
    removeAt(here);
    return true;
  }

  /** Whether the key's place is in the frame `target` of the tree, and its change in the frame `source`. */
  #find(key: Uint8Array, target: number, source: number): boolean {
    if (findResident(this.#state, this.#there, key) !== target) return false;
    return findResident(this.#waiting.state, this.#here, key) === source && this.#here.end === END_FOUND;
  }

  /** Nothing waits: what is left of the tree of waiting changes, empty blobs, goes. */
  #drop(): void {
    const { state, mutation } = this.#waiting;
    const { cache } = state;
    const left = [state.root];
    for (const blobId of left) {
      const frame = state.frameOf(blobId);
      eachCrossing(frame, (crossing) => left.push(crossingBlobId(frame, crossing)));
    }
    for (const blobId of left) {
      const index = cache.find(blobId);
      if (index >= 0) mutation.prepareToRetire(index, left.length);
    }
    for (const blobId of left) mutation.retireBlob(blobId);
    state.rootIs(0);
  }
}
