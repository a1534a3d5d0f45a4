/** Opens the store's tree for a daemon, which may have to wait for another daemon to leave it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Tree } from '../../engine/index.js';
import { FILESYSTEM_MEASURE } from '../../mount/sums/filesystem-measure.js';
import { awaitEnd, leavingDaemons, type WaitOptions } from '../places/leaving.js';
import { failureOf } from '../process/failure.js';
import type { DaemonOptions } from './daemon-options.js';

/** How often long work while the store is opened is told. */
const SUMMING_TOLD_MS = 5_000;
/** A process that was killed gives up its memory before its locks. */
const DEATH_DEADLINE_MS = 20_000;
const LOOK_AGAIN_MS = 5;

/** `afterDeath`: the daemon before this one has died, and has the store for a moment yet. `images`: who has those that the store lacks. */
export async function openTree(
  options: DaemonOptions,
  waiting: WaitOptions & { afterDeath: boolean },
  images?: SharedArrayBuffer,
): Promise<Tree> {
  const deadline = performance.now() + (waiting.afterDeath ? DEATH_DEADLINE_MS : 0);
  for (;;) {
    // Asked for first: one that ends in between leaves a store that opens.
    const leaving = leavingDaemons(options.store);
    try {
      return Tree.open({
        dir: options.store,
        cacheBytes: options.cacheBytes,
        durability: options.durability,
        readOnly: options.readOnly,
        checkpoint: { host: 'worker' },
        measure: FILESYSTEM_MEASURE,
        onProgress: summingTold(waiting.notice),
        ...(images !== undefined && { images }),
      });
    } catch (error) {
      if (failureOf(error).code !== 'ERR_STORE_LOCKED') throw error;
      const isLeft = leaving.length > 0 || performance.now() < deadline;
      if (!isLeft || waiting.signal?.aborted === true) throw error;
    }
    if (leaving.length === 0) await sleep(LOOK_AGAIN_MS);
    for (const daemon of leaving) await awaitEnd(options.store, daemon, waiting);
  }
}

/** Tells now and then how far the sums have come that a store of before gets, once. */
function summingTold(notice: (text: string) => void = () => {}): (done: number, total: number) => void {
  let toldAt = performance.now();
  return (done, total) => {
    if (performance.now() - toldAt < SUMMING_TOLD_MS) return;
    toldAt = performance.now();
    notice(`summing up what the store has, once: ${done} of ${total} blobs`);
  };
}
