/** Backups of a store that is mounted and in use, by the command line. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BackedUp } from '../../../mount/backup/index.js';
import { runUntil } from '../../support/killed-program.js';
import { Site } from '../site.js';
import { BackupSite, LIST, mounted, SAME } from './backup-site.js';

const CLI = join(import.meta.dirname, '../../../dist/daemon/cli.js');

const POPULATE = `mkdir -p d/sub; for i in $(seq 200); do echo "file $i" > d/f$i; done; head -c 2000000 /dev/urandom > d/data
  ln d/data d/hard; ln -s data d/soft; mkfifo pipe; : > empty; truncate -s 8M sparse; echo end >> sparse
  setfattr -n user.k -v value d/data; setfattr -n user.k -v value d/sub; chmod 4755 d/f1
  touch -d '2001-02-03 04:05:06.123456789' d/f2`;

describe('a backup', () => {
  it('is the store of its moment, and the next one brings only what has changed', async () => {
    const site = await mounted(POPULATE);
    const first = await site.backup();
    expect(first.contents.files).toBe(202);
    await site.isClean();
    await site.seeSnapshot(first.snapshot);
    await site.see(
      'test "$(stat -c %b $DIR/seen/sparse)" -lt 100; test "$(stat -c %i $DIR/seen/d/f1)" = "$(stat -c %i $MNT/d/f1)"',
    );

    await site.sh(`cd $MNT; echo changed > d/f7; echo more >> d/data; rm d/f8 empty; mv d/sub d/moved; mv d e; echo new > new
      setfattr -n user.k -v other e/data; truncate -s 3 e/f9; chmod 600 e/f10`);
    const second = await site.backup();
    await site.isClean();
    await site.seeSnapshot(second.snapshot);
    expect(second.contents).toMatchObject({ files: 4, removed: 4 });
    expect((await site.must('snapshot', 'list', site.mountpoint)).split('\n')).toHaveLength(2);

    const third = await site.backup();
    expect(third.contents.files).toBe(0);
    await site.umount();
    const unmounted = await site.backup();
    expect(unmounted.contents.files).toBe(0);
    await site.mount();
    await site.seeSnapshot(unmounted.snapshot);
  });

  it('moves under 2 % of the bytes of the first after few changes among many files', async () => {
    const site =
      await mounted(`for d in $(seq 40); do mkdir $d; for i in $(seq 50); do echo "file $i" > $d/f$i; done; done
      for i in $(seq 40); do head -c 2000000 /dev/urandom > $i/data; done`);
    const first = await site.backup();
    await site.sh('cd $MNT; for d in $(seq 20); do echo changed > $d/f7; done');
    const second = await site.backup();
    const bytesOf = ({ blobs, contents }: BackedUp) => blobs.bytes + contents.bytes;
    expect(second.contents.files).toBe(20);
    expect(bytesOf(second)).toBeLessThan(bytesOf(first) * 0.02);
    await site.seeSnapshot(second.snapshot);
  });

  it('that is killed at any point is what it was, and goes on', async () => {
    const site = await mounted(POPULATE);
    const killed = async (calls: number): Promise<boolean> =>
      (await runUntil(calls, [CLI, 'backup', site.target, '--store', site.store])).code !== 0;
    const start = (await runUntil(Number.POSITIVE_INFINITY, [CLI, '--version'])).calls;
    // Up to a whole first one nobody takes it for a store.
    let cut = 0;
    for (let calls = start; await killed(calls); calls *= 1.3) {
      cut++;
      if (!existsSync(site.target)) continue;
      if (!readdirSync(site.target).includes('repair.unfinished')) await site.isClean();
      else
        expect((await site.spinney('check', site.target)).err).toMatch(
          /\(spinney backup\) has not come to its end/,
        );
    }
    expect(cut).toBeGreaterThan(0);
    await site.isClean();
    await site.see('same $MNT $DIR/seen');
    await site.sh(`${LIST}; rm -rf $DIR/was $DIR/is; cp -a $MNT $DIR/was; cd $MNT
      for i in $(seq 30); do echo changed > d/f$i; echo new > new-$i; done; rm -f d/f10*; echo more >> d/data
      cp -a $MNT $DIR/is`);
    for (let calls = start; await killed(calls); calls *= 1.3) {
      await site.isClean();
      // Whole as it was, or as it is.
      await site.see('(same $DIR/was $DIR/seen || same $DIR/is $DIR/seen) > /dev/null');
    }
    await site.isClean();
    await site.see('same $MNT $DIR/seen');
    expect((await site.must('snapshot', 'list', site.mountpoint)).split('\n')).toHaveLength(2);
    const contents = Number(await site.sh('find $DIR/backup/content -type f | wc -l'));
    expect(contents).toBe(Number(await site.sh('find $MNT -type f -size +0 | wc -l')) - 1);
  });

  it('is restored by backing it up to a new place, or by mounting it', async () => {
    const site = await mounted(POPULATE);
    await site.backup();
    await site.sh('cp -a $MNT $DIR/then; cd $MNT; rm -r *');
    const restored = join(site.directory, 'restored');
    await site.must('backup', restored, '--store', site.target);
    await site.see('same $DIR/then $DIR/seen', restored);
    // The way back changes nothing: the next one goes on.
    await site.backup();
    await site.see('test -z "$(ls $DIR/seen)"');
    await site.must('backup', restored, '--store', site.target);
    await site.see('test -z "$(ls $DIR/seen)"', restored);
    await site.sh('cp -a $DIR/then/. $MNT');
    await site.backup();
    await site.umount();

    const own = new Site();
    await site.sh(`cp -a $DIR/then ${own.directory}/then`);
    await own.must('mount', own.mountpoint, '--store', site.target);
    const { code, out, err } = await own.attempt(`${SAME}; same $DIR/then $MNT
      echo one > $MNT/d/f3; mkdir $MNT/.snap/s; echo two > $MNT/d/f3; echo x > $MNT/made
      test "$(cat $MNT/.snap/s/d/f3) $(cat $MNT/d/f3)" = 'one two'; test ! -e $MNT/.snap/s/made`);
    await own.umount();
    expect([code, out, err]).toEqual([0, '', '']);
    await site.isClean();
    expect(await site.refusal('backup', site.target, '--store', site.store)).toMatch(
      /it is a store, and no backup \(any more.*give an empty or new directory/,
    );
  });

  it('cut short in the middle can be mounted for writing as what it was', async () => {
    const site = await mounted(POPULATE);
    await site.backup();
    await site.sh(`cp -a $MNT $DIR/then; cd $MNT; for i in $(seq 50); do head -c 9000 /dev/urandom > made-$i; done
      ino=$(printf %x $(stat -c %i made-9)); sync; mv $(find $STORE/content -name "$ino.*") $DIR/away`);
    expect(await site.refusal('backup', site.target, '--store', site.store)).toMatch(
      /it is missing; the backup is/,
    );
    // As if many had got their names by then: numbers that new files of the backup get, too.
    const { base, pending } = JSON.parse(readFileSync(join(site.target, 'backup.json'), 'utf8'));
    expect(pending.snapshot).toBeGreaterThan(base.snapshot);
    for (let ino = 100; ino < 500; ino++) {
      const born = base.snapshot.toString(16);
      writeFileSync(join(site.target, 'content/0', `${ino.toString(16)}.${born}`), 'of a later moment');
    }
    await site.umount();
    await site.see('same $DIR/then $DIR/seen');
    await site.must('mount', site.mountpoint, '--store', site.target);
    await site.sh(
      `${SAME}; same $DIR/then $MNT; cd $MNT; for i in $(seq 60); do : > a$i; echo $i > b$i; test ! -s a$i; done`,
    );
    await site.umount();
    await site.isClean();
  });
});

/** Every image of the store gets a wrong byte. */
async function damageBlobs(site: Site): Promise<void> {
  await site.sh(`python3 -c '
import os
path = os.environ["STORE"] + "/blobs.dat"
with open(path, "r+b") as file:
    for at in range(0, os.path.getsize(path), 524288):
        file.seek(at + 300000); byte = file.read(1); file.seek(at + 300000); file.write(bytes([byte[0] ^ 1 if byte else 1]))'`);
}

describe('a backup is refused', () => {
  it('where it would lose something, and nothing is changed', async () => {
    const site = await mounted(POPULATE);
    const other = join(site.directory, 'other');
    await site.sh('mkdir other; echo x > other/file; mkdir -p $MNT/inside');
    const tries = (to: string) => site.refusal('backup', to, '--store', site.store);
    expect(await tries(other)).toMatch(/something else is there \(file\); nothing was changed there/);
    expect(await tries(join(other, 'file'))).toMatch(/it is not a directory/);
    const nested = await site.spinney('backup', join(site.store, 'b'), '--store', site.store);
    expect([nested.code, nested.err]).toEqual([2, expect.stringMatching(/one lies in the other/)]);
    expect(await site.refusal('backup', site.target, '--store', other)).toMatch(/holds no store/);
    await site.sh('test "$(ls other)" = file; test ! -e backup');
    expect(await site.must('snapshot', 'list', site.mountpoint)).toBe('no snapshots\n');

    await site.backup();
    const second = new BackupSite();
    await second.mount();
    expect(await second.refusal('backup', site.target, '--store', second.store)).toMatch(
      /it is a backup of another store, which was at .*store;/,
    );
    await site.see(`code=0; node $PROGRAM/dist/daemon/cli.js backup $DIR/backup --store $STORE 2> $DIR/told || code=$?
      test $code = 1; grep -q 'in use' $DIR/told`);
    const [name] = (await site.must('snapshot', 'list', site.mountpoint)).split(' ');
    await site.must('snapshot', 'delete', name!, site.mountpoint);
    expect(await tries(site.target)).toMatch(
      /has not its snapshot \.backup-.* any more.*give a new directory/,
    );
    await site.isClean();
  });

  it('by a full disk, a missing content, or a damaged blob, and the backup is what it was', async () => {
    const site = await mounted(POPULATE);
    await site.sh('mkdir small; mount -t tmpfs -o size=16m tmpfs small');
    const target = join(site.directory, 'small/backup');
    const run = () => site.refusal('backup', target, '--store', site.store);
    await site.must('backup', target, '--store', site.store);
    await site.sh('cp -a $MNT then; head -c 20000000 /dev/urandom > $MNT/large');
    expect(await run()).toMatch(/no space left there; the backup is what it was before/);
    await site.see('same $DIR/then $DIR/seen', target);
    await site.isClean(target);
    await site.sh('mount -o remount,size=64m small');
    await site.must('backup', target, '--store', site.store);
    await site.see('same $MNT $DIR/seen', target);

    await site.sh('rm -r then; cp -a $MNT then; echo lost > $MNT/lost');
    const path = await site.sh(
      'f=$(printf %x $(stat -c %i $MNT/lost)); sync $MNT/lost; find $STORE/content -name "$f*"',
    );
    writeFileSync(`${path}.away`, readFileSync(path));
    await site.umount();
    await site.sh(`rm ${path}`);
    expect(await run()).toMatch(/Cannot back up \/lost, whose content is .*: it is missing; the backup is/);
    await site.see('same $DIR/then $DIR/seen', target);
    await site.sh(`mv ${path}.away ${path}`);
    await damageBlobs(site);
    expect((await site.spinney('backup', target, '--store', site.store)).err).toMatch(
      /spinney: Cannot read blob .*; the backup is what it was before: spinney repair/,
    );
    await site.see('same $DIR/then $DIR/seen', target);
    await site.sh('umount -l small');
  });
});
