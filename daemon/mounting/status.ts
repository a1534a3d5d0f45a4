/** What the daemon tells through its control socket. */
import type { TreeOperations } from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import type { Mounted, MountStats } from '../../mount/types.js';
import type {
  CheckpointReport,
  CompactReport,
  ControlTarget,
  HealthReport,
  StatsReport,
} from '../control/reports.js';
import { version } from '../process/version.js';
import type { Admin } from './admin.js';

type MountState = 'starting' | 'up' | 'gone' | 'failed';

export class Status implements ControlTarget {
  readonly #tree: Pick<TreeOperations, 'stats'>;
  readonly #admin: Pick<Admin, 'run'>;
  readonly #where: { store: string; mountpoint: string };
  #mounted: Mounted | undefined;
  #mountState: MountState = 'starting';

  constructor(
    tree: Pick<TreeOperations, 'stats'>,
    admin: Pick<Admin, 'run'>,
    where: { store: string; mountpoint: string },
  ) {
    this.#tree = tree;
    this.#admin = admin;
    this.#where = where;
  }

  setMount(mounted: Mounted): void {
    this.#mounted = mounted;
    this.#mountState = 'up';
    void mounted.ended.then((end) => {
      this.#mountState = end.reason === 'failed' ? 'failed' : 'gone';
    });
  }

  stats({ blobs }: { blobs: boolean }): StatsReport {
    const { blobs: rows, ...tree } = this.#tree.stats();
    return {
      version,
      store: { path: this.#where.store },
      tree: blobs ? { ...tree, blobs: rows } : tree,
      mount: { mountpoint: this.#where.mountpoint, ...this.#mountStats() },
      process: {
        pid: process.pid,
        uptimeSeconds: Math.round(process.uptime()),
        rssBytes: process.memoryUsage.rss(),
      },
    };
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
    try {
      const { checkpoint, unreadableBlobs } = this.#tree.stats();
      const { lastError } = checkpoint;
      if (lastError !== undefined) reasons.push(`the last checkpoint failed: ${lastError}`);
      for (const { id, errors, prefix } of unreadableBlobs) {
        const keys = prefix === undefined ? '' : `; its keys begin with "${prefix}"`;
        reasons.push(`blob ${id} cannot be read (tried ${errors} times)${keys}`);
      }
    } catch (error) {
      reasons.push(`the tree does not answer: ${error instanceof Error ? error.message : String(error)}`);
    }
    return { status: reasons.length === 0 ? 'ok' : 'degraded', reasons };
  }

  async checkpoint(): Promise<CheckpointReport> {
    await this.#admin.run('checkpoint');
    return { checkpoint: this.#tree.stats().checkpoint };
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
