/**
 * What differs between two trees, in the order of keys.
 *
 * A blob that is the same image on both sides, at the same place, and leads to no others is passed by without being read. One
 * that leads to others is gone through for these alone. So the cost is that of the blobs that differ, and of those with
 * crossings above and beside them.
 *
 * A snapshot is of one moment. The tree as it is goes on: it is looked at for a batch of changes at a time, each of one moment,
 * by a view that is over before anything is given out. So writers go on, and whoever stops in the middle leaves nothing behind.
 */
import type { TreeChange } from '../../../api.js';
import { SpinneyError } from '../../../errors.js';
import type { Pin, Pins } from '../../../store/blob-store.js';
import type { Bound } from '../../state/bound.js';
import type { TreeState } from '../../state/state.js';
import type { Settled } from '../waiting/readers.js';
import { Images } from './images.js';
import { type Budget, Merge } from './merge.js';
import { LiveSide, type Side, SnapshotSide } from './sides.js';
import { Trail } from './trail.js';

/** Of a batch. */
const BUDGET: Budget = {
  changes: 256,
  bytes: 1024 * 1024,
  steps: Number.POSITIVE_INFINITY,
  loads: Number.POSITIVE_INFINITY,
};
/** Where the tree as it is takes part: what is done within one view. */
const LIVE_BUDGET: Budget = { ...BUDGET, steps: 50_000, loads: 32 };
/** So often a batch is tried again during which too much changed, each time with half the budget. */
const MOST_TRIES = 5;

/** Two sides and where the merge of them stands. */
interface Pass {
  sides: Side[];
  trails: Trail[];
  merge: Merge;
}

export class Diff implements IterableIterator<TreeChange, undefined, undefined> {
  readonly #state: TreeState;
  readonly #pins: Pins;
  readonly #ends: readonly (Pin | undefined)[];
  readonly #prefix: Uint8Array;
  readonly #settled: Settled;
  readonly #images = new Images();
  #from: Bound;
  /** Of two snapshots, from one batch to the next. */
  #pass: Pass | undefined;
  #batch: TreeChange[] = [];
  #at = 0;
  #isDone: boolean;

  /** `ends`: what was and what is, snapshots, or undefined for the tree as it is, which is looked at when nothing waits. */
  constructor(
    state: TreeState,
    pins: Pins,
    ends: readonly [before: Pin | undefined, after: Pin | undefined],
    prefix: Uint8Array,
    settled: Settled,
  ) {
    this.#state = state;
    this.#settled = settled;
    this.#pins = pins;
    this.#ends = ends;
    this.#prefix = new Uint8Array(prefix);
    this.#from = { key: this.#prefix, inclusive: true };
    this.#isDone = ends[0]?.id === ends[1]?.id;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<TreeChange, undefined> {
    this.#state.checkOpen();
    while (this.#at === this.#batch.length) {
      if (this.#isDone) return { done: true, value: undefined };
      this.#collect();
    }
    return { done: false, value: this.#batch[this.#at++] as TreeChange };
  }

  /** Ends the iteration. */
  return(): IteratorResult<TreeChange, undefined> {
    this.#isDone = true;
    this.#batch = [];
    this.#at = 0;
    this.#endPass();
    return { done: true, value: undefined };
  }

  #collect(): void {
    this.#at = 0;
    this.#batch = [];
    if (!this.#ends.includes(undefined)) {
      this.#pass ??= this.#begin();
      this.#run(this.#pass, BUDGET);
      if (this.#isDone) this.#endPass();
      return;
    }
    for (let tries = 0, share = 1; !this.#tryLive(share, tries === MOST_TRIES); tries++) share /= 2;
  }

  /** Makes a batch within one view of the tree; false where too much changed meanwhile, which is an error if it is the last try. */
  #tryLive(share: number, isLast: boolean): boolean {
    this.#batch = [];
    try {
      this.#pass = this.#begin();
      this.#run(this.#pass, {
        ...LIVE_BUDGET,
        steps: LIVE_BUDGET.steps * share,
        loads: LIVE_BUDGET.loads * share,
      });
      return true;
    } catch (error) {
      if (isLast || !(error instanceof SpinneyError) || error.code !== 'ERR_VIEW_EXPIRED') throw error;
      return false;
    } finally {
      this.#endPass();
      this.#images.forgetLive();
    }
  }

  #run({ sides, merge }: Pass, budget: Budget): void {
    const batch: TreeChange[] = [];
    let isDone = false;
    let failure: unknown;
    try {
      isDone = merge.run(budget, batch);
    } catch (error) {
      failure = error;
    }
    for (const side of sides) side.check();
    // What was found before comes first; then what failed is met again.
    if (failure !== undefined && batch.length === 0) throw failure;
    if (!isDone) this.#from = merge.bound;
    this.#isDone = isDone;
    this.#batch = batch;
  }

  #begin(): Pass {
    const sides: Side[] = [];
    const trails: Trail[] = [];
    try {
      for (const pin of this.#ends) {
        const state = this.#state;
        sides.push(
          pin === undefined
            ? this.#settled(() => new LiveSide(state))
            : new SnapshotSide(state, pin, this.#pins),
        );
      }
      for (const side of sides) trails.push(new Trail(side, this.#images, this.#prefix, this.#from));
      return { sides, trails, merge: new Merge(trails[0]!, trails[1]!, this.#images) };
    } catch (error) {
      end({ sides, trails });
      throw error;
    }
  }

  #endPass(): void {
    if (this.#pass !== undefined) end(this.#pass);
    this.#pass = undefined;
  }
}

function end({ sides, trails }: Pick<Pass, 'sides' | 'trails'>): void {
  for (const trail of trails) trail.end();
  for (const side of sides) side.end();
}
