/** What the daemon asks of the mount layer, whichever driver serves it. */
import type { MessagePort } from 'node:worker_threads';
import type { Latency, SnapshotInfo } from '../engine/api.js';
import type { PartName } from '../engine/stopwatch.js';
import type { RequestLog } from './request-log/index.js';

export type DriverName = 'kernel' | 'fuse-native';

/** Seconds that the kernel may answer names, attributes and absent names by itself. */
export interface Timeouts {
  entryTimeout: number;
  attributeTimeout: number;
  negativeTimeout: number;
}

export interface MountOptions extends Timeouts {
  /** An existing, empty directory. Absolute path. */
  mountpoint: string;
  driver: DriverName | 'auto';
  readOnly: boolean;
  allowOther: boolean;
  /** `-o` options the caller gave: suid, nosuid, dev, nodev, exec, noexec. */
  options: readonly string[];
  /** Name of the hidden directory of snapshots that every directory has; undefined: none has. */
  snapshotDirectory: string | undefined;
  /** Directory of the content files: `<store>/content`. */
  contentDirectory: string;
  /**
   * Directory for the files that another daemon goes on with the mount by, made and removed as `session.*`; undefined: none
   * can. On the filesystem of the store, or one that lives as long.
   */
  sessionDirectory?: string | undefined;
  /**
   * Descriptor of the connection of a mount whose daemon died, or handed it over, to be gone on with: nothing is mounted. If
   * that cannot be, connection and mount stay as they are. Needs `sessionDirectory`.
   */
  attach?: number | undefined;
  /** Undefined: the store has no remote. Only the kernel driver serves one that has. */
  remote?: MountRemote | undefined;
  /**
   * What the mount table shows as the device: the store's absolute path. `umount` and the replacement of a
   * stale mount find the store of a mount by it, without touching the mount.
   */
  source: string;
}

/** A mount whose store has a remote. */
export interface MountRemote {
  /** Syncs wait for it, too. */
  isAwaited: boolean;
  /** The mount shows what another machine writes there, and changes nothing. */
  follows: boolean;
  /** Where whoever ships tells why changes are refused (`makeShippingBoard`). */
  board: SharedArrayBuffer;
  /** Gets what the thread that speaks with the remote needs of the mount: to be posted to it, with the ports in the list of transfers. */
  connect(end: RemoteEnd): void;
}

/** How far a store's remote is, and what of the contents is here. */
export interface RemoteStats {
  /** Another one with each start. */
  epoch: number;
  /**
   * `ok`: seconds behind at most; `behind`: more; `away`: the object store does not answer, or refuses; `taken`: another machine has it, and
   * nothing is acknowledged any more.
   */
  state: 'ok' | 'behind' | 'away' | 'taken';
  /** Since the oldest change that the remote has not; 0 where it has all. */
  lagSeconds: number;
  lagRecords: number;
  lagBytes: number;
  /** Contents that it has not, or not as they are. */
  contentsWaiting: number;
  contentBytesWaiting: number;
  /** Of records and of contents, since the start. */
  shippedRecordBytes: number;
  shippedContentBytes: number;
  shippedImages: number;
  /** Objects of the journal that whoever takes over would read. */
  journalObjects: number;
  /** Of the last checkpoint there, as ISO 8601 tells it. */
  checkpointAt?: string;
  /** What keeps it from going on. */
  failure?: string;
  /** Nothing is added any more until it has caught up. */
  isFull: boolean;
  /** Of a mount that follows. */
  following?: FollowingStats;
  cache: {
    /** Of the disk, what contents have, and may have. */
    bytes: number;
    limitBytes: number;
    contents: number;
    evictions: number;
    /** Over its bound, and nothing can go. */
    isStuck: boolean;
    fetchedBytes: number;
    fetchedParts: number;
  };
}

/** How far a mount is that shows what another machine writes. */
export interface FollowingStats {
  /** The writer's change up to which it has all. */
  lsn: number;
  /** The object of the journal that it looks for, in the remote's present or an earlier epoch. */
  sequence: number;
  /** `released`: it was unmounted; `gone`: nothing was heard of it for longer than its lease. What is shown is what it left, then. */
  writer: 'active' | 'released' | 'gone';
  /** Since something was heard of the writer. */
  writerSeenSeconds: number;
  /** Checkpoints that were adopted as a whole, because the journal did not lead on. */
  adoptions: number;
}

/** How far contents are that were asked for as a whole. */
export interface WarmProgress {
  files: number;
  bytes: number;
  filesDone: number;
  bytesDone: number;
  /** Of those that could not be brought. */
  failures: number;
}

/** What the thread that speaks with a remote gets of a mount; see kernel/workers/remote-link.ts. */
export interface RemoteEnd {
  session: MessagePort;
  io: MessagePort;
  words: SharedArrayBuffer;
  /** Of the mount's threads. */
  state: { shared: SharedArrayBuffer; readEnd: number; writeEnd: number };
  tasks: SharedArrayBuffer;
  /** Descriptor of the connection. */
  device: number;
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

/**
 * The requests of one operation that were served, and how long each took: from its being read from /dev/fuse to when its
 * reply was about to be handed over.
 */
export interface OperationFigures extends Latency {
  /** How many of them were answered with an error, by its name. */
  errors: Record<string, number>;
  /** What `sumMicros` went to (see engine/stopwatch.ts). */
  micros: Record<PartName, number>;
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
  /** The same by what became of them; empty where requests are not timed. */
  latency: Record<string, OperationFigures>;
  /** What is not done yet of what another thread does beside requests: syncs, and removing and copying contents. */
  queueDepth: number;
  /** Requests that were put aside until a content is there. */
  putAside: number;
  /** Requests that the kernel waits for, those that are being served included; undefined where it does not tell. */
  waitingInKernel: number | undefined;
  /** Of contents, as far as they passed through the daemon. */
  bytesRead: number;
  bytesWritten: number;
  /** Who listens to requests, and how many were written down for listeners. */
  requestLog: { listeners: number; written: number };
}

/** A level of the log, a message, and fields. Made by the daemon; workers reach it through their parent. */
export type MountLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void;

/** Something that is wrong with a mount. The code and the subject stay as long as it is; the reason has figures of the moment. */
export interface MountProblem {
  code:
    | 'REQUEST_STUCK'
    | 'SYNC_STUCK'
    | 'DESCRIPTORS_EXHAUSTED'
    | 'CHANGES_REFUSED'
    | 'QUOTA_EXCEEDED'
    | 'CONTENT_DAMAGED';
  /** Tells several of one code apart. */
  subject?: string;
  reason: string;
  /** Further lines. */
  more?: readonly string[];
}

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

/** What was taken over from another daemon. */
export interface ResumedSession {
  /** Inodes that the kernel holds. */
  nodes: number;
  /** Handles. */
  files: number;
  directories: number;
  /** How long the taking over took, after the tree was open. */
  ms: number;
}

export interface Mounted {
  readonly snapshots: MountedSnapshots;
  readonly requestLog: RequestLog;
  /** Set where another daemon's mount is gone on with. */
  readonly resumed: ResumedSession | undefined;
  /** Of the connection, as long as another daemon could go on with the mount; undefined: none could. */
  readonly descriptor: number | undefined;
  /**
   * Leaves the mount to another daemon. True: nobody in this process uses the connection or changes the tree any more; mount
   * and connection stay, and `ended` does not settle. False: all goes on as before.
   */
  handOver(): Promise<boolean>;
  readonly driver: DriverName;
  readonly mountpoint: string;
  /** Settles when the mount is gone, by umount(8) or by `unmount`. All mutations are in the tree by then. */
  readonly ended: Promise<MountEnd>;
  stats(): MountStats;
  /**
   * From when this resolves every answer to the kernel has these; what the kernel was told before it keeps for as long as it was
   * told. Undefined where the driver cannot change them.
   */
  readonly setTimeouts?: (timeouts: Timeouts) => Promise<void>;
  /** What keeps the mount from answering, and contents that are damaged; empty while all is well. */
  problems(): readonly MountProblem[];
  /**
   * Unmounts. `plain` returns false while the mount is busy; `detach` takes the name away at once
   * and ends when the last user has gone; `abort` breaks the connection.
   */
  unmount(how: 'plain' | 'detach' | 'abort'): Promise<boolean>;
}
