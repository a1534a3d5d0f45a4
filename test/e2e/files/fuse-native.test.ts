/** The other driver, for what its binding can do: see mount/fuse-native/limits.md. */
import { expect, it } from 'vitest';
import { Site } from '../site.js';

const OPTIONS = ['--driver', 'fuse-native'];

it('fuse-native keeps a tree', async () => {
  const site = new Site();
  await site.mount(...OPTIONS);
  expect((await site.stats()).mount.driver).toBe('fuse-native');
  // Times are those that cp set, cut to milliseconds.
  const compare = `
    diff -r --no-dereference /usr/include/linux $MNT/linux
    cd $MNT/linux; find . -printf '%P %y %m %s %l\\n' | sort > $DIR/ours
    cd /usr/include/linux; find . -printf '%P %y %m %s %l\\n' | sort > $DIR/theirs
    grep -v ' d ' $DIR/ours | diff - <(grep -v ' d ' $DIR/theirs)`;
  await site.sh('cp -a /usr/include/linux $MNT');
  await site.sh(compare);
  await site.sh(`cd $MNT; ln -s linux/fuse.h link; ln link2 x 2>/dev/null || true; ln linux/fuse.h hard
    setfattr -n user.k -v v hard; test "$(getfattr --only-values -n user.k linux/fuse.h)" = v
    mkdir -p a/b; echo text > a/b/f; mv a c; test "$(cat c/b/f)" = text; chmod 600 c/b/f; truncate -s 2 c/b/f
    test "$(stat -c '%a %s' c/b/f)" = '600 2'; cmp link /usr/include/linux/fuse.h`);
  await site.umount();
  await site.mount(...OPTIONS);
  await site.sh(compare);
  await site.kill();
  await site.mount(...OPTIONS);
  await site.sh(compare);
  await site.sh('test "$(cat $MNT/c/b/f)" = te; rm -r $MNT/*; test -z "$(ls -A $MNT)"');
  await site.signal('SIGTERM');
  expect(site.isMounted()).toBe(false);
  expect(site.logged('error')).toEqual([]);
});

it('fuse-native serves what the kernel driver stored, and the other way round', async () => {
  const site = new Site();
  await site.mount('--driver', 'kernel');
  await site.sh('mkdir $MNT/d; echo kernel > $MNT/d/f; setfattr -n user.k -v v $MNT/d/f');
  await site.umount();
  await site.mount(...OPTIONS);
  await site.sh(`cd $MNT; test "$(cat d/f)" = kernel; test "$(getfattr --only-values -n user.k d/f)" = v
    echo native > d/g; ! echo x 2>/dev/null > absent/f`);
  await site.umount();
  await site.mount('--driver', 'kernel');
  expect(await site.sh('cat $MNT/d/*')).toBe('kernel\nnative');
  await site.umount();
  await site.mount('--read-only', ...OPTIONS);
  expect((await site.attempt('touch $MNT/new')).err).toContain('Read-only file system');
  expect(await site.sh('cat $MNT/d/f')).toBe('kernel');
});

it('fuse-native keeps what it cannot show, and enforces no access lists', async () => {
  const site = new Site();
  await site.mount('--driver', 'kernel', '--allow-other');
  await site.sh(`chmod 755 $DIR $MNT; cd $MNT; echo kept > $'caf\\xe9'; echo text > f; ln -s $'caf\\xe9' l; chmod 640 f
    touch -d '2001-02-03T04:05:06.123456789Z' f; touch -d '1950-01-01T00:00:00Z' old`);
  // The user 1000 may read f by a list.
  await site.sh(`python3 -c 'if True:
    import os, struct
    entries = [(1, 6, -1), (2, 4, 1000), (4, 0, -1), (16, 4, -1), (32, 0, -1)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(os.environ["MNT"] + "/f", "system.posix_acl_access", value)'`);
  const asUser = (script: string) =>
    site.attempt(`setpriv --reuid 1000 --regid 1000 --clear-groups ${script}`);
  const times = `cd $MNT; TZ=UTC stat -c %y f old`;
  expect((await asUser('cat $MNT/f')).out).toBe('text\n');
  await site.umount();

  await site.mount(...OPTIONS, '--allow-other');
  expect((await asUser('cat $MNT/f')).err).toContain('Permission denied');
  expect((await site.attempt(`cat $MNT/$'caf\\xe9'`)).err).toContain('Invalid or incomplete multibyte');
  expect((await site.attempt('readlink -v $MNT/l')).err).toContain('Invalid or incomplete multibyte');
  expect(await site.sh(`ls $MNT`)).toBe('caf\ufffd\nf\nl\nold');
  expect(await site.sh(times)).toBe(
    '2001-02-03 04:05:06.123000000 +0000\n1970-01-01 00:00:00.000000000 +0000',
  );
  await site.umount();

  await site.mount('--driver', 'kernel', '--allow-other');
  expect((await asUser('cat $MNT/f')).out).toBe('text\n');
  expect(await site.sh(`cat $MNT/$'caf\\xe9' $MNT/l`)).toBe('kept\nkept');
  expect(await site.sh(times)).toBe(
    '2001-02-03 04:05:06.123456789 +0000\n1950-01-01 00:00:00.000000000 +0000',
  );
});
