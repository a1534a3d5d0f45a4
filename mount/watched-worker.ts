import type { Worker } from 'node:worker_threads';
import type { Tree } from '../engine/index.js';

/**
 * Tells the tree when a worker that uses it has ended, in whatever way, so that nobody waits for what it held. To be called before other
 * listeners for its end are added: these may want the tree.
 */
export function watchWorker(worker: Worker, tree: Pick<Tree, 'threadDied'>): void {
  // It is -1 once the worker has ended.
  const { threadId } = worker;
  worker.once('exit', () => tree.threadDied(threadId));
}
