import {
  C_ASKED_FAILED,
  C_ROUNDS_ASKED,
  C_ROUNDS_ENDED,
  C_SLOTS_WANTED,
  C_SNAPSHOT_ACTION,
  C_SNAPSHOT_FAILED,
  C_SNAPSHOTS_ASKED,
  C_SNAPSHOTS_ENDED,
  C_SPACE_ASKED,
  C_SPACE_ENDED,
  C_SPACE_KINDS,
  C_SPACE_OUTCOME,
  SNAPSHOT_DELETE,
  SNAPSHOT_TAKE,
  SPACE_FOR_JOURNAL,
  SPACE_FOR_REMOVAL,
  SPACE_LACKING,
  SPACE_ROUND_FAILED,
} from '../../shared/control.js';
import { needsRecovery, poisoned, type TreeState } from '../state/state.js';
import type { Maintenance } from './maintenance.js';
import { outOfSpace, type SpaceRequest } from './space.js';
import { waitForRound, waitForRoundBeside } from './waiting.js';

/** Asks the maintenance worker, from any other thread. */
export class RemoteMaintenance implements Maintenance {
  readonly #state: TreeState;

  constructor(state: TreeState) {
    this.#state = state;
  }

  checkpoint(isEnough?: () => boolean): void {
    if (this.#state.options.readOnly) throw needsRecovery(this.#state.place);
    if (!this.#ask(C_ROUNDS_ASKED, C_ROUNDS_ENDED, isEnough)) return;
    if (Atomics.load(this.#state.control.words, C_ASKED_FAILED) !== 0)
      throw this.#state.control.lastRound.error();
  }

  findSpace({ freeSlots, forJournal, forRemoval }: SpaceRequest): void {
    const { words } = this.#state.control;
    Atomics.or(
      words,
      C_SPACE_KINDS,
      (forJournal ? SPACE_FOR_JOURNAL : 0) | (forRemoval ? SPACE_FOR_REMOVAL : 0),
    );
    let most = Atomics.load(words, C_SLOTS_WANTED);
    while (most < freeSlots) {
      const seen = Atomics.compareExchange(words, C_SLOTS_WANTED, most, freeSlots);
      if (seen === most) break;
      most = seen;
    }
    this.#ask(C_SPACE_ASKED, C_SPACE_ENDED);
    const outcome = Atomics.load(words, C_SPACE_OUTCOME);
    if (outcome === SPACE_ROUND_FAILED) throw this.#state.control.lastRound.error();
    // Another may have asked for more than this one needs.
    if (outcome === SPACE_LACKING && this.#state.freeSlots < freeSlots) throw outOfSpace(this.#state);
  }

  takeSnapshot(name: string): void {
    this.#request(SNAPSHOT_TAKE, name);
  }

  deleteSnapshot(name: string): void {
    this.#request(SNAPSHOT_DELETE, name);
  }

  async takeSnapshotBeside(name: string): Promise<void> {
    const { snapshotLock, place } = this.#state;
    while (!snapshotLock.tryLock()) {
      if (snapshotLock.abandoned) throw poisoned(place);
      await waitForRoundBeside(this.#state, () => snapshotLock.isFree);
    }
    try {
      await waitForRoundBeside(this.#state, this.#put(SNAPSHOT_TAKE, name));
      this.#throwIfFailed();
    } finally {
      snapshotLock.unlock();
    }
  }

  /** One thread at a time has the place for a request, where the worker puts what came of it. */
  #request(action: number, name: string): void {
    const { snapshotLock, place } = this.#state;
    if (!snapshotLock.lock()) throw poisoned(place);
    try {
      waitForRound(this.#state, this.#put(action, name));
      this.#throwIfFailed();
    } finally {
      snapshotLock.unlock();
    }
  }

  /** REQUIRES the snapshot lock. Tells whether the worker has seen to it. */
  #put(action: number, name: string): () => boolean {
    const { words, request } = this.#state.control;
    request.set(name);
    Atomics.store(words, C_SNAPSHOT_ACTION, action);
    return this.#asked(C_SNAPSHOTS_ASKED, C_SNAPSHOTS_ENDED);
  }

  #throwIfFailed(): void {
    const { words, request } = this.#state.control;
    if (Atomics.load(words, C_SNAPSHOT_FAILED) !== 0) throw request.error();
  }

  /** Waits until the worker has seen to all that was asked by now, or until `isEnough`; whether it has. */
  #ask(asked: number, answered: number, isEnough?: () => boolean): boolean {
    const hasEnded = this.#asked(asked, answered);
    waitForRound(this.#state, () => hasEnded() || isEnough?.() === true);
    return hasEnded();
  }

  #asked(asked: number, answered: number): () => boolean {
    const { words } = this.#state.control;
    const ticket = Atomics.add(words, asked, 1) + 1;
    this.#state.wakeWorker();
    return () => ((Atomics.load(words, answered) - ticket) | 0) >= 0;
  }
}
