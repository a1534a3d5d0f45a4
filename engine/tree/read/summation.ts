/**
 * Sums over all records below a prefix, at one moment.
 *
 * Under the tree lock, when nothing changes: the frame in which the prefix begins is looked at record by record, and every
 * blob that hangs from there lies wholly below the prefix and tells its own sums. One that is not in memory tells them by the
 * store's index, and is read only where others hang from it. Blobs need not be resident all at once.
 */

import type { Frame } from '../../art/frame.js';
import { findSubtree, SubtreeSpot } from '../../art/graft.js';
import { type Measure, Sums, sumSubtree, sumsOf } from '../../art/measure.js';
import { crossingBlobId, eachCrossing } from '../../art/rewrite.js';
import { SpinneyError } from '../../errors.js';
import { lacksMeasure, Need, ROOT_BLOB, type TreeState } from '../state/state.js';

export class Summation {
  readonly #state: TreeState;
  readonly #makeRoom: () => void;
  readonly #check: () => void;
  readonly #spot = new SubtreeSpot();

  /** `makeRoom` and `check` as of a Reader. */
  constructor(state: TreeState, makeRoom: () => void, check: () => void) {
    this.#state = state;
    this.#makeRoom = makeRoom;
    this.#check = check;
  }

  /** How many records there are. */
  count(prefix: Uint8Array): number {
    return this.#run(prefix, undefined, -1).leaves;
  }

  /** What they come to by the tree's measure. @throws ERR_MEASURE */
  sum(prefix: Uint8Array): Record<string, number> {
    const measure = this.#measure();
    const { values } = this.#run(prefix, measure, -1);
    return Object.fromEntries(measure.fieldNames.map((name, i) => [name, values[i] as number]));
  }

  /** The values of the records that count something in the field. @throws ERR_MEASURE, ERR_INVALID_ARGUMENT */
  valuesCounted(prefix: Uint8Array, field: string): Uint8Array[] {
    const measure = this.#measure();
    const wanted = measure.fieldNames.indexOf(field);
    if (wanted >= 0) return this.#run(prefix, measure, wanted).found;
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot look for what counts as "${field}": the fields of measure "${measure.name}" are ${measure.fieldNames.join(', ')}`,
    );
  }

  #measure(): Measure {
    const { measure, place, options } = this.#state;
    if (measure !== undefined) return measure;
    throw options.measure === undefined ? noMeasure(place) : lacksMeasure(place, options.measure.name);
  }

  #run(prefix: Uint8Array, measure: Measure | undefined, wanted: number): Sums {
    const state = this.#state;
    for (;;) {
      const sums = new Sums(measure?.fields ?? 0, wanted);
      state.lockTree();
      try {
        this.#check();
        this.#add(prefix, measure, sums);
        return sums;
      } catch (error) {
        if (!(error instanceof Need)) throw error;
      } finally {
        state.treeLock.unlock();
      }
      this.#makeRoom();
    }
  }

  #add(prefix: Uint8Array, measure: Measure | undefined, sums: Sums): void {
    const state = this.#state;
    const spot = this.#spot;
    if (state.blobCount === 0 && state.cache.find(ROOT_BLOB) < 0) return;
    if (prefix.length === 0) sums.below.push(ROOT_BLOB);
    else {
      spot.blobId = ROOT_BLOB;
      spot.depth = 0;
      while (spot.blobId !== 0) {
        const { blobId, depth } = spot;
        findSubtree(spot, state.frameOf(blobId), prefix, depth, blobId === ROOT_BLOB);
      }
      if (spot.node !== 0) sumSubtree(spot.frame, spot.node, measure, sums);
    }
    for (let id = sums.below.pop(); id !== undefined; id = sums.below.pop()) this.#addBlob(id, measure, sums);
  }

  /** Adds a blob all of which counts, and notes those that hang from it. */
  #addBlob(blobId: number, measure: Measure | undefined, sums: Sums): void {
    const { cache, store } = this.#state;
    const index = cache.find(blobId);
    if (index < 0) {
      const row = store.blobRow?.(blobId);
      const tells = measure === undefined || (row?.sums !== undefined && !isWanted(sums, row.sums));
      if (row?.crossings === 0 && tells) {
        addTo(sums, row.leaves, row.sums);
        return;
      }
    }
    const frame = index >= 0 ? cache.frame(index) : this.#state.frameOf(blobId);
    const known = measure === undefined ? undefined : sumsOf(frame);
    if (measure !== undefined && (known === undefined || isWanted(sums, known))) {
      if (frame.root !== 0) sumSubtree(frame, frame.root << 3, measure, sums);
      return;
    }
    addTo(sums, frame.leaves, known);
    noteBelow(frame, sums);
  }
}

/** Whether some of a blob's records are wanted. */
function isWanted({ wanted }: Sums, values: ArrayLike<number>): boolean {
  return wanted >= 0 && values[wanted] !== 0;
}

function addTo(sums: Sums, leaves: number, values: ArrayLike<number> | undefined): void {
  sums.leaves += leaves;
  for (let i = 0; i < sums.values.length; i++) {
    sums.values[i] = (sums.values[i] as number) + (values?.[i] ?? 0);
  }
}

function noteBelow(frame: Frame, sums: Sums): void {
  eachCrossing(frame, (crossing) => sums.below.push(crossingBlobId(frame, crossing)));
}

function noMeasure(place: string): SpinneyError {
  return new SpinneyError(
    'ERR_MEASURE',
    `Cannot sum up records of ${place}: the tree was opened without a measure`,
  );
}
