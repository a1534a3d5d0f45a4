/**
 * The kernel driver as main sees it: mounts, starts the two workers, watches over them.
 *
 * - Main never touches the mounted filesystem and never waits for a worker without a deadline.
 * - The FUSE descriptor is main's, so a dying worker does not close it; main closes it when both are gone,
 *   which ends whatever the kernel still has waiting. Of an I/O worker that does not end only the connection is closed:
 *   its number stays taken, since that worker may still write a reply to it.
 * - If the session worker dies, main aborts the connection, so that no client hangs.
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import { SpinneyError } from '../../engine/errors.js';
import type { Tree, TreeHandle } from '../../engine/index.js';
import { TroubleList } from '../filesystem/contents/troubles.js';
import { openingProblem } from '../libc/descriptor-limit.js';
import * as libc from '../libc/libc.js';
import {
  abortConnection,
  type DeviceMount,
  isMounted,
  unmountDevice,
  waitingRequests,
} from '../mountpoints/unmounting.js';
import { Lane, RequestLogMemory } from '../request-log/memory.js';
import { PendingRequests } from '../request-log/pending.js';
import { RequestLog } from '../request-log/reader.js';
import { describeRefused } from '../requests/request-failures.js';
import type {
  MountEnd,
  Mounted,
  MountedSnapshots,
  MountLog,
  MountOptions,
  MountProblem,
  MountStats,
  ResumedSession,
  Timeouts,
} from '../types.js';
import { watchWorker } from '../watched-worker.js';
import { MountState } from './device/mount-state.js';
import { SharedQueue } from './device/shared-queue.js';
import { OPERATION_NAMES } from './session/session-log.js';
import { Commands } from './workers/commands.js';
import { Interrupts } from './workers/interrupts.js';
import { LateAnswers } from './workers/late-answers.js';
import { type RemoteLink, SyncAnswers } from './workers/remote-link.js';
import { Watchdog, type WatchedState } from './workers/watchdog.js';
import type { SessionData, SessionPlace, WorkerData, WorkerMessage } from './workers/worker-data.js';

/** Records in a queue between the workers. */
const QUEUE_CAPACITY = 4096;
/** How long a worker has to end after it was told to, before main goes on without it. */
const WORKER_DEADLINE_MS = 10_000;
/** How long an aborted session has to notice. */
const ABORT_DEADLINE_MS = 2000;
const LOOK_EVERY_MS = 1000;

/**
 * Serves what `mountDevice` mounted; resolves when the mount answers. Rejects with ERR_MOUNT, leaving nothing
 * behind, not even the mount, unless it is another daemon's (`options.attach`).
 */
export async function mountKernel(
  device: DeviceMount,
  tree: Tree,
  options: MountOptions,
  log: MountLog,
): Promise<Mounted> {
  let state: MountState;
  let handle: TreeHandle;
  try {
    handle = tree.share();
    state = MountState.create();
  } catch (error) {
    if (options.attach === undefined) {
      await unmountDevice(device, 'detach');
      libc.close(device.fd);
    }
    throw error;
  }
  const mounted = new KernelMount(device, state, { tree, handle }, options, log);
  try {
    await mounted.ready;
  } catch (error) {
    await mounted.ended;
    throw error;
  }
  return mounted;
}

class KernelMount implements Mounted {
  readonly driver = 'kernel';
  readonly mountpoint: string;
  readonly ended: Promise<MountEnd>;
  /** Settles when the mount answers, or cannot. */
  readonly ready: Promise<void>;

  readonly #log: MountLog;
  readonly #device: DeviceMount;
  readonly #state: MountState;
  readonly #tasks = new SharedQueue(QUEUE_CAPACITY);
  readonly #results = new SharedQueue(QUEUE_CAPACITY);
  readonly #pending = new PendingRequests(QUEUE_CAPACITY);
  /** Syncs that wait for the remote; undefined: none do. */
  readonly #remoteSyncs: SharedQueue | undefined;
  readonly requestLog: RequestLog;
  readonly #io: Worker;
  readonly #session: Worker;
  readonly #ioExit: Promise<unknown>;
  readonly #sessionExit: Promise<unknown>;
  readonly #watchdog: Watchdog;
  readonly #troubles = new TroubleList();
  readonly snapshots: MountedSnapshots;
  readonly #commands: Commands;
  /** Another daemon's mount is gone on with. */
  readonly #resumes: boolean;
  #resumed: ResumedSession | undefined;
  #isReady = false;
  /** Another daemon could go on with the mount. */
  #isKept = false;
  #isHandedOver = false;
  /** The session worker said that it came to its end. */
  #sessionEnded = false;
  #failure: Error | undefined;

  constructor(
    device: DeviceMount,
    state: MountState,
    { tree, handle }: { tree: Tree; handle: TreeHandle },
    options: MountOptions,
    log: MountLog,
  ) {
    this.#log = log;
    this.#state = state;
    this.#device = device;
    this.requestLog = new RequestLog(state.requestLog ?? new RequestLogMemory(), {
      operations: OPERATION_NAMES,
      tellsCaller: true,
    });
    this.#resumes = options.attach !== undefined;
    this.mountpoint = this.#device.mountpoint;
    this.#remoteSyncs = options.remote?.isAwaited === true ? new SharedQueue(QUEUE_CAPACITY) : undefined;
    const links = this.#linkRemote(options.remote);
    const workerData: WorkerData = {
      tree: handle,
      fd: this.#device.fd,
      state: this.#state.memory,
      tasks: this.#tasks.memory,
      results: this.#results.memory,
      pending: this.#pending.shared,
      remote: links?.io,
      contentDirectory: options.contentDirectory,
      readOnly: options.readOnly,
      snapshotDirectory: options.snapshotDirectory,
      session: sessionPlace(device, options),
      entryTimeout: options.entryTimeout,
      attributeTimeout: options.attributeTimeout,
      negativeTimeout: options.negativeTimeout,
    };
    this.#io = new Worker(new URL('./workers/io-worker.js', import.meta.url), {
      workerData,
      transferList: links === undefined ? [] : [links.io.port],
    });
    const { port1, port2 } = new MessageChannel();
    const sessionData: SessionData = { ...workerData, remote: links?.session, commands: port2 };
    this.#session = new Worker(new URL('./workers/session-worker.js', import.meta.url), {
      workerData: sessionData,
      transferList: links === undefined ? [port2] : [port2, links.session.port],
    });
    for (const worker of [this.#io, this.#session]) watchWorker(worker, tree);
    // It keeps nobody alive.
    port1.unref();
    this.snapshots = this.#commands = new Commands((command) => {
      port1.postMessage(command);
      state.wakeSession();
    });
    this.#ioExit = exitOf(this.#io);
    this.#sessionExit = exitOf(this.#session);
    this.ready = new Promise((resolve, reject) => {
      this.#session.on('message', (message: WorkerMessage) => {
        if (message.type === 'log') log(message.level, message.message, message.fields);
        else if (message.type === 'trouble') this.#troubles.update(message.ino, message.what);
        else if (message.type === 'ready') {
          this.#isReady = true;
          this.#isKept = message.isKept;
          this.#resumed = message.resumed;
          resolve();
        } else if (message.type === 'unkept') this.#isKept = false;
        else if (message.type === 'refused') this.#failure = new Error(message.reason);
        else if (message.type === 'answer') {
          this.#isHandedOver ||= 'isHandedOver' in message.result && message.result.isHandedOver === true;
          this.#commands.answered(message.id, message.result);
        } else this.#sessionEnded = true;
      });
      this.#session.once('exit', () => {
        const reason = this.#failure?.message ?? 'its session ended before the mount answered';
        const what = this.#resumes ? 'go on with the mount at' : 'mount';
        reject(
          new SpinneyError('ERR_MOUNT', `Cannot ${what} ${this.mountpoint}: ${reason}`, {
            cause: this.#failure,
          }),
        );
      });
    });
    // Whoever awaits `ended` alone must not meet an unhandled rejection.
    this.ready.catch(() => {});
    this.#watchIo();
    this.#watchdog = new Watchdog(() => this.#look());
    this.ended = this.#supervise();
  }

  /** What the two workers get of the store's remote, if it has one, and the thread that speaks with it gets of them. */
  #linkRemote(remote: MountOptions['remote']): { session: RemoteLink; io: RemoteLink } | undefined {
    if (remote === undefined) return undefined;
    const session = new MessageChannel();
    const io = new MessageChannel();
    const words = new SyncAnswers().shared;
    const { board, follows } = remote;
    remote.connect({
      session: session.port1,
      io: io.port1,
      words,
      state: this.#state.memory,
      tasks: this.#tasks.memory,
      device: this.#device.fd,
    });
    const syncs = this.#remoteSyncs?.memory;
    const common = { words, board, follows, syncs };
    return { session: { port: session.port2, ...common }, io: { port: io.port2, ...common } };
  }

  readonly setTimeouts = (timeouts: Timeouts): Promise<void> => this.#commands.setTimeouts(timeouts);

  get resumed(): ResumedSession | undefined {
    return this.#resumed;
  }

  get descriptor(): number | undefined {
    return this.#isKept ? this.#device.fd : undefined;
  }

  async handOver(): Promise<boolean> {
    if (!this.#isKept || !(await this.#commands.handOver())) return false;
    await Promise.all([this.#sessionExit, this.#ioExit]);
    return true;
  }

  stats(): MountStats {
    return {
      ...this.#state.stats(),
      queueDepth: this.#tasks.length,
      waitingInKernel: waitingRequests(this.#device),
      requestLog: this.requestLog.figures(),
    };
  }

  problems(): readonly MountProblem[] {
    return [
      ...this.#watchdog.problems,
      ...(this.#state.isOpeningFailing ? [openingProblem()] : []),
      ...describeRefused(this.#state.refused()),
      ...this.#troubles.problems(),
    ];
  }

  #look(): WatchedState {
    const asleep = this.#state.isAsleep;
    return {
      requests: this.#state.requests,
      asleep,
      operation: this.#state.lastOperation,
      waiting: asleep ? 0 : waitingRequests(this.#device),
      tasksWaiting: this.#tasks.length,
      tasksTaken: this.#tasks.taken,
    };
  }

  async unmount(how: 'plain' | 'detach' | 'abort'): Promise<boolean> {
    if (how !== 'abort') return unmountDevice(this.#device, how);
    abortConnection(this.#device);
    await unmountDevice(this.#device, 'detach');
    // Where the kernel offers no way to abort, the loop is told to stop; closing the descriptor does the rest.
    if (!(await within(ABORT_DEADLINE_MS, this.ended))) this.#state.stopSession();
    return true;
  }

  #watchIo(): void {
    this.#io.on('message', (message: WorkerMessage) => {
      if (message.type === 'log') this.#log(message.level, message.message, message.fields);
    });
    this.#io.on('error', (error) =>
      this.#log('error', `The I/O worker died: ${error}`, { stack: (error as Error).stack }),
    );
    this.#io.once('exit', () => {
      // Its work is the session worker's from now on; both of that one's waits are ended.
      this.#state.ioGone();
      this.#results.wake();
    });
  }

  /** Waits for the session worker's end and cleans up after it. */
  async #supervise(): Promise<MountEnd> {
    this.#session.on('error', (error) => {
      this.#failure = error as Error;
    });
    const requests = new LateAnswers(this.#state.requestLog, this.#pending, Lane.MAIN);
    const queues = this.#remoteSyncs === undefined ? [this.#tasks] : [this.#tasks, this.#remoteSyncs];
    const interrupts = new Interrupts(this.#device.fd, queues, requests);
    const watching = setInterval(() => {
      this.#watchdog.sample();
      interrupts.sweep();
    }, LOOK_EVERY_MS).unref();
    await this.#sessionExit;
    clearInterval(watching);
    this.#commands.end();
    // Never: nothing has ended.
    if (this.#isHandedOver) return new Promise(() => {});
    const isLeft = !this.#sessionEnded && (this.#isKept || (this.#resumes && !this.#isReady));
    if (!this.#sessionEnded) {
      this.#failure ??= new SpinneyError(
        'ERR_MOUNT',
        `Cannot serve ${this.mountpoint}: the session worker died`,
      );
      this.#log('error', `The session worker died: ${this.#failure}`, { stack: this.#failure.stack });
      if (!isLeft) abortConnection(this.#device);
    }
    this.#state.stopIo();
    this.#tasks.wake();
    const ioEnded = await within(WORKER_DEADLINE_MS, this.#ioExit);
    if (!ioEnded) {
      this.#log('error', 'The I/O worker does not end; going on without it');
      this.#io.unref();
    }
    // Another daemon goes on with it.
    if (isLeft) return { reason: 'failed', error: this.#failure! };
    if (isMounted(this.#device)) await unmountDevice(this.#device, 'detach');
    if (ioEnded) {
      libc.close(this.#device.fd);
      this.#state.dispose();
    } else {
      abortConnection(this.#device);
      // An end of the pipe that takes no bytes.
      libc.dup3(this.#state.memory.readEnd, this.#device.fd, libc.O_CLOEXEC);
    }
    return this.#failure === undefined ? { reason: 'unmounted' } : { reason: 'failed', error: this.#failure };
  }
}

/** Resolves when the worker has exited. */
function exitOf(worker: Worker): Promise<unknown> {
  return new Promise((resolve) => worker.once('exit', resolve));
}

/** Whether the promise settles within the time. */
async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

function sessionPlace(
  { connection, mountpoint }: DeviceMount,
  { attach, sessionDirectory }: MountOptions,
): SessionPlace | undefined {
  if (sessionDirectory === undefined) return undefined;
  return { directory: sessionDirectory, connection, mountpoint, resumes: attach !== undefined };
}
