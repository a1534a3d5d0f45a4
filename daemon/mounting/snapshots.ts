/** The snapshots of a store that is mounted, as the control socket and the schedule see them. */
import type { SnapshotInfo, TreeOperations } from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import { isScheduledName } from '../../mount/snapshot-names.js';
import type { Mounted } from '../../mount/types.js';
import type { ChangeReport, SnapshotReport, SnapshotTarget } from '../control/reports.js';
import type { Admin } from './admin.js';

export class Snapshots implements SnapshotTarget {
  readonly #tree: Pick<TreeOperations, 'snapshots'>;
  readonly #admin: Pick<Admin, 'run'>;
  readonly #mount: () => Mounted;

  constructor(tree: Pick<TreeOperations, 'snapshots'>, admin: Pick<Admin, 'run'>, mount: () => Mounted) {
    this.#tree = tree;
    this.#admin = admin;
    this.#mount = mount;
  }

  list(): SnapshotReport[] {
    return this.#tree.snapshots().map(reportOf);
  }

  /** Refuses names that the schedule gives. */
  async create(name: string): Promise<SnapshotReport> {
    refuseScheduledName(name);
    return await this.make(name);
  }

  async make(name: string): Promise<SnapshotReport> {
    return reportOf(await this.#mount().snapshots.takeSnapshot(name));
  }

  async delete(name: string): Promise<SnapshotReport> {
    const deleted = findSnapshot(this.#tree, name);
    await this.#mount().snapshots.deleteSnapshot(name);
    return deleted;
  }

  /** In parts, so that other admin work has its turn between them. */
  async *diff(before: string, after: string | undefined): AsyncGenerator<ChangeReport> {
    const id = await this.#admin.run('beginDiff', before, after);
    try {
      for (let isDone = false; !isDone; ) {
        const part = await this.#admin.run('goOnWithDiff', id);
        isDone = part.isDone;
        yield* part.changes;
      }
    } finally {
      await this.#admin.run('endDiff', id);
    }
  }
}

export function reportOf({ name, id, lsn, createdAt, ownBytes }: SnapshotInfo): SnapshotReport {
  return { name, id, lsn, createdAt: new Date(createdAt).toISOString(), ownBytes };
}

/** Throws ERR_NOT_FOUND. */
export function findSnapshot(tree: Pick<TreeOperations, 'snapshots'>, name: string): SnapshotReport {
  const found = tree.snapshots().find((snapshot) => snapshot.name === name);
  if (found !== undefined) return reportOf(found);
  const quoted = JSON.stringify(name);
  throw new SpinneyError('ERR_NOT_FOUND', `Cannot find the snapshot ${quoted}: there is none of that name`);
}

/** Throws ERR_INVALID_ARGUMENT. */
export function refuseScheduledName(name: string): void {
  if (!isScheduledName(name)) return;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot make the snapshot ${name}: the schedule gives such names, and deletes what has them; take another`,
  );
}
