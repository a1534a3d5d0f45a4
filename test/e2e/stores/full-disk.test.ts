/** A full disk is no trap: whatever filled it, what is there can be listed and removed, also after a remount or a kill. */
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

/** A store on a filesystem of its own, of so many MiB. */
async function siteOn(filesystem: 'tmpfs' | 'ext4', mebibytes: number): Promise<Site> {
  const site = new Site();
  await site.sh(
    filesystem === 'tmpfs'
      ? `mkdir $STORE; mount -t tmpfs -o mode=700,size=${mebibytes}m tmpfs $STORE`
      : `mkdir $STORE; truncate -s ${mebibytes}M $DIR/image; mkfs.ext4 -q -m 0 $DIR/image
         mount -o loop $DIR/image $STORE; chmod 700 $STORE; rmdir $STORE/lost+found`,
  );
  return site;
}

/** Makes entries, of 4 KB each, until one cannot be made, which must be for want of space; prints how many there are. */
const fillWithNames = `perl -e '
  my $n = 0; my $target = "t" x 3900;
  $n++ while symlink($target, "link$n");
  die "$!" unless $!{ENOSPC}; print "$n\\n"'`;

describe.each(['tmpfs', 'ext4'] as const)('a disk on %s that is full', (filesystem) => {
  it('of names: all of them can be removed, and there is space for as many again', async () => {
    const site = await siteOn(filesystem, 24);
    await site.mount();
    const made = Number(await site.sh(`cd $MNT; ${fillWithNames}`));
    expect(made).toBeGreaterThan(500);
    const health = await site.spinney('health', '--store', site.store);
    expect(health.out + health.err).toContain('writes get ENOSPC: the disk of');
    await site.sh(`cd $MNT; stat link*0 > /dev/null; ls | wc -l | grep -qx ${made}; rm link*5`);
    await site.must('checkpoint', '--store', site.store);
    await site.umount();
    await site.mount();
    await site.sh(`find $MNT -mindepth 1 -delete; test -z "$(ls -A $MNT)"`);
    await site.must('checkpoint', '--store', site.store);
    await site.sh(`cd $MNT; for i in $(seq 100); do echo $i > file$i; done; cat file7 | grep -qx 7`);
    await site.umount();
  });

  it.each(['umount', 'kill'] as const)('of files and attributes, after %s', async (way) => {
    const site = await siteOn(filesystem, 40);
    await site.mount();
    await site.sh(`cd $MNT
      for i in $(seq 200); do head -c 1000000 /dev/zero > file$i 2> /dev/null || break; done
      perl -e 'for (1 .. 2000) { mkdir "dir$_" or last;
        system("setfattr", "-n", "user.a", "-v", "y" x 20000, "dir$_") == 0 or last }' 2> /dev/null
      stat file* > /dev/null; sync`);
    if (way === 'umount') await site.umount();
    else await site.kill();
    await site.mount();
    await site.sh(
      `cd $MNT; stat * > /dev/null; getfattr -d dir1 > /dev/null; rm file*; rmdir dir*; ls -A | wc -l | grep -qx 0`,
    );
    await site.must('checkpoint', '--store', site.store);
    await site.sh(`for i in $(seq 50); do
        test $(df --output=used -k $STORE | tail -1) -lt 20000 && exit; sleep 0.1; done; du -ak $STORE; exit 1`);
    await site.sh(`cd $MNT; mkdir a; head -c 10000000 /dev/zero > a/b; test $(stat -c %s a/b) = 10000000`);
    await site.umount();
  });
});

describe('a small store', () => {
  it('begins small: it is mounted on a disk of 8 MB, and refused in one line, with nothing left, on one of 2 MB', async () => {
    const site = await siteOn('tmpfs', 8);
    await site.mount();
    await site.sh(`cd $MNT; for i in $(seq 500); do echo $i > file$i; done; test $(ls | wc -l) = 500`);
    await site.umount();
    expect(Number(await site.sh('du -sk --exclude=content $STORE | cut -f1'))).toBeLessThan(6000);
    const tiny = await siteOn('tmpfs', 2);
    const refusal = await tiny.refusal('mount', tiny.mountpoint, '--store', tiny.store);
    expect(refusal).toContain('the disk is full (needs 4194304 bytes, has ');
    await tiny.sh('mount -o remount,size=16m $STORE');
    await tiny.mount();
    await tiny.sh('mkdir $MNT/a');
    await tiny.umount();
  });
});
