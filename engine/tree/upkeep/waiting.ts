/** Waiting for what another thread does to the store: who waits finds out when nobody is there to do it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SpinneyError } from '../../errors.js';
import {
  C_MAINTENANCE_STATE,
  C_ROUND_BELL,
  C_ROUND_RUNNING,
  MAINTENANCE_STARTING,
  MAINTENANCE_WORKER,
} from '../../shared/control.js';
import type { TreeState } from '../state/state.js';

/** A waiter looks this often whether what it waits for can still come. */
const LOOK_AGAIN_MS = 200;
/** ... and one that has other things to do. */
const BESIDE_MS = 10;
/** A worker that was not alive by then will not be. */
const START_DEADLINE_MS = 30_000;

export function isRoundRunning(state: TreeState): boolean {
  return Atomics.load(state.control.words, C_ROUND_RUNNING) !== 0;
}

/** Sleeps until `isEnough`, which is asked each time that the round under way has come further. */
export function waitForRound(state: TreeState, isEnough: () => boolean): void {
  const { words } = state.control;
  const since = performance.now();
  for (;;) {
    const seen = Atomics.load(words, C_ROUND_BELL);
    if (isEnough()) return;
    assertWorkerLives(state, since);
    Atomics.wait(words, C_ROUND_BELL, seen, LOOK_AGAIN_MS);
  }
}

/** As `waitForRound`, for a thread that has other things to do meanwhile. */
export async function waitForRoundBeside(state: TreeState, isEnough: () => boolean): Promise<void> {
  const since = performance.now();
  while (!isEnough()) {
    assertWorkerLives(state, since);
    await sleep(BESIDE_MS);
  }
}

/** Throws where nothing will come of waiting, as the caller does since `since` (ms, of performance.now). */
function assertWorkerLives(state: TreeState, since: number): void {
  state.checkOpen();
  const is = Atomics.load(state.control.words, C_MAINTENANCE_STATE);
  if (is === MAINTENANCE_WORKER) return;
  // Should it fail to start, only its maker's event loop hears of it, and the maker may be the one who waits.
  if (is === MAINTENANCE_STARTING && performance.now() - since < START_DEADLINE_MS) return;
  throw new SpinneyError(
    'ERR_POISONED',
    `Cannot go on with the tree in ${state.place}: its maintenance worker has ended or did not start; reopening recovers`,
  );
}
