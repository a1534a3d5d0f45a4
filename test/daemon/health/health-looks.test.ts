import { beforeEach, describe, expect, it } from 'vitest';
import { DescriptorProblems } from '../../../daemon/mounting/health/descriptor-problems.js';
import { DiskProblems } from '../../../daemon/mounting/health/disk-problems.js';
import { HealthWatch } from '../../../daemon/mounting/health/health-watch.js';
import { QuotaWatch } from '../../../daemon/mounting/health/quota-watch.js';
import { scrubProblems } from '../../../daemon/mounting/health/scrub-problems.js';
import { TreeProblems } from '../../../daemon/mounting/health/tree-problems.js';
import type { QuotaUse } from '../../../mount/sums/quota-uses.js';
import { silentLog, treeConditions } from '../support.js';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

const codes = (problems: readonly { code: string }[]) => problems.map(({ code }) => code);

describe('the tree', () => {
  let now = 0;
  let problems: TreeProblems;
  beforeEach(() => {
    now = 1_000;
    problems = new TreeProblems('/s', () => now);
  });

  it('tells each condition under its code', () => {
    expect(problems.of(treeConditions())).toEqual([]);
    const { checkpoint, space } = treeConditions();
    const all = problems.of({
      ...treeConditions(),
      poisoned: 'Cannot use the tree in /s: a thread failed',
      failure: 'Cannot use the journal: EIO',
      space: { ...space, exhausted: true },
      checkpoint: { ...checkpoint, lastError: 'no space left' },
      unreadableBlobs: [
        { id: 7, errors: 2, prefix: 'd/a' },
        { id: 7, errors: 1, prefix: undefined, snapshot: 'monday' },
      ],
    });
    expect(codes(all)).toEqual([
      'TREE_UNUSABLE',
      'JOURNAL_FAILED',
      'DISK_FULL',
      'CHECKPOINT_FAILED',
      'BLOB_UNREADABLE',
      'BLOB_UNREADABLE',
    ]);
    expect(all[5]).toMatchObject({
      subject: 'blob 7 of snapshot "monday"',
      reason: 'blob 7 of snapshot "monday" cannot be read (tried 1 times)',
    });
  });

  it('lags when the journal has far more than checkpoints cover, until that is as usual', () => {
    const at = (mib: number) => codes(problems.of({ ...treeConditions(), uncheckpointedBytes: mib * MIB }));
    expect(at(512)).toEqual([]);
    expect(at(513)).toEqual(['CHECKPOINT_LAGGING']);
    expect(at(300)).toEqual(['CHECKPOINT_LAGGING']);
    expect(at(255)).toEqual([]);
    expect(at(500)).toEqual([]);
  });

  it('lags when what was changed does not become durable, and not as long as something does', () => {
    const at = (lastLsn: number, durableLsn: number) => {
      now += 1_000;
      return codes(problems.of({ ...treeConditions(), lastLsn, durableLsn }));
    };
    // Busy, a second behind all the time.
    for (let second = 1; second < 60; second++) expect(at(second * 100, second * 100 - 100)).toEqual([]);
    for (let second = 0; second < 15; second++) at(6_000 + second, 5_900);
    expect(at(7_000, 5_900)).toEqual(['JOURNAL_LAGGING']);
    expect(at(7_001, 7_000)).toEqual([]);
  });
});

describe('the disk', () => {
  it('is nearly full below 5 % or 16 GiB, whichever is less, until there is a fifth more', () => {
    const small = new DiskProblems('/s');
    const at = (watch: DiskProblems, totalBytes: number, freeBytes: number) =>
      codes(watch.of({ totalBytes, freeBytes, totalInodes: 0, freeInodes: 0 }));
    expect(at(small, 100 * GIB, 5 * GIB)).toEqual([]);
    expect(at(small, 100 * GIB, 5 * GIB - 1)).toEqual(['DISK_NEARLY_FULL']);
    expect(at(small, 100 * GIB, 6 * GIB - 1)).toEqual(['DISK_NEARLY_FULL']);
    expect(at(small, 100 * GIB, 6 * GIB)).toEqual([]);
    const large = new DiskProblems('/s');
    expect(at(large, 10_000 * GIB, 17 * GIB)).toEqual([]);
    expect(at(large, 10_000 * GIB, 15 * GIB)).toEqual(['DISK_NEARLY_FULL']);
  });

  it('has few inodes left below 5 % or 100,000; one without a limit never has', () => {
    const disk = new DiskProblems('/s');
    const at = (totalInodes: number, freeInodes: number) =>
      codes(disk.of({ totalBytes: GIB, freeBytes: GIB, totalInodes, freeInodes }));
    expect(at(0, 0)).toEqual([]);
    expect(at(1_000_000, 50_000)).toEqual([]);
    expect(at(1_000_000, 49_999)).toEqual(['DISK_INODES_LOW']);
    expect(at(1_000_000, 60_000)).toEqual([]);
    expect(at(100_000_000, 100_000)).toEqual([]);
    expect(at(100_000_000, 99_999)).toEqual(['DISK_INODES_LOW']);
  });
});

it('descriptors are few when few are left, however low the limit is', () => {
  const watch = new DescriptorProblems();
  expect(watch.find(950, 1024)).toBeUndefined();
  expect(watch.find(993, 1024)).toMatchObject({ code: 'DESCRIPTORS_LOW' });
  expect(watch.find(970, 1024)).toMatchObject({ reason: '970 of 1024 file descriptors are in use' });
  expect(watch.find(960, 1024)).toBeUndefined();
});

it('limits of directories are nearly reached from nine tenths on, and reached; all are looked at', async () => {
  let uses: QuotaUse[] = [];
  const parts: unknown[] = [];
  const admin = {
    async run(work: string, _directory: string, after: Uint8Array | undefined) {
      parts.push([work, after?.[0]]);
      const [first, ...rest] = uses;
      const isFirst = after === undefined && rest.length > 0;
      return isFirst
        ? { uses: [first], next: Uint8Array.of(1) }
        : { uses: after === undefined ? uses : rest };
    },
  };
  const watch = new QuotaWatch(admin as never, '/s/content', silentLog);
  const at = async (...used: number[]) => {
    uses = used.map((files, n) => ({ directory: `/d${n}`, of: 'files', limit: 100, used: files }));
    await watch.look();
    return watch.problems.map(({ code, subject }) => `${code} ${subject}`);
  };
  expect(await at(90, 10)).toEqual([]);
  expect(parts).toEqual([
    ['quotaUses', undefined],
    ['quotaUses', 1],
  ]);
  expect(await at(91, 100)).toEqual(['QUOTA_NEARLY_FULL files of /d0', 'QUOTA_EXCEEDED files of /d1']);
  expect(await at(86, 86)).toEqual(['QUOTA_NEARLY_FULL files of /d0', 'QUOTA_NEARLY_FULL files of /d1']);
  expect(await at(84)).toEqual([]);
  const reasonOf = async (of: 'bytes' | 'files', limit: number, used: number) => {
    uses = [{ directory: '/d', of, limit, used }];
    await watch.look();
    return watch.problems.map(({ reason }) => reason);
  };
  expect(await reasonOf('files', 10, 10)).toEqual([
    'the limit of /d is reached: 10 of 10 files and directories are used',
  ]);
  expect(await reasonOf('bytes', 2 ** 30, 1000 * 2 ** 20)).toEqual([
    'the limit of /d is nearly reached: 1000 MiB of 1 GiB are used',
  ]);
});

it('a scrub tells blobs, images of snapshots and the manifest', () => {
  expect(scrubProblems(undefined)).toEqual([]);
  const report = { startedAt: '', endedAt: '', blobs: 3, damaged: [] };
  expect(scrubProblems(report)).toEqual([]);
  const damaged = [
    { id: 1, message: 'rotten', prefix: 'd/a' },
    { id: 1, message: 'rotten', snapshot: 'monday' },
  ];
  const found = scrubProblems({ ...report, damaged, manifest: 'Cannot open manifest' });
  expect(codes(found)).toEqual(['SCRUB_FOUND_DAMAGE', 'SCRUB_FOUND_DAMAGE', 'MANIFEST_DAMAGED']);
  expect(found[0]!.reason).toBe('the last scrub found blob 1 damaged: rotten; its keys begin with "d/a"');
  expect(found[1]!.subject).toBe('blob 1 of snapshot "monday"');
});

describe('the watch', () => {
  it('looks anew for whoever asks, and goes on where a look fails', () => {
    let now = 0;
    let looks = 0;
    let fails = false;
    const watch = new HealthWatch(silentLog, () => now);
    watch.add(() => {
      looks++;
      if (fails) throw new Error('EMFILE');
      return { code: 'STORE_MOVED', reason: `look ${looks}` };
    }, 5_000);
    watch.add(() => undefined);
    watch.add(() => [{ code: 'LOG_FAILING', reason: 'another' }]);
    expect(watch.report().reasons).toEqual(['look 1', 'another']);
    expect(watch.report().reasons).toEqual(['look 2', 'another']);
    fails = true;
    now = 10_000;
    expect(watch.report().reasons).toEqual(['look 2', 'another']);
    expect(looks).toBe(3);
  });

  it('tells the log only between its start and its stop', () => {
    const told: string[] = [];
    const tell = (_: object, message: string) => told.push(message);
    const watch = new HealthWatch({ error: tell, warn: tell, info: tell } as never);
    watch.add(() => ({ code: 'LOG_FAILING', reason: 'it fails' }));
    watch.report();
    expect(told).toEqual([]);
    watch.start();
    expect(told).toEqual(['it fails']);
    watch.stop();
    watch.add(() => ({ code: 'MOUNT_DOWN', reason: 'the mount is gone' }));
    expect(watch.report().reasons).toHaveLength(2);
    expect(told).toHaveLength(1);
  });
});
