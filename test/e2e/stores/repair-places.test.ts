/** `spinney repair` on other disks than the common one: full, read-only, another one, or one whose files can share their bytes. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { imageFilesystems } from '../../support/image-filesystems.js';
import { Site } from '../site.js';

const TREE = '/usr/include/linux/netfilter';
const SUMS = 'find . -type f -exec sha1sum {} + | sort';

/** A store without a manifest, in `place` below the site's directory. */
async function lostManifest(site: Site, place: string): Promise<string> {
  const store = join(site.directory, place);
  await site.must('mount', site.mountpoint, '--store', store);
  await site.sh(`cp -r ${TREE} $MNT/tree; head -c 8M /dev/urandom > $MNT/large
    truncate -s 100M $MNT/holes; echo end >> $MNT/holes`);
  await site.umount();
  for (const name of ['manifest', 'manifest.log']) rmSync(join(store, name));
  return store;
}

async function contentsOf(site: Site, store: string): Promise<void> {
  await site.must('mount', site.mountpoint, '--store', store);
  expect(await site.sh(`diff -r ${TREE} $MNT/tree; stat -c %s $MNT/holes; tail -c 4 $MNT/holes`)).toBe(
    '104857604\nend',
  );
  await site.umount();
}

const isRoot = process.geteuid?.() === 0;

describe.skipIf(!isRoot)('a place', () => {
  it('that is too small is told, and with more room the repair is gone on with', async () => {
    const site = new Site();
    const store = await lostManifest(site, 'store');
    await site.sh('mkdir small; mount -t tmpfs -o size=8m,mode=700 tmpfs small');
    const target = join(site.directory, 'small/new');
    const before = await site.sh(`cd $STORE; ${SUMS}`);
    const refused = await site.spinney('repair', store, '--yes', '--to', target);
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(/^spinney: Cannot .*(the disk is full|no space).*\n$/);
    expect(await site.refusal('mount', site.mountpoint, '--store', target)).toContain(
      'has not come to its end; run it again',
    );
    await site.sh('mount -o remount,size=200m small');
    await site.must('repair', store, '--yes', '--to', target);
    expect(await site.sh(`cd $STORE; ${SUMS}`)).toBe(before);
    expect(await site.spinney('check', target)).toMatchObject({ code: 0 });
    await contentsOf(site, target);
    // Holes are still holes.
    expect(Number(await site.sh('du -sm small/new | cut -f 1'))).toBeLessThan(60);
  });

  it('that is too small for a dry run is left as it was', async () => {
    const site = new Site();
    const store = await lostManifest(site, 'store');
    await site.sh('mkdir small; mount -t tmpfs -o size=1m,mode=700 tmpfs small');
    const small = join(site.directory, 'small');
    expect(await site.spinney('repair', store, '--to', small)).toMatchObject({ code: 2 });
    expect(readdirSync(small)).toEqual([]);
    await site.sh('mount -o remount,size=200m small');
    expect(await site.spinney('repair', store, '--to', small)).toMatchObject({ code: 0 });
    expect(readdirSync(small)).toEqual([]);
  });

  it('that is read-only can be repaired from, to another', async () => {
    const site = new Site();
    const store = await lostManifest(site, 'store');
    await site.sh('mount --bind $STORE $STORE; mount -o remount,ro,bind $STORE');
    const target = join(site.directory, 'new');
    const { contents } = JSON.parse(await site.must('repair', store, '--yes', '--to', target, '--json')) as {
      contents: Record<string, number>;
    };
    expect(contents.linked).toBe(0);
    expect(await site.spinney('check', target)).toMatchObject({ code: 0 });
    await contentsOf(site, target);
  });
});

const SHARING = imageFilesystems().filter(({ hasReflinks }) => hasReflinks);

describe.skipIf(SHARING.length === 0)('a filesystem whose files can share their bytes', () => {
  it.each(SHARING.map((filesystem) => [filesystem.name, filesystem] as const))(
    '%s: contents are shared until one of them is changed',
    async (_name, { make, mebibytes }) => {
      const site = new Site();
      await site.sh(`PATH=$PATH:/usr/sbin:/sbin; truncate -s ${mebibytes}M image; ${make} image
        mkdir disk; mount -o loop image disk`);
      const store = await lostManifest(site, 'disk/store');
      const target = join(site.directory, 'disk/new');
      const before = await site.sh(`cd disk/store; ${SUMS}`);
      const done = JSON.parse(await site.must('repair', store, '--yes', '--to', target, '--json')) as {
        contents: { reflinked: number; linked: number; copied: number };
      };
      expect(done.contents.reflinked).toBeGreaterThan(50);
      expect(done.contents).toMatchObject({ linked: 0, copied: 0 });
      await contentsOf(site, target);
      await site.must('mount', site.mountpoint, '--store', target);
      await site.sh('cd $MNT; for file in tree/*.h; do echo changed >> $file; done; sync tree/*.h');
      await site.umount();
      expect(await site.sh(`cd disk/store; ${SUMS}`)).toBe(before);
      expect(existsSync(join(target, 'repair.unfinished'))).toBe(false);
    },
  );
});
