/**
 * Mutations. What changes one key in a frame that is ready for it is done beside other writers (point-writer.ts). For
 * all else an attempt takes the tree lock for itself: descend (loading what is missing), make sure of everything it will
 * need (frames, pre-image slots, journal space), change, append to the journal. What is missing is told by throwing a
 * Need while nothing is changed yet; it is seen to without the lock, and the attempt starts anew.
 *
 * Frames stay latched from their first change to the end of the operation, so readers see all or nothing. An
 * exception while frames are latched means that the tree in memory may be broken: it is poisoned, and reopening
 * recovers from the store and the journal.
 */
import { END_FOUND } from '../../art/descent.js';
import { insertAt, removeAt } from '../../art/write.js';
import { operationBodyBytes } from '../../journal/records/record.js';
import { C_REMOVED, F_LSN } from '../../shared/control.js';
import { NEED_JOURNAL, Need, type TreeState, tooDeep, type Wanted } from '../state/state.js';
import { BatchPlan, batchTooWide } from './batch-plan.js';
import type { Change, NetChange } from './changes.js';
import { Finder } from './finder.js';
import { Grafting } from './grafting.js';
import { ABSENT, ANY_VERSION, Mutation, sizeOf } from './mutation.js';
import { ELSEWHERE, PointWriter, REFUSED } from './point-writer.js';
import { Splitting } from './splitting.js';
import { REFUSED as NOT_WANTED, WAITS, Waits } from './waiting/waits.js';

const EMPTY = new Uint8Array(0);
/** Rounds that end while one operation waits for frames, before it is taken for one that needs more than there are. */
const MOST_ROUNDS = 300;
/** And after so many of them a batch makes do without splits beforehand. */
const MOST_SPLITTING_ROUNDS = 8;

export class Writer {
  readonly #state: TreeState;
  /** What the attempt under way does to frames; also for compaction's steps. */
  readonly mutation: Mutation;
  readonly #splitting: Splitting;
  readonly #grafting: Grafting;
  readonly #plan: BatchPlan;
  readonly #points: PointWriter;
  readonly #finder: Finder;
  /** What waits beside the tree; undefined where nothing ever does. */
  readonly waits: Waits | undefined;
  /** What the last attempt wanted. */
  readonly #wanted: Wanted = { journalBytes: 0, freeSlots: 0, mayUseReserve: false };
  /** LSN of the record just appended, to be acknowledged after the lock is released; 0: none. */
  #appended = 0;
  /** While the journal is replayed: the LSN of the record, nothing is appended; else 0. */
  #replaying = 0;

  /** `satisfy` does, without locks, what a Need asks for, or throws why it cannot be done. */
  constructor(
    state: TreeState,
    readonly satisfy: (need: Need, wanted: Wanted) => void,
  ) {
    this.#state = state;
    this.mutation = new Mutation(state);
    this.#splitting = new Splitting(state, this.mutation);
    this.#grafting = new Grafting(state, this.mutation, this.#splitting);
    this.#plan = new BatchPlan(state, this.mutation, this.#splitting, this.#grafting);
    this.#points = new PointWriter(state);
    this.#finder = new Finder(state);
    if (state.hasWaiting)
      this.waits = new Waits(state, this.mutation, this.#splitting, (step) => this.locked(step));
  }

  /**
   * Stores `value` under `key` where the key's version is `expected` (or ANY_VERSION, or ABSENT).
   * Returns whether it was stored.
   */
  write(key: Uint8Array, value: Uint8Array, expected: number): boolean {
    return this.#point(key, value, expected);
  }

  /** Deletes the key where its version is `expected` (or ANY_VERSION). Returns whether it was deleted. */
  remove(key: Uint8Array, expected: number): boolean {
    return this.#point(key, undefined, expected);
  }

  #point(key: Uint8Array, value: Uint8Array | undefined, expected: number): boolean {
    const state = this.#state;
    state.checkWritable();
    const outcome = this.#points.attempt(key, value, expected);
    if (outcome === ELSEWHERE) return this.#one(key, value, expected);
    if (outcome === REFUSED) return false;
    state.journal?.acknowledge(this.#points.lsn);
    return true;
  }

  #one(key: Uint8Array, value: Uint8Array | undefined, expected: number): boolean {
    const state = this.#state;
    this.waits?.mergeIfDue();
    const { roundCount } = state;
    this.mutation.keepsPace = true;
    for (;;) {
      let need: Need;
      state.lockTree();
      try {
        const done = this.#attemptOne(key, value, expected);
        if (!done) return false;
        break;
      } catch (error) {
        need = this.#asNeed(error);
        if (need.what === 'frames' && state.roundsSince(roundCount) >= MOST_ROUNDS) throw tooDeep(state);
      } finally {
        this.#leave();
      }
      this.#satisfy(need);
    }
    this.#acknowledge();
    return true;
  }

  #attemptOne(key: Uint8Array, value: Uint8Array | undefined, expected: number): boolean {
    const state = this.#state;
    if (this.#replaying === 0) state.checkWritable();
    const { mutation } = this;
    const { at } = mutation;
    for (;;) {
      mutation.mayUseReserve = this.#replaying !== 0;
      if (state.blobCount === 0) {
        if (value === undefined || expected >= 0) return false;
        mutation.makeRootBlob();
      }
      const way = this.waits?.decide(key, value, expected);
      if (way === NOT_WANTED) return false;
      if (way === WAITS) {
        this.#wait(this.waits as Waits, key, value);
        return true;
      }
      mutation.descend(key);
      const exists = at.end === END_FOUND;
      // A value that is replaced by one no longer adds nothing.
      if (exists && (value?.length ?? 0) <= at.frame.leafValueLength(at.node)) mutation.mayUseReserve = true;
      if (exists ? expected === ABSENT : value === undefined || expected >= 0) return false;
      if (expected >= 0 && at.frame.leafVersion(at.node) !== expected) return false;
      const index = mutation.target;
      mutation.prepare(index);
      this.#reserve(operationBodyBytes(key.length, value === undefined ? 0 : value.length));
      state.measure?.weigh(value);
      const version = this.#nextLsn();
      mutation.change(index);
      const applied = this.#apply(key, value, version);
      mutation.endChanges();
      if (!applied) {
        this.#splitting.makeRoom(mutation.levels - 1, sizeOf(key, value as Uint8Array));
        continue;
      }
      this.#append(version, key, value);
      if (this.#replaying === 0 && value === undefined) mutation.dropEmpty();
      return true;
    }
  }

  /** Does one change, that it is deleted where there is no value, by having it wait. */
  #wait({ tree }: Waits, key: Uint8Array, value: Uint8Array | undefined): void {
    // What is deleted gives up its value, now or when it is merged.
    if (value === undefined) this.mutation.mayUseReserve = true;
    tree.mutation.keepsPace = this.mutation.keepsPace;
    tree.mutation.mayUseReserve = this.mutation.mayUseReserve;
    for (;;) {
      tree.prepare(key);
      this.#reserve(operationBodyBytes(key.length, value === undefined ? 0 : value.length));
      const version = this.#nextLsn();
      if (!tree.store(key, value, version)) continue;
      this.#append(version, key, value);
      return;
    }
  }

  #append(version: number, key: Uint8Array, value: Uint8Array | undefined): void {
    if (this.#replaying !== 0) return;
    const { control, journal } = this.#state;
    control.floats[F_LSN] = version;
    if (journal === undefined) return;
    if (value === undefined) journal.appendDelete(version, key);
    else journal.appendPut(version, key, value);
    this.#appended = version;
  }

  /** Does one change at the place where the descent ended; false: the frame has no room. */
  #apply(key: Uint8Array, value: Uint8Array | undefined, version: number): boolean {
    const { at } = this.mutation;
    const { measure } = this.#state;
    const exists = at.end === END_FOUND;
    if (measure !== undefined) {
      measure.weigh(value);
      if (exists) measure.takeOff(at.frame, at.node);
    }
    if (value !== undefined) {
      if (!insertAt(at, key, value, version)) return false;
    } else if (exists) {
      removeAt(at);
      Atomics.add(this.#state.control.words, C_REMOVED, 1);
    }
    measure?.applyTo(at.frame);
    return true;
  }

  /**
   * Plays a batch: `evaluate` reads the tree through `version` and `value` and gives the net changes, or undefined when a
   * guard failed; they are then made as one mutation with one journal record, whose body `encode` writes. `mayUseReserve`:
   * see AtomicOptions.
   */
  batch(
    evaluate: () => Change[] | undefined,
    encode: (changes: Change[]) => { body: Uint8Array; length: number },
    mayUseReserve = false,
  ): boolean {
    const state = this.#state;
    this.waits?.mergeIfDue();
    const { roundCount } = state;
    let isBarred = false;
    this.mutation.keepsPace = true;
    try {
      for (;;) {
        this.mutation.mayUseReserve = mayUseReserve || this.#replaying !== 0;
        const rounds = state.roundsSince(roundCount);
        let need: Need;
        state.lockTree();
        try {
          if (this.#replaying === 0) state.checkWritable();
          const changes = evaluate();
          state.cache.unpinAll();
          if (changes === undefined) return false;
          if (changes.length === 0) return true;
          this.#attemptBatch(changes, encode(changes), rounds < MOST_SPLITTING_ROUNDS);
          break;
        } catch (error) {
          need = this.#asNeed(error);
          // What others hold a checkpoint frees, unless they are quicker very often; what the batch itself holds, none does.
          const isTooWide = state.cache.pinned >= state.cache.heldLimit;
          if (need.what === 'frames' && (isTooWide || rounds >= MOST_ROUNDS)) throw batchTooWide(state);
        } finally {
          this.#leave();
        }
        if (need.what !== 'merged') this.#satisfy(need);
        else {
          if (!isBarred) this.waits?.merging.bar();
          isBarred = true;
          this.waits?.merging.all();
        }
      }
    } finally {
      if (isBarred) this.waits?.merging.release();
    }
    this.#acknowledge();
    return true;
  }

  #attemptBatch(changes: Change[], record: { body: Uint8Array; length: number }, maySplit: boolean): void {
    const state = this.#state;
    const { mutation } = this;
    if (this.waits?.haveAllWait(changes)) {
      this.#waitAll(this.waits, changes as NetChange[], record, maySplit);
      return;
    }
    // Throws now what must not be thrown once something has changed.
    if (state.measure !== undefined) {
      for (const change of changes) if (!('source' in change)) state.measure.weigh(change.value);
    }
    if (state.blobCount === 0) mutation.makeRootBlob();
    this.#plan.prepare(changes, maySplit);
    this.#reserve(record.length);
    const version = this.#nextLsn();
    mutation.committed = true;
    try {
      for (const change of changes) {
        if ('source' in change) this.#grafting.apply(change.source, change.destination);
        else this.#makeChange(change, version);
      }
    } finally {
      mutation.committed = false;
    }
    mutation.endChanges();
    this.#appendBatch(version, record);
  }

  /** As `#attemptBatch`, by having all of it wait. */
  #waitAll(
    { tree }: Waits,
    changes: readonly NetChange[],
    record: { body: Uint8Array; length: number },
    maySplit: boolean,
  ): void {
    tree.mutation.keepsPace = this.mutation.keepsPace;
    tree.mutation.mayUseReserve = this.mutation.mayUseReserve;
    tree.prepareAll(changes, maySplit);
    this.#reserve(record.length);
    const version = this.#nextLsn();
    tree.storeAll(changes, version);
    tree.mutation.endChanges();
    this.#appendBatch(version, record);
  }

  #appendBatch(version: number, record: { body: Uint8Array; length: number }): void {
    const { control, journal } = this.#state;
    control.floats[F_LSN] = version;
    if (journal === undefined) return;
    journal.appendBatch(version, record.body, record.length);
    this.#appended = version;
  }

  /** REQUIRES a committed mutation, so the frames on the way are ready to be changed. */
  #makeChange({ key, value }: NetChange, version: number): void {
    const { mutation } = this;
    for (;;) {
      mutation.descend(key);
      mutation.prepare(mutation.target);
      mutation.change(mutation.target);
      if (this.#apply(key, value, version)) break;
      this.#splitting.makeRoom(mutation.levels - 1, sizeOf(key, value as Uint8Array));
    }
    if (value === undefined) mutation.dropEmpty();
  }

  /** Runs `read` under the tree lock, for what must see one state of the tree, may load blobs, and adds nothing to it. */
  locked<T>(read: () => T): T {
    const state = this.#state;
    this.mutation.keepsPace = true;
    this.mutation.mayUseReserve = true;
    for (;;) {
      let need: Need;
      state.lockTree();
      try {
        return read();
      } catch (error) {
        need = this.#asNeed(error);
      } finally {
        this.#leave();
      }
      this.#satisfy(need);
    }
  }

  /** The key's version; REQUIRES the tree lock. */
  version(key: Uint8Array): number | undefined {
    return this.waits === undefined ? this.#finder.version(key) : this.waits.version(key);
  }

  /** The key's value, a copy; REQUIRES the tree lock. */
  value(key: Uint8Array): Uint8Array | undefined {
    return this.waits === undefined ? this.#finder.value(key) : this.waits.value(key);
  }

  /**
   * Makes the changes of one replayed record with its LSN. Nobody looks on, so puts and deletes are made one by one,
   * and need no more frames than the widest of them, whatever the cache and the tree's shape were when the record was
   * written. A checkpoint in between is marked with the LSN before: then all of the record is played again, to the
   * same end. A graft played twice would not come to the same end, so a record with one is made as a whole.
   */
  replay(lsn: number, changes: Change[]): void {
    this.#replaying = lsn;
    this.#points.replaying = lsn;
    try {
      if (changes.some((change) => 'source' in change)) {
        this.batch(
          () => changes,
          () => ({ body: EMPTY, length: 0 }),
          true,
        );
      } else {
        for (const { key, value } of changes as NetChange[]) {
          if (this.#points.attempt(key, value, ANY_VERSION) === ELSEWHERE) this.#one(key, value, ANY_VERSION);
        }
      }
      this.#state.control.floats[F_LSN] = lsn;
    } finally {
      this.#replaying = 0;
      this.#points.replaying = 0;
    }
  }

  // What an attempt is made of. All REQUIRE the tree lock.

  #nextLsn(): number {
    return this.#replaying !== 0 ? this.#replaying : this.#state.lsn() + 1;
  }

  #reserve(bodyBytes: number): void {
    const journal = this.#state.journal;
    this.#wanted.journalBytes = bodyBytes;
    if (journal !== undefined && this.#replaying === 0 && !journal.reserve(bodyBytes)) throw NEED_JOURNAL;
  }

  get #isChanging(): boolean {
    return this.mutation.isChanging || this.waits?.tree.mutation.isChanging === true;
  }

  /** Ends an attempt, well or badly. An attempt that ends with frames latched has left them half changed. */
  #leave(): void {
    const { treeLock, cache } = this.#state;
    if (this.#isChanging) treeLock.abandon();
    cache.unpinAll();
    treeLock.unlock();
  }

  #asNeed(error: unknown): Need {
    if (error instanceof Need && !this.#isChanging) return error;
    throw error;
  }

  #satisfy(need: Need): void {
    if (need.what === 'pace') this.mutation.keepsPace = false;
    this.#wanted.freeSlots = Math.max(this.mutation.wantedSlots, this.waits?.tree.mutation.wantedSlots ?? 0);
    this.#wanted.mayUseReserve = this.mutation.mayUseReserve;
    this.satisfy(need, this.#wanted);
  }

  #acknowledge(): void {
    const lsn = this.#appended;
    if (lsn === 0) return;
    this.#appended = 0;
    this.#state.journal?.acknowledge(lsn);
  }
}
