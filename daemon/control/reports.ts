/** What the control socket answers; the shapes are part of the public interface. */

import type { PartName } from '../../engine/stopwatch.js';
import type { TreeStats } from '../../engine/tree-stats.js';
import type { ContentTotals } from '../../mount/sums/content-totals.js';
import type { DriverName, MountStats, RemoteStats, WarmProgress } from '../../mount/types.js';
import type { HealthReport, RestartsReport } from '../health/health-record.js';

export type { HealthReport, ProblemReport, RestartsReport } from '../health/health-record.js';

export interface StatsReport {
  version: string;
  store: { path: string };
  /** `blobs`, the rows per blob, only when asked for. */
  tree: Omit<TreeStats, 'blobs'> & { blobs?: TreeStats['blobs'] };
  mount: MountStats & { mountpoint: string };
  /** What only snapshots have: bytes of names, and of contents as they were when last looked at. */
  snapshots: { count: number; bytes: number; contentBytes: number };
  /** What the mount has in all, as last summed up; missing until then, and of a store that keeps no sums. */
  contents?: ContentTotals;
  /** What the store's disk has, as last looked at; missing until then. */
  disk?: DiskReport;
  scrub?: { isRunning: boolean; last?: ScrubReport };
  /** Of a store that has one. */
  remote?: RemoteReport;
  restarts?: RestartsReport;
  process: ProcessReport;
}

/** The object store that a store is kept in. */
export interface RemoteReport extends RemoteStats {
  /** `s3://bucket/prefix`. */
  url: string;
  endpoint?: string;
  /** What an fsync waits for. */
  durability: 'local' | 'remote';
}

/** How far contents are that are brought here. */
export type WarmReport = WarmProgress;

/** What it asks about contents that a remote has. */
export interface RemoteTarget {
  /**
   * Brings all contents at or below a path of the mount, in bytes; `progress` is told how far that is. Rejects with ERR_NOT_FOUND, and with ERR_REMOTE_REFUSED where
   * the store has no remote; with the signal's reason.
   */
  warm(path: Uint8Array, progress: (told: WarmReport) => void, signal: AbortSignal): Promise<WarmReport>;
}

export interface ProcessReport {
  pid: number;
  /** As ISO 8601 tells it. */
  startedAt: string;
  uptimeSeconds: number;
  rssBytes: number;
  cpuUserSeconds: number;
  cpuSystemSeconds: number;
}

export interface DiskReport {
  totalBytes: number;
  /** What is left for users that are not root. */
  freeBytes: number;
  /** 0: the filesystem has no such limit. */
  totalInodes: number;
  freeInodes: number;
  /** When that was, as ISO 8601 tells it; long ago, where the disk hangs. */
  lookedAt: string;
}

export interface CheckpointReport {
  checkpoint: TreeStats['checkpoint'];
}

export interface CompactReport {
  before: { blobCount: number; averageFill: number };
  after: { blobCount: number; averageFill: number };
}

/** What came of verifying all blobs and the manifest. Times as ISO 8601 tells them. */
export interface ScrubReport {
  startedAt: string;
  endedAt: string;
  blobs: number;
  /** `prefix`: what the keys in it begin with, where that is known. */
  damaged: { id: number; message: string; prefix?: string; snapshot?: string }[];
  /** What is wrong with the manifest; left out where nothing is. */
  manifest?: string;
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
  diff(before: string, after: string | undefined, signal: AbortSignal): AsyncIterable<ChangeReport>;
}

/** What the mount is at the moment, by the names of the options of `spinney mount`, and as these take it. */
export interface SettingsReport {
  settings: Record<string, string>;
  /** Names of those that can change while the store is mounted. */
  changeable: readonly string[];
}

export interface SettingsChange {
  /** All, as they are now. */
  settings: Record<string, string>;
  changed: Record<string, { from: string; to: string }>;
  /** What to know about the change, a sentence each. */
  notes: string[];
}

export interface SettingsTarget {
  report(): SettingsReport;
  /** All of them or none. */
  change(wanted: Readonly<Record<string, string>>): Promise<SettingsChange>;
}

/** What is mounted, by whom, and how it does. */
export interface StatusReport {
  version: string;
  pid: number;
  store: string;
  mountpoint: string;
  /** Of a mount that is up. */
  driver?: DriverName;
  /** When it came up, as ISO 8601 tells it. */
  since?: string;
  health: HealthReport;
  settings: Record<string, string>;
  /** Of a store that has one: how far it is. */
  remote?: Pick<
    RemoteReport,
    'url' | 'state' | 'epoch' | 'lagSeconds' | 'lagBytes' | 'contentBytesWaiting' | 'durability' | 'following'
  >;
}

/**
 * A request that was answered. Paths are from the mount's root on, and told as those of ChangeReport; `pathLength` and `toLength` are there
 * where one is cut: bytes of the whole one.
 */
export interface RequestReport {
  /** When it was taken up, as ISO 8601 tells it. */
  time: string;
  operation: string;
  path?: string;
  pathBytes?: string;
  pathLength?: number;
  /** The new path of what was renamed, linked or copied to. */
  to?: string;
  toBytes?: string;
  toLength?: number;
  /** Of what it was about, where that has no path. */
  ino?: number;
  /** Who sent it; missing where the driver does not tell. Pid 0: the kernel by itself. */
  uid?: number;
  pid?: number;
  /** `ok`, or the errno's name. */
  result: string;
  /** From when it was taken up to its answer. */
  microseconds: number;
  /** What these went to, where that is not nothing. */
  waits: Partial<Record<PartName, number>>;
}

/** So many requests passed by unread since the line before, whatever was asked for. */
export interface MissReport {
  missed: number;
}

export interface BusyCount {
  requests: number;
  /** Their times in all. */
  microseconds: number;
}

/** Who asked, and where, in a while of so many milliseconds: the busiest first. */
export interface BusyReport {
  time: string;
  milliseconds: number;
  seen: number;
  missed: number;
  clients: ({ uid?: number; pid?: number } & BusyCount)[];
  /** Those that requests' paths are in, and those that were listed. */
  directories: ({ path: string; pathBytes?: string } & BusyCount)[];
}

/** Which requests are wanted; undefined: all. */
export interface RequestQuery {
  /** Milliseconds that they took at least. */
  slower: number | undefined;
  operations: readonly string[] | undefined;
  /** From the mount's root on: that and what is below it. */
  path: string | undefined;
  uid: number | undefined;
}

/** Lines of JSON that come as things happen. */
export interface LineSource {
  /** No more will come than `take` gives now. */
  readonly hasEnded: boolean;
  /** Those since the last call, each with its end; empty: none. */
  take(): string;
  /** Nobody can take any now. To be called now and then. */
  skip(): void;
  end(): void;
}

/** What it asks about requests. Methods throw ERR_INVALID_ARGUMENT, for a query that cannot be met. */
export interface RequestTarget {
  /** The slow ones that are kept, in the order of their answers. */
  slow(query: RequestQuery): RequestReport[];
  /** Those that are answered from now on, as RequestReports and MissReports. Throws ERR_TOO_MANY_LISTENERS. */
  follow(query: RequestQuery): LineSource;
  /** The same as BusyReports, one in so many milliseconds. */
  followBusy(query: RequestQuery, milliseconds: number): LineSource;
}

/** What a daemon tells of itself for a debug bundle, beside what it tells anyway. */
export interface DebugReport {
  version: string;
  node: string;
  pid: number;
  /** The last lines of the log, the oldest first. */
  log: string[];
}

/** A profile as V8's inspector gives it; times in microseconds. */
export interface CpuProfile {
  nodes: {
    id: number;
    callFrame: { functionName: string; url: string; lineNumber: number; columnNumber: number };
    hitCount?: number;
    children?: number[];
  }[];
  startTime: number;
  endTime: number;
  samples?: number[];
  timeDeltas?: number[];
}

/** What a thread did: a profile, or why there is none. */
export interface ThreadReport {
  name: string;
  profile?: CpuProfile;
  missing?: string;
}

/** What a program that wants to go on with the mount has to know. */
export interface UpgradeReport {
  version: string;
  pid: number;
  /** Why nobody can; missing: somebody can. */
  refusal?: string;
  /** The service manager starts the next daemon: which program, and with which options, is its business. */
  isManaged: boolean;
  /** Options of `spinney mount` that make the same mount, as they are spelled; of those that take no value `true`. */
  options: Readonly<Record<string, string | true>>;
  /** Where the state of the mount is. */
  sessionDirectory?: string;
}

export interface UpgradeTarget {
  examine(): UpgradeReport;
  /**
   * Resolves when the mount is not served any more, and `command` is going to; it has other values of the options that `changed` names. Rejects
   * with ERR_MOUNT and the reason; then it is served on.
   */
  handOver(command: readonly string[], changed: readonly string[]): Promise<void>;
}

/** What the control server asks of the daemon. */
export interface ControlTarget {
  readonly snapshots: SnapshotTarget;
  readonly settings: SettingsTarget;
  readonly remote: RemoteTarget;
  /** To be waited for before `status` and `stats`, so that they tell how things are now. */
  refresh(): Promise<void>;
  status(): StatusReport;
  readonly requests: RequestTarget;
  /** Missing until the mount is up. */
  readonly upgrades?: UpgradeTarget | undefined;
  stats(options: { blobs: boolean }): StatsReport;
  health(): HealthReport;
  checkpoint(): Promise<CheckpointReport>;
  compact(): Promise<CompactReport>;
  debug(): DebugReport;
  /** Looks for `ms` milliseconds what the threads do. */
  threads(ms: number): Promise<ThreadReport[]>;
  /** `rate`: MiB a second at most. */
  scrub(options: { rate: number | undefined }): Promise<ScrubReport>;
}

export interface ErrorReport {
  error: { code: string; message: string };
}
