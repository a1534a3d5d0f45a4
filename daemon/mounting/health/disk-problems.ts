/** Whether the store's disk, or its inodes, are nearly used up. */
import type { Problem } from '../../health/codes.js';
import { Threshold } from '../../health/threshold.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
/** Low from this share of the disk on, but on a large one not before so much is left. */
const LOW_SHARE = 0.05;
const LOW_BYTES = 16 * GIB;
const LOW_INODES = 100_000;
/** It is over when there is so much more. */
const ENOUGH = 1.2;

/** As statvfs(3) has it; no inodes in total: the filesystem has no such limit. */
export interface DiskSpace {
  totalBytes: number;
  freeBytes: number;
  totalInodes: number;
  freeInodes: number;
}

export class DiskProblems {
  readonly #store: string;
  readonly #bytes = new Threshold();
  readonly #inodes = new Threshold();

  constructor(store: string) {
    this.#store = store;
  }

  of({ totalBytes, freeBytes, totalInodes, freeInodes }: DiskSpace): Problem[] {
    const problems: Problem[] = [];
    const lowBytes = Math.min(totalBytes * LOW_SHARE, LOW_BYTES);
    if (this.#bytes.update(freeBytes, lowBytes, lowBytes * ENOUGH)) {
      const left = `${Math.floor(freeBytes / MIB)} of ${Math.floor(totalBytes / MIB)} MiB are free`;
      problems.push({
        code: 'DISK_NEARLY_FULL',
        reason: `the disk of ${this.#store} is nearly full: ${left}`,
      });
    }
    const lowInodes = Math.min(totalInodes * LOW_SHARE, LOW_INODES);
    if (totalInodes > 0 && this.#inodes.update(freeInodes, lowInodes, lowInodes * ENOUGH)) {
      const left = `${freeInodes} of ${totalInodes} are free`;
      problems.push({
        code: 'DISK_INODES_LOW',
        reason: `the disk of ${this.#store} has few inodes left: ${left}`,
      });
    }
    return problems;
  }
}
