/** Entry of the I/O worker: attaches to the tree and does what the session worker hands it. */
import { workerData } from 'node:worker_threads';
import { Tree } from '../../../engine/index.js';
import { SystemDisk } from '../../filesystem/contents/system.js';
import { FILESYSTEM_MEASURE } from '../../filesystem/records/measure.js';
import { MountState } from '../device/mount-state.js';
import { SharedQueue } from '../device/shared-queue.js';
import { contentAccess } from './content-access.js';
import { IoService } from './io-service.js';
import { postLog, type WorkerData } from './worker-data.js';

const data = workerData as WorkerData;
const tree = Tree.attach(data.tree, { measure: FILESYSTEM_MEASURE });
const state = new MountState(data.state);

new IoService({
  fd: data.fd,
  tasks: new SharedQueue(data.tasks),
  results: new SharedQueue(data.results),
  tree,
  content: contentAccess(new SystemDisk(), data.contentDirectory),
  answered: (result) => state.syncAnswered(result),
  wakeSession: () => state.wakeSession(),
  log: postLog,
}).run(() => state.ioStopped);
tree.close();
