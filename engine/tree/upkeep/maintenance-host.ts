import { Worker } from 'node:worker_threads';
import {
  C_MAINTENANCE_STATE,
  MAINTENANCE_DIED,
  MAINTENANCE_ENDED,
  MAINTENANCE_ENDING,
  MAINTENANCE_STARTING,
  MAINTENANCE_WORKER,
} from '../../shared/control.js';
import type { TreeHandle } from '../state/shared-tree.js';
import type { TreeState } from '../state/state.js';
import type { Schedule } from './maintenance.js';
import type { MaintenanceWorkerData } from './maintenance-worker.js';

/** The maintenance worker, for the thread that opened the tree: starts it, hears of its end, and ends it. */
export class MaintenanceHost {
  readonly #state: TreeState;

  /**
   * REQUIRES that nobody is the store's writer any more: the worker will be. `died` is called with its thread's id when it has
   * ended, in whatever way.
   */
  constructor(state: TreeState, handle: TreeHandle, schedule: Schedule, died: (threadId: number) => void) {
    this.#state = state;
    Atomics.store(state.control.words, C_MAINTENANCE_STATE, MAINTENANCE_STARTING);
    const workerData: MaintenanceWorkerData = { handle, schedule };
    // Without the program's own flags: some of them (--input-type) would keep the worker from starting.
    const worker = new Worker(new URL('./maintenance-worker.js', import.meta.url), {
      workerData,
      execArgv: [],
    });
    const { threadId } = worker;
    worker.on('error', () => {});
    worker.on('exit', () => {
      this.#leave(MAINTENANCE_DIED);
      died(threadId);
    });
    worker.unref();
  }

  /** Has the worker end, and waits until it has. */
  stop(): void {
    const { words } = this.#state.control;
    this.#leave(MAINTENANCE_ENDING);
    this.#state.wakeWorker();
    while (Atomics.load(words, C_MAINTENANCE_STATE) === MAINTENANCE_ENDING) {
      // The worker answers within one round; should it die first, its exit cannot be seen from here.
      if (Atomics.wait(words, C_MAINTENANCE_STATE, MAINTENANCE_ENDING, 30_000) === 'timed-out') break;
    }
    Atomics.compareExchange(words, C_MAINTENANCE_STATE, MAINTENANCE_ENDING, MAINTENANCE_ENDED);
  }

  /** From a worker that is alive, or is about to be, to another state. */
  #leave(state: number): void {
    const { words } = this.#state.control;
    Atomics.compareExchange(words, C_MAINTENANCE_STATE, MAINTENANCE_STARTING, state);
    Atomics.compareExchange(words, C_MAINTENANCE_STATE, MAINTENANCE_WORKER, state);
  }
}
