/** Who asks for what: sums over the summaries that the daemon has given since the last look. */
import type { BusyReport } from '../../../../control/reports.js';

/** Requests of a user's processes that run one program. */
export interface ClientSum {
  uid: number | undefined;
  /** Undefined: it had ended before anyone looked. */
  program: string | undefined;
  pids: Set<number>;
  requests: number;
  seconds: number;
}

export interface DirectorySum {
  path: string;
  /** Base64 of the path where it is not UTF-8. */
  pathBytes?: string;
  requests: number;
  seconds: number;
}

export interface Activity {
  /** Of the summaries, in seconds. */
  seconds: number;
  /** Requests that the daemon has tallied, and those that it could not. */
  seen: number;
  missed: number;
  clients: ClientSum[];
  directories: DirectorySum[];
}

/** Between two looks; beyond that, rows are not told one by one. */
const MOST_ROWS = 4_096;

export class ActivitySums {
  readonly #programOf: (pid: number) => string | undefined;
  #milliseconds = 0;
  #seen = 0;
  #missed = 0;
  #clients = new Map<string, ClientSum>();
  #directories = new Map<string, DirectorySum>();
  #last: Activity | undefined;

  constructor(programOf: (pid: number) => string | undefined) {
    this.#programOf = programOf;
  }

  add({ milliseconds, seen, missed, clients, directories }: BusyReport): void {
    this.#milliseconds += milliseconds;
    this.#seen += seen;
    this.#missed += missed;
    for (const { uid, pid, requests, microseconds } of clients) {
      const program = pid === undefined ? undefined : this.#programOf(pid);
      const key = `${uid} ${program ?? ''}`;
      const sum = this.#clients.get(key) ?? { uid, program, pids: new Set(), requests: 0, seconds: 0 };
      if (!keep(this.#clients, key, sum)) continue;
      if (pid !== undefined) sum.pids.add(pid);
      sum.requests += requests;
      sum.seconds += microseconds / 1e6;
    }
    for (const { requests, microseconds, path, pathBytes } of directories) {
      const key = pathBytes ?? path;
      const named = pathBytes === undefined ? { path } : { path, pathBytes };
      const sum = this.#directories.get(key) ?? { ...named, requests: 0, seconds: 0 };
      if (!keep(this.#directories, key, sum)) continue;
      sum.requests += requests;
      sum.seconds += microseconds / 1e6;
    }
  }

  /** What came since it was taken last, or, where nothing did, what was taken then; undefined: nothing is known. */
  take(): Activity | undefined {
    if (this.#milliseconds === 0) return this.#last;
    this.#last = {
      seconds: this.#milliseconds / 1e3,
      seen: this.#seen,
      missed: this.#missed,
      clients: [...this.#clients.values()],
      directories: [...this.#directories.values()],
    };
    this.#begin();
    return this.#last;
  }

  /** There will be no more for now: what is known gets old. */
  forget(): void {
    this.#last = undefined;
    this.#begin();
  }

  #begin(): void {
    this.#milliseconds = 0;
    this.#seen = 0;
    this.#missed = 0;
    this.#clients = new Map();
    this.#directories = new Map();
  }
}

function keep<Row>(rows: Map<string, Row>, key: string, row: Row): boolean {
  if (rows.has(key)) return true;
  if (rows.size >= MOST_ROWS) return false;
  rows.set(key, row);
  return true;
}
