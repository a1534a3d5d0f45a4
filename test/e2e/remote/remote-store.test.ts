/** A store with a remote, whose contents are partly there alone: checks, backups and sums of it. The remote is an S3 server of this process. */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { BackedUp } from '../../../mount/backup/index.js';
import { HttpObjectStore, S3_ENVIRONMENT } from '../../support/object/http-object-store.js';
import { Site } from '../site.js';

const before = { ...process.env };
beforeAll(() => Object.assign(process.env, S3_ENVIRONMENT));
afterAll(() => {
  for (const name of Object.keys(S3_ENVIRONMENT)) delete process.env[name];
  Object.assign(process.env, before);
});

const REMOTE = 's3://photos/home';
const FILES = `mkdir $MNT/d; for i in $(seq 20); do head -c 10000 /dev/urandom > $MNT/d/f$i; done; : > $MNT/d/empty
  truncate -s 1M $MNT/d/sparse; echo end >> $MNT/d/sparse; head -c 9000000 /dev/urandom > $MNT/d/parts`;
const SUMS = 'cd $MNT; find d -type f | LC_ALL=C sort | xargs md5sum';
const BYTES = 20 * 10_000 + 1024 * 1024 + 4 + 9_000_000;

/** A mount on a machine that has nothing yet of what another one has made and left. */
async function takenOver(): Promise<{
  site: Site;
  bucket: MemoryObjectStore;
  endpoint: string[];
  sums: string;
}> {
  const bucket = new MemoryObjectStore();
  const server = await HttpObjectStore.serve(bucket, 'photos');
  onTestFinished(() => server.close());
  const endpoint = ['--remote-endpoint', server.endpoint];
  const options = ['--remote', REMOTE, ...endpoint];
  const first = new Site();
  await first.mount(...options);
  await first.sh(FILES);
  const sums = await first.sh(SUMS);
  await first.umount();
  const site = new Site();
  await site.mount(...options);
  return { site, bucket, endpoint, sums };
}

it('is checked, backed up and summed up as one whose contents are all here', async () => {
  const { endpoint, site, sums } = await takenOver();

  // Sums are of what there is, here or not.
  const du = JSON.parse(await site.must('du', site.mountpoint, '--json')) as { bytes: number; files: number };
  expect(du).toMatchObject({ bytes: BYTES, files: 23 });

  const backUp = async () =>
    JSON.parse(
      await site.must('backup', `${site.directory}/backup`, '--store', site.store, '--json'),
    ) as BackedUp;
  await site.must('snapshot', 'create', 'kept', '--store', site.store);
  const first = await backUp();
  expect(first.contents).toMatchObject({ files: 22, fetched: 22, bytes: BYTES });
  const second = await backUp();
  expect(second.contents).toMatchObject({ files: 0, fetched: 0 });
  await site.sh('echo more >> $MNT/d/f1; rm $MNT/d/f2');
  const third = await backUp();
  expect(third.contents).toMatchObject({ files: 1, fetched: 0, removed: 2 });
  await site.sh('test "$(md5sum < $MNT/.snap/kept/d/f2)" != ""');

  await site.umount();
  const local = JSON.parse(await site.must('check', site.store, '--json')) as {
    namespace: { awayContents: number };
  };
  expect(local).toMatchObject({ status: 'clean', damage: 0 });
  expect(local.namespace.awayContents).toBeGreaterThan(15);
  const remote = JSON.parse(await site.must('check', REMOTE, ...endpoint, '--contents', '--json'));
  expect(remote).toMatchObject({
    status: 'clean',
    damage: 0,
    namespace: { unshipped: { files: 0, bytes: 0 } },
  });

  // The backup is a store like any other, without a remote.
  await site.must('check', `${site.directory}/backup`);
  await site.sh('mkdir $DIR/seen');
  await site.must('mount', `${site.directory}/seen`, '--store', `${site.directory}/backup`);
  const seen = await site.sh('cd $DIR/seen; find d -type f | LC_ALL=C sort | xargs md5sum');
  await site.must('umount', `${site.directory}/seen`);
  const changed = / d\/f[12]$/;
  const unchanged = (text: string) => text.split('\n').filter((line) => !changed.test(line));
  expect(unchanged(seen)).toEqual(unchanged(sums));
  expect(JSON.parse(await site.must('check', `${site.directory}/backup`, '--json'))).toMatchObject({
    status: 'clean',
  });

  // What needs all contents here says what to do.
  const load = await site.spinney('load', `${site.directory}/loaded`, '--contents', site.store);
  expect(load.err).toMatch(
    /has the remote s3:\/\/photos\/home, and contents may be there alone; make a backup of it/,
  );
  const repair = await site.spinney('repair', site.store);
  expect(repair.err).toMatch(/contents may be there alone; mount the remote with an empty directory instead/);
});

it('is backed up after its mount is gone, too, or the server is named that is missed', async () => {
  const { bucket, site } = await takenOver();
  await site.umount();
  const backup = ['backup', `${site.directory}/backup`, '--store', site.store, '--json'];
  const done = JSON.parse(await site.must(...backup)) as BackedUp;
  expect(done.contents).toMatchObject({ files: 22, fetched: 22 });
  for (const { key } of (await bucket.list('home/content/')).objects) await bucket.delete(key);
  const lost = await site.refusal('backup', `${site.directory}/other`, '--store', site.store);
  expect(lost).toMatch(/^spinney: Cannot fetch \d+ bytes of content\/\S+: there is no such object/);
});
