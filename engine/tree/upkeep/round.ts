/**
 * A checkpoint round: writes the exact tree as of one LSN to the store and publishes it, and pins it if it is to be a snapshot.
 *
 * Order (each step only after the one before): capture under the tree lock; journal durable to the captured LSN;
 * every captured blob written; flush with the mark; pending deletes applied; flush; journal cut. The pin goes with the last
 * flush, when the store has the tree's blobs and no others. A failure in any
 * step gives all that was captured back, is remembered for stats and thrown; the next round starts afresh. Blobs
 * that died meanwhile need no giving back: they are pending deletes by then.
 */
import type { MeasureName } from '../../art/measure.js';
import { CAPTURED, COPIED, DIRTY } from '../../cache/frame-cache.js';
import { mayBeDirtyBetween, mayBeDirtyInRound, roundDueAt } from '../../cache/held-frames.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import {
  C_DIRTY,
  C_FREE_SLOTS,
  C_NEXT_BLOB,
  C_PENDING,
  C_ROUND_COUNT,
  C_ROUND_FAILED,
  C_ROUND_RUNNING,
  C_ROUND_WANTED,
  F_CHECKPOINT_LSN,
  F_FAILURES,
  F_GENERATION,
  F_JOURNAL_AT_CAPTURE,
  F_JOURNAL_AT_CHECKPOINT,
  F_JOURNAL_BOUND,
  F_LAST_ROUND_AT,
  F_LAST_ROUND_MS,
  F_ROUNDS,
  NO_PACE,
} from '../../shared/control.js';
import type { PinChanges } from '../../store/blob-store.js';
import { sealImage } from '../../store/image.js';
import { keptFree } from '../state/free-slots.js';
import { needsRecovery, poisoned, type TreeState } from '../state/state.js';

/** What there is no space for. */
export type Shortage = 'journal' | 'slots';
/** No bound. */
const MOST_SLOTS = Number.POSITIVE_INFINITY;

interface Capture {
  lsn: number;
  generation: number;
  nextBlobId: number;
  /** Frame and blob of each captured image, in pairs. */
  frames: number[];
  deletes: number[];
  /** Name of the snapshot that it is to be. */
  pinAs: string | undefined;
}

export class Round {
  readonly #state: TreeState;
  readonly #image = new Uint8Array(BLOB_SIZE);
  /**
   * Blobs that the next round is expected to write. Their slots stay ready: to give the space back and ask for it again took
   * ten times as long as to write the blobs.
   */
  #expected = 0;

  constructor(state: TreeState) {
    this.#state = state;
  }

  /**
   * Runs a round; returns at once when there is nothing to write. A worker gives `tend`, which is called after each blob, for
   * what must not wait until a long round has ended; and writers keep step with its rounds. `forSpace`: there is none for
   * the journal, or no slots for frames: the journal is to give back what it can, and the store keeps the slots that it
   * gets back. `pinAs`: a snapshot of this name is made of it, also when there is nothing to write; REQUIRES that it can be.
   * Throws the error that made it fail.
   */
  run(tend?: () => void, forSpace?: Shortage, pinAs?: string): void {
    const { roundLock, place, control, cache } = this.#state;
    if (!roundLock.lock()) throw poisoned(place);
    Atomics.store(control.words, C_ROUND_RUNNING, 1);
    const started = performance.now();
    let capture: Capture | undefined;
    try {
      this.#rotate(forSpace);
      capture = this.#capture(pinAs);
      if (capture === undefined) {
        if (forSpace !== undefined)
          this.#state.journal?.removeBefore(control.floats[F_CHECKPOINT_LSN] as number, true);
        Atomics.store(control.words, C_ROUND_FAILED, 0);
        return;
      }
      this.#publish(capture, forSpace !== undefined, tend);
      this.#succeeded(performance.now() - started);
    } catch (error) {
      if (capture !== undefined) this.#giveBack(capture);
      this.#failed(error);
      throw error;
    } finally {
      cache.pace = tend === undefined ? NO_PACE : mayBeDirtyBetween(cache.heldLimit, this.#due);
      Atomics.store(control.words, C_ROUND_RUNNING, 0);
      Atomics.add(control.words, C_ROUND_COUNT, 1);
      this.#state.ringRoundBell();
      roundLock.unlock();
    }
  }

  /** Deletes a pin, and frees what only it kept; `tend` as for `run`. Throws what made that fail: the pin is there still. */
  unpin(id: number, tend?: () => void): void {
    const { roundLock, place, store } = this.#state;
    // What a failed round left staged belongs to no checkpoint: nothing but a round may publish it.
    if (store.needsFlush()) this.run(tend);
    if (!roundLock.lock()) throw poisoned(place);
    try {
      store.flush(undefined, { remove: [id] });
      this.#state.lockTree();
      let kept: number;
      try {
        kept = this.#countSlots(keptFree(this.#state.blobCount) + this.#expected);
      } finally {
        this.#state.treeLock.unlock();
      }
      store.trimSlots?.(kept);
    } finally {
      roundLock.unlock();
    }
  }

  get #due(): number {
    const { cache, blobCount } = this.#state;
    return roundDueAt(cache.heldLimit, blobCount);
  }

  /** Begins a new segment of the journal where the one so far is large, for the end of the round to remove. */
  #rotate(forSpace: Shortage | undefined): void {
    const { control, journal } = this.#state;
    if (journal === undefined) return;
    let beyond = (control.floats[F_JOURNAL_BOUND] as number) / 2;
    if (forSpace === 'journal') beyond = 0;
    if (forSpace === 'slots') beyond = journal.leastSegmentBytes;
    try {
      journal.rotate(beyond, forSpace !== undefined);
    } catch (error) {
      // It goes on in the segment that there is.
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_NO_SPACE') throw error;
    }
  }

  /** Notes, in one step, what the checkpoint is made of; undefined when the store is up to date. */
  #capture(pinAs: string | undefined): Capture | undefined {
    const state = this.#state;
    const { cache, control, store } = state;
    const { words, floats } = control;
    if (state.options.readOnly) throw needsRecovery(state.place);
    state.lockTree();
    try {
      Atomics.store(words, C_ROUND_WANTED, 0);
      const frames: number[] = [];
      cache.eachResident((index, blobId) => {
        if ((cache.flags(index) & DIRTY) !== 0) frames.push(index, blobId);
      });
      const deletes = Array.from(control.pending.subarray(0, words[C_PENDING]), (id) => id >>> 0);
      const isClean = frames.length === 0 && deletes.length === 0 && !store.needsFlush();
      if (isClean && pinAs === undefined) return undefined;
      for (let i = 0; i < frames.length; i += 2)
        cache.setFlags(frames[i] as number, CAPTURED, DIRTY | COPIED);
      cache.pace = mayBeDirtyInRound(this.#due, frames.length / 2, 0);
      // Their slots are the round's now.
      if (this.#hasSlots) Atomics.sub(words, C_FREE_SLOTS, frames.length / 2);
      // Taken even if the round fails: what a failed publish left in doubt must not carry a later round's number.
      const generation = (floats[F_GENERATION] as number) + 1;
      floats[F_GENERATION] = generation;
      floats[F_JOURNAL_AT_CAPTURE] = state.journal?.counters().bytes ?? 0;
      return {
        lsn: state.lsn(),
        generation,
        nextBlobId: words[C_NEXT_BLOB] as number,
        frames,
        deletes,
        pinAs,
      };
    } finally {
      state.treeLock.unlock();
    }
  }

  #publish(capture: Capture, forSpace: boolean, tend?: () => void): void {
    const state = this.#state;
    const { store, journal } = state;
    const { lsn, generation, nextBlobId, deletes } = capture;
    journal?.waitSynced(lsn);
    this.#writeBlobs(capture, tend);
    const pins = this.#pinsOf(capture);
    const mark = { lsn, generation, nextBlobId, pendingDeletes: deletes, ...measureOf(state) };
    store.flush(mark, deletes.length === 0 ? pins : undefined);
    const { floats } = state.control;
    floats[F_CHECKPOINT_LSN] = lsn;
    // One round at a time: it is of this one's capture.
    floats[F_JOURNAL_AT_CHECKPOINT] = floats[F_JOURNAL_AT_CAPTURE] as number;
    if (deletes.length > 0) {
      for (const blobId of deletes) store.deleteBlob(blobId);
      store.flush(undefined, pins);
    }
    const kept = this.#release(capture, forSpace);
    store.trimSlots?.(kept);
    journal?.removeBefore(lsn, forSpace);
  }

  #pinsOf({ pinAs, lsn, generation }: Capture): PinChanges | undefined {
    const { pins } = this.#state.store;
    if (pinAs === undefined || pins === undefined) return undefined;
    return { add: { id: pins.lastId() + 1, name: pinAs, lsn, generation, createdAt: Date.now() } };
  }

  /** Kept pre-images go first, since writers may be waiting for their slots. Images are copied beside writers where that does. */
  #writeBlobs(capture: Capture, tend?: () => void): void {
    const state = this.#state;
    const { cache, preImages, store } = state;
    const { frames, generation } = capture;
    const written = new Set<number>();
    let next = 0;
    while (written.size < frames.length / 2) {
      while (written.has(frames[next + 1] as number)) next += 2;
      const index = frames[next] as number;
      const version = cache.version(index);
      this.#image.set(cache.frame(index).u8);
      let blobId = 0;
      state.lockTree();
      try {
        blobId = preImages.waiting();
        if (blobId !== 0) preImages.take(blobId, this.#image);
        else {
          blobId = frames[next + 1] as number;
          if (cache.blobIn(index) !== blobId)
            throw new Error(`Cannot write blob ${blobId}: its captured image is gone`);
          // Nothing changes a captured frame before its pre-image is kept: so one that has its version still is whole.
          if (cache.version(index) !== version) this.#image.set(cache.frame(index).u8);
          cache.setFlags(index, COPIED, 0);
        }
      } finally {
        state.treeLock.unlock();
      }
      sealImage(this.#image, blobId, generation);
      store.writeBlob(blobId, this.#image);
      written.add(blobId);
      cache.pace = mayBeDirtyInRound(this.#due, frames.length / 2, written.size);
      state.ringRoundBell();
      tend?.();
    }
    cache.pace = this.#due;
    state.ringRoundBell();
  }

  /**
   * The round succeeded: captured frames may leave the cache, applied deletes are forgotten. Returns how many slots are to
   * stay ready.
   */
  #release(capture: Capture, forSpace: boolean): number {
    const state = this.#state;
    const { cache, control } = state;
    state.lockTree();
    try {
      for (let i = 0; i < capture.frames.length; i += 2) {
        const index = capture.frames[i] as number;
        if (cache.blobIn(index) === capture.frames[i + 1]) cache.setFlags(index, 0, CAPTURED | COPIED);
      }
      const done = capture.deletes.length;
      const pending = control.words[C_PENDING] as number;
      control.pending.copyWithin(0, done, pending);
      Atomics.store(control.words, C_PENDING, pending - done);
      state.preImages.clear();
      // Few captured once may be many again the next time, but never more than there are blobs.
      this.#expected = Math.min(Math.max(capture.frames.length / 2, this.#expected >> 1), state.blobCount);
      return this.#countSlots(forSpace ? MOST_SLOTS : keptFree(state.blobCount) + this.#expected);
    } finally {
      state.treeLock.unlock();
    }
  }

  /** The round failed: what it captured is dirty again. Pending deletes never left their list. */
  #giveBack(capture: Capture): void {
    const state = this.#state;
    const { cache } = state;
    if (!state.treeLock.lock()) return;
    try {
      for (let i = 0; i < capture.frames.length; i += 2) {
        const index = capture.frames[i] as number;
        if (cache.blobIn(index) === capture.frames[i + 1]) cache.setFlags(index, DIRTY, CAPTURED | COPIED);
      }
      state.preImages.clear();
      this.#countSlots(MOST_SLOTS);
    } finally {
      state.treeLock.unlock();
    }
  }

  get #hasSlots(): boolean {
    return this.#state.store.readySlots !== undefined;
  }

  /**
   * REQUIRES the tree lock, and that nothing is captured: counts the free slots anew, of which at most `most` are to stay
   * ready; returns how many slots those are with the ones for dirty frames.
   */
  #countSlots(most: number): number {
    const { store, control } = this.#state;
    if (store.readySlots === undefined) return 0;
    const dirty = Atomics.load(control.words, C_DIRTY);
    const free = Math.min(store.readySlots() - dirty, most);
    Atomics.store(control.words, C_FREE_SLOTS, free);
    return Math.max(0, free + dirty);
  }

  #succeeded(milliseconds: number): void {
    const { words, floats, rounds } = this.#state.control;
    rounds.record(milliseconds);
    floats[F_LAST_ROUND_AT] = Date.now();
    floats[F_ROUNDS] = (floats[F_ROUNDS] as number) + 1;
    floats[F_LAST_ROUND_MS] = milliseconds;
    Atomics.store(words, C_ROUND_FAILED, 0);
  }

  #failed(error: unknown): void {
    const { control } = this.#state;
    control.floats[F_FAILURES] = (control.floats[F_FAILURES] as number) + 1;
    control.lastRound.setError(error);
    Atomics.store(control.words, C_ROUND_FAILED, 1);
  }
}

/** The measure whose sums the blobs carry, for the mark. */
function measureOf({ options: { measure } }: TreeState): { measure?: MeasureName } {
  return measure === undefined ? {} : { measure: { name: measure.name, fields: measure.fields } };
}
