/** Entries of the request log, as people and programs are told them. */
import { PART_NAMES } from '../../../engine/stopwatch.js';
import { type Entry, NO_PATH, UNKNOWN } from '../../../mount/request-log/index.js';
import { errnoName, monotonic } from '../../../mount/requests/request-failures.js';
import type { RequestReport } from '../../control/reports.js';

/** A difference of the clocks is known no better: one tells whole milliseconds, and the thread may be stopped between two looks. */
const UNSURE_MS = 2;
const LOOK_MS = 1;
const MOST_LOOKS = 100;
let offset: number | undefined;

/** From the threads' clock to the one that people go by: the same as long as that is not set, so that times are in order. */
function wallOffset(): number {
  for (let look = 0; look < MOST_LOOKS; look++) {
    const before = monotonic();
    const now = Date.now() - before;
    const isSure = monotonic() - before < LOOK_MS;
    if (isSure && (offset === undefined || Math.abs(now - offset) > UNSURE_MS)) offset = now;
    if (offset !== undefined) return offset;
  }
  return Date.now() - monotonic();
}

export function requestReport(entry: Entry, operations: readonly (string | undefined)[]): RequestReport {
  const { ino, operation, result, uid, pid, microseconds, pathLength, toLength } = entry;
  const report: RequestReport = {
    time: new Date(entry.begun + wallOffset()).toISOString(),
    operation: operations[operation] ?? `opcode_${operation}`,
    ...(pathLength !== NO_PATH && toldPath(entry.path.subarray(0, entry.pathKept), pathLength)),
  } as RequestReport;
  if (toLength !== NO_PATH) {
    const {
      path: to,
      pathBytes: toBytes,
      pathLength: cut,
    } = toldPath(entry.to.subarray(0, entry.toKept), toLength);
    Object.assign(report, {
      to,
      ...(toBytes !== undefined && { toBytes }),
      ...(cut !== undefined && { toLength: cut }),
    });
  }
  if (pathLength === NO_PATH && ino !== 0) report.ino = ino;
  if (uid !== UNKNOWN) report.uid = uid;
  if (pid !== UNKNOWN) report.pid = pid;
  report.result = result === 0 ? 'ok' : errnoName(result);
  report.microseconds = Math.round(microseconds);
  report.waits = {};
  for (const [part, name] of PART_NAMES.entries()) {
    const micros = Math.round(entry.parts[part]!);
    if (micros > 0) report.waits[name] = micros;
  }
  return report;
}

export interface ToldPath {
  path: string;
  pathBytes?: string;
  pathLength?: number;
}

/** `bytes`: the path's beginning; `length`: of all of it. */
export function toldPath(bytes: Buffer, length: number): ToldPath {
  const path = length === 0 ? '/' : bytes.toString();
  const isExact = length === 0 || Buffer.from(path).equals(bytes);
  return {
    path,
    ...(!isExact && { pathBytes: bytes.toString('base64') }),
    ...(bytes.length < length && { pathLength: length }),
  };
}
