/** Runs admin work beside the main thread's event loop. Serves `Admin`. */
import { parentPort, workerData } from 'node:worker_threads';
import { Tree } from '../../../engine/index.js';
import { FILESYSTEM_MEASURE } from '../../../mount/sums/filesystem-measure.js';
import { failureOf } from '../../process/failure.js';
import type { AdminReply, AdminRequest } from './admin.js';
import { ADMIN_WORK } from './admin-work.js';

const tree = Tree.attach(workerData, { measure: FILESYSTEM_MEASURE });

parentPort?.on('message', ({ id, work, given }: AdminRequest) => {
  let reply: AdminReply;
  try {
    const run = ADMIN_WORK[work] as (tree: Tree, ...given: readonly unknown[]) => unknown;
    reply = { id, result: run(tree, ...given) };
  } catch (error) {
    reply = { id, failure: failureOf(error) };
  }
  parentPort?.postMessage(reply);
});
