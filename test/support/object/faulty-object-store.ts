/**
 * An object store as a process sees it through a network: each request is on its way for a time, as each answer is, so they overtake one
 * another. Some requests get lost, some answers, some come after the process has given up, and some servers say "later", having done it or not.
 */
import { SpinneyError } from '../../../engine/errors.js';
import type {
  GetOptions,
  ListOptions,
  ObjectStore,
  PutCondition,
  UploadedPart,
} from '../../../engine/store/object/object-store.js';
import type { SimulatedProcess } from './simulation.js';

/** How many of a thousand. Shared, so that they can be changed for all at a time. */
export interface Faults {
  lostRequests: number;
  lostAnswers: number;
  /** Requests that are refused for the moment: 409, 500, 503. */
  later: number;
  /** ... and that are said to be, but done. */
  doneLater: number;
  slow: number;
}

export const NO_FAULTS: Readonly<Faults> = {
  lostRequests: 0,
  lostAnswers: 0,
  later: 0,
  doneLater: 0,
  slow: 0,
};

/** The process waits so long for an answer. */
const PATIENCE_MS = 400;
const USUAL_MS = 30;
const SLOW_MS = 4_000;

export class FaultyObjectStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #process: SimulatedProcess;
  readonly #faults: Faults;

  constructor(store: ObjectStore, process: SimulatedProcess, faults: Faults) {
    this.#store = store;
    this.#process = process;
    this.#faults = faults;
  }

  get(key: string, options?: GetOptions) {
    return this.#send(() => this.#store.get(key, options));
  }

  put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    return this.#send(() => this.#store.put(key, bytes, condition));
  }

  delete(key: string) {
    return this.#send(() => this.#store.delete(key));
  }

  list(prefix: string, options?: ListOptions) {
    return this.#send(() => this.#store.list(prefix, options));
  }

  beginUpload(key: string) {
    return this.#send(() => this.#store.beginUpload(key));
  }

  putPart(key: string, upload: string, number: number, bytes: Uint8Array) {
    return this.#send(() => this.#store.putPart(key, upload, number, bytes));
  }

  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]) {
    return this.#send(() => this.#store.completeUpload(key, upload, parts));
  }

  abortUpload(key: string, upload: string) {
    return this.#send(() => this.#store.abortUpload(key, upload));
  }

  listUploads(prefix: string) {
    return this.#send(() => this.#store.listUploads(prefix));
  }

  async close(): Promise<void> {}

  /** `request` is what the server does, in the moment when it is called. */
  #send<T>(request: () => Promise<T>): Promise<T> {
    const process = this.#process;
    const { simulation } = process;
    const faults = this.#faults;
    return new Promise<T>((resolve, reject) => {
      let isSettled = false;
      const settle = (outcome: Promise<T>) => () => {
        if (isSettled) return false;
        isSettled = true;
        outcome.then(resolve, reject);
        return true;
      };
      const givenUpAt = simulation.now + PATIENCE_MS;
      process.plan(givenUpAt, settle(failing('no answer')));
      if (process.isCutOff || this.#happens(faults.lostRequests)) return;
      simulation.plan(simulation.now + this.#delay(), () => {
        const isLater = this.#happens(faults.later);
        let outcome = isLater ? failing<T>('later') : request();
        outcome.catch(() => {});
        if (!isLater && this.#happens(faults.doneLater)) outcome = failing('later');
        const answerAt = simulation.now + this.#delay();
        const isLost = process.isCutOff || this.#happens(faults.lostAnswers);
        if (!isLost && answerAt < givenUpAt) process.plan(answerAt, settle(outcome));
        return true;
      });
    });
  }

  #happens(perMille: number): boolean {
    return this.#process.simulation.random() * 1000 < perMille;
  }

  #delay(): number {
    return this.#process.simulation.between(1, this.#happens(this.#faults.slow) ? SLOW_MS : USUAL_MS);
  }
}

function failing<T>(why: string): Promise<T> {
  const failed = Promise.reject(new SpinneyError('ERR_REMOTE_UNAVAILABLE', `Cannot reach the store: ${why}`));
  failed.catch(() => {});
  return failed;
}
