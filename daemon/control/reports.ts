/** What the control socket answers; the shapes are part of the public interface. */
import type { TreeStats } from '../../engine/api.js';
import type { MountStats } from '../../mount/types.js';

export interface StatsReport {
  version: string;
  store: { path: string };
  /** `blobs`, the rows per blob, only when asked for. */
  tree: Omit<TreeStats, 'blobs'> & { blobs?: TreeStats['blobs'] };
  mount: MountStats & { mountpoint: string };
  process: { pid: number; uptimeSeconds: number; rssBytes: number };
}

export interface HealthReport {
  /** `degraded`: something that an operator should look at; `reasons` says what. */
  status: 'ok' | 'degraded';
  reasons: string[];
}

export interface CheckpointReport {
  checkpoint: TreeStats['checkpoint'];
}

export interface CompactReport {
  before: { blobCount: number; averageFill: number };
  after: { blobCount: number; averageFill: number };
}

/** What the control server asks of the daemon. */
export interface ControlTarget {
  stats(options: { blobs: boolean }): StatsReport;
  health(): HealthReport;
  checkpoint(): Promise<CheckpointReport>;
  compact(): Promise<CompactReport>;
}

export interface ErrorReport {
  error: { code: string; message: string };
}
