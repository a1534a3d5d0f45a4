/**
 * Figures of the store that may take long to get: what the disk below has left, and what the mount has in all. They are looked
 * at now and then, beside everything else, so that whoever asks gets the last ones at once, also where the disk hangs.
 */
import { statfs } from 'node:fs/promises';
import type { TreeOperations } from '../../engine/api.js';
import type { ContentTotals } from '../../mount/sums/content-totals.js';
import type { DiskReport } from '../control/reports.js';
import type { Admin } from './admin/admin.js';

const LOOK_EVERY_MS = 5_000;
/** Who asks for figures has the sums taken anew, but not again within this time; */
const LEAST_PAUSE_MS = 1_000;
/** nor within so many times what they took. */
const PAUSE_SHARE = 50;

export class StoreSurvey {
  readonly #tree: Pick<TreeOperations, 'lastLsn'>;
  readonly #admin: Pick<Admin, 'run'>;
  readonly #store: string;
  #disk: DiskReport | undefined;
  #contents: ContentTotals | undefined;
  #isLookingAtDisk = false;
  #isSumming = false;
  /** Of the last sums. */
  #lsn = -1;
  #notBefore = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(tree: Pick<TreeOperations, 'lastLsn'>, admin: Pick<Admin, 'run'>, store: string) {
    this.#tree = tree;
    this.#admin = admin;
    this.#store = store;
  }

  start(): void {
    const look = (): void => {
      this.#lookAtDisk();
      this.#sumUp();
    };
    this.#timer = setInterval(look, LOOK_EVERY_MS).unref();
    look();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** As last looked at; undefined: not yet. */
  get disk(): DiskReport | undefined {
    return this.#disk;
  }

  /** As last summed up; undefined: not yet, or the store keeps no sums. */
  get contents(): ContentTotals | undefined {
    if (this.#timer !== undefined) this.#sumUp();
    return this.#contents;
  }

  /** A disk that hangs keeps one thread of the pool, and no more: there is only one look at a time. */
  #lookAtDisk(): void {
    if (this.#isLookingAtDisk) return;
    this.#isLookingAtDisk = true;
    statfs(this.#store)
      .then(({ bsize, blocks, bavail, files, ffree }) => {
        this.#disk = {
          totalBytes: blocks * bsize,
          freeBytes: bavail * bsize,
          totalInodes: files,
          freeInodes: ffree,
          lookedAt: new Date().toISOString(),
        };
      })
      // What is wrong with the disk others find, who need it.
      .catch(() => {})
      .finally(() => {
        this.#isLookingAtDisk = false;
      });
  }

  #sumUp(): void {
    const began = performance.now();
    if (this.#isSumming || began < this.#notBefore) return;
    const lsn = this.#tree.lastLsn();
    if (lsn === this.#lsn) return;
    this.#isSumming = true;
    this.#admin
      .run('contentTotals')
      .then((totals) => {
        this.#contents = totals;
        this.#lsn = lsn;
      })
      // As of a store without sums, or of a daemon that is ending.
      .catch(() => {})
      .finally(() => {
        const ended = performance.now();
        this.#notBefore = ended + Math.max(LEAST_PAUSE_MS, (ended - began) * PAUSE_SHARE);
        this.#isSumming = false;
      });
  }
}
