/**
 * Keeps what is wrong: since when, and that the log has a line when it begins and a line when it ends, however often it is looked
 * at and however its figures change.
 *
 * What goes and comes back within a few seconds (changes on a disk that is all but full) is one problem to the log, though nobody
 * who asks meanwhile is told of it.
 */
import type { Logger } from '../process/log/log.js';
import { HEALTH_CODES, type HealthCode, type Problem, type Severity } from './codes.js';

/** A problem as it is told. */
export interface ProblemReport {
  code: HealthCode;
  severity: Severity;
  /** Tells several of one code apart. */
  subject?: string;
  /** The sentence that `reasons` has, too. */
  reason: string;
  /** What to do. */
  remedy: string;
  /** As ISO 8601 tells it: when it was seen first. */
  since: string;
}

/** How often another daemon has gone on with the mount, and the last time: when it answered, why, and how long nobody had. */
export interface RestartsReport {
  count: number;
  last?: { at: string; cause: string; pauseSeconds: number };
}

export interface HealthReport {
  /** `degraded`: something that an operator should look at; `reasons` says what. */
  status: 'ok' | 'degraded';
  reasons: string[];
  /** The same with codes; left out where there is nothing. */
  problems?: ProblemReport[];
  /** Left out where there were none. */
  restarts?: RestartsReport;
}

/** So long it must be gone before its end is told. */
export const GONE_AFTER_MS = 5_000;

interface Episode {
  problem: Problem;
  since: Date;
  /** As `since`, of a clock that nobody sets. */
  begunAt: number;
  /** When it was seen last, of that clock. */
  seenAt: number;
  isTold: boolean;
}

export class HealthRecord {
  readonly #log: Pick<Logger, 'error' | 'warn' | 'info'>;
  readonly #now: () => number;
  readonly #episodes = new Map<string, Episode>();

  /** `now`: milliseconds of a clock that does not go back. */
  constructor(log: Pick<Logger, 'error' | 'warn' | 'info'>, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** What was found now. `tell`: the log is to have it. */
  update(problems: readonly Problem[], tell: boolean): HealthReport {
    const now = this.#now();
    for (const problem of problems) this.#seen(problem, now, tell);
    for (const [key, episode] of this.#episodes) {
      if (now - episode.seenAt < GONE_AFTER_MS) continue;
      this.#episodes.delete(key);
      if (episode.isTold) this.#tellEnd(episode);
    }
    if (problems.length === 0) return { status: 'ok', reasons: [] };
    return {
      status: 'degraded',
      reasons: problems.flatMap(({ reason, more = [] }) => [reason, ...more]),
      problems: problems.map((problem) => this.#report(problem)),
    };
  }

  #seen(problem: Problem, now: number, tell: boolean): void {
    const key = keyOf(problem);
    const known = this.#episodes.get(key);
    const episode = known ?? { problem, since: new Date(), begunAt: now, seenAt: now, isTold: false };
    episode.problem = problem;
    episode.seenAt = now;
    if (known === undefined) this.#episodes.set(key, episode);
    if (episode.isTold || !tell || now - episode.begunAt < (problem.tellAfterMs ?? 0)) return;
    episode.isTold = true;
    const { code, subject, reason } = problem;
    const { severity, remedy } = HEALTH_CODES[code];
    const level = severity === 'failing' ? 'error' : 'warn';
    this.#log[level]({ code, severity, ...(subject !== undefined && { subject }), remedy }, reason);
  }

  #tellEnd({ problem: { code, subject, reason }, since }: Episode): void {
    const fields = { code, ...(subject !== undefined && { subject }), since: since.toISOString() };
    this.#log.info(fields, `no longer: ${reason}`);
  }

  #report(problem: Problem): ProblemReport {
    const { code, subject, reason } = problem;
    const { severity, remedy } = HEALTH_CODES[code];
    const since = this.#episodes.get(keyOf(problem))!.since.toISOString();
    return { code, severity, ...(subject !== undefined && { subject }), reason, remedy, since };
  }
}

function keyOf({ code, subject = '' }: Problem): string {
  return `${code} ${subject}`;
}
