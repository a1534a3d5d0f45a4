/** Programs that know nothing of Spinney, on trees of thousands of files: all of them must see an ordinary tree. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

const PROJECT = join(import.meta.dirname, '../../..');
const SOURCES = ['/usr/include', '/usr/share/doc'];

/** Prints nothing and succeeds when the copies in the mount are equal to their sources in every respect. */
const COMPARE = `
  for source in ${SOURCES.join(' ')}; do
    diff -r --no-dereference $source $MNT/$(basename $source)
    rsync -aHXn --delete --itemize-changes $source/ $MNT/$(basename $source)/
  done`;

describe('a copy of the machine’s headers and documents', () => {
  it('is the same as its source, also after a remount and after the daemon was killed', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cp -a ${SOURCES.join(' ')} $MNT`, 120);
    expect(await site.sh(COMPARE)).toBe('');

    await site.umount();
    expect(site.isMounted()).toBe(false);
    await site.mount();
    expect(await site.sh(COMPARE)).toBe('');

    await site.sh('cp -a $MNT/include $MNT/again; rm -r $MNT/include; mv $MNT/again $MNT/include', 120);
    await site.kill();
    await site.mount();
    expect(await site.sh(COMPARE)).toBe('');
    await site.umount();
    expect(site.logged('error')).toEqual([]);
  });

  it('looks the same to find, ls, du, tar and getfattr', async () => {
    const site = new Site();
    await site.sh(`
      mkdir source
      cp -a /usr/include/linux /usr/include/asm-generic source
      cd source
      ln -s linux/fuse.h link
      ln -s nowhere dangling
      ln linux/fuse.h hard
      mkfifo pipe
      chmod 4751 linux/fuse.h
      mkdir -m 2770 shared
      chmod 1777 asm-generic
      head -c 3000000 /dev/urandom > data
      truncate -s 10M sparse
      touch -d '1965-03-04 05:06:07.123456789' linux/types.h
      touch -d '2345-06-07 08:09:10.987654321' asm-generic
      find . -type f -name '*.h' | sed -n 1,500p | xargs setfattr -n user.checksum -v 0sAAECAwD/
      setfattr -n user.empty linux
      setfattr -n trusted.secret -v 1 link -h || true`);
    await site.mount();
    await site.sh('cp -a --sparse=always source/. $MNT/');

    const same = async (what: string, command: string) =>
      expect(await site.sh(`cd $MNT; ${command}`), what).toBe(await site.sh(`cd source; ${command}`));
    await same('names', 'find . | sort');
    await same('attributes', `find . ! -type d -printf '%P %y %m %n %U %G %s %T@ %l\\n' | sort`);
    await same('directories', `find . -type d -printf '%P %m %n %U %G %T@\\n' | sort`);
    await same('ls -lR', 'ls -lRn --time-style=full-iso . | grep -v -e ^total -e ^d');
    await same(
      'sizes',
      `find . -type f -print0 | sort -z | du -c --apparent-size -B1 --files0-from=- | sort`,
    );
    await same('xattrs', 'getfattr -R -d -h -m - . | LC_ALL=C sort');
    await same('contents', 'find . -type f -print0 | sort -z | xargs -0 sha256sum');
    await same('links', 'find . -samefile hard | sort');
    const blocks = `find . -type f -printf '%b\\n' | awk '{ sum += $1 } END { print sum }'`;
    const [ours, theirs] = [await site.sh(`cd $MNT; ${blocks}`), await site.sh(`cd source; ${blocks}`)].map(
      Number,
    );
    expect(Math.abs(ours! - theirs!)).toBeLessThan(theirs! / 20);

    await site.sh(`
      tar --xattrs --xattrs-include='*' -C $MNT -cf t.tar .
      mkdir $MNT/unpacked
      tar --xattrs --xattrs-include='*' -C $MNT/unpacked -xpf t.tar`);
    expect(await site.sh('rsync -aHXn --delete --itemize-changes source/ $MNT/unpacked/')).toBe('');
    expect(await site.sh('tar -C $MNT/unpacked --compare -f t.tar')).toBe('');
  });
});

describe('git', () => {
  it('keeps a repository', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`
      mkdir $MNT/work; cd $MNT/work
      git init -q
      git config user.name test; git config user.email test@example.org
      cp -r ${PROJECT}/{daemon,engine,mount,test} .
      git add -A; git commit -qm first
      for i in $(seq 20); do echo $i > file$i; git add file$i; git commit -qm "commit $i"; done
      git mv engine moved; git commit -qam moved
      git checkout -qb other HEAD~5; echo x > other; git add other; git commit -qm other
      git checkout -q -; git merge -q --no-edit other
      git gc -q`);
    expect(await site.sh('cd $MNT/work; git status --porcelain; git fsck --strict --no-progress 2>&1')).toBe(
      '',
    );
    await site.sh('cd $MNT; git clone -q work clone; cd clone; git fsck --strict --no-progress');
    await site.kill();
    await site.mount();
    expect(await site.sh('cd $MNT/work; git status --porcelain; git fsck --strict --no-progress 2>&1')).toBe(
      '',
    );
    expect(await site.sh('cd $MNT/clone; git log --oneline | wc -l')).toBe('24');
  });
});
