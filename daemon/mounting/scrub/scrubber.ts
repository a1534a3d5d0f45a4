/**
 * Verifies all blobs and the manifest of the store that is being served, a few at a time and not faster than it may, by hand or by schedule.
 *
 * The admin worker reads them in parts of a fraction of a second, so other work for it does not wait long; the pauses
 * are the main thread's timers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SpinneyError } from '../../../engine/errors.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import type { ScrubReport } from '../../control/reports.js';
import type { Logger } from '../../process/log/log.js';
import type { Admin } from '../admin/admin.js';

export const DEFAULT_SCRUB_MIB = 64;
const MIB = 1024 * 1024;
const BLOBS_PER_PART = 8;
const DAY_MS = 24 * 3600 * 1000;
const LOOK_EVERY_MS = 60_000;

export class Scrubber {
  readonly #admin: Pick<Admin, 'run'>;
  readonly #log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly #keep: (report: ScrubReport) => void;
  readonly #stopped = new AbortController();
  #last: ScrubReport | undefined;
  #running: Promise<ScrubReport> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #days = 0;

  /** `last`: the last scrub of an earlier daemon. `keep` makes one known to later ones. */
  constructor(
    admin: Pick<Admin, 'run'>,
    log: Pick<Logger, 'info' | 'warn' | 'error'>,
    { last, keep }: { last: ScrubReport | undefined; keep: (report: ScrubReport) => void },
  ) {
    this.#admin = admin;
    this.#log = log;
    this.#last = last;
    this.#keep = keep;
  }

  get last(): ScrubReport | undefined {
    return this.#last;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Verifies all blobs, at `rate` MiB a second at most; joins a scrub that goes on. Rejects with ERR_CLOSED at the end. */
  run(rate: number): Promise<ScrubReport> {
    this.#running ??= this.#scrub(rate).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** A scrub begins by itself after so many days; 0: never. */
  get days(): number {
    return this.#days;
  }

  /** From now on a scrub begins by itself when the last one, or this call, was so many days ago; with 0 none does. */
  schedule(days: number): void {
    clearInterval(this.#timer);
    this.#days = days;
    if (days === 0) return;
    const start = Date.now();
    this.#timer = setInterval(() => {
      const since = this.#last === undefined ? start : Date.parse(this.#last.endedAt);
      if (this.isRunning || Date.now() - since < days * DAY_MS) return;
      this.run(DEFAULT_SCRUB_MIB).catch((error: unknown) => {
        this.#log.warn({ err: error }, 'a scrub did not come to its end');
      });
    }, LOOK_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#stopped.abort();
  }

  async #scrub(rate: number): Promise<ScrubReport> {
    const startedAt = new Date().toISOString();
    const started = performance.now();
    const parents = new Map<number, number>();
    const damaged: ScrubReport['damaged'] = [];
    let blobs = 0;
    const targets = await this.#admin.run('listBlobs');
    for (let from = 0; from < targets.length; from += BLOBS_PER_PART) {
      const part = await this.#admin.run('scrub', targets.slice(from, from + BLOBS_PER_PART));
      blobs += part.blobs;
      damaged.push(...part.damaged);
      for (const [child, parent] of part.parents) parents.set(child, parent);
      const due = ((blobs * BLOB_SIZE) / (rate * MIB)) * 1000;
      await this.#pause(started + due - performance.now());
    }
    // Where images of snapshots are, the blobs as they are need not tell.
    const current = damaged.filter(({ snapshot }) => snapshot === undefined);
    if (current.length > 0) {
      const damagedIds = current.map(({ id }) => id);
      const prefixes = await this.#admin.run('prefixesOf', damagedIds, parents);
      for (const [index, blob] of current.entries()) {
        const prefix = prefixes[index];
        if (prefix !== undefined) blob.prefix = prefix;
      }
    }
    const manifest = await this.#admin.run('scrubIndex');
    const endedAt = new Date().toISOString();
    const report = { startedAt, endedAt, blobs, damaged, ...(manifest !== undefined && { manifest }) };
    this.#last = report;
    if (damaged.length === 0 && manifest === undefined)
      this.#log.info({ blobs }, 'a scrub found all blobs sound');
    else {
      const found = damaged.length > 0 ? 'damaged blobs' : 'the manifest damaged';
      this.#log.error({ blobs, damaged, manifest }, `a scrub found ${found}`);
    }
    this.#keep(report);
    return report;
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stopped;
    try {
      if (ms > 0) await sleep(ms, undefined, { ref: false, signal });
    } catch {
      // The signal's own error says nothing to anybody.
    }
    if (signal.aborted)
      throw new SpinneyError('ERR_CLOSED', 'Cannot go on with the scrub: the daemon is ending');
  }
}
