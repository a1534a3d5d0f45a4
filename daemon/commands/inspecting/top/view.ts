/** What `spinney top` shows of the time between two looks at a daemon. `--json` prints it, so that its names are for users. */

/** Parts of the time that requests took, in seconds for each second that passed. */
export interface Parts {
  waiting: number;
  tree: number;
  loading: number;
  journal: number;
  below: number;
}

export const PARTS: readonly (keyof Parts)[] = ['tree', 'journal', 'below', 'loading', 'waiting'];

/** Of requests or other work in that time. Undefined: there was none. All in seconds. */
export interface Times {
  p50Seconds: number | undefined;
  p99Seconds: number | undefined;
  maxSeconds: number | undefined;
}

export interface OperationView extends Times {
  operation: string;
  /** Requests a second. */
  rate: number;
  /** Seconds that they took, for each second that passed. */
  busy: number;
  parts: Parts;
  /** A second, by name. */
  errors: Record<string, number>;
}

export interface ClientView {
  uid: number | undefined;
  user: string;
  program: string;
  processes: number;
  rate: number;
  busy: number;
}

export interface DirectoryView {
  path: string;
  /** Base64 of the path where it is not UTF-8. */
  pathBytes?: string;
  rate: number;
  busy: number;
}

/** One that took so long that the daemon has kept it. */
export interface SlowView {
  /** ISO 8601. */
  time: string;
  /** Before the look. */
  agoSeconds: number;
  operation: string;
  path: string;
  pathBytes?: string;
  user: string;
  program: string;
  result: string;
  seconds: number;
  /** What took most of it: one of the parts. */
  mostly: keyof Parts;
}

export interface View {
  /** Of the later look, ISO 8601. */
  time: string;
  /** Between the two looks. */
  seconds: number;
  mountpoint: string;
  store: string;
  version: string;
  driver: string;
  process: { pid: number; uptimeSeconds: number; rssBytes: number; cpu: number };
  health: 'ok' | 'degraded';
  alerts: string[];
  requests: Times & {
    rate: number;
    busy: number;
    parts: Parts;
    errors: Record<string, number>;
    /** That clients wait for now, as the kernel counts them; undefined: it does not tell. */
    waiting: number | undefined;
    /** Tasks of the thread that syncs and removes, and requests that are put aside until a content is there. */
    queued: number;
    putAside: number;
  };
  /** Those that there were requests of, the most frequent first. */
  operations: OperationView[];
  /** What passed through the daemon, in bytes a second. */
  contents: { readRate: number; writtenRate: number; isPassedThrough: boolean; openFiles: number };
  tree: { files: number | undefined; directories: number | undefined; bytes: number | undefined };
  cache: {
    bytes: number;
    usedBytes: number;
    /** Undefined: nothing was looked for. */
    hits: number | undefined;
    loadRate: number;
    load: Times;
  };
  journal: { bytesRate: number; recordRate: number; syncRate: number; sync: Times };
  checkpoint: {
    /** Undefined: none since the start. */
    ageSeconds: number | undefined;
    isRunning: boolean;
    lastSeconds: number;
    dirtyBytes: number;
  };
  disk: { freeBytes: number; totalBytes: number; freeInodes: number; totalInodes: number } | undefined;
  /** Undefined: the daemon has not told yet. */
  clients: ClientView[] | undefined;
  directories: DirectoryView[] | undefined;
  /** Newest first. */
  slow: SlowView[];
}

/** The part that most of the time goes to, and its share of all; undefined where no time was spent. */
export function largestPart(parts: Parts): { name: keyof Parts; share: number } | undefined {
  const all = PARTS.reduce((sum, name) => sum + parts[name], 0);
  if (all <= 0) return undefined;
  const name = PARTS.reduce((most, part) => (parts[part] > parts[most] ? part : most));
  return { name, share: parts[name] / all };
}
