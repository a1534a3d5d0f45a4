/**
 * Notices that a mount hangs: that requests wait in the kernel while the session worker is busy with one and the same,
 * or that syncs wait while the I/O worker does not get on. Looks at counters only; it cannot hang itself.
 */
import type { MountProblem } from '../../types.js';

/** How long a request may take before it counts as stuck. */
export const REQUEST_STUCK_MS = 10_000;
/** How long a sync may: disks under load take seconds. */
export const SYNC_STUCK_MS = 30_000;

/** What a look at the mount gives. */
export interface WatchedState {
  /** Requests that the session worker has begun. */
  requests: number;
  /** Whether it sleeps, waiting for more. */
  asleep: boolean;
  /** Name of the operation that it began last. */
  operation: string;
  /** Requests that the kernel has no answer to; undefined where that cannot be told, 0 while the worker sleeps. */
  waiting: number | undefined;
  /** Tasks that the I/O worker has been given, and how many it has finished (mod 2^32). */
  tasksWaiting: number;
  tasksTaken: number;
}

export class Watchdog {
  readonly #look: () => WatchedState;
  readonly #now: () => number;
  #problems: MountProblem[] = [];
  #requests = -1;
  #requestsSince = 0;
  #taken = -1;
  #takenSince = 0;

  constructor(look: () => WatchedState, now: () => number = () => performance.now()) {
    this.#look = look;
    this.#now = now;
  }

  /** What is wrong, as of the last sample. */
  get problems(): readonly MountProblem[] {
    return this.#problems;
  }

  /** To be called every second or so. */
  sample(): void {
    const state = this.#look();
    const now = this.#now();
    const problems: MountProblem[] = [];
    // Before its first request the worker brings the filesystem up, which may take long.
    if (state.asleep || state.requests === 0 || state.requests !== this.#requests || state.waiting === 0) {
      this.#requests = state.requests;
      this.#requestsSince = now;
    } else if (now - this.#requestsSince >= REQUEST_STUCK_MS) {
      const waiting = state.waiting === undefined ? '' : `; ${state.waiting} wait in the kernel`;
      const time = seconds(now - this.#requestsSince);
      const reason = `the mount has been busy with one request (${state.operation}) for ${time}${waiting}`;
      problems.push({ code: 'REQUEST_STUCK', reason });
    }
    if (state.tasksWaiting === 0 || state.tasksTaken !== this.#taken) {
      this.#taken = state.tasksTaken;
      this.#takenSince = now;
    } else if (now - this.#takenSince >= SYNC_STUCK_MS) {
      const time = seconds(now - this.#takenSince);
      const reason = `the disk has not finished a sync for ${time}; ${state.tasksWaiting} wait`;
      problems.push({ code: 'SYNC_STUCK', reason });
    }
    this.#problems = problems;
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
