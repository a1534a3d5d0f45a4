/** Entry of the session worker: attaches to the tree and serves the mount. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Tree } from '../../../engine/index.js';
import { SystemDisk } from '../../filesystem/contents/system.js';
import { FileSystem } from '../../filesystem/file-system.js';
import { FILESYSTEM_MEASURE } from '../../filesystem/records/measure.js';
import { MountState } from '../device/mount-state.js';
import { SharedQueue } from '../device/shared-queue.js';
import { Rehearsal } from '../session/rehearsal.js';
import type { SessionCommand } from './commands.js';
import { contentAccess } from './content-access.js';
import { runSession } from './session-runner.js';
import { postLog, type SessionData, type WorkerMessage } from './worker-data.js';

const data = workerData as SessionData;
const post = (message: WorkerMessage) => parentPort?.postMessage(message);
const tree = Tree.attach(data.tree, { measure: FILESYSTEM_MEASURE });
const { contentDirectory, readOnly, snapshotDirectory } = data;
const disk = new SystemDisk();

runSession({
  ...data,
  tree,
  state: new MountState(data.state),
  tasks: new SharedQueue(data.tasks),
  results: new SharedQueue(data.results),
  makeFileSystem: (reclaimer, worker, beforeSnapshot) =>
    new FileSystem(tree, {
      contentDirectory,
      readOnly,
      keepsNodes: true,
      rests: true,
      snapshotDirectory,
      reclaimer,
      worker,
      beforeSnapshot,
      log: postLog,
      troubled: (ino, what) => post({ type: 'trouble', ino, what }),
      disk,
    }),
  nextCommand: () => receiveMessageOnPort(data.commands)?.message as SessionCommand | undefined,
  answer: (id, result) => post({ type: 'answer', id, result }),
  rehearsal: new Rehearsal(),
  content: contentAccess(disk, contentDirectory),
  ready: () => post({ type: 'ready' }),
  log: postLog,
});
tree.close();
post({ type: 'ended' });
