/** What a daemon is told when it starts, and what it can use of the process around it. */
import type { Durability } from '../../engine/api.js';
import type { DriverName, Timeouts } from '../../mount/types.js';
import type { TcpAddress } from '../control/tcp-address.js';
import type { ContinuityOptions, ContinuitySurroundings } from './continuity/continuity.js';
import type { Rule } from './snapshots/snapshot-schedule.js';

/** The object store that a store is kept in. */
export interface RemoteOptions {
  /** `s3://bucket/prefix`, checked by `parseRemote`. */
  url: string;
  /** The server; undefined: as the environment says. */
  endpoint: string | undefined;
  /** Whether the bucket is in the URL's path or in the host's name; undefined: as the endpoint says. */
  addressing: 'path' | 'virtual' | undefined;
  /** Plain HTTP may go to other machines. */
  allowPlainHttp: boolean;
  /** The mount shows what another machine writes there, and changes nothing. */
  follows: boolean;
  /** What an fsync waits for. */
  durability: 'local' | 'remote';
  /** Bytes of contents that should be here at most, where the remote has them. */
  contentCacheBytes: number;
}

/** A mount as it is asked for. */
export interface DaemonOptions extends Timeouts, ContinuityOptions {
  /** Resolved by `resolveMountpoint`. */
  mountpoint: string;
  /** Resolved by `resolveStore`; made where it is missing, unless `readOnly`. */
  store: string;
  /** Checked by `controlSocketPath`. */
  control: string;
  driver: DriverName | 'auto';
  durability: Durability;
  cacheBytes: number;
  readOnly: boolean;
  allowOther: boolean;
  mountOptions: readonly string[];
  /** A scrub begins by itself after so many days; 0: never. */
  scrubDays: number;
  /** Requests that take at least so many milliseconds are kept. */
  slowRequestMs: number;
  /** Snapshots that are made by themselves. */
  snapshots: readonly Rule[];
  /** Name of the hidden directory of snapshots that every directory has; undefined: none has. */
  snapshotDirectory: string | undefined;
  /** Undefined: the store has none. */
  remote?: RemoteOptions | undefined;
  /** Where metrics are told over TCP; undefined: nowhere. */
  metrics: TcpAddress | undefined;
  /** Where the log goes (undefined: to stderr), and the bytes after which a new file begins; told in the status. */
  log?: { file: string | undefined; mostBytes: number };
  /** Settings that an earlier daemon of this mount was given while it served (`leftSettings`), by their names. */
  settings?: Readonly<Record<string, string>>;
}

export interface Surroundings extends ContinuitySurroundings {
  /** What health tells of the log. */
  logProblem?: () => string | undefined;
  /** The last lines of the log. */
  recentLog?: () => string[];
  /** Gets what whoever started the daemon should know. */
  notice?: (text: string) => void;
  /** Gives up the start, as long as it waits for another daemon. */
  signal?: AbortSignal;
  /** Called when the daemon begins to end. */
  ending?: () => void;
}
