import { expect, it } from 'vitest';
import type { Problem } from '../../../daemon/health/codes.js';
import { HealthWatch } from '../../../daemon/mounting/health/health-watch.js';
import { Status } from '../../../daemon/mounting/status.js';
import { SpinneyError } from '../../../engine/errors.js';
import { readMountinfo } from '../../../mount/mountpoints/mountinfo.js';
import type { MountEnd, Mounted, MountProblem } from '../../../mount/types.js';
import {
  idleRequestLog,
  NO_SNAPSHOTS,
  silentLog,
  statsReport,
  stubSnapshots,
  stubSurvey,
  treeConditions,
} from '../support.js';

/** What health tells beside codes. */
const texts = (of: Status) => {
  const { status, reasons } = of.health();
  return { status, reasons };
};

function parts() {
  const tree = { ...statsReport().tree, blobs: [] };
  const work: string[] = [];
  const conditions = treeConditions();
  const problems: MountProblem[] = [];
  const others: Problem[] = [];
  const admin = {
    async run(name: string) {
      work.push(name);
      tree.blobCount--;
    },
  };
  let end: (end: MountEnd) => void = () => {};
  const mounted: Mounted = {
    driver: 'kernel',
    resumed: undefined,
    descriptor: undefined,
    handOver: () => Promise.resolve(false),
    snapshots: NO_SNAPSHOTS,
    requestLog: idleRequestLog(),
    mountpoint: '/mnt/x',
    ended: new Promise((resolve) => {
      end = resolve;
    }),
    stats: () => statsReport().mount,
    problems: () => problems,
    unmount: async () => true,
  };
  const health = new HealthWatch(silentLog);
  const status = new Status(
    { stats: () => tree, conditions: () => conditions },
    admin,
    { store: '/s', mountpoint: '/mnt/x' },
    stubSnapshots(),
    stubSurvey(),
    health,
  );
  health.add(() => others);
  return {
    conditions,
    work,
    problems,
    others,
    mounted,
    status,
    end: (reason: MountEnd['reason']) => end({ reason }),
  };
}

it('is degraded until the mount is up, and after it is gone', async () => {
  const { status, mounted, end } = parts();
  expect(texts(status)).toEqual({ status: 'degraded', reasons: ['the mount at /mnt/x is starting'] });
  expect(() => status.stats({ blobs: false })).toThrow(SpinneyError);
  status.setMount(mounted);
  expect(texts(status)).toEqual({ status: 'ok', reasons: [] });
  end('failed');
  await mounted.ended;
  expect(status.health().reasons).toEqual(['the mount at /mnt/x is failed']);
});

it('is degraded while checkpoints fail', () => {
  const { status, mounted, conditions } = parts();
  status.setMount(mounted);
  conditions.checkpoint.lastError = 'no space left';
  expect(status.health().reasons).toEqual(['the last checkpoint failed: no space left']);
});

it('is degraded while a blob cannot be read, and names it', () => {
  const { status, mounted, conditions } = parts();
  status.setMount(mounted);
  conditions.unreadableBlobs = [
    { id: 7, errors: 3, prefix: 'd/a' },
    { id: 9, errors: 1, prefix: undefined },
  ];
  expect(texts(status)).toEqual({
    status: 'degraded',
    reasons: [
      'blob 7 cannot be read (tried 3 times); its keys begin with "d/a"',
      'blob 9 cannot be read (tried 1 times)',
    ],
  });
});

it('is degraded when the tree takes no changes any more', () => {
  const { status, mounted, conditions } = parts();
  status.setMount(mounted);
  conditions.failure = 'Cannot use the journal: EIO';
  expect(texts(status)).toEqual({
    status: 'degraded',
    reasons: ['every change is refused: Cannot use the journal: EIO'],
  });
});

it('is degraded while anything else is wrong', () => {
  const { status, mounted, others } = parts();
  status.setMount(mounted);
  expect(status.health().status).toBe('ok');
  others.push({ code: 'LOG_FAILING', reason: 'the log is full' });
  expect(status.health()).toMatchObject({
    status: 'degraded',
    reasons: ['the log is full'],
    problems: [{ code: 'LOG_FAILING', severity: 'degraded' }],
  });
});

it('is degraded while writes are refused for want of space', () => {
  const { status, mounted, conditions } = parts();
  status.setMount(mounted);
  conditions.space = { exhausted: true, freeBytes: 4096, freeSlots: 19 };
  expect(texts(status)).toEqual({
    status: 'degraded',
    reasons: ['writes get ENOSPC: the disk of /s is full, 4096 bytes free; what is there can be removed'],
  });
});

it('is degraded while the mount is stuck', () => {
  const { status, mounted, problems } = parts();
  status.setMount(mounted);
  problems.push({ code: 'REQUEST_STUCK', reason: 'it hangs' });
  expect(texts(status)).toEqual({ status: 'degraded', reasons: ['it hangs'] });
  problems.pop();
  expect(status.health().status).toBe('ok');
});

it('tells blobs only when asked', () => {
  const { status, mounted } = parts();
  status.setMount(mounted);
  expect(status.stats({ blobs: false }).tree).not.toHaveProperty('blobs');
  expect(status.stats({ blobs: true })).toMatchObject({
    tree: { blobs: [] },
    store: { path: '/s' },
    process: { pid: process.pid },
  });
});

it('runs the admin work and tells what it did', async () => {
  const { status, work } = parts();
  expect(await status.compact()).toMatchObject({ before: { blobCount: 3 }, after: { blobCount: 2 } });
  expect((await status.checkpoint()).checkpoint.rounds).toBe(5);
  expect(work).toEqual(['compact', 'checkpoint']);
});

it('tells that the mount is not at its place any more', () => {
  const { status, mounted } = parts();
  const [entry] = readMountinfo();
  status.setMount(mounted, { ...entry!, mountpoint: '/nowhere' });
  expect(status.health().problems).toMatchObject([
    { code: 'MOUNT_DISPLACED', reason: expect.stringContaining('the mount is no longer at /nowhere') },
  ]);
});
