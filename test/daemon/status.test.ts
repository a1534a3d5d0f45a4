import { expect, it, vi } from 'vitest';
import { Status } from '../../daemon/mounting/status.js';
import { SpinneyError } from '../../engine/errors.js';
import { isMountedAt } from '../../mount/mount-users.js';
import { readMountinfo } from '../../mount/mountinfo.js';
import type { MountEnd, Mounted } from '../../mount/types.js';
import { NO_SNAPSHOTS, statsReport, stubSnapshots } from './support.js';

vi.mock('../../mount/mount-users.js', async (original) => {
  const users = await original<typeof import('../../mount/mount-users.js')>();
  return { ...users, isMountedAt: vi.fn(users.isMountedAt) };
});

function parts() {
  const tree = { ...statsReport().tree, blobs: [] };
  const work: string[] = [];
  const problems: string[] = [];
  const admin = {
    async run(name: string) {
      work.push(name);
      tree.blobCount--;
    },
  };
  let end: (end: MountEnd) => void = () => {};
  const mounted: Mounted = {
    driver: 'kernel',
    snapshots: NO_SNAPSHOTS,
    mountpoint: '/mnt/x',
    ended: new Promise((resolve) => {
      end = resolve;
    }),
    stats: () => statsReport().mount,
    problems: () => problems,
    unmount: async () => true,
  };
  const status = new Status(
    { stats: () => tree },
    admin,
    { store: '/s', mountpoint: '/mnt/x' },
    stubSnapshots(),
  );
  return { tree, work, problems, mounted, status, end: (reason: MountEnd['reason']) => end({ reason }) };
}

it('is degraded until the mount is up, and after it is gone', async () => {
  const { status, mounted, end } = parts();
  expect(status.health()).toEqual({ status: 'degraded', reasons: ['the mount at /mnt/x is starting'] });
  expect(() => status.stats({ blobs: false })).toThrow(SpinneyError);
  status.setMount(mounted);
  expect(status.health()).toEqual({ status: 'ok', reasons: [] });
  end('failed');
  await mounted.ended;
  expect(status.health().reasons).toEqual(['the mount at /mnt/x is failed']);
});

it('is degraded while checkpoints fail', () => {
  const { status, mounted, tree } = parts();
  status.setMount(mounted);
  tree.checkpoint.lastError = 'no space left';
  expect(status.health().reasons).toEqual(['the last checkpoint failed: no space left']);
});

it('is degraded while a blob cannot be read, and names it', () => {
  const { status, mounted, tree } = parts();
  status.setMount(mounted);
  tree.unreadableBlobs = [
    { id: 7, errors: 3, prefix: 'd/a' },
    { id: 9, errors: 1, prefix: undefined },
  ];
  expect(status.health()).toEqual({
    status: 'degraded',
    reasons: [
      'blob 7 cannot be read (tried 3 times); its keys begin with "d/a"',
      'blob 9 cannot be read (tried 1 times)',
    ],
  });
});

it('is degraded when the tree takes no changes any more', () => {
  const { status, mounted, tree } = parts();
  status.setMount(mounted);
  tree.failure = 'Cannot use the journal: EIO';
  expect(status.health()).toEqual({
    status: 'degraded',
    reasons: ['every change is refused: Cannot use the journal: EIO'],
  });
});

it('is degraded while lines of the log are lost', () => {
  const { tree, mounted } = parts();
  let problem: string | undefined;
  const admin = { run: async () => {} };
  const where = { store: '/s', mountpoint: '/mnt/x' };
  const status = new Status({ stats: () => tree }, admin, where, stubSnapshots(), () => [undefined, problem]);
  status.setMount(mounted);
  expect(status.health().status).toBe('ok');
  problem = 'the log is full';
  expect(status.health().reasons).toEqual(['the log is full']);
});

it('is degraded while writes are refused for want of space', () => {
  const { status, mounted, tree } = parts();
  status.setMount(mounted);
  tree.space = { exhausted: true, freeBytes: 4096, freeSlots: 19 };
  expect(status.health()).toEqual({
    status: 'degraded',
    reasons: ['writes get ENOSPC: the disk of /s is full, 4096 bytes free; what is there can be removed'],
  });
});

it('is degraded while the mount is stuck', () => {
  const { status, mounted, problems } = parts();
  status.setMount(mounted);
  problems.push('it hangs');
  expect(status.health()).toEqual({ status: 'degraded', reasons: ['it hangs'] });
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

it('goes on where it cannot look whether the mount is at its place', () => {
  const { status, mounted } = parts();
  const [entry] = readMountinfo();
  const told: unknown[] = [];
  const log = { warn: (what: unknown) => told.push(what) };
  status.setMount(mounted, { ...entry!, mountpoint: '/nowhere' });
  vi.mocked(isMountedAt).mockImplementationOnce(() => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
  });
  status.lookForMount(log);
  expect(told).toEqual([]);
  for (let look = 0; look < 4; look++) status.lookForMount(log);
  expect(told).toEqual([expect.stringContaining('the mount is no longer at /nowhere')]);
});

it('tells nothing of a mount that is on its way out', () => {
  const { status, mounted } = parts();
  const [entry] = readMountinfo();
  const told: unknown[] = [];
  const log = { warn: (what: unknown) => told.push(what) };
  status.setMount(mounted, { ...entry!, mountpoint: '/nowhere' });
  status.lookForMount(log);
  vi.mocked(isMountedAt).mockImplementationOnce(() => true);
  status.lookForMount(log);
  status.lookForMount(log);
  expect(told).toEqual([]);
});
