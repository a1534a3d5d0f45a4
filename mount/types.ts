/** What the daemon asks of the mount layer, whichever driver serves it. */
import type { SnapshotInfo } from '../engine/api.js';

export type DriverName = 'kernel' | 'fuse-native';

export interface MountOptions {
  /** An existing, empty directory. Absolute path. */
  mountpoint: string;
  driver: DriverName | 'auto';
  readOnly: boolean;
  allowOther: boolean;
  /** Seconds that the kernel may answer names, attributes and absent names by itself. */
  entryTimeout: number;
  attributeTimeout: number;
  negativeTimeout: number;
  /** `-o` options the caller gave: suid, nosuid, dev, nodev, exec, noexec. */
  options: readonly string[];
  /** Name of the hidden directory of snapshots that every directory has; undefined: none has. */
  snapshotDirectory: string | undefined;
  /** Directory of the content files: `<store>/content`. */
  contentDirectory: string;
  /**
   * What the mount table shows as the device: the store's absolute path. `umount` and the replacement of a
   * stale mount find the store of a mount by it, without touching the mount.
   */
  source: string;
}

/** Changes of one kind, one after another up to now. */
export interface RefusedChanges {
  operation: string;
  /** Name of the last error: ENOSPC, EIO, EROFS and the like. */
  error: string;
  count: number;
  /** When the first and the last were refused, as in ISO 8601. */
  since: string;
  last: string;
}

export interface MountStats {
  driver: DriverName;
  requests: number;
  /** Requests answered with EIO. */
  errors: number;
  /** Requests answered with an error, by its name; most are plain answers, as ENOENT is. */
  errorsByName: Record<string, number>;
  /** Changes that the filesystem cannot make at present, though nothing is wrong with them. */
  refused: RefusedChanges[];
  openFiles: number;
  /** Descriptors that the daemon has, and may have. Clients' open files need none each. */
  descriptors: number;
  descriptorLimit: number;
  /** Whether the kernel reads and writes contents in their backing files by itself, past the daemon. */
  passthrough: boolean;
  /** Inodes that the kernel holds, and the bytes that their table takes. */
  nodes: number;
  nodeTableBytes: number;
  /** Request counts by operation name. */
  operations: Record<string, number>;
}

/** A level of the log, a message, and fields. Made by the daemon; workers reach it through their parent. */
export type MountLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void;

/** Why a mount ended. */
export interface MountEnd {
  reason: 'unmounted' | 'failed';
  /** For `failed`. */
  error?: Error;
}

/** How far the removal of what no snapshot needs any more is. */
export interface PurgeProgress {
  /** Kept contents looked at. */
  examined: number;
  removed: number;
  /** About which part is done, from 0 to 1. */
  done: number;
}

/** Snapshots, as the thread that changes names takes and deletes them. */
export interface MountedSnapshots {
  /** Rejects with ERR_EXISTS and the engine's errors, ERR_READ_ONLY on a mount that is only read. */
  takeSnapshot(name: string): Promise<SnapshotInfo>;
  /**
   * The snapshot is gone when this resolves; what only it had is removed after that (`purgeProgress`). Rejects with
   * ERR_NOT_FOUND.
   */
  deleteSnapshot(name: string): Promise<void>;
  /** How far the removal of what no snapshot needs any more is; undefined: nothing is to be removed. */
  purgeProgress(): Promise<PurgeProgress | undefined>;
}

export interface Mounted {
  readonly snapshots: MountedSnapshots;
  readonly driver: DriverName;
  readonly mountpoint: string;
  /** Settles when the mount is gone, by umount(8) or by `unmount`. All mutations are in the tree by then. */
  readonly ended: Promise<MountEnd>;
  stats(): MountStats;
  /** What keeps the mount from answering, and contents that are damaged, a line each; empty while all is well. */
  problems(): readonly string[];
  /**
   * Unmounts. `plain` returns false while the mount is busy; `detach` takes the name away at once
   * and ends when the last user has gone; `abort` breaks the connection.
   */
  unmount(how: 'plain' | 'detach' | 'abort'): Promise<boolean>;
}
