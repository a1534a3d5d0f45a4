/** Entry of the I/O worker: attaches to the tree and does what the session worker hands it. */
import { workerData } from 'node:worker_threads';
import { Tree } from '../../../engine/index.js';
import { SystemDisk } from '../../filesystem/contents/disk/system.js';
import { FILESYSTEM_MEASURE } from '../../filesystem/records/measure.js';
import { Lane } from '../../request-log/memory.js';
import { PendingRequests } from '../../request-log/pending.js';
import { MountState } from '../device/mount-state.js';
import { SharedQueue } from '../device/shared-queue.js';
import { contentAccess } from './content-access.js';
import { IoService } from './io-service.js';
import { LateAnswers } from './late-answers.js';
import { remoteSyncs, syncedTeller, takenCheck } from './remote-link.js';
import { postLog, type WorkerData } from './worker-data.js';

const data = workerData as WorkerData;
const tree = Tree.attach(data.tree, { measure: FILESYSTEM_MEASURE });
const state = new MountState(data.state);

const content = contentAccess(new SystemDisk(), data.contentDirectory);

new IoService({
  fd: data.fd,
  tasks: new SharedQueue(data.tasks),
  results: new SharedQueue(data.results),
  tree,
  content,
  answered: (opcode, result, times) => state.syncAnswered(opcode, result, times),
  requests: new LateAnswers(state.requestLog, new PendingRequests(data.pending), Lane.IO),
  isTaken: data.remote && takenCheck(data.remote),
  synced: data.remote && syncedTeller(data.remote),
  remote: data.remote && remoteSyncs(data.remote),
  wakeSession: () => state.wakeSession(),
  log: postLog,
}).run(() => state.ioStopped);
content.close();
tree.close();
