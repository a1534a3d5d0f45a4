/** The fuse-native binding may be missing: then that driver says so when it is asked for, and all else works. */
import { readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Site } from '../e2e/site.js';

const ROOT = join(import.meta.dirname, '../..');

/** A site with a copy of the built program, whose packages are those of this checkout but for fuse-native. */
async function siteWithout(): Promise<{ site: Site; spinney: string }> {
  const site = new Site();
  await site.sh(`mkdir -p program/node_modules; cp -r ${ROOT}/dist ${ROOT}/package.json program`);
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (name === 'fuse-native') continue;
    symlinkSync(join(ROOT, 'node_modules', name), join(site.directory, 'program/node_modules', name));
  }
  return { site, spinney: 'node program/dist/daemon/cli.js' };
}

const ADVICE = 'use --driver kernel, which needs no binding';

it('is told in one line, and the kernel driver mounts', async () => {
  const { site, spinney } = await siteWithout();
  const mount = `${spinney} mount $MNT --store $STORE`;
  expect(await site.attempt(`${mount} --driver fuse-native`)).toEqual({
    code: 1,
    out: '',
    err: `spinney: Cannot load the fuse-native driver: its package fuse-native is not installed; ${ADVICE}\n`,
  });
  expect(site.isMounted()).toBe(false);
  await site.sh(`${mount}; echo text > $MNT/file; cat $MNT/file; ${spinney} umount $MNT`);
});

it('is told in one line where the package has no binary for the machine', async () => {
  const { site, spinney } = await siteWithout();
  await site.sh(
    `cp -r ${ROOT}/node_modules/fuse-native program/node_modules; rm -r program/node_modules/fuse-native/prebuilds`,
  );
  const { code, err } = await site.attempt(`${spinney} mount $MNT --store $STORE --driver fuse-native`);
  expect([code, err]).toEqual([
    1,
    `spinney: Cannot load the fuse-native driver: its package fuse-native has no binary for linux on ${process.arch}; ${ADVICE}\n`,
  ]);
});
