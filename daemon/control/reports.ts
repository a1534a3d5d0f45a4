/** What the control socket answers; the shapes are part of the public interface. */
import type { TreeStats } from '../../engine/api.js';
import type { MountStats } from '../../mount/types.js';

export interface StatsReport {
  version: string;
  store: { path: string };
  /** `blobs`, the rows per blob, only when asked for. */
  tree: Omit<TreeStats, 'blobs'> & { blobs?: TreeStats['blobs'] };
  mount: MountStats & { mountpoint: string };
  /** What only snapshots have: bytes of names, and of contents as they were when last looked at. */
  snapshots: { count: number; bytes: number; contentBytes: number };
  scrub?: { isRunning: boolean; last?: ScrubReport };
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

/** What came of verifying all blobs. Times as ISO 8601 tells them. */
export interface ScrubReport {
  startedAt: string;
  endedAt: string;
  blobs: number;
  /** `prefix`: what the keys in it begin with, where that is known. */
  damaged: { id: number; message: string; prefix?: string; snapshot?: string }[];
}

/** `createdAt` as ISO 8601 tells it; `ownBytes`: of names and contents that only this snapshot has, which its deletion gives back. */
export interface SnapshotReport {
  name: string;
  id: number;
  createdAt: string;
  lsn: number;
  ownBytes: number;
}

/**
 * What happened to a path. A path is text; where it is not UTF-8, `pathBytes` has its bytes as base64, and `path` what is readable of
 * it. `from`: where it was before it was moved; `isChanged`: it changed, too.
 */
export interface ChangeReport {
  change: 'made' | 'changed' | 'moved' | 'removed';
  path: string;
  pathBytes?: string;
  from?: string;
  fromBytes?: string;
  isChanged?: true;
  type: string;
  ino: number;
}

/** What it asks about snapshots. */
export interface SnapshotTarget {
  /** Of contents that only snapshots have, as they were when last looked at. */
  readonly contentBytes: number;
  list(): Promise<SnapshotReport[]>;
  create(name: string): Promise<SnapshotReport>;
  delete(name: string): Promise<SnapshotReport>;
  /** `after` undefined: now. */
  diff(before: string, after: string | undefined): AsyncIterable<ChangeReport>;
}

/** What the control server asks of the daemon. */
export interface ControlTarget {
  readonly snapshots: SnapshotTarget;
  stats(options: { blobs: boolean }): StatsReport;
  health(): HealthReport;
  checkpoint(): Promise<CheckpointReport>;
  compact(): Promise<CompactReport>;
  /** `rate`: MiB a second at most. */
  scrub(options: { rate: number | undefined }): Promise<ScrubReport>;
}

export interface ErrorReport {
  error: { code: string; message: string };
}
