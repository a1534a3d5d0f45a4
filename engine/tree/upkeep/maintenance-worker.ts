/** The maintenance worker: the store's only writer, and whoever has nothing better to do sleeps on the journal. */
import { workerData } from 'node:worker_threads';
import {
  C_ASKED_FAILED,
  C_MAINTENANCE_STATE,
  C_ROUND_BELL,
  C_ROUND_FAILED,
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
  Control,
  MAINTENANCE_DIED,
  MAINTENANCE_ENDED,
  MAINTENANCE_STARTING,
  MAINTENANCE_WORKER,
  SNAPSHOT_TAKE,
  SPACE_FOR_JOURNAL,
  SPACE_FOR_REMOVAL,
  SPACE_FOUND,
  SPACE_LACKING,
  SPACE_ROUND_FAILED,
} from '../../shared/control.js';
import { keptFree } from '../state/free-slots.js';
import { attachState, type TreeHandle } from '../state/shared-tree.js';
import type { TreeState } from '../state/state.js';
import { Chores, type Schedule } from './maintenance.js';
import { Round } from './round.js';

/** Upper bound of a sleep, in case a wake-up was lost with the thread that owed it. */
const LONGEST_SLEEP_MS = 60_000;

export interface MaintenanceWorkerData {
  handle: TreeHandle;
  schedule: Schedule;
}

function main({ handle, schedule }: MaintenanceWorkerData): void {
  const state = attachState(handle, 'writer', undefined);
  const chores = new Chores(state, new Round(state), schedule);
  const { words } = state.control;
  const { journal } = state;
  if (journal === undefined) throw new Error('Cannot maintain a tree without a journal');
  const { array, index } = journal.activity;
  Atomics.compareExchange(words, C_MAINTENANCE_STATE, MAINTENANCE_STARTING, MAINTENANCE_WORKER);
  for (;;) {
    const seen = Atomics.load(array, index);
    serveRequests(state, chores);
    serveSpace(state, chores);
    serveSnapshot(state, chores);
    if (Atomics.load(words, C_MAINTENANCE_STATE) !== MAINTENANCE_WORKER) break;
    const lsn = journal.publishedLsn();
    const pause = chores.run(performance.now());
    // At `synced` writers leave nothing to sync, and need to ring only where nothing else would end the sleep.
    const mustRing = journal.durability !== 'synced' || pause === Number.POSITIVE_INFINITY;
    if (mustRing && journal.unsyncedBytes() === 0) {
      journal.setSleeping(true);
      // What came before the flag was up rang nobody: look once more.
      if (journal.unsyncedBytes() > 0 || journal.publishedLsn() !== lsn) {
        journal.setSleeping(false);
        continue;
      }
    }
    Atomics.wait(array, index, seen, Math.min(pause, LONGEST_SLEEP_MS));
    journal.setSleeping(false);
  }
  journal.detach();
  // No checkpoint is to come: what is kept for removals does.
  state.store.trimSlots?.(keptFree(state.blobCount) + state.cache.dirty);
  state.store.close?.();
}

/** Tells how it ended to those who wait for something from here: their threads may be blocked and see no event. */
function end(control: SharedArrayBuffer, as: number): void {
  const { words } = new Control(control);
  Atomics.store(words, C_MAINTENANCE_STATE, as);
  Atomics.notify(words, C_MAINTENANCE_STATE);
  Atomics.add(words, C_ROUND_BELL, 1);
  Atomics.notify(words, C_ROUND_BELL);
}

/** One round answers all that was asked before it began. */
function serveRequests(state: TreeState, chores: Chores): void {
  const { words } = state.control;
  const asked = Atomics.load(words, C_ROUNDS_ASKED);
  if (asked === Atomics.load(words, C_ROUNDS_ENDED)) return;
  let failed = 0;
  try {
    chores.runRound();
  } catch {
    // The round left its error in the control block, for those who asked.
    failed = 1;
  }
  Atomics.store(words, C_ASKED_FAILED, failed);
  Atomics.store(words, C_ROUNDS_ENDED, asked);
  state.ringRoundBell();
}

/** One is asked for at a time. */
function serveSnapshot(state: TreeState, chores: Chores): void {
  const { words, request } = state.control;
  const asked = Atomics.load(words, C_SNAPSHOTS_ASKED);
  if (asked === Atomics.load(words, C_SNAPSHOTS_ENDED)) return;
  let failed = 0;
  try {
    const name = request.get();
    if (Atomics.load(words, C_SNAPSHOT_ACTION) === SNAPSHOT_TAKE) chores.takeSnapshot(name);
    else chores.deleteSnapshot(name);
  } catch (error) {
    request.setError(error);
    failed = 1;
  }
  Atomics.store(words, C_SNAPSHOT_FAILED, failed);
  Atomics.store(words, C_SNAPSHOTS_ENDED, asked);
  state.ringRoundBell();
}

/** Finds the most that was asked for. */
function serveSpace(state: TreeState, chores: Chores): void {
  const { words } = state.control;
  const asked = Atomics.load(words, C_SPACE_ASKED);
  if (asked === Atomics.load(words, C_SPACE_ENDED)) return;
  const freeSlots = Atomics.exchange(words, C_SLOTS_WANTED, 0);
  const kinds = Atomics.exchange(words, C_SPACE_KINDS, 0);
  let outcome = SPACE_FOUND;
  try {
    chores.findSpace({
      freeSlots,
      forJournal: (kinds & SPACE_FOR_JOURNAL) !== 0,
      forRemoval: (kinds & SPACE_FOR_REMOVAL) !== 0,
    });
  } catch {
    outcome = Atomics.load(words, C_ROUND_FAILED) === 0 ? SPACE_LACKING : SPACE_ROUND_FAILED;
  }
  Atomics.store(words, C_SPACE_OUTCOME, outcome);
  Atomics.store(words, C_SPACE_ENDED, asked);
  state.ringRoundBell();
}

const data = workerData as MaintenanceWorkerData;
try {
  main(data);
  end(data.handle.control, MAINTENANCE_ENDED);
} catch (error) {
  end(data.handle.control, MAINTENANCE_DIED);
  throw error;
}
