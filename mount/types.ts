/** What the daemon asks of the mount layer, whichever driver serves it. */

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

export interface Mounted {
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
