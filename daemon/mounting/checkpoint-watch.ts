/** Puts failed checkpoints into the log: the tree tries again by itself, and tells nobody unless it is asked. */
import type { TreeStats } from '../../engine/api.js';
import type { Logger } from '../process/log.js';

const LOOK_EVERY_MS = 1_000;

export class CheckpointWatch {
  readonly #look: () => TreeStats['checkpoint'];
  readonly #log: Pick<Logger, 'error' | 'info'>;
  readonly #timer: NodeJS.Timeout;
  /** What was told last; undefined: all is well. */
  #told: string | undefined;

  /** `look` is called every second, and must be cheap. */
  constructor(look: () => TreeStats['checkpoint'], log: Pick<Logger, 'error' | 'info'>) {
    this.#look = look;
    this.#log = log;
    this.#timer = setInterval(() => this.sample(), LOOK_EVERY_MS).unref();
  }

  /** Tells a failure once, however often it is met again, and its end. */
  sample(): void {
    const { lastError, failures } = this.#look();
    if (lastError === this.#told) return;
    this.#told = lastError;
    if (lastError === undefined) this.#log.info({ failures }, 'checkpoints succeed again');
    else
      this.#log.error(
        { failures, reason: lastError },
        'a checkpoint failed; the journal keeps what it lacks',
      );
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
