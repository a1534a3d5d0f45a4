/** `spinney dump` and `load` as programs: what a mount left goes through them and is mounted again. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Site } from '../site.js';

it('a mounted tree comes back from its dump byte for byte', async () => {
  const site = new Site();
  await site.mount();
  await site.sh(`cp -r /usr/include/linux $MNT/; cd $MNT; ln linux/fuse.h second; ln -s nowhere link; mkfifo fifo
    mkdir $'odd \\xff\\n"name'; touch -d 1960-01-01T00:00:00.5 $'odd \\xff\\n"name/old'; chmod 4711 linux/fs.h
    setfattr -n user.k -v v second; setfattr -n user.bytes -v 0x00ff linux; setfacl -m u:1234:rwx,d:g:77:r linux`);
  const look = `cd $MNT; find . -printf '%p|%y|%m|%U|%G|%s|%n|%T@|%C@|%l\\n' | sort; getfattr -R -h -d -m - -e hex . | sort; getfacl -R -p linux`;
  const before = await site.sh(look);
  const busy = await site.spinney('dump', site.mountpoint);
  expect(busy).toMatchObject({ code: 1, out: '' });
  expect(busy.err).toMatch(/^spinney: Cannot open .*: .*in use/);
  await site.umount();

  const dump = join(site.directory, 'dump.jsonl');
  const target = join(site.directory, 'new');
  writeFileSync(dump, (await site.spinney('dump', site.store)).out);
  const refused = await site.spinney('load', target, '--from', dump);
  expect(refused).toMatchObject({ code: 2 });
  expect(refused.err).toMatch(/line \d+: \/linux\/[^ ]+: it has \d+ bytes, .* --contents STORE .* --sparse/);
  expect((await site.spinney('mount', site.mountpoint, '--store', target)).err).toContain(
    '(spinney repair, spinney load) has not come to its end; run it again',
  );
  const done = await site.spinney('load', target, '--from', dump, '--contents', site.store, '--json');
  expect(done.code).toBe(0);
  expect(JSON.parse(done.out)).toMatchObject({
    store: target,
    namespace: { entries: before.split('\n./').length },
  });
  expect(await site.spinney('check', target)).toMatchObject({ code: 0 });
  expect((await site.spinney('dump', target)).out.split('\n').slice(1)).toEqual(
    readFileSync(dump, 'utf8').split('\n').slice(1),
  );

  await site.must('mount', site.mountpoint, '--store', target);
  expect(await site.sh(look)).toBe(before);
  await site.sh(
    'diff -r /usr/include/linux $MNT/linux; touch $MNT/made; [ $(stat -c %i $MNT/made) -gt $(stat -c %i $MNT/fifo) ]',
  );
  await site.umount();
});

it('what cannot be read or is no dump is told in one line', async () => {
  const site = new Site();
  const target = join(site.directory, 'new');
  expect(await site.spinney('load', target, '--from', join(site.directory, 'missing'))).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^spinney: Cannot read the dump .*missing: it does not exist\n$/),
  });
  expect(await site.spinney('load', target, '--from', '/etc/passwd')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/^spinney: Cannot load the dump: line 1: it is not JSON .*\n$/),
  });
  expect(await site.spinney('dump', join(site.directory, 'nothing'))).toMatchObject({ code: 1 });
  expect(existsSync(join(site.directory, 'nothing'))).toBe(false);
});
