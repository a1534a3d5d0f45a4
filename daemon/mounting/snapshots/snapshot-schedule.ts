/**
 * Snapshots by the clock: one in each hour, day or week (UTC), named after it, and as many kept as is asked for.
 *
 * A period's snapshot is made as soon as it is seen that there is none, so what was missed while the machine slept or nothing was
 * mounted is made up for by one of now. What is pruned goes by the order in which snapshots were made, not by what their names
 * say: a clock that was once in the future does not keep its snapshots for ever, nor have those of now pruned first. Only names
 * of the schedule's own form are pruned, and nobody else can give those.
 */
import { isScheduledName } from '../../../mount/snapshot-names.js';
import { failureOf } from '../../process/failure.js';
import type { Logger } from '../../process/log/log.js';

export const PERIODS = ['hourly', 'daily', 'weekly'] as const;
export type Period = (typeof PERIODS)[number];

/** How many snapshots of a period are kept. */
export interface Rule {
  period: Period;
  keep: number;
}

const LOOK_EVERY_MS = 15_000;
const DAY_MS = 24 * 3600 * 1000;
const DAYS_A_WEEK = 7;

/** What the schedule does with snapshots. */
export interface ScheduledSnapshots {
  /** By ascending id. */
  names(): readonly { name: string }[];
  make(name: string): Promise<unknown>;
  delete(name: string): Promise<unknown>;
}

/** The name of the snapshot of the period that this moment is in: hourly-2026-11-30T06Z, daily-2026-11-30, weekly-2026-W49. */
export function scheduledName(period: Period, ms: number): string {
  const time = new Date(ms).toISOString();
  if (period === 'hourly') return `hourly-${time.slice(0, 13)}Z`;
  if (period === 'daily') return `daily-${time.slice(0, 10)}`;
  // ISO 8601: a week belongs to the year that its Thursday is in.
  const thursday = new Date(ms + (4 - (new Date(ms).getUTCDay() || DAYS_A_WEEK)) * DAY_MS);
  const year = thursday.getUTCFullYear();
  const week = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY_MS / DAYS_A_WEEK) + 1;
  return `weekly-${year}-W${String(week).padStart(2, '0')}`;
}

export class SnapshotSchedule {
  #rules: readonly Rule[];
  readonly #snapshots: ScheduledSnapshots;
  readonly #log: Pick<Logger, 'info'>;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #problem: string | undefined;
  #isStopped = false;

  constructor(
    rules: readonly Rule[],
    snapshots: ScheduledSnapshots,
    log: Pick<Logger, 'info'>,
    now: () => number = Date.now,
  ) {
    this.#rules = rules;
    this.#snapshots = snapshots;
    this.#log = log;
    this.#now = now;
  }

  /** From now on it looks every few seconds, and now. */
  start(): void {
    if (this.#rules.length === 0) return;
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS).unref();
    void this.look();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  get rules(): readonly Rule[] {
    return this.#rules;
  }

  /** Of a schedule that was started. What these rules ask for is made at once, or when a look that goes on is over. */
  setRules(rules: readonly Rule[]): void {
    clearInterval(this.#timer);
    this.#rules = rules;
    if (rules.length === 0) this.#problem = undefined;
    const begin = () => {
      if (this.#rules === rules && !this.#isStopped) this.start();
    };
    if (this.#looking === undefined) begin();
    else void this.#looking.then(begin);
  }

  /** Why the last snapshot that was due is not there, or an old one still is. */
  problem(): string | undefined {
    return this.#problem;
  }

  /** Makes what is due and prunes; joins a look that goes on. Never rejects: what fails is told, and tried again. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    let problem: string | undefined;
    const rules = this.#rules;
    for (const rule of rules) {
      try {
        await this.#makeDue(rule.period);
        await this.#prune(rule);
      } catch (error) {
        problem ??= `the schedule's ${rule.period} snapshots: ${failureOf(error).message}`;
      }
    }
    // Nobody asks for these any more.
    if (rules !== this.#rules) return;
    this.#problem = problem;
  }

  async #makeDue(period: Period): Promise<void> {
    const name = scheduledName(period, this.#now());
    if (this.#snapshots.names().some((snapshot) => snapshot.name === name)) return;
    await this.#snapshots.make(name);
    this.#log.info({ name }, 'made a scheduled snapshot');
  }

  async #prune({ period, keep }: Rule): Promise<void> {
    const names = this.#snapshots
      .names()
      .map(({ name }) => name)
      .filter((name) => name.startsWith(`${period}-`) && isScheduledName(name));
    for (const name of names.slice(0, Math.max(0, names.length - keep))) {
      await this.#snapshots.delete(name);
      this.#log.info({ name }, 'deleted a scheduled snapshot that is not kept any longer');
    }
  }
}
