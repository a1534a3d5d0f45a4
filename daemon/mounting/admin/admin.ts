/** The main thread's side of the admin worker: one worker, made when first needed, one piece of work at a time. */
import { Worker } from 'node:worker_threads';
import { type ErrorCode, SpinneyError } from '../../../engine/errors.js';
import type { Tree } from '../../../engine/index.js';
import { watchWorker } from '../../../mount/watched-worker.js';
import { settledWithin } from '../../process/deadline.js';
import { type Failure, failureOf } from '../../process/failure.js';
import type { AdminArguments, AdminResult, AdminWork } from './admin-work.js';

export interface AdminRequest {
  id: number;
  work: AdminWork;
  given: readonly unknown[];
}

export interface AdminReply {
  id: number;
  result?: unknown;
  failure?: Failure;
}

interface Waiter {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

export class Admin {
  readonly #tree: Tree;
  readonly #waiters = new Map<number, Waiter>();
  readonly #pending = new Set<Promise<unknown>>();
  #worker: Worker | undefined;
  #lastId = 0;
  #closed = false;

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  /** Queues the work behind what is under way. Rejects with the engine's error. */
  run<W extends AdminWork>(work: W, ...given: AdminArguments<W>): Promise<AdminResult<W>> {
    const done = new Promise<unknown>((resolve, reject) => {
      if (this.#closed) {
        reject(new SpinneyError('ERR_CLOSED', `Cannot ${work}: the daemon is ending`));
        return;
      }
      this.#worker ??= this.#start();
      const id = ++this.#lastId;
      this.#waiters.set(id, { resolve, reject });
      const request: AdminRequest = { id, work, given };
      this.#worker.postMessage(request);
    });
    this.#pending.add(done);
    const forget = () => this.#pending.delete(done);
    done.then(forget, forget);
    return done as Promise<AdminResult<W>>;
  }

  /**
   * Takes no more work, waits for what is under way, but not longer than `deadlineMs`, and ends the worker. False:
   * work is still under way; its thread is left alone then, because it may be inside the engine.
   */
  async close(deadlineMs: number): Promise<boolean> {
    this.#closed = true;
    if (!(await settledWithin(Promise.allSettled(this.#pending), deadlineMs))) return false;
    await this.#worker?.terminate();
    return true;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./admin-worker.js', import.meta.url), {
      workerData: this.#tree.share(),
    });
    watchWorker(worker, this.#tree);
    worker.on('message', ({ id, result, failure }: AdminReply) => {
      const waiter = this.#waiters.get(id);
      this.#waiters.delete(id);
      if (failure === undefined) waiter?.resolve(result);
      else waiter?.reject(new SpinneyError(failure.code as ErrorCode, failure.message));
    });
    worker.on('error', (error) => this.#failAll(`Cannot go on with admin work: ${failureOf(error).message}`));
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#failAll('Cannot go on with admin work: its thread has ended');
    });
    return worker;
  }

  #failAll(message: string): void {
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const { reject } of waiters) reject(new SpinneyError('ERR_IO', message));
  }
}
