/**
 * The figures of operations against those that a client takes of its own system calls. A request is served within the call
 * that sent it, and both clocks are the machine's one: so counts and errors are equal, and sums at most what the client saw.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { difference } from '../../../daemon/control/metrics/latency.js';
import type { OperationFigures } from '../../../mount/types.js';
import { parseMetrics } from '../../support/metrics/prometheus.js';
import { Site } from '../site.js';

const CLIENT = join(import.meta.dirname, 'latency/client.py');
const UNCACHED = ['--entry-timeout', '0', '--attr-timeout', '0', '--negative-timeout', '0'];
const COUNT = 50;
const DELAY_MS = 120;
const HAS_STRACE = spawnSync('strace', ['-V']).status === 0;

interface Spent {
  count: number;
  nanos: number;
  errors: Record<string, number>;
}

/** What came between two looks at the operations. */
type Served = Record<string, Pick<OperationFigures, 'errors'> & ReturnType<typeof difference>>;

const NONE = { errors: {}, micros: {} };

/** Has a client do each kind so often, and gives what it saw and what the daemon tells of it. */
async function observe(
  site: Site,
  kinds: readonly string[],
  count = COUNT,
): Promise<{ spent: Record<string, Spent>; served: Served }> {
  const before = (await site.stats()).mount.latency;
  const spent = JSON.parse(await site.sh(`python3 ${CLIENT} $MNT ${count} ${kinds.join(' ')}`));
  const after = (await site.stats()).mount.latency;
  const served: Served = {};
  for (const [name, figures] of Object.entries(after)) {
    // What the parts come to is all of the time.
    const parts = Object.values(figures.micros).reduce((sum, micros) => sum + micros, 0);
    expect(Math.abs(parts - figures.sumMicros)).toBeLessThan(figures.sumMicros * 1e-9 + 1e-6);
    const { errors } = before[name] ?? NONE;
    const newErrors = Object.entries(figures.errors)
      .map(([error, found]): [string, number] => [error, found - ((errors as Spent['errors'])[error] ?? 0)])
      .filter(([, found]) => found > 0);
    served[name] = { ...difference(figures, before[name]), errors: Object.fromEntries(newErrors) };
  }
  return { spent, served };
}

function expectWithin(served: Served, name: string, { count, nanos, errors }: Spent): void {
  expect([name, served[name]!.count, served[name]!.errors]).toEqual([name, count, errors]);
  expect(served[name]!.sumMicros).toBeGreaterThan(0);
  expect(served[name]!.sumMicros).toBeLessThanOrEqual(nanos / 1000);
}

it.each([
  ['kernel', ['mkdir', 'rmdir', 'rename', 'setxattr', 'removexattr', 'fsync']],
  ['fuse-native', ['mkdir', 'rmdir', 'rename', 'setxattr', 'removexattr', 'fsync']],
])('%s: counts and errors are exact, and sums no more than what a client saw', async (driver, kinds) => {
  const site = new Site();
  await site.mount('--driver', driver);
  const { spent, served } = await observe(site, kinds);
  // What prepares the others makes directories, too.
  const { rmdir, mkdir, ...others } = spent;
  expect(served.mkdir!.count).toBe(mkdir!.count + 2 * rmdir!.count);
  expectWithin(served, 'rmdir', rmdir!);
  expect(rmdir!.errors).toEqual({ ENOTEMPTY: COUNT });
  for (const [name, figures] of Object.entries(others)) expectWithin(served, name, figures);
  expect(others.removexattr!.errors).toEqual({ ENODATA: COUNT });
  // What fsync is to make durable passes through the daemon where the kernel does not write it by itself.
  const { bytesWritten, passthrough } = (await site.stats()).mount;
  expect(bytesWritten).toBe(passthrough ? 0 : COUNT * 1000);
});

it('a stat without caches is a look-up, and maybe a look at the attributes', async () => {
  const site = new Site();
  await site.mount(...UNCACHED);
  await site.sh('touch $MNT/warm');
  const { spent, served } = await observe(site, ['stat', 'lookup']);
  // Making each file looks for its name first. That a name is absent is no error, but an answer.
  expect(served.lookup!.count).toBeGreaterThanOrEqual(2 * spent.stat!.count + spent.lookup!.count);
  expect(served.lookup!.errors).toEqual({});
  expect(spent.lookup!.errors).toEqual({ ENOENT: COUNT });
  const { mount } = await site.stats();
  expect(Object.values(mount.operations).reduce((sum, count) => sum + count, 0)).toBe(mount.requests);
  for (const [name, { count }] of Object.entries(mount.latency)) expect(count).toBe(mount.operations[name]);
});

it('bytes that pass through the daemon are counted, to the byte', async () => {
  const site = new Site();
  await site.stackStore();
  await site.mount();
  await observe(site, ['write']);
  await site.sh('head -c 123457 /dev/urandom > $MNT/large');
  expect((await site.stats()).mount).toMatchObject({ bytesWritten: COUNT * 1000 + 123_457, bytesRead: 0 });
  await site.umount();
  await site.mount();
  await site.sh('cat $MNT/large | wc -c');
  expect((await site.stats()).mount).toMatchObject({ bytesWritten: 0, bytesRead: 123_457 });
});

it('files, directories and bytes are those of the mount', async () => {
  const site = new Site();
  await site.mount();
  await site.sh(
    'cd $MNT; mkdir -p a/b c; head -c 1000 /dev/zero > a/f; head -c 500 /dev/zero > a/b/g; ln a/f c/h',
  );
  const expected = { files: 3, directories: 3, bytes: 1500, unsized: 0 };
  let { contents } = await site.stats();
  // They are summed up now and then.
  while (JSON.stringify(contents) !== JSON.stringify(expected)) ({ contents } = await site.stats());
  const { disk, process } = await site.stats();
  const [blocks, size, inodes] = (await site.sh("stat -f -c '%b %S %c' $STORE")).split(' ').map(Number);
  expect(disk).toMatchObject({ totalBytes: blocks! * size!, totalInodes: inodes });
  expect(Date.parse(process.startedAt)).toBeLessThan(Date.parse(disk!.lookedAt) + 1000);
});

describe.runIf(HAS_STRACE)('a system call that is held up', () => {
  /** Attaches to the daemon, whose syncs then take so long. */
  async function holdUp(site: Site, calls: string): Promise<() => Promise<void>> {
    const { child, result } = site.start(
      `exec strace -f -q -o $DIR/trace -e trace=${calls} -e inject=${calls}:delay_enter=${DELAY_MS * 1000} -p ${site.daemon()}`,
    );
    // All threads are traced once one of them has been seen in the file that it writes.
    while ((await site.attempt(`grep -q TracerPid:.0$ /proc/${site.daemon()}/task/*/status`)).code === 0);
    return async () => {
      child.kill('SIGINT');
      await result;
    };
  }

  it('is in the figures of whoever waits for it, above its delay, and in no others', async () => {
    const site = new Site();
    await site.mount('--durability', 'synced');
    await site.sh('mkdir $MNT/warm');
    const before = (await site.stats()).tree.latency.journalSync;
    const letGo = await holdUp(site, 'fsync,fdatasync');
    const { spent, served } = await observe(site, ['mkdir', 'removexattr', 'fsync'], 4);
    await letGo();
    for (const name of ['mkdir', 'removexattr', 'fsync']) expectWithin(served, name, spent[name]!);
    const delay = DELAY_MS * 1000;
    // A bound is at most an eighth above what is in its bucket.
    for (const name of ['mkdir', 'fsync'])
      for (const [upTo] of served[name]!.buckets) expect(upTo).toBeGreaterThanOrEqual(delay);
    const { mount, tree } = await site.stats();
    expect(mount.latency.mkdir!.micros.journal).toBeGreaterThan(4 * delay * 0.9);
    expect(mount.latency.fsync!.micros.below).toBeGreaterThanOrEqual(4 * delay);
    expect(mount.latency.removexattr!.micros).toMatchObject({ journal: 0, waiting: 0, below: 0 });
    const held = difference(tree.latency.journalSync, before);
    expect(held.count).toBeGreaterThanOrEqual(4);
    expect(held.sumMicros).toBeGreaterThanOrEqual(4 * delay);
  });
});

describe('metrics over TCP', () => {
  const address = (site: Site): string => {
    const mounted = site.logged('info').map((line) => JSON.parse(line) as Record<string, unknown>);
    return String(mounted.find(({ msg }) => msg === 'mounted')!.metrics);
  };

  it('are those of the mount; the log has the address, the version and the settings', async () => {
    const site = new Site();
    await site.mount('--metrics', '127.0.0.1:0', '--durability', 'synced', '--snapshots', 'daily:7');
    const mounted = site.logged('info').map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(mounted.at(-1)).toMatchObject({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      msg: 'mounted',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      mountpoint: site.mountpoint,
      store: site.store,
      driver: 'kernel',
      durability: 'synced',
      readOnly: false,
      entryTimeout: 3600,
      snapshots: ['daily:7'],
    });
    await site.sh('mkdir $MNT/d; ! rmdir $MNT/absent 2> /dev/null');
    const { samples } = parseMetrics(`${await site.sh(`curl -sS http://${address(site)}/metrics`)}\n`);
    expect(samples('spinney_operation_seconds_count')).toContainEqual({
      labels: { operation: 'mkdir' },
      value: 1,
    });
    expect(samples('process_max_fds')).toHaveLength(1);
    for (const path of ['', 'v1/stats', 'metrics/x'])
      expect(await site.sh(`curl -sS -o /dev/null -w '%{http_code}' http://${address(site)}/${path}`)).toBe(
        '404',
      );
    await site.umount();
    expect((await site.attempt(`curl -sS http://${address(site)}/metrics`)).code).toBe(7);
  });

  it('at an address that is taken keep the mount from being made, and nothing is left of it', async () => {
    const site = new Site();
    const other = new Site();
    await other.mount('--metrics', '127.0.0.1:0');
    const taken = address(other);
    const mount = ['mount', site.mountpoint, '--store', site.store, '--metrics', taken];
    for (const more of [[], ['--foreground']]) {
      expect(await site.refusal(...mount, ...more)).toBe(
        `spinney: Cannot serve metrics at ${taken}: another program listens there; give another address with --metrics`,
      );
    }
    expect(site.isMounted()).toBe(false);
    expect(await site.sh('ls $DIR')).toBe('mnt');
    await other.umount();
    expect(await site.must(...mount)).toMatch(/^mounted /);
    // The next daemon has the address as soon as it has the store.
    await site.umount();
    expect(await site.must(...mount)).toMatch(/^mounted /);
  });
});
