import { describe, expect, it } from 'vitest';
import { ActivitySums } from '../../../../daemon/commands/inspecting/top/look/activity.js';
import { Programs, userNames } from '../../../../daemon/commands/inspecting/top/look/names.js';

const PROGRAMS = new Map([
  [10, 'git'],
  [11, 'git'],
]);

function sums(): ActivitySums {
  return new ActivitySums((pid) => PROGRAMS.get(pid));
}

function report(
  clients: [uid: number, pid: number, requests: number][],
  directories: [string, number][] = [],
) {
  return {
    time: '2026-11-30T15:00:00.000Z',
    milliseconds: 500,
    seen: 100,
    missed: 10,
    clients: clients.map(([uid, pid, requests]) => ({ uid, pid, requests, microseconds: requests * 1_000 })),
    directories: directories.map(([path, requests]) => ({ path, requests, microseconds: 2_000 })),
  };
}

describe('activity between two looks', () => {
  it('sums the processes of one user that run one program', () => {
    const activity = sums();
    activity.add(
      report([
        [7, 10, 50],
        [7, 11, 30],
        [8, 10, 5],
        [7, 99, 1],
      ]),
    );
    activity.add(report([[7, 10, 20]]));
    expect(activity.take()).toMatchObject({
      seconds: 1,
      seen: 200,
      missed: 20,
      clients: [
        { uid: 7, program: 'git', pids: new Set([10, 11]), requests: 100, seconds: 0.1 },
        { uid: 8, program: 'git', pids: new Set([10]), requests: 5 },
        { uid: 7, program: undefined, requests: 1 },
      ],
    });
  });

  it('sums directories', () => {
    const activity = sums();
    activity.add(
      report(
        [],
        [
          ['/a', 3],
          ['/b', 2],
        ],
      ),
    );
    activity.add(report([], [['/a', 4]]));
    expect(activity.take()?.directories).toEqual([
      { path: '/a', requests: 7, seconds: 0.004 },
      { path: '/b', requests: 2, seconds: 0.002 },
    ]);
  });

  it('is what was known last where no summary came, and nothing once there are none any more', () => {
    const activity = sums();
    expect(activity.take()).toBeUndefined();
    activity.add(report([[7, 10, 50]]));
    const taken = activity.take();
    expect(activity.take()).toBe(taken);
    activity.forget();
    expect(activity.take()).toBeUndefined();
  });

  it('keeps a bounded number of rows, and counts what it has rows for', () => {
    const activity = sums();
    const many = Array.from({ length: 10_000 }, (_, i): [string, number] => [`/d${i}`, 1]);
    activity.add(report([], many));
    activity.add(
      report(
        [],
        [
          ['/d0', 5],
          ['/d9999', 5],
        ],
      ),
    );
    const directories = activity.take()!.directories;
    expect(directories).toHaveLength(4_096);
    expect(directories[0]).toMatchObject({ path: '/d0', requests: 6 });
  });
});

describe('names', () => {
  it('are those of /etc/passwd', () => {
    expect(userNames().get(0)).toBe('root');
  });

  it('of programs are those of live processes, of the kernel, and none of what was never there', () => {
    const programs = new Programs();
    expect(programs.of(process.pid)).toMatch(/^\S/);
    expect(programs.of(0)).toBe('(kernel)');
    expect(programs.of(2 ** 30)).toBeUndefined();
  });
});
