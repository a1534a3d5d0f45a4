/**
 * Looks at what may hang (a store on a disk that does not answer, the memory of a process that waits for one) on a thread of its own,
 * which is left alone where it does not come back: a system call cannot be cut short.
 */
import { Worker } from 'node:worker_threads';
import { type ErrorCode, SpinneyError } from '../../../engine/errors.js';
import { exitNow } from '../../../mount/process-calls.js';
import { settledWithin } from '../../process/deadline.js';
import type { Failure } from '../../process/failure.js';
import type { LookArguments, LookName, LookResult } from './looks.js';

/** What takes longer is taken to hang. */
const LOOK_DEADLINE_MS = 1_500;

export interface LookRequest {
  look: LookName;
  given: readonly unknown[];
}

export interface LookReply {
  result?: unknown;
  failure?: Failure;
}

export class Lookout {
  #worker: Worker | undefined;

  /** One look at a time. Undefined: no answer came in time. Rejects with what was thrown there. */
  async ask<L extends LookName>(look: L, ...given: LookArguments<L>): Promise<LookResult<L> | undefined> {
    this.#worker ??= await start();
    const worker = this.#worker;
    const reply = nextReply(worker);
    const request: LookRequest = { look, given };
    worker.postMessage(request);
    if (!(await settledWithin(reply, LOOK_DEADLINE_MS))) {
      this.#leave(worker);
      return undefined;
    }
    const { result, failure } = await reply;
    if (failure !== undefined) throw new SpinneyError(failure.code as ErrorCode, failure.message);
    return result as LookResult<L>;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  #leave(worker: Worker): void {
    this.#worker = undefined;
    worker.unref();
    // Node would wait for its end.
    process.once('exit', (code) => exitNow(code));
  }
}

/** Starting takes a while on a busy machine, and is no part of what is looked at. */
async function start(): Promise<Worker> {
  const worker = new Worker(new URL('./lookout-worker.js', import.meta.url));
  await nextReply(worker);
  return worker;
}

function nextReply(worker: Worker): Promise<LookReply> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (reply: LookReply) => {
      worker.off('error', reject);
      resolve(reply);
    });
  });
}
