/** `spinney scrub` on a mount. */
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Site } from '../site.js';

it('finds a mounted store sound while it is written to, and tells damage, also to the next daemon', async () => {
  const site = new Site();
  await site.mount();
  await site.sh('cp -r /usr/include/linux $MNT/');
  await site.must('checkpoint', '--store', site.store);
  const writing = site.start('cd $MNT; for n in $(seq 300); do mkdir d$n; mv d$n e$n; done');
  const sound = JSON.parse(await site.must('scrub', site.mountpoint, '--rate', '1000', '--json'));
  expect(sound).toMatchObject({ damaged: [] });
  expect(sound.blobs).toBeGreaterThan(0);
  expect((await writing.result).code).toBe(0);
  await site.must('checkpoint', '--store', site.store);
  expect((await site.stats()).scrub).toMatchObject({ isRunning: false, last: sound });

  const data = join(site.store, 'blobs.dat');
  const bytes = readFileSync(data);
  const file = await open(data, 'r+');
  for (let at = 4000; at < bytes.length; at += 524_288) await file.write(Buffer.of(bytes[at]! ^ 1), 0, 1, at);
  await file.close();
  const { code, out } = await site.spinney('scrub', '--store', site.store);
  expect(code).toBe(1);
  expect(out).toMatch(/damaged\n +id \d+ +message Cannot read blob \d+ in slot \d+ /);
  const health = await site.spinney('health', '--store', site.store);
  expect(health.code).toBe(1);
  expect(health.out).toMatch(/the last scrub found blob \d+ damaged: Cannot read blob/);
  expect(site.logged('error').join()).toContain('a scrub found damaged blobs');
  // The tree in memory is whole: what is written anew is sound.
  await site.umount();
  await site.mount('--scrub', '30');
  expect((await site.stats()).scrub).toMatchObject({ last: { damaged: [expect.anything()] } });
  await site.umount();
});
