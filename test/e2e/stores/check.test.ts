/** `spinney check` on stores as mounts leave them. */
import { readdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Site } from '../site.js';

const FILES =
  'cp -r /usr/include/linux $MNT/; cd $MNT; ln linux/fuse.h second; setfattr -n user.k -v v second linux/fs.h';

it('finds nothing wrong with a store after an unmount, nor after a kill', async () => {
  const site = new Site();
  await site.mount();
  await site.sh(`${FILES}; mv linux moved; rm -r moved/netfilter; ln -s nowhere link; mkfifo fifo; exec 3> open; rm open; echo x >&3
    mkdir -p deep/er; mv deep moved/; rm second`);
  const used = await site.spinney('check', site.store);
  expect(used).toMatchObject({ code: 2, out: '' });
  expect(used.err).toBe(
    `spinney: Cannot open the store ${site.store}: it is in use by process ${site.daemon()}\n`,
  );
  const summary = /^status +clean\n(.*\n)*damage +0\n(.*\n)* +entries +\d{3,}\n/;
  const { child } = site.start(
    'exec 3> $MNT/unnamed; rm $MNT/unnamed; echo x >&3; echo ready; exec sleep 100',
    200,
  );
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  await site.kill();
  const killed = await site.spinney('check', site.store);
  expect(killed).toMatchObject({
    code: 0,
    err: '',
    out: expect.stringMatching(/^note: orphan \d+: /) as string,
  });
  await site.mount();
  await site.umount();
  const clean = await site.spinney('check', site.store);
  expect(clean).toMatchObject({ code: 0, err: '', out: expect.stringMatching(summary) as string });
  expect(JSON.parse((await site.spinney('check', site.store, '--json')).out)).toMatchObject({
    status: 'clean',
    damage: 0,
    findings: [],
    tree: { journalRecords: 0 },
    namespace: { orphans: 0, xattrs: 2 },
  });
});

it('tells damage with exit code 1, one line for each, and what cannot be opened with 2', async () => {
  const site = new Site();
  expect(await site.spinney('check', site.store)).toEqual({
    code: 2,
    out: '',
    err: `spinney: Cannot open ${site.store}: it holds no store\n`,
  });
  await site.mount();
  await site.sh(FILES);
  await site.umount();
  const content = join(site.store, 'content', '0');
  const [lost] = readdirSync(content);
  rmSync(join(content, lost!));
  const missing = await site.spinney('check', site.store);
  expect(missing.code).toBe(1);
  expect(missing.out).toMatch(
    /^damage: \/linux\/.*: its \d+ bytes are missing \(inode \d+\)\nstatus +damaged\n/,
  );
  const file = await open(join(site.store, 'blobs.dat'), 'r+');
  await file.write('damage', 5000);
  await file.close();
  const rotten = await site.spinney('check', site.store, '--json');
  expect(rotten.code).toBe(1);
  expect(JSON.parse(rotten.out)).toMatchObject({
    status: 'damaged',
    findings: [
      { kind: 'damage', message: expect.stringMatching(/^Cannot read blob \d+ in slot 0 of /) as string },
    ],
  });
});

it('says what it cannot know: a byte that changed in a content of the right size', async () => {
  const site = new Site();
  await site.mount();
  await site.sh('echo twenty bytes of text > $MNT/file');
  await site.umount();
  await site.sh(
    'printf X | dd of=$(find $STORE/content -type f -size -2k | head -1) conv=notrunc status=none',
  );
  const unknown =
    /^notChecked +bytes of contents: they have no checksums, so what changed in a file of the right size is not found$/m;
  const told = await site.spinney('check', site.store);
  expect([told.code, told.out]).toEqual([0, expect.stringMatching(unknown)]);
  const { status, notChecked } = JSON.parse(
    (await site.spinney('check', site.store, '--json')).out,
  ) as Record<string, string>;
  expect([status, notChecked]).toEqual(['clean', expect.stringMatching(/^bytes of contents: /)]);
  await site.mount();
  // It is really so.
  expect(await site.sh('cat $MNT/file')).toBe('Xwenty bytes of text');
  await site.umount();
});
