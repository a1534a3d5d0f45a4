/** Looks once a minute how far the limits of directories are used. The admin worker does it, some at a time. */

import { SpinneyError } from '../../../engine/errors.js';
import type { QuotaUse } from '../../../mount/sums/quota-uses.js';
import type { Problem } from '../../health/codes.js';
import { Threshold } from '../../health/threshold.js';
import type { Logger } from '../../process/log/log.js';
import { formatBytes } from '../../process/text/bytes-text.js';
import type { Admin } from '../admin/admin.js';

const LOOK_EVERY_MS = 60_000;
/** Directories that are looked at before other admin work has its turn. */
const DIRECTORIES_PER_PART = 16;
const NEARLY_FULL = 0.9;
const NEARLY_FULL_ENDS = 0.85;

export class QuotaWatch {
  readonly #admin: Pick<Admin, 'run'>;
  readonly #contentDirectory: string;
  readonly #log: Pick<Logger, 'warn'>;
  #thresholds = new Map<string, Threshold>();
  #problems: readonly Problem[] = [];
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(admin: Pick<Admin, 'run'>, contentDirectory: string, log: Pick<Logger, 'warn'>) {
    this.#admin = admin;
    this.#contentDirectory = contentDirectory;
    this.#log = log;
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS).unref();
    void this.look();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** As of the last look. */
  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** Joins a look that goes on. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const uses: QuotaUse[] = [];
    let next: Uint8Array | undefined;
    try {
      do {
        const part = await this.#admin.run('quotaUses', this.#contentDirectory, next, DIRECTORIES_PER_PART);
        uses.push(...part.uses);
        ({ next } = part);
      } while (next !== undefined);
    } catch (error) {
      // What keeps the tree from being read is told by others.
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_CLOSED')
        this.#log.warn({ err: error }, 'could not look at the limits of directories');
      return;
    }
    this.#problems = this.#problemsOf(uses);
  }

  #problemsOf(uses: readonly QuotaUse[]): Problem[] {
    const before = this.#thresholds;
    this.#thresholds = new Map();
    const problems: Problem[] = [];
    for (const { directory, of, limit, used } of uses) {
      const subject = `${of} of ${directory}`;
      const threshold = before.get(subject) ?? new Threshold();
      this.#thresholds.set(subject, threshold);
      const isNear = threshold.update(used / limit, NEARLY_FULL, NEARLY_FULL_ENDS);
      const share =
        of === 'bytes'
          ? `${formatBytes(used)} of ${formatBytes(limit)} are used`
          : `${used} of ${limit} files and directories are used`;
      if (used >= limit) {
        problems.push({
          code: 'QUOTA_EXCEEDED',
          subject,
          reason: `the limit of ${directory} is reached: ${share}`,
        });
      } else if (isNear) {
        const reason = `the limit of ${directory} is nearly reached: ${share}`;
        problems.push({ code: 'QUOTA_NEARLY_FULL', subject, reason });
      }
    }
    return problems;
  }
}
