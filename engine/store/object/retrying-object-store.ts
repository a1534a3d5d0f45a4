/**
 * An object store that asks again where an answer is missing or says "later".
 *
 * All of it may be asked twice: what is read or deleted is so afterwards either way, and an unconditional write writes the same.
 * A write under a condition may answer ERR_CONDITION_FAILED because an attempt before, whose answer was lost, has done it: whoever
 * makes such writes compares what is there with what it wrote. The same goes for an upload that is completed twice, and for one
 * that is begun twice, of which one is left over.
 */

import type { Clock } from './clock.js';
import { hasCode } from './errors.js';
import type { GetOptions, ListOptions, ObjectStore, PutCondition, UploadedPart } from './object-store.js';

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 5_000;

export interface RetryOptions {
  clock: Clock;
  /** As Math.random. */
  random: () => number;
  /** From when on a failure is told, in milliseconds after the call. */
  patienceMs: number;
}

export class RetryingObjectStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #options: RetryOptions;
  #isClosed = false;

  constructor(store: ObjectStore, options: RetryOptions) {
    this.#store = store;
    this.#options = options;
  }

  get(key: string, options?: GetOptions) {
    return this.#retry(() => this.#store.get(key, options));
  }

  put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    return this.#retry(() => this.#store.put(key, bytes, condition));
  }

  delete(key: string) {
    return this.#retry(() => this.#store.delete(key));
  }

  list(prefix: string, options?: ListOptions) {
    return this.#retry(() => this.#store.list(prefix, options));
  }

  beginUpload(key: string) {
    return this.#retry(() => this.#store.beginUpload(key));
  }

  putPart(key: string, upload: string, number: number, bytes: Uint8Array) {
    return this.#retry(() => this.#store.putPart(key, upload, number, bytes));
  }

  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]) {
    return this.#retry(() => this.#store.completeUpload(key, upload, parts));
  }

  abortUpload(key: string, upload: string) {
    return this.#retry(() => this.#store.abortUpload(key, upload));
  }

  listUploads(prefix: string) {
    return this.#retry(() => this.#store.listUploads(prefix));
  }

  /** What is being waited for fails with what it failed with last. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.#store.close();
  }

  async #retry<T>(attempt: () => Promise<T>): Promise<T> {
    const { clock, random, patienceMs } = this.#options;
    const until = clock.now() + patienceMs;
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      try {
        return await attempt();
      } catch (error) {
        if (!hasCode(error, 'ERR_REMOTE_UNAVAILABLE') || this.#isClosed || clock.now() >= until) throw error;
      }
      // Anything up to the wait: those who failed together do not come back together.
      await clock.sleep(random() * wait);
    }
  }
}
