/** From two looks at a daemon to what happened between them. Has no effects. */
import type { Latency } from '../../../../../engine/api.js';
import { BLOB_SIZE } from '../../../../../engine/limits.js';
import { difference, percentile } from '../../../../control/metrics/latency.js';
import type { HealthReport, RequestReport, StatsReport } from '../../../../control/reports.js';
import {
  type ClientView,
  type DirectoryView,
  type OperationView,
  PARTS,
  type Parts,
  type SlowView,
  type Times,
  type View,
} from '../view.js';
import type { Activity } from './activity.js';

/** What the daemon told at one moment. */
export interface Look {
  time: Date;
  /** Of a clock that never jumps, in seconds. */
  seconds: number;
  stats: StatsReport;
  health: HealthReport;
  /** Since the look before; undefined: nothing was told. */
  activity: Activity | undefined;
  /** The last slow requests, the oldest first. */
  slow: readonly RequestReport[];
}

/** How people call users and processes. */
export interface Names {
  user(uid: number): string;
  /** Undefined: it has ended. */
  program(pid: number): string | undefined;
}

const NONE: Latency = { count: 0, sumMicros: 0, maxMicros: 0, buckets: [] };

/** What a program is called that had ended when somebody looked. */
const ENDED = '(ended)';
/** Drivers that do not know who asks. */
const UNKNOWN = '?';
/** Of the slow requests so many are shown. */
const MOST_SLOW = 60;

/** Whether the second is a later look at the same daemon, so that its figures went on from the first. */
export function isSameDaemon(before: Look, now: Look): boolean {
  return (
    before.stats.process.pid === now.stats.process.pid &&
    before.stats.process.startedAt === now.stats.process.startedAt
  );
}

/** REQUIRES two looks at the same daemon, `now` the later one. */
export function viewOf(before: Look, now: Look, names: Names): View {
  const { stats } = now;
  const seconds = Math.max(now.seconds - before.seconds, 1e-3);
  const rate = (of: (stats: StatsReport) => number): number => (of(stats) - of(before.stats)) / seconds;
  const operations = operationsOf(before.stats, stats, seconds);
  const { tree, mount } = stats;
  const loads = rate(({ tree: { cacheMisses } }) => cacheMisses);
  const found = rate(({ tree: { cacheHits } }) => cacheHits);
  const sync = difference(tree.latency.journalSync, before.stats.tree.latency.journalSync);
  const load = difference(tree.latency.blobLoad, before.stats.tree.latency.blobLoad);
  const { lastAt, isRunning, lastDurationMs } = tree.checkpoint;
  return {
    time: now.time.toISOString(),
    seconds,
    mountpoint: mount.mountpoint,
    store: stats.store.path,
    version: stats.version,
    driver: mount.driver,
    process: {
      pid: stats.process.pid,
      uptimeSeconds: stats.process.uptimeSeconds,
      rssBytes: stats.process.rssBytes,
      cpu: rate(({ process: { cpuUserSeconds, cpuSystemSeconds } }) => cpuUserSeconds + cpuSystemSeconds),
    },
    health: now.health.status,
    alerts: now.health.problems?.map(({ code, reason }) => `${code}: ${reason}`) ?? now.health.reasons,
    requests: {
      rate: sum(operations.map(({ view }) => view.rate)),
      ...timesOf(merged(operations.map(({ latency }) => latency))),
      busy: sum(operations.map(({ view }) => view.busy)),
      parts: partsOf((part) => sum(operations.map(({ view }) => view.parts[part]))),
      errors: summed(operations.map(({ view }) => view.errors)),
      waiting: mount.waitingInKernel,
      queued: mount.queueDepth,
      putAside: mount.putAside,
    },
    operations: operations.map(({ view }) => view),
    contents: {
      readRate: rate((of) => of.mount.bytesRead),
      writtenRate: rate((of) => of.mount.bytesWritten),
      isPassedThrough: mount.passthrough,
      openFiles: mount.openFiles,
    },
    tree: {
      files: stats.contents?.files,
      directories: stats.contents?.directories,
      bytes: stats.contents?.bytes,
    },
    cache: {
      bytes: tree.cacheBytes,
      usedBytes: tree.cacheUsedBytes,
      hits: found + loads > 0 ? found / (found + loads) : undefined,
      loadRate: loads,
      load: timesOf(load),
    },
    journal: {
      bytesRate: rate((of) => of.tree.journal.bytes),
      recordRate: rate((of) => of.tree.journal.appends),
      syncRate: rate((of) => of.tree.journal.syncs),
      sync: timesOf(sync),
    },
    checkpoint: {
      ageSeconds: lastAt === undefined ? undefined : ago(now.time, lastAt),
      isRunning,
      lastSeconds: lastDurationMs / 1e3,
      dirtyBytes: tree.bmDirtyCount * BLOB_SIZE,
    },
    disk: stats.disk && {
      freeBytes: stats.disk.freeBytes,
      totalBytes: stats.disk.totalBytes,
      freeInodes: stats.disk.freeInodes,
      totalInodes: stats.disk.totalInodes,
    },
    clients: now.activity && clientsOf(now.activity, names),
    directories: now.activity && directoriesOf(now.activity),
    slow: slowOf(now, names),
  };
}

interface Operation {
  view: OperationView;
  latency: Latency;
}

/** Those that there were requests of, the most frequent first. A driver that does not time them tells counts alone. */
function operationsOf(before: StatsReport, now: StatsReport, seconds: number): Operation[] {
  return Object.entries(now.mount.operations)
    .map(([operation, count]) => {
      const figures = now.mount.latency[operation];
      const earlier = before.mount.latency[operation];
      const latency = difference(figures ?? NONE, earlier);
      const spent = (part: keyof Parts): number =>
        (figures?.micros[part] ?? 0) - (earlier?.micros[part] ?? 0);
      const view = {
        operation,
        rate: (count - (before.mount.operations[operation] ?? 0)) / seconds,
        busy: perSecond(latency.sumMicros, seconds),
        ...timesOf(latency),
        parts: partsOf((part) => perSecond(spent(part), seconds)),
        errors: ratesOf(earlier?.errors ?? {}, figures?.errors ?? {}, seconds),
      };
      return { view, latency };
    })
    .filter(({ view }) => view.rate > 0)
    .sort((a, b) => b.view.rate - a.view.rate);
}

function timesOf(latency: Latency): Times {
  const at = (part: number): number | undefined =>
    latency.count === 0 ? undefined : percentile(latency, part) / 1e6;
  return {
    p50Seconds: at(0.5),
    p99Seconds: at(0.99),
    maxSeconds: latency.count === 0 ? undefined : latency.maxMicros / 1e6,
  };
}

/** All of them as if they had been counted together; the bounds of buckets are the same for all. */
function merged(latencies: readonly Latency[]): Latency {
  const counts = new Map<number, number>();
  for (const { buckets } of latencies)
    for (const [upTo, count] of buckets) counts.set(upTo, (counts.get(upTo) ?? 0) + count);
  return {
    count: sum(latencies.map(({ count }) => count)),
    sumMicros: sum(latencies.map(({ sumMicros }) => sumMicros)),
    maxMicros: latencies.reduce((most, { maxMicros }) => Math.max(most, maxMicros), 0),
    buckets: [...counts].sort(([a], [b]) => a - b),
  };
}

/** Microseconds of work in seconds a second. Sums of fractions may come out a hair below nothing. */
function perSecond(micros: number, seconds: number): number {
  return Math.max(0, micros / 1e6 / seconds);
}

function partsOf(value: (part: keyof Parts) => number): Parts {
  return Object.fromEntries(PARTS.map((part) => [part, value(part)])) as unknown as Parts;
}

function ratesOf(
  before: Readonly<Record<string, number>>,
  now: Readonly<Record<string, number>>,
  seconds: number,
): Record<string, number> {
  const rates = Object.entries(now).map(
    ([name, count]) => [name, (count - (before[name] ?? 0)) / seconds] as const,
  );
  return Object.fromEntries(rates.filter(([, rate]) => rate > 0));
}

function summed(records: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const record of records)
    for (const [name, value] of Object.entries(record)) sums[name] = (sums[name] ?? 0) + value;
  return sums;
}

/** What a summary's rows stand for: those that nobody could tally were like the others. */
function scaleOf({ seen, missed, seconds }: Activity): number {
  return seen === 0 ? 0 : (seen + missed) / seen / seconds;
}

function clientsOf(activity: Activity, names: Names): ClientView[] {
  const scale = scaleOf(activity);
  const rows = activity.clients.map(({ uid, program, pids, requests, seconds }) => ({
    uid,
    user: uid === undefined ? UNKNOWN : names.user(uid),
    program: program ?? (uid === undefined ? UNKNOWN : ENDED),
    processes: pids.size,
    rate: requests * scale,
    busy: seconds * scale,
  }));
  return rows.sort((a, b) => b.rate - a.rate);
}

function directoriesOf(activity: Activity): DirectoryView[] {
  const scale = scaleOf(activity);
  const rows = activity.directories.map(({ requests, seconds, ...named }) => ({
    ...named,
    rate: requests * scale,
    busy: seconds * scale,
  }));
  return rows.sort((a, b) => b.rate - a.rate);
}

function slowOf({ slow, time }: Look, names: Names): SlowView[] {
  const rows = slow.slice(-MOST_SLOW).map(({ operation, result, uid, pid, ...request }) => ({
    time: request.time,
    agoSeconds: ago(time, request.time),
    operation,
    path: request.path ?? (request.ino === undefined ? '' : `inode ${request.ino}`),
    ...(request.pathBytes !== undefined && { pathBytes: request.pathBytes }),
    user: uid === undefined ? UNKNOWN : names.user(uid),
    program: pid === undefined ? UNKNOWN : (names.program(pid) ?? ENDED),
    result,
    seconds: request.microseconds / 1e6,
    mostly: mostlyOf(request.waits),
  }));
  return rows.sort((a, b) => a.agoSeconds - b.agoSeconds);
}

function mostlyOf(waits: Readonly<Partial<Parts>>): keyof Parts {
  return PARTS.reduce((most, part) => ((waits[part] ?? 0) > (waits[most] ?? 0) ? part : most));
}

/** Clocks of one machine, which somebody may set: never less than nothing. */
function ago(now: Date, iso: string): number {
  return Math.max(0, (now.getTime() - Date.parse(iso)) / 1e3);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0);
}
