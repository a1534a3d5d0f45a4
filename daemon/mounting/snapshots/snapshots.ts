/** The snapshots of a store that is mounted, as the control socket and the schedule see them. */
import type { SnapshotInfo, TreeOperations } from '../../../engine/api.js';
import { SpinneyError } from '../../../engine/errors.js';
import { isScheduledName } from '../../../mount/snapshot-names.js';
import type { MountedSnapshots } from '../../../mount/types.js';
import type { ChangeReport, SnapshotReport, SnapshotTarget } from '../../control/reports.js';
import type { Logger } from '../../process/log/log.js';
import type { Admin } from '../admin/admin.js';

/** Kept contents that are looked at before other admin work has its turn. */
const CONTENTS_PER_PART = 4_096;
const MEASURE_EVERY_MS = 5 * 60_000;

interface Measured {
  bytes: number;
  own: Map<number, number>;
}

export class Snapshots implements SnapshotTarget {
  readonly #tree: Pick<TreeOperations, 'snapshots'>;
  readonly #admin: Pick<Admin, 'run'>;
  readonly #mounted: () => MountedSnapshots;
  readonly #contentDirectory: string;
  readonly #log: Pick<Logger, 'warn'>;
  #measured: Measured = { bytes: 0, own: new Map() };
  #measuring: Promise<Measured> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    tree: Pick<TreeOperations, 'snapshots'>,
    admin: Pick<Admin, 'run'>,
    mounted: () => MountedSnapshots,
    contentDirectory: string,
    log: Pick<Logger, 'warn'>,
  ) {
    this.#tree = tree;
    this.#admin = admin;
    this.#mounted = mounted;
    this.#contentDirectory = contentDirectory;
    this.#log = log;
  }

  /** From now on contents that only snapshots have are looked at now and then, for the figures. */
  start(): void {
    this.#timer = setInterval(() => this.#measureLater(), MEASURE_EVERY_MS).unref();
    this.#measureLater();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get contentBytes(): number {
    return this.#measured.bytes;
  }

  names(): { name: string }[] {
    return this.#tree.snapshots();
  }

  async list(): Promise<SnapshotReport[]> {
    const snapshots = this.#tree.snapshots();
    const { own } = await this.#measure();
    return snapshots.map((snapshot) => reportOf(snapshot, own.get(snapshot.id)));
  }

  /** Refuses names that the schedule gives. */
  async create(name: string): Promise<SnapshotReport> {
    refuseScheduledName(name);
    return await this.make(name);
  }

  async make(name: string): Promise<SnapshotReport> {
    // Clients wait while a snapshot is made, so most is written before it. What is wrong the snapshot tells.
    await this.#admin.run('checkpoint').catch(() => {});
    return reportOf(await this.#mounted().takeSnapshot(name));
  }

  async delete(name: string): Promise<SnapshotReport> {
    const found = findSnapshot(this.#tree, name);
    await this.#mounted().deleteSnapshot(name);
    const ownContentBytes = this.#measured.own.get(found.id);
    this.#measureLater();
    return reportOf(found, ownContentBytes);
  }

  /** In parts, so that other admin work has its turn between them. */
  async *diff(before: string, after: string | undefined, signal: AbortSignal): AsyncGenerator<ChangeReport> {
    const id = await this.#admin.run('beginDiff', before, after);
    try {
      for (let isDone = false; !isDone; ) {
        // A part may have nothing to tell, and then nobody else looks whether anybody waits.
        signal.throwIfAborted();
        const part = await this.#admin.run('goOnWithDiff', id);
        isDone = part.isDone;
        yield* part.changes;
      }
    } finally {
      await this.#admin.run('endDiff', id);
    }
  }

  /** Joins one that goes on. */
  #measure(): Promise<Measured> {
    this.#measuring ??= this.#measureAll().finally(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  #measureLater(): void {
    this.#measure().catch((error: unknown) => {
      if (error instanceof SpinneyError && error.code === 'ERR_CLOSED') return;
      this.#log.warn({ err: error }, 'could not find out what contents only snapshots have');
    });
  }

  async #measureAll(): Promise<Measured> {
    const ids = this.#tree.snapshots().map(({ id }) => id);
    const all: Measured = { bytes: 0, own: new Map() };
    let next: Uint8Array | undefined;
    do {
      const part = await this.#admin.run(
        'measureKeptContents',
        this.#contentDirectory,
        ids,
        next,
        CONTENTS_PER_PART,
      );
      all.bytes += part.bytes;
      for (const [id, bytes] of part.own) all.own.set(id, (all.own.get(id) ?? 0) + bytes);
      ({ next } = part);
    } while (next !== undefined);
    this.#measured = all;
    return all;
  }
}

/** `ownContentBytes`: of contents that only this snapshot has. */
export function reportOf(snapshot: SnapshotInfo, ownContentBytes = 0): SnapshotReport {
  const { name, id, lsn, createdAt, ownBytes } = snapshot;
  return {
    name,
    id,
    lsn,
    createdAt: new Date(createdAt).toISOString(),
    ownBytes: ownBytes + ownContentBytes,
  };
}

/** Throws ERR_NOT_FOUND. */
export function findSnapshot(tree: Pick<TreeOperations, 'snapshots'>, name: string): SnapshotInfo {
  const found = tree.snapshots().find((snapshot) => snapshot.name === name);
  if (found !== undefined) return found;
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
