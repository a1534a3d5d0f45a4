/** Snapshot directories of a real mount, with the programs that people use on them. */
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

const NOBODY = 'setpriv --reuid=65534 --regid=65534 --clear-groups';
/** Prints a command's errno as text, or "done". */
const TRY = `try() { if "$@" 2> $DIR/message > /dev/null; then echo done; else sed 's/.*: //' $DIR/message | tail -n 1; fi; }`;

/** A directory with something of everything, of which a snapshot is made, and which is changed after it. */
const POPULATE = `cd $MNT; mkdir -p d/sub/deep; cp -a /usr/include/asm-generic d/headers
  echo before > d/f; ln d/f d/hard; ln -s f d/soft; head -c 300000 /dev/urandom > d/data; : > d/empty
  truncate -s 1M d/sparse; echo x >> d/sparse; setfattr -n user.k -v then d/f; setfattr -n user.k -v then d/sub
  echo gone > d/sub/gone; chmod 640 d/sub/gone; touch -d '2001-02-03 04:05:06.789' d/data`;
const CHANGE = `cd $MNT; echo after > d/f; rm d/sub/gone d/hard; mv d/sub/deep d/moved; setfattr -n user.k -v now d/f
  rm -r d/headers; echo more >> d/data; chmod 700 d/sub; mv d e`;

for (const driver of ['kernel', 'fuse-native'] as const) {
  describe(`snapshot directories, ${driver}`, () => {
    const mounted = async (...options: string[]): Promise<Site> => {
      const site = new Site();
      await site.mount('--driver', driver, ...options);
      return site;
    };

    it('show a directory as it was to ls, cp, tar, rsync, diff and getfattr', async () => {
      const site = await mounted();
      await site.sh(`${POPULATE}; mkfifo pipe; cp -a d $DIR/then; mkdir .snap/one; ${CHANGE}; rm pipe`);
      // Where it is by now its snapshots are.
      await site.sh(`cd $MNT/e; test "$(ls .snap)" = one; diff -r --no-dereference .snap/one $DIR/then
        diff -r .snap/one/headers /usr/include/asm-generic; cmp $MNT/.snap/one/d/data .snap/one/data
        test "$(cat .snap/one/hard) $(cat .snap/one/soft) $(cat f)" = 'before before after'
        test "$(getfattr --only-values -n user.k .snap/one/f)" = then
        test "$(getfattr --only-values -n user.k .snap/one/sub)" = then
        test "$(stat -c %a .snap/one/sub/gone)" = 640; test "$(stat -c %h .snap/one/f)" = 2
        test "$(ls moved/.snap/one | wc -l)" = 0; test -p $MNT/.snap/one/pipe; stat -f .snap .snap/one/f; test -d sub/.snap/one/deep
        cp -a .snap/one/sub/gone .; test "$(cat gone)" = gone; mv gone sub/gone
        tar cf $DIR/d.tar -C .snap/one .; mkdir $DIR/untarred; tar xf $DIR/d.tar -C $DIR/untarred
        diff -r --no-dereference $DIR/untarred $DIR/then
        rsync -aHX .snap/one/ $DIR/synced/; diff -r --no-dereference $DIR/synced $DIR/then
        rm -r * ; cp -a .snap/one/. .; diff -r --no-dereference . $DIR/then`);
      const differences = await site.sh(`cd $MNT/e; echo other > f; diff -rq . .snap/one || true`);
      expect(differences).toBe(
        'Files ./f and .snap/one/f differ\nFiles ./hard and .snap/one/hard differ\nFiles ./soft and .snap/one/soft differ',
      );
      await site.umount();
      await site.mount('--driver', driver);
      await site.sh('diff -r --no-dereference $MNT/e/.snap/one $DIR/then');
      await site.umount();
      expect((await site.spinney('check', site.store)).code).toBe(0);
      expect(site.logged('warn')).toEqual([]);
    });

    it('are in no listing, and nothing wanders into them', async () => {
      const site = await mounted();
      await site.sh(`${POPULATE}; mkdir .snap/one d/.snap/two; ls d/.snap/one > /dev/null`);
      await site.sh(`cd $MNT; test "$(ls -A)" = d; test -z "$(find . -name .snap)"; test -z "$(ls -aR | grep -F .snap)"
        test -z "$(tar c d | tar t | grep -F .snap)"; rsync -a d $DIR/copy; test -z "$(find $DIR/copy -name .snap)"
        cp -a d copy; test -z "$(find copy -name .snap)"; rm -r copy
        git init -q repository; cp -r d/headers repository; cd repository; git add -A; git -c user.name=a -c user.email=b commit -qm x
        test -z "$(git ls-files | grep -F .snap)"; test -z "$(git status --porcelain)"; cd ..
        rm -rf repository d; test ! -e d; test -d .snap/one/d; test "$(ls .snap)" = 'one
two'`);
    });

    it('refuse every change, and making one of their name', async () => {
      const site = await mounted();
      await site.sh(`cd $MNT; mkdir d d/sub; echo x > d/f; mkdir .snap/s; cd d; ls .snap/s/sub`);
      const answers = await site.sh(`${TRY}; cd $MNT/d; s=.snap/s
        for command in "touch $s/new" "touch $s/f" "rm -f $s/f" "rmdir $s/sub" "mkdir $s/new" "chmod 600 $s/f" "ln -s t $s/l" \\
          "truncate -s 0 $s/f" "setfattr -n user.k -v v $s/f" "mv $s/f $s/g" "mkfifo $s/p" "touch .snap/new" "dd of=$s/f if=f"; do
          echo "$command: $(try $command)"; done`);
      for (const line of answers.split('\n')) expect(line).toContain(': Read-only file system');
      expect(
        await site.sh(`${TRY}; cd $MNT/d; try ln .snap/s/f linked; try ln f .snap/s/linked
          python3 -c '
import os
for pair in (".snap/s/f", "taken"), ("f", ".snap/s/given"), (".snap/s/sub", "sub2"):
    try: os.rename(*pair); print("done")
    except OSError as error: print(error.strerror)'
          try mkdir .snap; try rmdir .snap; try mv .snap other; try touch .snap; test ! -e taken; cat f`),
      ).toBe(
        [
          ...Array(5).fill('Invalid cross-device link'),
          'File exists',
          'Operation not permitted',
          'Operation not permitted',
          'Read-only file system',
          'x',
        ].join('\n'),
      );
    });

    it('are stale for whoever is in one that is deleted', async () => {
      const site = await mounted();
      await site.sh('cd $MNT; mkdir -p d/sub; echo old > d/sub/f; mkdir .snap/s');
      const answers = await site.sh(`${TRY}; cd $MNT/d/.snap/s/sub; exec 5< f; cat f; rmdir $MNT/.snap/s
        try ls .; try cat f; cd $MNT; try ls d/.snap/s; ls -a d/.snap; exec 5<&-
        echo new > d/sub/f; mkdir .snap/s; cat d/.snap/s/sub/f`);
      expect(answers).toMatch(
        /^old\n(Stale file handle|No such file or directory)\n(Stale file handle|No such file or directory)\nNo such file or directory\n\.\n\.\.\nnew$/,
      );
      await site.umount();
      expect((await site.spinney('check', site.store)).code).toBe(0);
    });

    it('have another name, or none', async () => {
      const site = await mounted('--snapshot-directory', '.history');
      await site.sh(`cd $MNT; echo x > f; mkdir .history/s; test "$(cat .history/s/f)" = x; test ! -e .snap; mkdir .snap
        touch .snap/mine; test "$(ls -A)" = 'f
.snap' || test "$(ls -A)" = '.snap
f'`);
      await site.umount();
      await site.mount('--driver', driver, '--snapshot-directory', 'none');
      await site.sh('cd $MNT; test ! -e .history; ls .snap/mine; mkdir .history; rmdir .history');
      await site.must('snapshot', 'create', 'by-command', site.mountpoint);
      expect(await site.must('snapshot', 'list', site.mountpoint)).toMatch(/^s +.*\nby-command +/);
      await site.must('snapshot', 'delete', 'by-command', site.mountpoint);
      await site.umount();
      // An entry that was there before stays what it is; other directories have theirs.
      await site.mount('--driver', driver);
      await site.sh(`cd $MNT; test "$(ls .snap)" = mine; mkdir d; mkdir d/.snap/t; rm -r .snap; test "$(ls .snap)" = 's
t'`);
      await site.umount();
    });
  });
}

describe('snapshots', () => {
  it('give their objects numbers of their own, that stay', async () => {
    const site = new Site();
    await site.mount();
    const numbers = `cd $MNT; find . .snap/*/ d/.snap/*/ -printf '%i %p\\n'`;
    await site.sh(
      'cd $MNT; mkdir -p d/e; touch d/f; ln d/f d/g; mkdir .snap/one; touch d/h; mkdir .snap/two',
    );
    const before = await site.sh(numbers);
    const inos = before.split('\n').map((line) => line.split(' ') as [string, string]);
    const of = (path: string) => inos.find(([, name]) => name === path)?.[0];
    expect(of('.snap/one/d/f')).toBe(of('.snap/one/d/g'));
    expect(of('d/.snap/one/f')).toBe(of('.snap/one/d/f'));
    const [live, one, two] = [of('./d/f'), of('.snap/one/d/f'), of('.snap/two/d/f')];
    expect(new Set([live, one, two]).size).toBe(3);
    await site.umount();
    await site.mount();
    expect(await site.sh(numbers)).toBe(before);
    // As a listing tells them.
    await site.sh(`cd $MNT; python3 -c '
import os
for entry in os.scandir(".snap/one/d"): assert entry.inode() == entry.stat().st_ino, entry.name'`);
  });

  it('are made and deleted by root and the owner alone', async () => {
    const site = new Site();
    await site.mount('--allow-other');
    expect(
      await site.sh(`${TRY}; chmod 755 $DIR $MNT; cd $MNT; mkdir -m 777 open; try ${NOBODY} mkdir open/.snap/mine
        mkdir .snap/s; try ${NOBODY} rmdir open/.snap/s; ${NOBODY} ls open/.snap; try ${NOBODY} ls .snap/s/open
        echo x > open/f; try rmdir open/.snap/s; ls open/.snap`),
    ).toBe('Permission denied\nPermission denied\ns\ndone\ndone');
  });

  it('that commands make and delete are seen at once', async () => {
    const site = new Site();
    await site.mount();
    const make = (name: string) => site.must('snapshot', 'create', name, site.mountpoint);
    await site.sh(
      'cd $MNT; mkdir d; echo x > d/f; ls -l .snap d/.snap; ls .snap/a d/.snap/a 2> /dev/null || true',
    );
    expect(await make('a')).toBe('made the snapshot a\n');
    await site.sh('cd $MNT; test "$(ls .snap)" = a; test "$(ls d/.snap)" = a; test "$(cat d/.snap/a/f)" = x');
    await make('b');
    await site.sh('cd $MNT; test "$(ls -U d/.snap | tr "\\n" " ")" = "a b "; stat d/.snap/b/f');
    expect(await site.refusal('snapshot', 'create', 'a', site.mountpoint)).toMatch(
      /^spinney: Cannot .*"a".*: there is one/,
    );
    await site.must('snapshot', 'delete', 'a', '--store', site.store);
    await site.sh(
      'cd $MNT; test "$(ls d/.snap)" = b; test ! -e d/.snap/a; test ! -e .snap/a/d/f; test -e d/.snap/b/f',
    );
    const list = JSON.parse(await site.must('snapshot', 'list', site.mountpoint, '--json'));
    expect(list.snapshots).toMatchObject([{ name: 'b', id: 2 }]);
    const stats = await site.stats();
    expect(stats.snapshots).toMatchObject({ count: 1 });
    const metrics = await site.sh('curl -sS --unix-socket $STORE/control.sock http://localhost/metrics');
    expect(metrics).toMatch(/^spinney_snapshots 1$/m);
    expect(metrics).toMatch(/^spinney_snapshot_bytes \d+$/m);
  });

  it.each([
    ['passed through', false],
    ['through the daemon', true],
  ])('stay what they were for whoever has a file of one open or mapped: %s', async (_how, isStacked) => {
    const site = new Site();
    if (isStacked) await site.stackStore();
    await site.mount();
    // The file is unchanged when it is opened, and written while it is open; then it is opened anew.
    await site.sh(`cd $MNT; python3 -c '
import mmap, os
old, new = b"old " * 5000, b"new " * 5000
open("f", "wb").write(old)
os.mkdir(".snap/s")
live = open("f", "rb")
assert live.read(4) == old[:4]
past = open(".snap/s/f", "rb", buffering=0)
shown = mmap.mmap(past.fileno(), 0, prot=mmap.PROT_READ)
assert past.read(8) == old[:8]
writer = open("f", "r+b", buffering=0)
writer.write(new)
assert past.read() == old[8:], "a read saw the write"
assert shown[:] == old, "a mapping saw the write"
again = open(".snap/s/f", "rb")
assert again.read() == old
os.fsync(writer.fileno())
assert open("f", "rb").read() == new
shared = mmap.mmap(writer.fileno(), 0)
shared[:4] = b"map "
assert open(".snap/s/f", "rb").read() == old
os.posix_fadvise(past.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
assert os.pread(past.fileno(), 20000, 0) == old
os.rmdir(".snap/s")
writer.seek(0); writer.write(b"xxxx" * 5000)
assert shown[:] == old, "a mapping saw a write after the snapshot was deleted"
try:
    os.posix_fadvise(past.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(past.fileno(), 20000, 0) == old
except OSError as error:
    assert error.errno == 116, error
'`);
    await site.umount();
    expect((await site.spinney('check', site.store)).code).toBe(0);
  });

  it('have access control lists', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cd $MNT; mkdir d; touch d/f; setfacl -m u:7:rw,g:8:r d/f; setfacl -d -m u:7:rwx d
      getfacl -c d d/f > $DIR/then; mkdir .snap/s; setfacl -b d/f; setfacl -k d
      getfacl -c .snap/s/d .snap/s/d/f | diff $DIR/then -`);
  });

  it('outlive a kill', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(
      'cd $MNT; mkdir d; echo one > d/f; mkdir .snap/one; echo two > d/f; mkdir .snap/two; echo three > d/f',
    );
    await site.kill();
    await site.mount();
    await site.sh('cd $MNT/d; test "$(cat .snap/one/f .snap/two/f f | tr "\\n" " ")" = "one two three "');
    await site.sh('cd $MNT; rmdir .snap/one');
    await site.kill();
    await site.mount();
    await site.sh(
      'cd $MNT/d; test "$(ls .snap)" = two; test "$(cat .snap/two/f f | tr "\\n" " ")" = "two three "',
    );
    await site.umount();
    expect((await site.spinney('check', site.store)).code).toBe(0);
  });

  it('are told apart by spinney diff', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('cd $MNT; mkdir -p d/sub; echo x > d/f; echo y > d/sub/g; echo z > gone; mkdir .snap/old');
    await site.sh('cd $MNT; mv d e; echo more >> e/f; rm gone; touch "new ü"; mkdir .snap/new; touch later');
    const expected = 'moved    /d/ -> /e/\nchanged  /e/f\nremoved  /gone\nmade     /new ü\n';
    expect(await site.must('diff', 'old', 'new', '--store', site.store)).toBe(expected);
    expect(await site.must('diff', 'old', 'new', site.mountpoint)).toBe(expected);
    const lines = (await site.must('diff', 'new', site.mountpoint, '--json')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { change: 'made', path: '/later', type: 'file' },
    ]);
    // From within the mount.
    expect(await site.sh('cd $MNT/e; node $PROGRAM/dist/daemon/cli.js diff new')).toBe('made     /later');
    expect(await site.refusal('diff', 'absent', site.mountpoint)).toMatch(/^spinney: Cannot .*absent/);
    await site.umount();
    expect(await site.must('diff', 'old', 'new', '--store', site.store)).toBe(expected);
    expect(await site.must('snapshot', 'list', site.store)).toMatch(/^old +\S+Z +.* of its own\nnew +/);
  });

  it('are made by the clock, and told by health where that fails', async () => {
    const site = new Site();
    await site.mount('--snapshots', 'hourly:2,daily:1');
    // The first look is right after the start.
    await site.sh(`cd $MNT; until ls .snap | grep -q daily-; do sleep 0.05; done
      ls .snap | grep -Eq '^hourly-[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}Z$'`);
    const name = await site.sh('ls $MNT/.snap | grep hourly-');
    const reserved = await site.spinney('snapshot', 'create', 'daily-2001-01-01', site.store);
    expect(reserved.code).toBe(2);
    expect(reserved.err).toContain('the schedule gives such names');
    expect((await site.attempt(`mkdir $MNT/.snap/daily-2001-01-01`)).err).toContain('Invalid argument');
    await site.umount();
    await site.mount('--snapshots', 'hourly:2');
    expect(await site.sh('ls $MNT/.snap')).toContain(name);
    const bad = await site.spinney(
      'mount',
      site.mountpoint,
      '--store',
      site.store,
      '--snapshots',
      'hourly:0',
    );
    expect(bad).toMatchObject({ code: 2, out: '' });
    expect(bad.err).toContain('--snapshots has "hourly:0"');
  });

  it('take few of the daemon’s descriptors, however many files of them are open', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cd $MNT; mkdir d; for i in $(seq 300); do echo $i > d/$i; done; mkdir .snap/s
      for i in $(seq 300); do echo new > d/$i; done`);
    const before = (await site.stats()).mount.descriptors;
    await site.sh(`cd $MNT/.snap/s/d; python3 -c '
import subprocess, os, json
files = [open(str(i)) for i in range(1, 301)]
out = subprocess.check_output(["node", os.environ["PROGRAM"] + "/dist/daemon/cli.js", "stats", "--store", os.environ["STORE"], "--json"])
mount = json.loads(out)["mount"]
assert mount["descriptors"] < ${before} + 60, mount["descriptors"]
assert mount["openFiles"] >= 300, mount["openFiles"]
assert [f.read() for f in files] == ["%d\\n" % i for i in range(1, 301)]'`);
    // What live files have no more the kernel reads by itself.
    const { passthrough, operations } = (await site.stats()).mount;
    if (passthrough) expect(operations.read).toBeUndefined();
  });
});
