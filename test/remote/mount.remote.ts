/** Mounts whose store is in a real object store: written here, read there, and what becomes of whoever was taken over. */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { beforeAll, expect, it } from 'vitest';
import type { RemoteReport, StatsReport } from '../../daemon/control/reports.js';
import { Site } from '../e2e/site.js';

const bucket = `mounts-${randomBytes(6).toString('hex')}`;
let prefixes = 0;

beforeAll(async () => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  const client = new S3Client({ forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
});

/** A remote that nobody has used. */
function newRemote(): string {
  return `s3://${bucket}/p${++prefixes}`;
}

async function remoteOf(site: Site): Promise<RemoteReport> {
  const stats = JSON.parse(await site.must('stats', site.mountpoint, '--json')) as StatsReport;
  return stats.remote!;
}

async function until(site: Site, holds: (remote: RemoteReport) => boolean): Promise<RemoteReport> {
  for (const end = Date.now() + 60_000; ; ) {
    const remote = await remoteOf(site);
    if (holds(remote)) return remote;
    if (Date.now() > end) throw new Error(`it did not come to that: ${JSON.stringify(remote)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Content files that are here. */
function contentsOf(site: Site): string[] {
  const content = join(site.store, 'content');
  return readdirSync(content)
    .filter((name) => /^[0-9a-f]+$/.test(name))
    .flatMap((name) => readdirSync(join(content, name)));
}

it('has on another machine all that was written on the first, contents as they are wanted', async () => {
  const remote = newRemote();
  const first = new Site();
  await first.mount('--remote', remote);
  await first.sh(`cd $MNT; mkdir -p a/b; head -c 30000000 /dev/urandom >a/big; ln a/big linked; ln -s a/big s
    for i in $(seq 40); do echo "content $i" >a/b/$i; done; setfattr -n user.k -v v a/b/1; chmod 600 a/b/2
    : >empty; md5sum a/big a/b/* empty >$DIR/sums; stat -c '%n %s %a %i %Y' a a/b a/b/* a/big linked empty >$DIR/stats`);
  await first.umount();
  const second = new Site();
  await second.mount('--remote', remote);
  expect(contentsOf(second)).toEqual([]);
  expect(await second.sh(`cd $MNT; stat -c '%n %s %a %i %Y' a a/b a/b/* a/big linked empty`)).toBe(
    readFileSync(join(first.directory, 'stats'), 'utf8').trimEnd(),
  );
  expect(contentsOf(second)).toEqual([]);
  // A little of a large file needs not all of it.
  await second.sh('tail -c 10 $MNT/a/big >$DIR/tail');
  expect((await remoteOf(second)).cache.fetchedBytes).toBeLessThan(20_000_000);
  await second.sh(
    `cd $MNT; md5sum --quiet -c ${first.directory}/sums; getfattr -n user.k --only-values a/b/1`,
  );
  await second.sh('echo more >>$MNT/a/b/3; rm $MNT/a/b/4');
  await second.umount();
  // The first machine's store is not what the remote has any more.
  const refusal = await first.refusal('mount', first.mountpoint, '--store', first.store, '--remote', remote);
  expect(refusal).toMatch(/another store writes to/);
  const third = new Site();
  await third.mount('--remote', remote);
  expect(
    await third.sh('cat $MNT/a/b/3; test ! -e $MNT/a/b/4; md5sum <$MNT/linked; md5sum <$MNT/a/big'),
  ).toMatch(/^content 3\nmore\n(.*)\n\1$/);
  await third.umount();
});

it('is not mounted without its remote, or with another', async () => {
  const remote = newRemote();
  const site = new Site();
  await site.mount('--remote', remote);
  await site.umount();
  const plain = await site.spinney('mount', site.mountpoint, '--store', site.store);
  expect(plain).toMatchObject({ code: 2, out: '' });
  expect(plain.err).toContain(`mount it with --remote ${remote}`);
  const other = await site.spinney('mount', site.mountpoint, '--store', site.store, '--remote', newRemote());
  expect(other).toMatchObject({ code: 2, out: '' });
  expect(other.err).toContain(`its own is ${remote}`);
  await site.mount('--remote', remote);
  await site.umount();
});

it('at remote what an fsync promised is found elsewhere, and whoever was taken over refuses everything', async () => {
  const remote = newRemote();
  const first = new Site();
  await first.mount('--remote', remote, '--remote-durability', 'remote');
  await first.sh(`cd $MNT; mkdir d; echo first >a
    for i in 1 2 3; do dd if=/dev/urandom of=d/$i bs=100k count=1 conv=fsync status=none; done; md5sum d/* >$DIR/sums
    kill -STOP $(cat $STORE/lock)`);
  const second = new Site();
  try {
    await second.mount('--remote', remote);
    await second.sh(`cd $MNT; md5sum --quiet -c ${first.directory}/sums; echo second >a`);
  } finally {
    await first.sh('kill -CONT $(cat $STORE/lock)');
  }
  await until(first, ({ state }) => state === 'taken');
  const { code, err } = await first.attempt('cat $MNT/a; echo mine >$MNT/b');
  expect(code).not.toBe(0);
  expect(err).toMatch(/Input\/output error/);
  expect((await first.spinney('health', first.mountpoint, '--json')).out).toContain('REMOTE_TAKEN');
  expect((await first.spinney('status', first.mountpoint)).out).toMatch(/state +taken/);
  await first.umount();
  expect(await second.sh('cat $MNT/a; ls $MNT')).toBe('second\na\nd');
  await second.umount();
});

it('gives up contents that were not used for longest, and warm brings them back', async () => {
  const remote = newRemote();
  const site = new Site();
  await site.mount('--remote', remote, '--content-cache', '64M');
  await site.sh(
    `cd $MNT; mkdir d; for i in $(seq 12); do head -c 10000000 /dev/urandom >d/$i; done; md5sum d/* >$DIR/sums`,
  );
  const after = await until(
    site,
    ({ cache, contentsWaiting }) => contentsWaiting === 0 && cache.bytes <= cache.limitBytes,
  );
  expect(after.cache.evictions).toBeGreaterThanOrEqual(6);
  await site.sh('cd $MNT; md5sum --quiet -c $DIR/sums');
  const { cache } = await until(site, (told) => told.cache.bytes <= told.cache.limitBytes);
  expect(contentsOf(site).length).toBeLessThan(12);
  const here = Number(await site.sh(`du -sB1 --exclude spares $STORE/content | cut -f1`));
  expect(Math.abs(here - cache.bytes)).toBeLessThan(20_000_000);
  await site.umount();
  expect(await site.must('check', site.store)).not.toMatch(/missing/);
  await site.mount('--remote', remote);
  expect(await site.must('warm', `${site.mountpoint}/d`)).toContain('12 of 12 files are here');
  expect(contentsOf(site).length).toBe(12);
  await site.sh('cd $MNT; md5sum --quiet -c $DIR/sums');
  await site.umount();
});

it('goes on with its remote when its daemon is killed, and after an upgrade', async () => {
  const remote = newRemote();
  const site = new Site();
  await site.mount('--remote', remote, '--remote-durability', 'remote');
  const before = await until(site, () => true);
  await site.sh(
    'echo one >$MNT/a; sync $MNT/a; kill -9 $(cat $STORE/lock); echo two >$MNT/b; sync $MNT/b; cat $MNT/a $MNT/b',
  );
  const after = await until(site, () => true);
  expect(after.epoch).toBe(before.epoch + 1);
  await site.must('upgrade', site.mountpoint);
  await site.sh('echo three >$MNT/c; sync $MNT/c; cat $MNT/a');
  await site.umount();
  const other = new Site();
  await other.mount('--remote', remote);
  expect(await other.sh('cat $MNT/a $MNT/b $MNT/c')).toBe('one\ntwo\nthree');
  await other.umount();
  expect(existsSync(join(site.store, 'remote.json'))).toBe(true);
});
