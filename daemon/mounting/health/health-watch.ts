/**
 * Looks at all that can be wrong every second, and whenever somebody asks. What begins and ends is in the log.
 *
 * The looks run on the main thread and must not wait: neither for a lock nor for a disk. One that fails, as where no descriptor
 * is left to look with, is as it was the last time.
 */
import type { Problem } from '../../health/codes.js';
import { HealthRecord, type HealthReport } from '../../health/health-record.js';
import type { Logger } from '../../process/log/log.js';

const LOOK_EVERY_MS = 1_000;

/** What is wrong, where anything is. */
export type Look = () => Problem | readonly Problem[] | undefined;

interface Watched {
  look: Look;
  everyMs: number;
  lookedAt: number;
  found: readonly Problem[];
}

export class HealthWatch {
  readonly #record: HealthRecord;
  readonly #now: () => number;
  readonly #watched: Watched[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `now`: milliseconds of a clock that does not go back. */
  constructor(log: Pick<Logger, 'error' | 'warn' | 'info'>, now: () => number = () => performance.now()) {
    this.#record = new HealthRecord(log, now);
    this.#now = now;
  }

  /** `everyMs`: how long what it found is good while nobody asks, for one that costs something. */
  add(look: Look, everyMs = 0): void {
    this.#watched.push({ look, everyMs, lookedAt: Number.NEGATIVE_INFINITY, found: [] });
  }

  /** From now on it looks by itself, and the log is told. */
  start(): void {
    this.#timer = setInterval(() => this.#update(false), LOOK_EVERY_MS).unref();
    this.#update(false);
  }

  /** The log is told nothing any more: what is ending is not wrong. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** What is wrong now. */
  report(): HealthReport {
    return this.#update(true);
  }

  #update(isAsked: boolean): HealthReport {
    const now = this.#now();
    const problems: Problem[] = [];
    for (const watched of this.#watched) {
      if (isAsked || now - watched.lookedAt >= watched.everyMs) look(watched, now);
      problems.push(...watched.found);
    }
    return this.#record.update(problems, this.#timer !== undefined);
  }
}

function look(watched: Watched, now: number): void {
  try {
    const found = watched.look();
    watched.found = found === undefined ? [] : 'code' in found ? [found] : found;
    watched.lookedAt = now;
  } catch {
    // The next time, then: nothing else waits for it.
  }
}
