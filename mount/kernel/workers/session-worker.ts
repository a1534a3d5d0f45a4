/** Entry of the session worker: attaches to the tree and serves the mount. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { NodeDisk } from '../../../engine/before-open.js';
import { Tree } from '../../../engine/index.js';
import { followedRows } from '../../filesystem/contents/away/followed-rows.js';
import { shippedRows } from '../../filesystem/contents/away/shipped-rows.js';
import { SystemDisk } from '../../filesystem/contents/disk/system.js';
import { timedDisk } from '../../filesystem/contents/disk/timed-disk.js';
import { FileSystem } from '../../filesystem/file-system.js';
import { FollowedTree } from '../../filesystem/followed-tree.js';
import { FILESYSTEM_MEASURE } from '../../filesystem/records/measure.js';
import { PendingRequests } from '../../request-log/pending.js';
import { MountState } from '../device/mount-state.js';
import { SharedQueue } from '../device/shared-queue.js';
import { SessionFiles } from '../kept/session-files.js';
import { Rehearsal } from '../session/rehearsal.js';
import type { SessionCommand } from './commands.js';
import { contentAccess } from './content-access.js';
import { remoteSyncs, SessionRemote } from './remote-link.js';
import { runSession } from './session-runner.js';
import { postLog, type SessionData, type WorkerMessage } from './worker-data.js';

const data = workerData as SessionData;
const post = (message: WorkerMessage) => parentPort?.postMessage(message);
const tree = Tree.attach(data.tree, { measure: FILESYSTEM_MEASURE });
const { contentDirectory, readOnly, snapshotDirectory } = data;
const disk = timedDisk(new SystemDisk());
const files = openSession();
const content = contentAccess(disk, contentDirectory);
const remote = data.remote && new SessionRemote(data.remote);
const follows = data.remote?.follows === true;
const shown = follows ? new FollowedTree(tree) : tree;

/** Undefined: the session is not kept, or (`refused` is posted) another's cannot be gone on with. */
function openSession(): SessionFiles | undefined {
  const { session } = data;
  if (session === undefined) return undefined;
  const { directory, connection, mountpoint, resumes } = session;
  try {
    const opened = resumes
      ? SessionFiles.takeUp(new NodeDisk(), directory)
      : SessionFiles.make(new NodeDisk(), directory, { connection, mountpoint });
    opened.onVoid = (reason) => {
      postLog('warn', `No other daemon could go on with the mount any more: ${reason}`);
      post({ type: 'unkept', reason });
    };
    return opened;
  } catch (error) {
    const reason = (error as Error).message;
    if (resumes) post({ type: 'refused', reason });
    else postLog('warn', `No other daemon can go on with the mount: ${reason}`);
    return undefined;
  }
}

function serve(): boolean {
  return runSession({
    ...data,
    tree,
    state: new MountState(data.state),
    tasks: new SharedQueue(data.tasks),
    results: new SharedQueue(data.results),
    pending: new PendingRequests(data.pending),
    makeFileSystem: (reclaimer, worker, beforeSnapshot, keepers) =>
      new FileSystem(shown, {
        contentDirectory,
        readOnly,
        keepsNodes: true,
        rests: true,
        snapshotDirectory,
        reclaimer,
        worker,
        beforeSnapshot,
        keepers,
        log: postLog,
        troubled: (ino, what) => post({ type: 'trouble', ino, what }),
        disk,
        remote: remote && { rows: follows ? followedRows(tree) : shippedRows(tree), fetcher: remote },
      }),
    nextCommand: () => receiveMessageOnPort(data.commands)?.message as SessionCommand | undefined,
    answer: (id, result) => post({ type: 'answer', id, result }),
    // Those who make hundreds of mounts, each for a moment, do without (scripts/test).
    rehearsal: new Rehearsal(process.env.SPINNEY_REHEARSAL !== 'off'),
    content,
    remote,
    followed: follows ? tree : undefined,
    remoteSyncs: data.remote && remoteSyncs(data.remote),
    ready: (isKept, resumed) => post({ type: 'ready', isKept, resumed }),
    refused: (reason) => post({ type: 'refused', reason }),
    files,
    resumes: data.session?.resumes === true,
    log: postLog,
  });
}

const isRefused = data.session?.resumes === true && files === undefined;
if (!isRefused && serve()) post({ type: 'ended' });
content.close();
tree.close();
