/**
 * Tells the log of requests that failed for a reason that nobody could foresee, without filling it: a damaged blob may fail
 * every request of a client that tries again and again. Each reason has one line, and then one a minute with a count.
 */
import { UnreadableBlobError } from '../../engine/errors.js';
import type { MountLog } from '../types.js';

const SILENCE_MS = 60_000;
/** Reasons kept in mind; beyond that the one that was told longest ago is forgotten. */
const MOST_REASONS = 64;
const MOST_CHARACTERS = 500;

interface Told {
  at: number;
  /** Failures since, not told. */
  untold: number;
}

export class FailureLog {
  readonly #log: MountLog;
  readonly #now: () => number;
  readonly #told = new Map<string, Told>();

  /** `now`: milliseconds of a clock that does not go back. */
  constructor(log: MountLog, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** A request for `operation` failed with `error`. */
  tell(operation: string, error: unknown, fields: Record<string, unknown>): void {
    const isBlob = error instanceof UnreadableBlobError;
    const why = (isBlob ? error.message : String(error)).slice(0, MOST_CHARACTERS);
    const reason = isBlob ? `blob ${error.blobId}` : why;
    const now = this.#now();
    const told = this.#told.get(reason);
    if (told !== undefined && now - told.at < SILENCE_MS) {
      told.untold++;
      return;
    }
    const again = told === undefined || told.untold === 0 ? '' : ` (and ${told.untold} times before, untold)`;
    this.#told.delete(reason);
    this.#told.set(reason, { at: now, untold: 0 });
    if (this.#told.size > MOST_REASONS) this.#told.delete(this.#told.keys().next().value as string);
    const more = isBlob || !(error instanceof Error) ? {} : { ...fields, stack: error.stack };
    this.#log('error', `Cannot serve ${operation}: ${why}${again}`, more);
  }
}
