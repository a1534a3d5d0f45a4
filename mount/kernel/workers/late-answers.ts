/**
 * What the request log has of requests that wait in the queue of tasks. The I/O worker answers them, or whoever lets a dying caller go:
 * the first of these writes the entry.
 */

import { Entry } from '../../request-log/entry.js';
import type { Lane, RequestLogMemory } from '../../request-log/memory.js';
import type { PendingRequests } from '../../request-log/pending.js';
import { monotonic } from '../../requests/request-failures.js';

export class LateAnswers {
  readonly #memory: RequestLogMemory | undefined;
  readonly #pending: PendingRequests;
  readonly #lane: Lane;
  readonly #entry = new Entry();

  /** `memory`: undefined where there is no log. `lane`: of the thread that uses this. */
  constructor(memory: RequestLogMemory | undefined, pending: PendingRequests, lane: Lane) {
    this.#memory = memory;
    this.#pending = pending;
    this.#lane = lane;
  }

  /**
   * The request at this position of the queue is about to be answered, with 0 or a negative errno; `times` as a stopwatch has them. To
   * be called before the reply: what the client does next is in the log after it.
   */
  answering(position: number, error: number, times: Float64Array): void {
    const entry = this.#entry;
    if (!this.#pending.answer(position, entry) || this.#memory === undefined) return;
    entry.result = -error;
    entry.setTimes(times, monotonic());
    if (this.#memory.wants(entry.microseconds)) this.#memory.write(this.#lane, entry);
  }
}
