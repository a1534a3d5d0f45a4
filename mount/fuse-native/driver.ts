/**
 * The fuse-native driver: the filesystem layer on the main loop, behind the fuse-native package. For where the
 * kernel driver cannot run; limits.md says what it cannot do.
 */
import { existsSync } from 'node:fs';
import type { TreeOperations } from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import { ContentFiles } from '../filesystem/contents/content.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { timedDisk } from '../filesystem/contents/disk/timed-disk.js';
import { TroubleList } from '../filesystem/contents/troubles.js';
import { FileSystem } from '../filesystem/file-system.js';
import type { SnapshotDirectories } from '../filesystem/past/snapshot-directories.js';
import { openingProblem } from '../libc/descriptor-limit.js';
import { findMount, readMountinfo } from '../mountpoints/mountinfo.js';
import {
  abortConnection,
  type DeviceMount,
  isMounted,
  unmountDevice,
  waitingRequests,
} from '../mountpoints/unmounting.js';
import type { RequestLog } from '../request-log/index.js';
import { describeRefused } from '../requests/request-failures.js';
import { InlineReclaimer } from '../stores/inline-reclaimer.js';
import type {
  MountEnd,
  Mounted,
  MountedSnapshots,
  MountLog,
  MountOptions,
  MountProblem,
  MountStats,
} from '../types.js';
import { loadBinding } from './binding.js';
import { InlineContentWorker } from './content-worker.js';
import { Counts, NAMES } from './counts.js';
import { OperationLog } from './operation-log.js';
import { makeOperations } from './operations.js';
import { mountOptionString } from './option-string.js';
import { ParkedRequests } from './parked-requests.js';
import { InlineSnapshots } from './snapshots.js';

const MOUNT_DEADLINE_MS = 15_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** The binding does not tell when the mount ends, so it is looked for this often. */
const LOOK_AGAIN_MS = 500;
const CONNECTIONS = '/sys/fs/fuse/connections';

/** Mounts `tree`; resolves when the mount answers. Rejects with ERR_MOUNT and the reason, leaving nothing behind. */
export async function mountFuseNative(
  tree: TreeOperations,
  options: MountOptions,
  log: MountLog,
): Promise<Mounted> {
  const fsname = mountOptionString(options);
  const Binding = loadBinding();
  const disk = timedDisk(new SystemDisk());
  const contents = new ContentFiles(disk, options.contentDirectory, options.readOnly);
  const reclaimer = new InlineReclaimer(
    tree,
    contents,
    (removed) => {
      fileSystem.reclaimed(removed);
      snapshots.workOn();
    },
    log,
  );
  const worker = new InlineContentWorker(
    contents,
    () => fileSystem.snapshots,
    () => {
      parked.serve();
      snapshots.workOn();
    },
    log,
  );
  const parked = new ParkedRequests();
  const troubles = new TroubleList();
  const fileSystem = new FileSystem(tree, {
    contentDirectory: options.contentDirectory,
    readOnly: options.readOnly,
    keepsNodes: false,
    rests: false,
    snapshotDirectory: options.snapshotDirectory,
    reclaimer,
    worker,
    log,
    troubled: troubles.update,
    disk,
  });
  const snapshots = new InlineSnapshots(() => fileSystem.snapshots);
  fileSystem.start();
  const counts = new Counts();
  const requestLog = new OperationLog(NAMES);
  const operations = makeOperations(fileSystem, () => reclaimer.run(), parked, log, counts, requestLog);
  const closeFileSystem = () => {
    reclaimer.run();
    fileSystem.close();
  };
  try {
    const binding = new Binding(options.mountpoint, operations, {
      fsname,
      subtype: 'spinney',
      defaultPermissions: true,
      allowOther: options.allowOther,
      timeout: REQUEST_TIMEOUT_MS,
    });
    for (const [name, operation] of Object.entries(operations)) {
      Object.assign(binding, { [`_op_${name}`]: operation });
    }
    await mounted(binding, options.mountpoint);
    const entry = findMount(options.mountpoint);
    if (entry === undefined) throw cannotMount(options.mountpoint, 'it ended at once');
    const device = { fd: -1, mountpoint: options.mountpoint, connection: entry.minor };
    const { past } = fileSystem;
    return new FuseNativeMount(
      device,
      options.source,
      counts,
      requestLog.reader,
      troubles,
      snapshots,
      past,
      closeFileSystem,
    );
  } catch (error) {
    closeFileSystem();
    throw error;
  }
}

function mounted(
  binding: { mount(done: (error: Error | null) => void): void },
  mountpoint: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(cannotMount(mountpoint, `the kernel did not answer within ${MOUNT_DEADLINE_MS / 1000} s`)),
      MOUNT_DEADLINE_MS,
    );
    binding.mount((error) => {
      clearTimeout(timer);
      if (error === null || error === undefined) resolve();
      else reject(cannotMount(mountpoint, `${error.message}; is fusermount on the PATH (package fuse3)?`));
    });
  });
}

function isMountedAt(path: string): boolean {
  return findMount(path) !== undefined;
}

function cannotMount(mountpoint: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot mount at ${mountpoint} with fuse-native: ${reason}`);
}

class FuseNativeMount implements Mounted {
  readonly driver = 'fuse-native';
  // The connection is the library's, so no other daemon could go on with it.
  readonly resumed = undefined;
  readonly descriptor = undefined;
  readonly mountpoint: string;
  readonly snapshots: MountedSnapshots;
  readonly requestLog: RequestLog;
  readonly ended: Promise<MountEnd>;
  readonly #device: DeviceMount;
  readonly #source: string;
  readonly #counts: Counts;
  readonly #troubles: TroubleList;
  #aborted = false;

  constructor(
    device: DeviceMount,
    source: string,
    counts: Counts,
    requestLog: RequestLog,
    troubles: TroubleList,
    snapshots: MountedSnapshots,
    past: SnapshotDirectories,
    close: () => void,
  ) {
    this.snapshots = snapshots;
    this.requestLog = requestLog;
    this.mountpoint = device.mountpoint;
    this.#device = device;
    this.#source = source;
    this.#counts = counts;
    this.#troubles = troubles;
    this.ended = new Promise((resolve) => {
      const timer = setInterval(() => {
        past.rest();
        if (!this.#looksGone()) return;
        clearInterval(timer);
        try {
          close();
          resolve({ reason: 'unmounted' });
        } catch (error) {
          resolve({ reason: 'failed', error: error instanceof Error ? error : new Error(String(error)) });
        }
      }, LOOK_AGAIN_MS);
    });
  }

  handOver(): Promise<boolean> {
    return Promise.resolve(false);
  }

  stats(): MountStats {
    return {
      driver: this.driver,
      ...this.#counts.stats(),
      waitingInKernel: waitingRequests(this.#device),
      requestLog: this.requestLog.figures(),
    };
  }

  /** That it hangs it cannot tell: it is served by the thread that would answer. */
  problems(): readonly MountProblem[] {
    const refused = describeRefused(this.#counts.refused());
    const opening = this.#counts.openingFails ? [openingProblem()] : [];
    return [...opening, ...refused, ...this.#troubles.problems()];
  }

  async unmount(how: 'plain' | 'detach' | 'abort'): Promise<boolean> {
    if (how === 'abort') {
      this.#aborted = true;
      abortConnection(this.#device);
      return unmountDevice(this.#device, 'detach');
    }
    return unmountDevice(this.#device, how);
  }

  /** Without a descriptor nobody can look: then it is looked for again. */
  #looksGone(): boolean {
    try {
      return this.#isGone();
    } catch {
      return false;
    }
  }

  /** A detached mount lives on, without a name, until its last user has gone. */
  #isGone(): boolean {
    if (isMounted(this.#device)) return false;
    if (this.#aborted || this.#hasSuccessor()) return true;
    if (existsSync(`${CONNECTIONS}/${this.#device.connection}`)) return false;
    // Where the control filesystem is not mounted, open files are all that is known of users.
    return this.#counts.openFiles <= 0 || isMountedAt(CONNECTIONS);
  }

  /** Whether a later mount, of another store, has the connection's number, which was free then. */
  #hasSuccessor(): boolean {
    const { connection } = this.#device;
    return readMountinfo().some(
      ({ major, minor, source }) => major === 0 && minor === connection && source !== this.#source,
    );
  }
}
