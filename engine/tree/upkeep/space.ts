/**
 * Space on the store's disk, for the thread that writes the store: makes slots ready before blobs become dirty, sees that
 * what is kept for removals is there, and that the journal takes no more of a disk than is becoming. How this keeps a full
 * disk from being a trap is told in state/free-slots.ts (slots) and journal/writing/spare-segment.ts (journal).
 */
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE, JOURNAL_SEGMENT_BYTES } from '../../limits.js';
import {
  C_FREE_SLOTS,
  C_OUT_OF_SPACE,
  F_FORCED_LSN,
  F_FREE_BYTES,
  F_JOURNAL_BOUND,
} from '../../shared/control.js';
import { keptFree } from '../state/free-slots.js';
import type { TreeState } from '../state/state.js';
import type { Shortage } from './round.js';

/** Slots are made ready for so many blobs more than are asked for: a share of those that there are, and at most. */
const AHEAD_SHARE = 1 / 4;
const MOST_AHEAD = 64;
/** A round is due when the journal has grown by this share of what the disk has left, at least by so much. */
const JOURNAL_SHARE = 1 / 4;
const LEAST_JOURNAL_BOUND = 1024 * 1024;

/** Want of space makes a round only after so many mutations since the last one that it made. */
const WRITES_FOR_ROUND = 1024;

export interface SpaceRequest {
  freeSlots: number;
  forJournal: boolean;
  /** For what may use the reserve. */
  forRemoval: boolean;
}

export class Space {
  readonly #state: TreeState;
  readonly #runRound: (shortage: Shortage) => void;

  constructor(state: TreeState, runRound: (shortage: Shortage) => void) {
    this.#state = state;
    this.#runRound = runRound;
  }

  /**
   * Sees that so many slots are free, or, for the journal, that it has given back all that a checkpoint can spare it.
   * @throws ERR_NO_SPACE; what made a round fail
   */
  find({ freeSlots, forJournal, forRemoval }: SpaceRequest): void {
    if (!forJournal && this.#has(freeSlots)) return;
    if (!forRemoval) this.#assertWorthRound();
    this.#runRound(forJournal ? 'journal' : 'slots');
    if (!this.#has(freeSlots)) throw outOfSpace(this.#state);
  }

  /**
   * A full disk that has a few slots to go on with would make each of them a round for a few writes that add: from
   * there on they are refused, and removals have the slots.
   */
  #assertWorthRound(): void {
    const { floats } = this.#state.control;
    const lsn = this.#state.lsn();
    if (lsn - (floats[F_FORCED_LSN] as number) < WRITES_FOR_ROUND) {
      noteFreeBytes(this.#state);
      throw outOfSpace(this.#state);
    }
    floats[F_FORCED_LSN] = lsn;
  }

  /** To be called now and then. Returns whether all is there that should be. */
  tend(): boolean {
    const { control, journal, blobCount } = this.#state;
    const { words } = control;
    const free = noteFreeBytes(this.#state);
    const bound = Math.max(LEAST_JOURNAL_BOUND, free * JOURNAL_SHARE);
    control.floats[F_JOURNAL_BOUND] = Math.min(JOURNAL_SEGMENT_BYTES, bound);
    const hasSpare = journal === undefined || journal.keepSpare();
    const isOut = Atomics.load(words, C_OUT_OF_SPACE) !== 0;
    // For one blob more, where one was refused.
    const wanted = blobCount === 0 ? 0 : keptFree(blobCount) + (isOut ? 1 : 0);
    const isWell = this.#has(wanted) && hasSpare;
    if (isWell && isOut && free >= BLOB_SIZE) Atomics.store(words, C_OUT_OF_SPACE, 0);
    return isWell && Atomics.load(words, C_OUT_OF_SPACE) === 0;
  }

  /** Whether so many slots are free, now that the disk was asked for what was missing. */
  #has(freeSlots: number): boolean {
    const { store, control, blobCount } = this.#state;
    const missing = freeSlots - this.#state.freeSlots;
    if (missing <= 0) return true;
    const ahead = Math.min(MOST_AHEAD, Math.floor(blobCount * AHEAD_SHARE));
    const added = store.reserveSlots?.(missing + ahead) ?? 0;
    Atomics.add(control.words, C_FREE_SLOTS, added);
    return added >= missing;
  }
}

/** Looks what the disk has left. */
function noteFreeBytes(state: TreeState): number {
  const free = state.store.freeBytes?.() ?? Number.POSITIVE_INFINITY;
  state.control.floats[F_FREE_BYTES] = free;
  return free;
}

export function outOfSpace(state: TreeState): SpinneyError {
  const free = state.control.floats[F_FREE_BYTES] as number;
  return new SpinneyError(
    'ERR_NO_SPACE',
    `Cannot add to ${state.place}: its disk is full (${free} bytes were free when last looked at); what is there can be removed`,
  );
}
