import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished } from 'vitest';
import type {
  ControlTarget,
  SnapshotReport,
  SnapshotTarget,
  StatsReport,
} from '../../daemon/control/reports.js';
import { Requests } from '../../daemon/mounting/requests/requests.js';
import { run } from '../../daemon/run.js';
import type { TreeConditions } from '../../engine/tree-stats.js';
import { RequestLogMemory } from '../../mount/request-log/memory.js';
import { RequestLog } from '../../mount/request-log/reader.js';
import type { MountedSnapshots } from '../../mount/types.js';

/** A directory that goes away with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-daemon-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export const silentLog = pino({ level: 'silent' });

/** Runs the command line in this process. */
export async function spinney(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await run(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}

export interface Answer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  text: string;
}

export function ask(
  socketPath: string,
  method: string,
  path: string,
  options: { body?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { socketPath, method, path, agent: false, ...(options.headers && { headers: options.headers }) },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => {
          text += chunk;
        });
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(options.body);
  });
}

/** Of a mount that has none. */
export const NO_SNAPSHOTS: MountedSnapshots = {
  takeSnapshot: () => Promise.reject(new Error('no snapshots')),
  deleteSnapshot: () => Promise.reject(new Error('no snapshots')),
  purgeProgress: async () => undefined,
};

/** Of a mount that is not up. */
const NO_REQUESTS = new Requests();

/** Of a mount that nobody asks anything. */
export const idleRequestLog = (): RequestLog =>
  new RequestLog(new RequestLogMemory(), { operations: [], tellsCaller: true });

export function statsReport(): StatsReport {
  return {
    version: '1.2.3',
    store: { path: '/srv/store' },
    tree: {
      blobCount: 3,
      totalSpaceUsed: 3 * 524_288,
      liveBytes: 1_000_000,
      averageFill: 0.6358,
      maxBlobDepth: 2,
      keyCount: 4242,
      waitingChanges: 0,
      bmDirtyCount: 1,
      bmPendingDeleteCount: 0,
      snapshots: { count: 2, bytes: 1_572_864 },
      unreadableBlobs: [],
      space: { exhausted: false, freeBytes: 123_456_789, freeSlots: 19 },
      cacheBytes: 268_435_456,
      cacheUsedBytes: 4_194_304,
      cacheHits: 100,
      cacheMisses: 7,
      coldReads: 4,
      optimisticRestarts: 0,
      spillovers: 2,
      merges: 0,
      compactions: 0,
      lastLsn: 99,
      failure: undefined,
      journal: { appends: 99, syncs: 4, bytes: 12_345 },
      checkpoint: {
        rounds: 5,
        failures: 1,
        lastLsn: 90,
        lastError: undefined,
        lastDurationMs: 12,
        isRunning: false,
        lastAt: '2026-11-01T12:00:00.500Z',
      },
      latency: {
        checkpoint: { count: 1, sumMicros: 12_000, maxMicros: 12_000, buckets: [[12_288, 1]] },
        journalSync: {
          count: 2,
          sumMicros: 1_600,
          maxMicros: 1_000,
          buckets: [
            [640, 1],
            [1024, 1],
          ],
        },
        blobLoad: { count: 0, sumMicros: 0, maxMicros: 0, buckets: [] },
      },
    },
    mount: {
      mountpoint: '/mnt/x',
      driver: 'kernel',
      requests: 77,
      errors: 2,
      errorsByName: { EIO: 2, ENOENT: 5 },
      refused: [],
      openFiles: 1,
      descriptors: 50,
      descriptorLimit: 1024,
      passthrough: true,
      nodes: 9,
      nodeTableBytes: 4096,
      operations: { lookup: 50, getattr: 27 },
      latency: {
        lookup: {
          count: 50,
          sumMicros: 520,
          maxMicros: 120,
          buckets: [
            [8, 49],
            [128, 1],
          ],
          errors: { ENOENT: 5 },
          micros: { tree: 420, waiting: 0, loading: 100, journal: 0, below: 0 },
        },
      },
      queueDepth: 3,
      putAside: 1,
      waitingInKernel: 2,
      bytesRead: 4096,
      bytesWritten: 512,
      requestLog: { listeners: 0, written: 0 },
    },
    snapshots: { count: 2, bytes: 1_572_864, contentBytes: 4_096 },
    contents: { files: 12, directories: 4, bytes: 123_000, unsized: 1 },
    disk: {
      totalBytes: 1e12,
      freeBytes: 4e11,
      totalInodes: 1e6,
      freeInodes: 9e5,
      lookedAt: '2026-11-01T12:00:03.000Z',
    },
    process: {
      pid: 1234,
      startedAt: '2026-11-01T11:59:00.000Z',
      uptimeSeconds: 60,
      rssBytes: 50_000_000,
      cpuUserSeconds: 2.5,
      cpuSystemSeconds: 1.5,
    },
  };
}

/** Of a store that was not looked at yet. */
export function stubSurvey() {
  return { disk: undefined, contents: undefined };
}

/** Of a tree that is well. */
export function treeConditions(): TreeConditions {
  const { failure, unreadableBlobs, space, checkpoint, lastLsn } = statsReport().tree;
  return {
    failure,
    unreadableBlobs,
    space,
    checkpoint,
    lastLsn,
    durableLsn: lastLsn,
    poisoned: undefined,
    uncheckpointedBytes: 0,
  };
}

/** A daemon that only answers; its parts can be replaced. */
export function stubTarget(replaced: Partial<ControlTarget> = {}): ControlTarget {
  return {
    stats: ({ blobs }) => {
      const report = statsReport();
      if (blobs) {
        report.tree.blobs = [
          { id: 1, generation: 5, liveBytes: 1, leaves: 2, crossings: 0, compactions: 0, height: 3 },
        ];
      }
      return report;
    },
    health: () => ({ status: 'ok', reasons: [] }),
    checkpoint: async () => ({ checkpoint: statsReport().tree.checkpoint }),
    compact: async () => ({
      before: { blobCount: 3, averageFill: 0.4 },
      after: { blobCount: 2, averageFill: 0.7 },
    }),
    scrub: async () => ({
      startedAt: '2026-01-01T00:00:00.000Z',
      endedAt: '2026-01-01T00:00:01.000Z',
      blobs: 3,
      damaged: [],
    }),
    debug: () => ({ version: '1.2.3', node: process.version, pid: 1234, log: [] }),
    threads: async () => [{ name: 'main', missing: 'a stub has none' }],
    snapshots: stubSnapshots(),
    refresh: async () => {},
    settings: {
      report: () => ({ settings: { 'log-level': 'info' }, changeable: ['log-level'] }),
      change: async () => ({ settings: { 'log-level': 'info' }, changed: {}, notes: [] }),
    },
    status: () => ({
      version: '1.2.3',
      pid: process.pid,
      store: '/srv/store',
      mountpoint: '/mnt/x',
      driver: 'kernel',
      since: '2026-11-30T00:00:00.000Z',
      health: { status: 'ok', reasons: [] },
      settings: { 'log-level': 'info' },
    }),
    requests: NO_REQUESTS,
    remote: {
      warm: async () => ({ files: 0, bytes: 0, filesDone: 0, bytesDone: 0, failures: 0 }),
    },
    ...replaced,
  };
}

/** Two snapshots that nobody changes. */
export function stubSnapshots(replaced: Partial<SnapshotTarget> = {}): SnapshotTarget {
  const report = (name: string, id: number): SnapshotReport => ({
    name,
    id,
    createdAt: `2026-11-0${id}T00:00:00.000Z`,
    lsn: id * 10,
    ownBytes: id * 524_288,
  });
  return {
    contentBytes: 4_096,
    list: async () => [report('first', 1), report('second', 2)],
    create: async (name) => report(name, 3),
    delete: async (name) => report(name, 1),
    async *diff() {},
    ...replaced,
  };
}

/** The one line that a failed command prints. */
export async function failure(...args: string[]): Promise<{ code: number; line: string }> {
  const { code, out, err } = await spinney(...args);
  expect(out).toBe('');
  expect(err.split('\n')).toHaveLength(2);
  expect(err).toMatch(/^spinney: Cannot [^\n]*: [^\n]*\n$/);
  return { code, line: err.trimEnd() };
}
