/** Runs admin work beside the main thread's event loop. Serves `Admin`. */
import { parentPort, workerData } from 'node:worker_threads';
import { Tree } from '../../engine/index.js';
import { failureOf } from '../process/failure.js';
import type { AdminReply, AdminRequest } from './admin.js';
import { ADMIN_WORK } from './admin-work.js';

const tree = Tree.attach(workerData);

parentPort?.on('message', ({ id, work }: AdminRequest) => {
  let reply: AdminReply;
  try {
    ADMIN_WORK[work](tree);
    reply = { id };
  } catch (error) {
    reply = { id, failure: failureOf(error) };
  }
  parentPort?.postMessage(reply);
});
