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
import { run } from '../../daemon/run.js';
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
      bmDirtyCount: 1,
      bmPendingDeleteCount: 0,
      snapshots: { count: 2, bytes: 1_572_864 },
      unreadableBlobs: [],
      space: { exhausted: false, freeBytes: 123_456_789, freeSlots: 19 },
      cacheBytes: 268_435_456,
      cacheHits: 100,
      cacheMisses: 7,
      optimisticRestarts: 0,
      spillovers: 2,
      merges: 0,
      compactions: 0,
      lastLsn: 99,
      failure: undefined,
      journal: { appends: 99, syncs: 4, bytes: 12_345 },
      checkpoint: { rounds: 5, failures: 1, lastLsn: 90, lastError: undefined, lastDurationMs: 12 },
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
      operations: { LOOKUP: 50, GETATTR: 27 },
    },
    snapshots: { count: 2, bytes: 1_572_864, contentBytes: 4_096 },
    process: { pid: 1234, uptimeSeconds: 60, rssBytes: 50_000_000 },
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
    snapshots: stubSnapshots(),
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
