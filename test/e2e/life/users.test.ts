/** Several users on one mount: owners, permissions, times, links, special files. As root, with `--allow-other`. */
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

const NOBODY = 'setpriv --reuid=65534 --regid=65534 --clear-groups';

/** A mounted site that others than root may reach. */
async function sharedSite(...options: string[]): Promise<Site> {
  const site = new Site();
  await site.mount('--allow-other', ...options);
  await site.sh('chmod 755 $DIR; chmod 755 $MNT; mkdir -m 777 $MNT/open');
  return site;
}

describe('users', () => {
  it('own what they make', async () => {
    const site = await sharedSite();
    await site.sh(`cd $MNT/open
      ${NOBODY} bash -c 'umask 027; touch f; mkdir d; ln -s f l; mkfifo p; echo x > d/g'
      touch root`);
    expect(await site.sh(`cd $MNT/open; stat -c '%n %A %u %g' d d/g f l p root`)).toBe(
      [
        'd drwxr-x--- 65534 65534',
        'd/g -rw-r----- 65534 65534',
        'f -rw-r----- 65534 65534',
        'l lrwxrwxrwx 65534 65534',
        'p prw-r----- 65534 65534',
        'root -rw-r--r-- 0 0',
      ].join('\n'),
    );
  });

  it('are kept out of what is not theirs', async () => {
    const site = await sharedSite();
    const printed = await site.sh(`cd $MNT
      echo secret > secret; chmod 600 secret; mkdir -m 700 private; touch private/f; mkdir -m 755 seen; touch seen/f
      mkdir -m 1777 sticky; touch sticky/f
      try() { if ${NOBODY} "$@" 2> $DIR/message; then echo "$* worked"; fi; sed 's/.*: //' $DIR/message; }
      try cat secret; try ls private; try touch seen/new; try rm -f seen/f; try touch private/f; try mkdir new
      try chmod 777 secret; try chown 65534 secret; try rm -f sticky/f; try mv sticky/f sticky/g
      try setfattr -n user.k -v v secret; try getfattr -n user.k secret; try ln secret open/link; try truncate -s 0 secret
      ${NOBODY} cat seen/f; ${NOBODY} ls seen`);
    const [denied, refused] = ['Permission denied', 'Operation not permitted'];
    expect(printed.split('\n')).toEqual([
      ...Array(6).fill(denied),
      ...Array(4).fill(refused),
      denied,
      denied,
      expect.stringMatching(/Permission denied|Operation not permitted/),
      denied,
      'f',
    ]);
  });

  it('reach a mount without --allow-other only if it is theirs', async () => {
    const site = new Site();
    await site.mount();
    const { code, err } = await site.attempt(`chmod 755 $DIR; ${NOBODY} ls $MNT`);
    expect(code).not.toBe(0);
    expect(err).toContain('Permission denied');
  });

  it('give what they make in a set-group-id directory its group', async () => {
    const site = await sharedSite();
    await site.sh(`cd $MNT; mkdir team; chown 0:4242 team; chmod 2777 team
      ${NOBODY} bash -c 'cd team; touch f; mkdir d; touch d/f; mkfifo p; ln -s x l'`);
    expect(await site.sh(`cd $MNT/team; stat -c '%n %a %u %g' d d/f f l p`)).toBe(
      [
        'd 2755 65534 4242',
        'd/f 644 65534 4242',
        'f 644 65534 4242',
        'l 777 65534 4242',
        'p 644 65534 4242',
      ].join('\n'),
    );
  });

  it('lose set-user-id when they change owner or content', async () => {
    const site = await sharedSite();
    await site.sh(`cd $MNT/open
      for f in written chowned kept cut; do echo x > $f; chown 65534:65534 $f; chmod 6777 $f; done
      ${NOBODY} bash -c 'echo y >> written'
      ${NOBODY} truncate -s 0 cut
      chown 1:1 chowned`);
    expect(await site.sh(`cd $MNT/open; stat -c '%n %a' chowned cut kept written`)).toBe(
      ['chowned 777', 'cut 777', 'kept 6777', 'written 777'].join('\n'),
    );
  });
});

describe('attributes', () => {
  it('are what chmod, chown and touch set, to the nanosecond, also after a kill', async () => {
    const site = await sharedSite();
    await site.sh(`cd $MNT/open; touch f; mkdir d; ln -s nowhere l
      chown 11:22 f; chown 33 d; chown -h 44:55 l; chmod 4715 f; chmod 1751 d
      touch -d '2001-02-03 04:05:06.123456789 UTC' f
      touch -a -d '1999-12-31 23:59:59.999999999 UTC' f
      touch -m -d '1901-01-01 00:00:00.000000001 UTC' d
      touch -h -d '2200-01-01 00:00:00.5 UTC' l`);
    const list = `cd $MNT/open; export TZ=UTC; stat -c '%n %a %u:%g %y' d f l; stat -c %x f`;
    const expected = [
      'd 1751 33:0 1901-01-01 00:00:00.000000001 +0000',
      'f 4715 11:22 2001-02-03 04:05:06.123456789 +0000',
      'l 777 44:55 2200-01-01 00:00:00.500000000 +0000',
      '1999-12-31 23:59:59.999999999 +0000',
    ].join('\n');
    expect(await site.sh(list)).toBe(expected);
    await site.kill();
    await site.mount('--allow-other');
    expect(await site.sh(list)).toBe(expected);
  });

  it('of time go forward with each change', async () => {
    const site = await sharedSite();
    await site.sh(`cd $MNT/open; touch f; mkdir d
      later() { # Runs a command after which the given time of the given file must have grown.
        local before=$(stat -c $1 $2) file=$2 format=$1; shift 2
        "$@"
        local after=$(stat -c $format $file)
        [[ $before < $after ]] || { echo "$*: $format of $file: $before, then $after"; false; }
      }
      later %z f chmod 600 f
      later %z f chown 1 f
      later %z f setfattr -n user.k -v v f
      later %z f ln f link
      later %z f mv link moved
      later %z f rm moved
      later %y f bash -c 'echo x >> f'
      later %y f truncate -s 100 f
      later %y d touch d/f
      later %y d mkdir d/d
      later %y d ln -s x d/l
      later %y d mv d/f d/g
      later %y d mv d/g f2
      later %y d rm d/l
      later %y d rmdir d/d`);
  });
});

describe('links', () => {
  it('share one inode, and count', async () => {
    const site = await sharedSite();
    const list = `cd $MNT/open; stat -c '%h %s' a d/c; test a -ef d/c; cat d/c; getfattr --only-values -n user.k a`;
    await site.sh(`cd $MNT/open; echo one > a; mkdir d; ln a b; ln b d/c; test a -ef d/c
      test "$(stat -c %h a)" = 3; echo two >> d/c; setfattr -n user.k -v v b; chmod 640 b; test "$(stat -c %a a)" = 640
      rm b`);
    expect(await site.sh(list)).toBe('2 8\n2 8\none\ntwo\nv');
    await site.kill();
    await site.mount('--allow-other');
    expect(await site.sh(list)).toBe('2 8\n2 8\none\ntwo\nv');
    await site.sh('cd $MNT/open; rm a; test "$(stat -c %h d/c)" = 1; mv d/c a; test "$(cat a)" = "one\ntwo"');
    const { err } = await site.attempt('cd $MNT/open; ln d hard');
    expect(err).toContain('not allowed');
  });
});

describe('special files', () => {
  it('are made, opened and kept', async () => {
    const site = await sharedSite('-o', 'dev');
    const list = `cd $MNT/open; stat -c '%n %F %t,%T %a' block fifo null socket`;
    await site.sh(`cd $MNT/open; umask 0
      mkfifo fifo; mknod null c 1 3; mknod block b 7 123456
      perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("socket")) or die $!'
      (echo through > fifo &); test "$(cat fifo)" = through
      echo x > null; test "$(cat null)" = ""`);
    const expected = [
      'block block special file 7,1e240 666',
      'fifo fifo 0,0 666',
      'null character special file 1,3 666',
      'socket socket 0,0 777',
    ].join('\n');
    expect(await site.sh(list)).toBe(expected);
    await site.kill();
    await site.mount('--allow-other', '-o', 'dev');
    expect(await site.sh(list)).toBe(expected);
    // A mount without "-o dev" has the names, and opens nothing.
    await site.umount();
    await site.mount('--allow-other');
    expect((await site.attempt('echo x > $MNT/open/null')).err).toContain('Permission denied');
  });
});

describe('rename', () => {
  it('replaces files, and moves directories with all that is in them', async () => {
    const site = await sharedSite();
    await site.sh(`cd $MNT/open
      echo a > a; echo b > b; mv a b; test "$(cat b)" = a; ! test -e a
      mkdir -p from/x/y to; cp -r /usr/include/linux from/x/y/linux; setfattr -n user.k -v v from/x/y/linux/fuse.h
      mv from/x to/x; diff -r /usr/include/linux to/x/y/linux; ! test -e from/x
      test "$(getfattr --only-values -n user.k to/x/y/linux/fuse.h)" = v
      mkdir empty; mv -T to/x empty; diff -r /usr/include/linux empty/y/linux
      exec 3< empty/y/linux/fuse.h; cd empty/y; mv ../../empty ../../again; ls linux/fuse.h > /dev/null
      cmp - /usr/include/linux/fuse.h <&3; test "$(/bin/pwd)" = $MNT/open/again/y
      cd $MNT/open; test "$(stat -c %h . from to again)" = "5
2
2
3"`);
    const { err } = await site.attempt(`cd $MNT/open; try() { "$@" || true; }
      mkdir full; touch full/f; mkdir -p into/deep; touch file
      try perl -e 'rename("from", "full") or die "$!\\n"'
      try perl -e 'rename("into", "into/deep/into") or die "$!\\n"'
      try perl -e 'rename("file", "from") or die "$!\\n"'
      try perl -e 'rename("from", "file") or die "$!\\n"'
      try perl -e 'rename("absent", "file") or die "$!\\n"'
      mv -n file b; test -e file`);
    expect(err.split('\n')).toEqual([
      'Directory not empty',
      'Invalid argument',
      'Is a directory',
      'Not a directory',
      'No such file or directory',
      '',
    ]);
    await site.kill();
    await site.mount('--allow-other');
    await site.sh('cd $MNT/open; diff -r /usr/include/linux again/y/linux; test "$(cat b)" = a');
  });
});
