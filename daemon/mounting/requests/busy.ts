/** Who asks most, and where, in a while: counted from the entries themselves, so that a busy mount can be looked at cheaply. */
import { type Entry, NO_PATH, UNKNOWN } from '../../../mount/request-log/index.js';
import type { BusyCount, BusyReport } from '../../control/reports.js';
import { toldPath } from './report.js';

/** Clients and directories that are counted at a time; what further ones do is not told by their names. */
const MOST_COUNTED = 4096;
const MOST_TOLD = 64;
const SLASH = 0x2f;
/** Operations on an open directory: their path is the directory. */
const LISTINGS: ReadonlySet<string> = new Set([
  'opendir',
  'readdir',
  'readdirplus',
  'releasedir',
  'fsyncdir',
]);

interface Client extends BusyCount {
  uid: number;
  pid: number;
}

export class BusyTally {
  readonly #operations: readonly (string | undefined)[];
  readonly #clients = new Map<string, Client>();
  /** By their bytes as latin1. */
  readonly #directories = new Map<string, BusyCount>();
  #seen = 0;

  constructor(operations: readonly (string | undefined)[]) {
    this.#operations = operations;
  }

  readonly count = (entry: Entry): void => {
    const { uid, pid, microseconds } = entry;
    this.#seen++;
    const client = counted(this.#clients, `${uid} ${pid}`, () => ({
      uid,
      pid,
      requests: 0,
      microseconds: 0,
    }));
    add(client, microseconds);
    if (entry.pathLength === NO_PATH) return;
    const directory = entry.path.toString('latin1', 0, this.#directoryLength(entry));
    add(
      counted(this.#directories, directory, () => ({ requests: 0, microseconds: 0 })),
      microseconds,
    );
  };

  #directoryLength({ operation, path, pathKept }: Entry): number {
    if (LISTINGS.has(this.#operations[operation] ?? '')) return pathKept;
    let length = pathKept;
    while (length > 0 && path[--length] !== SLASH);
    return length;
  }

  /** What was counted, and begins anew. */
  report(milliseconds: number, missed: number): BusyReport {
    const report = {
      time: new Date().toISOString(),
      milliseconds: Math.round(milliseconds),
      seen: this.#seen,
      missed,
      clients: busiest(this.#clients).map(([, { uid, pid, ...count }]) => ({
        ...(uid !== UNKNOWN && { uid }),
        ...(pid !== UNKNOWN && { pid }),
        ...rounded(count),
      })),
      directories: busiest(this.#directories).map(([latin1, count]) => {
        const bytes = Buffer.from(latin1, 'latin1');
        return { ...toldPath(bytes, bytes.length), ...rounded(count) };
      }),
    };
    this.#seen = 0;
    this.#clients.clear();
    this.#directories.clear();
    return report;
  }
}

/** The row of a key; undefined where there are too many. */
function counted<T>(rows: Map<string, T>, key: string, make: () => T): T | undefined {
  let row = rows.get(key);
  if (row !== undefined || rows.size >= MOST_COUNTED) return row;
  row = make();
  rows.set(key, row);
  return row;
}

function add(row: BusyCount | undefined, microseconds: number): void {
  if (row === undefined) return;
  row.requests++;
  row.microseconds += microseconds;
}

function rounded({ requests, microseconds }: BusyCount): BusyCount {
  return { requests, microseconds: Math.round(microseconds) };
}

function busiest<T extends BusyCount>(rows: Map<string, T>): [string, T][] {
  return [...rows].sort(([, a], [, b]) => b.requests - a.requests).slice(0, MOST_TOLD);
}
