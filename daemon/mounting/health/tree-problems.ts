/** What the tree's conditions mean to an admin. */

import { CHECKPOINT_JOURNAL_BYTES } from '../../../engine/limits.js';
import type { TreeConditions } from '../../../engine/tree-stats.js';
import type { Problem } from '../../health/codes.js';
import { Threshold } from '../../health/threshold.js';

const MIB = 1024 * 1024;
/** A checkpoint begins at the latest when the journal has grown by CHECKPOINT_JOURNAL_BYTES; it grows on while that is written. */
const LAG_BEGINS = 2 * CHECKPOINT_JOURNAL_BYTES;
const LAG_ENDS = CHECKPOINT_JOURNAL_BYTES;
/** The journal is synced every second. */
const DURABLE_WITHIN_MS = 15_000;

export class TreeProblems {
  readonly #store: string;
  readonly #now: () => number;
  readonly #checkpointLag = new Threshold();
  /** An LSN that was not durable when this was looked at, and the time then. */
  #awaited = 0;
  #awaitedSince = 0;

  /** `store`: its path, as people know it. `now`: milliseconds of a clock that does not go back. */
  constructor(store: string, now: () => number = () => performance.now()) {
    this.#store = store;
    this.#now = now;
  }

  of(conditions: TreeConditions): Problem[] {
    const { poisoned, failure, checkpoint, unreadableBlobs, space } = conditions;
    const problems: Problem[] = [];
    if (poisoned !== undefined)
      problems.push({ code: 'TREE_UNUSABLE', reason: `the tree does not answer: ${poisoned}` });
    if (failure !== undefined)
      problems.push({ code: 'JOURNAL_FAILED', reason: `every change is refused: ${failure}` });
    if (space.exhausted) {
      const where = `the disk of ${this.#store} is full, ${space.freeBytes} bytes free`;
      problems.push({
        code: 'DISK_FULL',
        reason: `writes get ENOSPC: ${where}; what is there can be removed`,
      });
    }
    if (checkpoint.lastError !== undefined) {
      problems.push({
        code: 'CHECKPOINT_FAILED',
        reason: `the last checkpoint failed: ${checkpoint.lastError}`,
      });
    }
    for (const { id, errors, prefix, snapshot } of unreadableBlobs) {
      const of = snapshot === undefined ? '' : ` of snapshot ${JSON.stringify(snapshot)}`;
      const keys = prefix === undefined ? '' : `; its keys begin with "${prefix}"`;
      const reason = `blob ${id}${of} cannot be read (tried ${errors} times)${keys}`;
      problems.push({ code: 'BLOB_UNREADABLE', subject: `blob ${id}${of}`, reason });
    }
    problems.push(...this.#lags(conditions));
    return problems;
  }

  #lags({ uncheckpointedBytes, lastLsn, durableLsn, failure }: TreeConditions): Problem[] {
    const problems: Problem[] = [];
    if (this.#checkpointLag.update(uncheckpointedBytes, LAG_BEGINS, LAG_ENDS)) {
      const reason = `checkpoints do not keep up: the journal has ${Math.round(uncheckpointedBytes / MIB)} MiB that none covers`;
      problems.push({ code: 'CHECKPOINT_LAGGING', reason });
    }
    const now = this.#now();
    if (durableLsn >= this.#awaited || failure !== undefined) {
      this.#awaited = lastLsn;
      this.#awaitedSince = now;
    }
    const waited = now - this.#awaitedSince;
    if (durableLsn < this.#awaited && waited >= DURABLE_WITHIN_MS) {
      const reason = `changes have not become durable for ${Math.round(waited / 1000)} s: ${lastLsn - durableLsn} would be lost by a power cut`;
      problems.push({ code: 'JOURNAL_LAGGING', reason });
    }
    return problems;
  }
}
