/** What the control socket is told of the mount's requests. */
import { SpinneyError } from '../../../engine/errors.js';
import { MOST_PATH_BYTES, type RequestFilter, type RequestLog } from '../../../mount/request-log/index.js';
import { monotonic } from '../../../mount/requests/request-failures.js';
import type { LineSource, RequestQuery, RequestReport, RequestTarget } from '../../control/reports.js';
import { BusyTally } from './busy.js';
import { requestReport } from './report.js';

/** How many may listen at a time: they leave most connections of the control socket to others. */
export const MAX_LISTENERS = 16;
/** Entries that are made lines at a time, in the time of the thread that answers the control socket. */
const MOST_AT_A_TIME = 2_048;

export class Requests implements RequestTarget {
  #log: RequestLog | undefined;
  #hasEnded = false;

  /** The mount answers, until `ended`. */
  begin(log: RequestLog, ended: Promise<unknown>): void {
    this.#log = log;
    void ended.then(() => {
      this.#hasEnded = true;
    });
  }

  slow(query: RequestQuery): RequestReport[] {
    const log = this.#served();
    const filter = filterOf(query, log);
    if (query.slower !== undefined && query.slower < log.slowMs) {
      throw badQuery(
        `those of ${query.slower} ms are not kept, only those of ${log.slowMs} ms and more; follow the requests to see faster ones`,
      );
    }
    const reports: RequestReport[] = [];
    log.slow(filter, (entry) => reports.push(requestReport(entry, log.operations)));
    return reports;
  }

  follow(query: RequestQuery): LineSource {
    const log = this.#served();
    const listener = this.#listen(log, query);
    const isOver = (): boolean => this.#hasEnded;
    let hasEnded = false;
    return {
      get hasEnded() {
        return hasEnded;
      },
      take() {
        // Asked for first, so that nothing comes after what is taken then.
        const wasOver = isOver();
        let lines = '';
        const { looked, missed } = listener.take(monotonic(), MOST_AT_A_TIME, (entry) => {
          lines += `${JSON.stringify(requestReport(entry, log.operations))}\n`;
        });
        hasEnded = wasOver && looked < MOST_AT_A_TIME;
        return missed > 0 ? `${JSON.stringify({ missed })}\n${lines}` : lines;
      },
      skip: () => listener.skip(),
      end: () => listener.end(),
    };
  }

  followBusy(query: RequestQuery, milliseconds: number): LineSource {
    const log = this.#served();
    const listener = this.#listen(log, query);
    const tally = new BusyTally(log.operations);
    const isOver = (): boolean => this.#hasEnded;
    let missed = 0;
    let since = performance.now();
    let hasEnded = false;
    const count = (): void => {
      missed += listener.take(monotonic(), MOST_AT_A_TIME, tally.count).missed;
    };
    return {
      get hasEnded() {
        return hasEnded;
      },
      take() {
        hasEnded = isOver();
        count();
        const now = performance.now();
        if (now - since < milliseconds && !hasEnded) return '';
        const line = `${JSON.stringify(tally.report(now - since, missed))}\n`;
        since = now;
        missed = 0;
        return line;
      },
      skip: count,
      end: () => listener.end(),
    };
  }

  #served(): RequestLog {
    if (this.#log !== undefined) return this.#log;
    throw new SpinneyError('ERR_MOUNT', 'Cannot tell of requests: the mount is not up yet');
  }

  #listen(log: RequestLog, query: RequestQuery) {
    const filter = filterOf(query, log);
    if (log.figures().listeners < MAX_LISTENERS) return log.listen(filter);
    throw new SpinneyError(
      'ERR_TOO_MANY_LISTENERS',
      `Cannot follow the requests: ${MAX_LISTENERS} listen already, which is the limit; end one of them`,
    );
  }
}

function filterOf({ slower, operations, path, uid }: RequestQuery, log: RequestLog): RequestFilter {
  const known = [...new Set(log.operations)].filter((name) => name !== undefined).sort();
  const unknown = operations?.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw badQuery(`there is no operation "${unknown}"; the mount has ${known.join(', ')}`);
  }
  if (uid !== undefined && !log.tellsCaller) {
    throw badQuery('fuse-native, which serves this mount, does not tell who asks: leave the uid out');
  }
  return {
    micros: (slower ?? 0) * 1000,
    operations,
    path: path === undefined ? undefined : prefixOf(path),
    uid,
  };
}

/** Without the slash at its end: empty for the root. */
function prefixOf(path: string): Uint8Array {
  if (!path.startsWith('/')) {
    throw badQuery(`the path "${path}" is not one from the mount's root on, as /photos is`);
  }
  const prefix = Buffer.from(path.replace(/\/+$/, ''));
  if (prefix.length <= MOST_PATH_BYTES) return prefix;
  throw badQuery(
    `the path has ${prefix.length} bytes, and the log keeps ${MOST_PATH_BYTES} of one; give a shorter one`,
  );
}

function badQuery(reason: string): SpinneyError {
  return new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot tell of requests: ${reason}`);
}
