import { describe, expect, it } from 'vitest';
import type { Activity } from '../../../../daemon/commands/inspecting/top/look/activity.js';
import { isSameDaemon, type Look, viewOf } from '../../../../daemon/commands/inspecting/top/look/rates.js';
import type { RequestReport, StatsReport } from '../../../../daemon/control/reports.js';
import { statsReport } from '../../support.js';

const NAMES = {
  user: (uid: number) => (uid === 0 ? 'root' : String(uid)),
  program: (pid: number) => (pid === 10 ? 'git' : undefined),
};

function look(
  seconds: number,
  change: (stats: StatsReport) => void = () => {},
  more: Partial<Look> = {},
): Look {
  const stats = statsReport();
  change(stats);
  return {
    time: new Date(Date.UTC(2026, 10, 1, 12, 0, seconds)),
    seconds,
    stats,
    health: { status: 'ok', reasons: [] },
    activity: undefined,
    slow: [],
    ...more,
  };
}

const FIRST = look(10);

describe('what happened between two looks', () => {
  it('is the difference of what the daemon counted, by the time that passed', () => {
    const view = viewOf(
      FIRST,
      look(14, ({ mount, tree, process }) => {
        mount.operations.lookup! += 200;
        const lookup = mount.latency.lookup!;
        lookup.count += 200;
        lookup.sumMicros += 4_000_000;
        lookup.maxMicros = 30_000;
        // 49 were here before; of the 200 new ones, 190 are fast.
        lookup.buckets = [
          [8, 49 + 190],
          [128, 1],
          [20_480, 8],
          [32_768, 2],
        ];
        lookup.errors = { ENOENT: 5 + 40, EIO: 4 };
        lookup.micros = { tree: 420 + 1e6, waiting: 0, loading: 100 + 3e6, journal: 0, below: 0 };
        mount.bytesRead += 8_000;
        tree.cacheHits += 30;
        tree.cacheMisses += 10;
        tree.journal.syncs += 2;
        tree.latency.journalSync = {
          count: 4,
          sumMicros: 5_600,
          maxMicros: 2_048,
          buckets: [
            [640, 1],
            [1024, 1],
            [2048, 2],
          ],
        };
        process.cpuUserSeconds += 2;
      }),
      NAMES,
    );
    expect(view.seconds).toBe(4);
    const [lookup, ...others] = view.operations;
    expect(others).toEqual([]);
    expect(lookup).toEqual({
      operation: 'lookup',
      rate: 50,
      busy: 1,
      p50Seconds: 8e-6,
      p99Seconds: 20_480e-6,
      maxSeconds: 30_000e-6,
      parts: { tree: 0.25, loading: 0.75, waiting: 0, journal: 0, below: 0 },
      errors: { ENOENT: 10, EIO: 1 },
    });
    expect(view.requests).toMatchObject({
      rate: 50,
      busy: 1,
      errors: { ENOENT: 10, EIO: 1 },
      p50Seconds: 8e-6,
    });
    expect(view.contents).toMatchObject({ readRate: 2_000, writtenRate: 0 });
    expect(view.cache).toMatchObject({ hits: 0.75, loadRate: 2.5 });
    expect(view.journal).toMatchObject({
      syncRate: 0.5,
      sync: { p50Seconds: 2_048e-6, maxSeconds: 2_048e-6 },
    });
    expect(view.process.cpu).toBe(0.5);
    expect(view.checkpoint.ageSeconds).toBe(13.5);
  });

  it('of all operations together has percentiles of all', () => {
    const figures = (fast: number, slow: number) => ({
      count: fast + slow,
      sumMicros: 0,
      maxMicros: 4096,
      buckets: [
        [8, fast],
        [4096, slow],
      ] as [number, number][],
      errors: {},
      micros: { tree: 0, waiting: 0, loading: 0, journal: 0, below: 0 },
    });
    const view = viewOf(
      FIRST,
      look(11, ({ mount }) => {
        mount.operations.getattr! += 990;
        mount.operations.fsync = 15;
        mount.latency.getattr = figures(990, 0);
        mount.latency.fsync = figures(0, 15);
      }),
      NAMES,
    );
    expect(view.operations.map(({ operation, rate }) => [operation, rate])).toEqual([
      ['getattr', 990],
      ['fsync', 15],
    ]);
    expect(view.requests).toMatchObject({ rate: 1_005, p50Seconds: 8e-6, p99Seconds: 4096e-6 });
  });

  it('is nothing where nothing happened', () => {
    const view = viewOf(FIRST, look(12), NAMES);
    expect(view.operations).toEqual([]);
    expect(view.requests).toMatchObject({
      rate: 0,
      busy: 0,
      p50Seconds: undefined,
      maxSeconds: undefined,
      errors: {},
    });
    expect(view.cache.hits).toBeUndefined();
    expect(view.clients).toBeUndefined();
  });

  it('of a driver that times nothing is rates alone', () => {
    const untimed = (count: number) => (stats: StatsReport) => {
      stats.mount.latency = {};
      stats.mount.operations = { read: count };
    };
    const [read] = viewOf(look(10, untimed(5)), look(11, untimed(9)), NAMES).operations;
    expect(read).toMatchObject({ operation: 'read', rate: 4, busy: 0, p99Seconds: undefined });
  });

  it('scales who asked for what by what nobody could tally', () => {
    const activity: Activity = {
      seconds: 2,
      seen: 100,
      missed: 100,
      clients: [
        { uid: 7, program: undefined, pids: new Set([3]), requests: 20, seconds: 0.1 },
        { uid: 0, program: 'git', pids: new Set([1, 2]), requests: 80, seconds: 0.4 },
        { uid: undefined, program: undefined, pids: new Set(), requests: 1, seconds: 0 },
      ],
      directories: [{ path: '/a', requests: 50, seconds: 0.2 }],
    };
    const view = viewOf(FIRST, look(12, undefined, { activity }), NAMES);
    expect(view.clients).toEqual([
      { uid: 0, user: 'root', program: 'git', processes: 2, rate: 80, busy: 0.4 },
      { uid: 7, user: '7', program: '(ended)', processes: 1, rate: 20, busy: 0.1 },
      { uid: undefined, user: '?', program: '?', processes: 0, rate: 1, busy: 0 },
    ]);
    expect(view.directories).toEqual([{ path: '/a', rate: 50, busy: 0.2 }]);
  });

  it('has the slow requests, the newest first, with what most of their time went to', () => {
    const request = (second: number, more: Partial<RequestReport>): RequestReport => ({
      time: new Date(Date.UTC(2026, 10, 1, 12, 0, second)).toISOString(),
      operation: 'fsync',
      path: '/a',
      uid: 0,
      pid: 10,
      result: 'ok',
      microseconds: 30_000,
      waits: { journal: 20_000, below: 9_000, tree: 1_000 },
      ...more,
    });
    const { path: _path, ...nameless } = request(5, { ino: 42, pid: 11, waits: {} });
    const slow = [request(1, {}), request(8, { path: '/b\ufffd', pathBytes: 'L2L/' }), nameless];
    const view = viewOf(FIRST, look(12, undefined, { slow }), NAMES);
    expect(
      view.slow.map(({ agoSeconds, path, program, mostly }) => [agoSeconds, path, program, mostly]),
    ).toEqual([
      [4, '/b\ufffd', 'git', 'journal'],
      [7, 'inode 42', '(ended)', 'tree'],
      [11, '/a', 'git', 'journal'],
    ]);
    expect(view.slow[0]).toMatchObject({ seconds: 0.03, pathBytes: 'L2L/' });
  });

  it('knows another daemon by its start', () => {
    expect(isSameDaemon(FIRST, look(12))).toBe(true);
    for (const change of [
      (stats: StatsReport) => Object.assign(stats.process, { pid: 9 }),
      (stats: StatsReport) => Object.assign(stats.process, { startedAt: '2026-11-01T12:00:01.000Z' }),
    ])
      expect(isSameDaemon(FIRST, look(12, change))).toBe(false);
  });
});
