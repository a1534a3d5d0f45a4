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
import type { TreeHandle } from '../../engine/index.js';
import { TroubleList } from '../filesystem/contents/troubles.js';
import { openingProblem } from '../libc/descriptor-limit.js';
import * as libc from '../libc/libc.js';
import { describeRefused } from '../request-failures.js';
import type { MountEnd, Mounted, MountLog, MountOptions, MountStats } from '../types.js';
import {
  abortConnection,
  type DeviceMount,
  isMounted,
  unmountDevice,
  waitingRequests,
} from '../unmounting.js';
import { MountState } from './device/mount-state.js';
import { SharedQueue } from './device/shared-queue.js';
import { Commands } from './workers/commands.js';
import { Interrupts } from './workers/interrupts.js';
import { Watchdog, type WatchedState } from './workers/watchdog.js';
import type { SessionData, WorkerData, WorkerMessage } from './workers/worker-data.js';

/** Records in a queue between the workers. */
const QUEUE_CAPACITY = 4096;
/** How long a worker has to end after it was told to, before main goes on without it. */
const WORKER_DEADLINE_MS = 10_000;
/** How long an aborted session has to notice. */
const ABORT_DEADLINE_MS = 2000;
const LOOK_EVERY_MS = 1000;

/**
 * Serves what `mountDevice` mounted; resolves when the mount answers. Rejects with ERR_MOUNT, leaving nothing
 * behind, not even the mount.
 */
export async function mountKernel(
  device: DeviceMount,
  tree: TreeHandle,
  options: MountOptions,
  log: MountLog,
): Promise<Mounted> {
  let state: MountState;
  try {
    state = MountState.create();
  } catch (error) {
    await unmountDevice(device, 'detach');
    libc.close(device.fd);
    throw error;
  }
  const mounted = new KernelMount(device, state, tree, options, log);
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
  readonly #io: Worker;
  readonly #session: Worker;
  readonly #ioExit: Promise<unknown>;
  readonly #watchdog: Watchdog;
  readonly #troubles = new TroubleList();
  readonly snapshots: Commands;
  /** The session worker said that it came to its end. */
  #sessionEnded = false;
  #failure: Error | undefined;

  constructor(
    device: DeviceMount,
    state: MountState,
    tree: TreeHandle,
    options: MountOptions,
    log: MountLog,
  ) {
    this.#log = log;
    this.#state = state;
    this.#device = device;
    this.mountpoint = this.#device.mountpoint;
    const workerData: WorkerData = {
      tree,
      fd: this.#device.fd,
      state: this.#state.memory,
      tasks: this.#tasks.memory,
      results: this.#results.memory,
      contentDirectory: options.contentDirectory,
      readOnly: options.readOnly,
      snapshotDirectory: options.snapshotDirectory,
      entryTimeout: options.entryTimeout,
      attributeTimeout: options.attributeTimeout,
      negativeTimeout: options.negativeTimeout,
    };
    this.#io = new Worker(new URL('./workers/io-worker.js', import.meta.url), { workerData });
    const { port1, port2 } = new MessageChannel();
    const sessionData: SessionData = { ...workerData, commands: port2 };
    this.#session = new Worker(new URL('./workers/session-worker.js', import.meta.url), {
      workerData: sessionData,
      transferList: [port2],
    });
    // It keeps nobody alive.
    port1.unref();
    this.snapshots = new Commands((command) => {
      port1.postMessage(command);
      state.wakeSession();
    });
    this.#ioExit = exitOf(this.#io);
    this.ready = new Promise((resolve, reject) => {
      this.#session.on('message', (message: WorkerMessage) => {
        if (message.type === 'log') log(message.level, message.message, message.fields);
        else if (message.type === 'trouble') this.#troubles.update(message.ino, message.what);
        else if (message.type === 'ready') resolve();
        else if (message.type === 'answer') this.snapshots.answered(message.id, message.result);
        else this.#sessionEnded = true;
      });
      this.#session.once('exit', () => {
        const reason = this.#failure?.message ?? 'its session ended before the mount answered';
        reject(
          new SpinneyError('ERR_MOUNT', `Cannot mount ${this.mountpoint}: ${reason}`, {
            cause: this.#failure,
          }),
        );
      });
    });
    // Whoever awaits `ended` alone must not meet an unhandled rejection.
    this.ready.catch(() => {});
    this.#watchIo();
    this.#watchdog = new Watchdog(() => this.#look(), log);
    this.ended = this.#supervise();
  }

  stats(): MountStats {
    return this.#state.stats();
  }

  problems(): readonly string[] {
    return [
      ...this.#watchdog.problems,
      ...(this.#state.isOpeningFailing ? [openingProblem()] : []),
      ...describeRefused(this.#state.refused()),
      ...this.#troubles.lines(),
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
    const interrupts = new Interrupts(this.#device.fd, this.#tasks);
    const watching = setInterval(() => {
      this.#watchdog.sample();
      interrupts.sweep();
    }, LOOK_EVERY_MS).unref();
    await exitOf(this.#session);
    clearInterval(watching);
    this.snapshots.end();
    if (!this.#sessionEnded) {
      this.#failure ??= new SpinneyError(
        'ERR_MOUNT',
        `Cannot serve ${this.mountpoint}: the session worker died`,
      );
      this.#log('error', `The session worker died: ${this.#failure}`, { stack: this.#failure.stack });
      abortConnection(this.#device);
    }
    this.#state.stopIo();
    this.#tasks.wake();
    const ioEnded = await within(WORKER_DEADLINE_MS, this.#ioExit);
    if (!ioEnded) {
      this.#log('error', 'The I/O worker does not end; going on without it');
      this.#io.unref();
    }
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
