import type { SnapshotInfo } from '../../engine/api.js';
import type { SnapshotOperations } from '../filesystem/types.js';
import type { MountedSnapshots, PurgeProgress } from '../types.js';

/** Snapshots on the main loop, which serves the requests, too. */
export class InlineSnapshots implements MountedSnapshots {
  readonly #snapshots: () => SnapshotOperations;
  #isScheduled = false;

  constructor(snapshots: () => SnapshotOperations) {
    this.#snapshots = snapshots;
  }

  async takeSnapshot(name: string): Promise<SnapshotInfo> {
    return this.#snapshots().take(name);
  }

  async deleteSnapshot(name: string): Promise<void> {
    this.#snapshots().delete(name);
    this.workOn();
  }

  async purgeProgress(): Promise<PurgeProgress | undefined> {
    const { progress } = this.#snapshots();
    return progress === undefined ? undefined : { ...progress };
  }

  /** Removes what no snapshot needs, between requests, until it has to wait. */
  workOn(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#snapshots().work()) this.workOn();
    }).unref();
  }
}
