/** `spinney repair` as a program: on what mounts left, killed on its way, and mounted afterwards. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runUntil } from '../../support/killed-program.js';
import { Site } from '../site.js';

const CLI = join(import.meta.dirname, '../../../dist/daemon/cli.js');
/** At even distances from its beginning to its end. */
const KILLS = 8;

async function filled(): Promise<Site> {
  const site = new Site();
  await site.mount();
  await site.sh(`cp -r /usr/include/linux $MNT/; cd $MNT; ln linux/fuse.h second; ln -s nowhere link; mkfifo fifo
    setfattr -n user.k -v v second linux/fs.h`);
  await site.umount();
  return site;
}

it('brings all back after the manifest was lost, and the new store mounts', async () => {
  const site = await filled();
  for (const name of ['manifest', 'manifest.log']) rmSync(join(site.store, name));
  const target = `${site.store}.repaired`;
  const planned = await site.spinney('repair', site.store);
  expect(planned).toMatchObject({
    code: 0,
    err: `Nothing was changed. With --yes this is made at ${target}.\n`,
  });
  expect(existsSync(target)).toBe(false);
  const done = await site.spinney('repair', site.store, '--yes', '--json');
  expect(done.code).toBe(0);
  expect(JSON.parse(done.out)).toMatchObject({ status: 'mended', repaired: target, lost: 0, older: 0 });
  expect(await site.spinney('check', target)).toMatchObject({ code: 0 });
  await site.must('mount', site.mountpoint, '--store', target);
  expect(
    await site.sh(`diff -r /usr/include/linux $MNT/linux; cmp $MNT/second /usr/include/linux/fuse.h
      stat -c '%h %F' $MNT/second $MNT/fifo; readlink $MNT/link; getfattr --only-values -n user.k $MNT/second`),
  ).toBe('2 regular file\n1 fifo\nnowhere\nv');
  await site.umount();
});

it('tells what is lost with exit code 1, what it cannot open with 2, and changes nothing of either', async () => {
  const site = await filled();
  const content = join(site.store, 'content', '0');
  const largest = readdirSync(content).sort(
    (a, b) => statSync(join(content, b)).size - statSync(join(content, a)).size,
  )[0]!;
  rmSync(join(content, largest));
  const done = await site.spinney('repair', site.store, '--yes', '--to', join(site.directory, 'new'));
  expect(done.code).toBe(1);
  expect(done.out).toMatch(
    /^lost: \/linux\/[^ ]+: its \d+ bytes are missing; what is left is \/lost\+found\/#\d+\nstatus +incomplete\n/,
  );
  await site.must('mount', site.mountpoint, '--store', join(site.directory, 'new'));
  expect(
    await site.sh(
      `stat -c %s $MNT/lost+found/*; getfattr --only-values -n user.spinney.path $MNT/lost+found/*`,
    ),
  ).toMatch(/^0\n\/linux\//);
  expect((await site.attempt('diff -r /usr/include/linux $MNT/linux')).out).toMatch(
    /^Only in \/usr\/include\/linux[^\n]*\n$/,
  );
  const used = await site.spinney('repair', join(site.directory, 'new'));
  expect(used).toMatchObject({ code: 2, out: '' });
  expect(used.err).toContain('it is in use by process');
  await site.umount();
  expect(await site.spinney('repair', join(site.directory, 'nothing'))).toMatchObject({ code: 2 });
  expect(
    (await site.spinney('repair', site.store, '--yes', '--to', join(site.directory, 'new'))).err,
  ).toContain('nothing is written over');
});

it('begins again after it was killed, and nobody mounts what it had not finished', async () => {
  const site = await filled();
  for (const name of ['manifest', 'manifest.log']) rmSync(join(site.store, name));
  const target = `${site.store}.repaired`;
  const before = readFileSync(join(site.store, 'blobs.dat'));
  const repair = [CLI, 'repair', site.store, '--yes'];
  const start = (await runUntil(Number.POSITIVE_INFINITY, [CLI, '--version'])).calls;
  const whole = await runUntil(Number.POSITIVE_INFINITY, repair);
  expect(whole.code).toBe(0);
  rmSync(target, { recursive: true });
  let unfinished = 0;
  for (let round = 1; round < KILLS || unfinished === 0; round++) {
    await runUntil(start + ((whole.calls - start) * (round % KILLS)) / KILLS, repair);
    if (!existsSync(join(target, 'repair.unfinished'))) {
      rmSync(target, { recursive: true, force: true });
      continue;
    }
    unfinished++;
    if (unfinished > 2) continue;
    expect(await site.refusal('mount', site.mountpoint, '--store', target)).toContain(
      'has not come to its end; run it again',
    );
    expect(await site.spinney('check', target)).toMatchObject({ code: 2 });
  }
  await site.must('repair', site.store, '--yes');
  expect(await site.spinney('check', target)).toMatchObject({ code: 0 });
  expect(readFileSync(join(site.store, 'blobs.dat')).equals(before)).toBe(true);
  await site.must('mount', site.mountpoint, '--store', target);
  expect(await site.sh('diff -r /usr/include/linux $MNT/linux')).toBe('');
  await site.umount();
});

it('salvages what a bit that flipped in a blob leaves', async () => {
  const site = await filled();
  const file = await open(join(site.store, 'blobs.dat'), 'r+');
  await file.write('damage', 5000);
  await file.close();
  const { code, out } = await site.spinney('repair', site.store, '--yes', '--unproven', '--json');
  expect(code).toBe(1);
  const report = JSON.parse(out) as { findings: { kind: string; message: string }[]; damagedBlobs: number };
  expect(report.damagedBlobs).toBe(1);
  const target = `${site.store}.repaired`;
  expect(await site.spinney('check', target)).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^status +clean/) as string,
  });
  await site.must('mount', site.mountpoint, '--store', target);
  // Whatever became of their names: each content is there.
  const sums = (place: string) => `find ${place} -type f -size +0 -exec sha1sum {} + | cut -c 1-40 | sort -u`;
  expect(await site.sh(`comm -23 <(${sums('/usr/include/linux')}) <(${sums('$MNT')})`)).toBe('');
  await site.umount();
});

it('takes a killed daemon for what it is: files that were open keep what was written', async () => {
  const site = new Site();
  await site.mount();
  await site.sh('cp -r /usr/include/linux $MNT/');
  await site.must('checkpoint', '--store', site.store);
  await site.sh('mkdir $MNT/later; echo text > $MNT/later/file; mv $MNT/linux $MNT/later/moved');
  const { child } = site.start(
    'exec 3> $MNT/open 4> $MNT/empty 5> $MNT/gone; rm $MNT/gone; echo x >&5; echo unsaved >&3; echo ready; exec sleep 100',
    200,
  );
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  await site.kill();
  for (const name of ['manifest', 'manifest.log']) rmSync(join(site.store, name));
  const { code, out } = await site.spinney('repair', site.store, '--yes', '--json');
  const { findings } = JSON.parse(out) as { findings: { kind: string }[] };
  expect({ code, lost: findings.filter(({ kind }) => kind === 'lost' || kind === 'older') }).toEqual({
    code: 0,
    lost: [],
  });
  const target = `${site.store}.repaired`;
  expect(await site.spinney('check', target)).toMatchObject({ code: 0 });
  await site.must('mount', site.mountpoint, '--store', target);
  expect(
    await site.sh(
      'diff -r /usr/include/linux $MNT/later/moved; cat $MNT/open $MNT/later/file; stat -c %s $MNT/empty; ls $MNT',
    ),
  ).toBe('unsaved\ntext\n0\nempty\nlater\nopen');
  await site.umount();
});
