/** What the daemon tells through its control socket, and of itself to the service manager. */
import { statfs } from 'node:fs/promises';
import type { TreeOperations } from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import { describeUsers, isMountedAt, mountUsers } from '../../mount/mount-users.js';
import type { MountEntry } from '../../mount/mountinfo.js';
import type { Mounted, MountStats } from '../../mount/types.js';
import type {
  CheckpointReport,
  CompactReport,
  ControlTarget,
  HealthReport,
  ScrubReport,
  SnapshotTarget,
  StatsReport,
} from '../control/reports.js';
import type { Logger } from '../process/log.js';
import { version } from '../process/version.js';
import { DEFAULT_SCRUB_MIB, type Scrubber } from './scrubber.js';

/** What is asked of the admin worker. */
interface StatusAdmin {
  run(work: 'checkpoint' | 'compact'): Promise<unknown>;
}

type MountState = 'starting' | 'up' | 'gone' | 'failed';

const LOOKS_UNTIL_TOLD = 2;

export class Status implements ControlTarget {
  readonly #tree: Pick<TreeOperations, 'stats'>;
  readonly #admin: StatusAdmin;
  readonly #where: { store: string; mountpoint: string };
  readonly snapshots: SnapshotTarget;
  /** What is wrong beside tree and mount. */
  readonly #otherProblems: () => readonly (string | undefined)[];
  #scrubber: Scrubber | undefined;
  #mounted: Mounted | undefined;
  #mountState: MountState = 'starting';
  #entry: MountEntry | undefined;
  /** How often in a row the mount was not found at its place. */
  #displacedLooks = 0;

  constructor(
    tree: Pick<TreeOperations, 'stats'>,
    admin: StatusAdmin,
    where: { store: string; mountpoint: string },
    snapshots: SnapshotTarget,
    otherProblems: () => readonly (string | undefined)[] = () => [],
  ) {
    this.#otherProblems = otherProblems;
    this.#tree = tree;
    this.#admin = admin;
    this.#where = where;
    this.snapshots = snapshots;
  }

  setScrubber(scrubber: Scrubber): void {
    this.#scrubber = scrubber;
  }

  /** `entry` is the mount in the table of mounts. */
  setMount(mounted: Mounted, entry?: MountEntry): void {
    this.#mounted = mounted;
    this.#entry = entry;
    this.#mountState = 'up';
    void mounted.ended.then((end) => {
      this.#mountState = end.reason === 'failed' ? 'failed' : 'gone';
    });
  }

  /**
   * Says in the log, once, that the mount is gone from its place and yet in use: at the second look, because after an unmount
   * the kernel takes a while to forget a million inodes.
   */
  lookForMount(log: Pick<Logger, 'warn'>): void {
    let displaced: string | undefined;
    try {
      displaced = this.#displaced();
    } catch {
      // Nobody can look without a descriptor: the next time, then. Nothing else waits for it.
      return;
    }
    this.#displacedLooks = displaced === undefined ? 0 : this.#displacedLooks + 1;
    if (displaced !== undefined && this.#displacedLooks === LOOKS_UNTIL_TOLD) log.warn(displaced);
  }

  /** What keeps a mount going that is not at its place any more. */
  #displaced(): string | undefined {
    const entry = this.#entry;
    if (entry === undefined || this.#mountState !== 'up' || isMountedAt(entry.mountpoint, entry))
      return undefined;
    return `the mount is no longer at ${entry.mountpoint}, but still in use: ${describeUsers(mountUsers(entry))}`;
  }

  stats({ blobs }: { blobs: boolean }): StatsReport {
    const { blobs: rows, ...tree } = this.#tree.stats();
    return {
      version,
      store: { path: this.#where.store },
      tree: blobs ? { ...tree, blobs: rows } : tree,
      mount: { mountpoint: this.#where.mountpoint, ...this.#mountStats() },
      snapshots: { ...tree.snapshots, contentBytes: this.snapshots.contentBytes },
      ...this.#scrubStats(),
      process: {
        pid: process.pid,
        uptimeSeconds: Math.round(process.uptime()),
        rssBytes: process.memoryUsage.rss(),
      },
    };
  }

  #scrubStats(): Pick<StatsReport, 'scrub'> {
    if (this.#scrubber === undefined) return {};
    const { isRunning, last } = this.#scrubber;
    return { scrub: { isRunning, ...(last !== undefined && { last }) } };
  }

  #mountStats(): MountStats {
    if (this.#mounted === undefined) {
      throw new SpinneyError(
        'ERR_MOUNT',
        `Cannot tell the stats of ${this.#where.mountpoint}: it is not up yet`,
      );
    }
    return this.#mounted.stats();
  }

  health(): HealthReport {
    const reasons: string[] = [];
    if (this.#mountState !== 'up')
      reasons.push(`the mount at ${this.#where.mountpoint} is ${this.#mountState}`);
    if (this.#mountState === 'up') reasons.push(...(this.#mounted?.problems() ?? []));
    const displaced = this.#displaced();
    if (displaced !== undefined) reasons.push(displaced);
    for (const { id, message, prefix } of this.#scrubber?.last?.damaged ?? []) {
      const keys = prefix === undefined ? '' : `; its keys begin with "${prefix}"`;
      reasons.push(`the last scrub found blob ${id} damaged: ${message}${keys}`);
    }
    try {
      const { failure, checkpoint, unreadableBlobs, space } = this.#tree.stats();
      if (failure !== undefined) reasons.push(`every change is refused: ${failure}`);
      const { lastError } = checkpoint;
      if (space.exhausted) {
        const where = `the disk of ${this.#where.store} is full, ${space.freeBytes} bytes free`;
        reasons.push(`writes get ENOSPC: ${where}; what is there can be removed`);
      }
      if (lastError !== undefined) reasons.push(`the last checkpoint failed: ${lastError}`);
      for (const { id, errors, prefix } of unreadableBlobs) {
        const keys = prefix === undefined ? '' : `; its keys begin with "${prefix}"`;
        reasons.push(`blob ${id} cannot be read (tried ${errors} times)${keys}`);
      }
    } catch (error) {
      reasons.push(`the tree does not answer: ${error instanceof Error ? error.message : String(error)}`);
    }
    reasons.push(...this.#otherProblems().filter((problem) => problem !== undefined));
    return { status: reasons.length === 0 ? 'ok' : 'degraded', reasons };
  }

  /** How the daemon does, in a line for people. */
  summary(): string {
    const { store, mountpoint } = this.#where;
    const { reasons } = this.health();
    const serves = `Serves ${store} at ${mountpoint}`;
    return reasons.length === 0 ? serves : `${serves}; degraded: ${reasons.join('; ')}`;
  }

  /** Resolves when the mount has answered, false where that was an error; never, while it hangs. */
  async answers(): Promise<boolean> {
    const entry = this.#entry;
    // Gone from its place it is in use elsewhere, where this process has no path to ask by.
    if (entry === undefined || !isMountedAt(entry.mountpoint, entry)) return true;
    try {
      // The kernel keeps no answer to this one. On a thread of libuv's pool: whoever serves the mount may be this thread.
      await statfs(entry.mountpoint);
      return true;
    } catch {
      return false;
    }
  }

  async checkpoint(): Promise<CheckpointReport> {
    await this.#admin.run('checkpoint');
    return { checkpoint: this.#tree.stats().checkpoint };
  }

  async scrub({ rate = DEFAULT_SCRUB_MIB }: { rate: number | undefined }): Promise<ScrubReport> {
    if (this.#scrubber === undefined)
      throw new SpinneyError('ERR_MOUNT', 'Cannot scrub: the mount is not up yet');
    return await this.#scrubber.run(rate);
  }

  async compact(): Promise<CompactReport> {
    const before = this.#fill();
    await this.#admin.run('compact');
    return { before, after: this.#fill() };
  }

  #fill(): CompactReport['before'] {
    const { blobCount, averageFill } = this.#tree.stats();
    return { blobCount, averageFill };
  }
}
