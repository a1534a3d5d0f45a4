/** The other driver, for what its binding can do: see mount/fuse-native/limits.md. */
import { expect, it } from 'vitest';
import { Site } from './site.js';

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
  expect(site.logged(50)).toEqual([]);
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
