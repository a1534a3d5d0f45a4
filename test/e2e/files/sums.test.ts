/** Sums of directories, limits and `spinney du`, through real system calls and both drivers. */
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

interface DuReport {
  bytes: number;
  files: number;
  subdirs: number;
  children: { name: string; type: string; bytes: number; children?: { name: string }[] }[];
}

/** Shell functions: what a directory tells of itself, and sets a limit of it. */
const TOOLS = `
  sum() { getfattr --only-values --absolute-names -n "spinney.dir.$2" "$1"; }
  limit() { setfattr -n "spinney.quota.$2" -v "$3" "$1"; }
  found() { find "$1" -mindepth 1 "\${@:2}" | wc -l; }
  bytes() { find "$1" -mindepth 1 \\( -type f -o -type l \\) -links 1 -printf '%s\\n' | awk '{ s += $1 } END { print s + 0 }'; }
  check() {
    test "$(sum "$1" rentries)" = "$(found "$1")"; test "$(sum "$1" rsubdirs)" = "$(found "$1" -type d)"
    test "$(sum "$1" rfiles)" = "$(found "$1" ! -type d)"; test "$(sum "$1" rbytes)" = "$(bytes "$1")"
    test "$(sum "$1" entries)" = "$(found "$1" -maxdepth 1)"; test "$(sum "$1" subdirs)" = "$(found "$1" -maxdepth 1 -type d)"
    test "$(sum "$1" files)" = "$(found "$1" -maxdepth 1 ! -type d)"
  }
  refused() { if "$@" 2>$DIR/refusal; then echo "not refused: $*"; return 1; fi; grep -q 'quota' $DIR/refusal; }
`;

describe.each(['kernel', 'fuse-native'])('the %s driver', (driver) => {
  const options = ['--driver', driver];

  it('tells sums, also after a kill, a move and a new mount', async () => {
    const site = new Site();
    await site.mount(...options);
    await site.sh(`${TOOLS} cp -r /usr/include/linux $MNT/linux; cd $MNT; mkdir -p a/b/c; echo text > a/b/f; ln -s f a/b/l
      for d in . linux linux/netfilter a a/b a/b/c; do check $d; done
      test -z "$(getfattr -m - a)"; ! getfattr -n spinney.dir.rbytes a/b/f 2>/dev/null
      exec 9> a/b/open; head -c 100000 /dev/zero >&9; check a; head -c 1000 /dev/zero >&9; check .; exec 9>&-; check .
      mv linux a/b/c/moved; check .; check a/b; check a/b/c/moved; rm -r a/b/c/moved/netfilter; check a`);
    await site.kill();
    await site.mount(...options);
    await site.sh(`${TOOLS} cd $MNT; for d in . a a/b a/b/c a/b/c/moved; do check $d; done`);
    await site.umount();
    expect(await site.must('check', site.store)).toContain('clean');
    await site.mount(...options);
    await site.must('compact', site.mountpoint);
    await site.sh(
      `${TOOLS} cd $MNT; for d in . a a/b/c; do check $d; done; rm -r *; check .; test "$(sum . rbytes)" = 0`,
    );
  });

  it('keeps limits: nothing beyond them, and df shows them', async () => {
    const site = new Site();
    await site.mount(...options);
    await site.sh(`${TOOLS} cd $MNT; mkdir -p team/in; limit team bytes 1M; limit team/in files 3
      test "$(getfattr --only-values -n spinney.quota.bytes team)" = 1048576
      head -c 1000000 /dev/zero > team/f; test "$(df --output=size -B1 team | tail -1)" -eq 1048576
      test "$(df --output=avail -B1 team/in | tail -1)" -lt 50000; test "$(df --output=itotal team/in | tail -1)" -eq 3
      refused dd if=/dev/zero of=team/g bs=100000 count=1 status=none; test "$(stat -c %s team/g)" = 0
      refused truncate -s 2M team/f; test "$(stat -c %s team/f)" = 1000000
      touch team/in/1 team/in/2; mkdir team/in/3; refused touch team/in/4; refused mkdir team/in/4; refused ln -s x team/in/4
      refused ln team/f team/in/4; refused mv team/f team/in/f; test "$(ls team/in | wc -l)" = 3
      head -c 2000000 /dev/zero > large; refused mv large team/large; test -e large; ! test -e team/large
      rm team/in/1; touch team/in/4; rm team/f; head -c 1000000 /dev/zero > team/again`);
    await site.kill();
    await site.mount(...options);
    await site.sh(`${TOOLS} cd $MNT; refused dd if=/dev/zero of=team/g bs=100000 count=1 status=none
      mv team other; refused touch other/in/more; setfattr -x spinney.quota.files other/in; touch other/in/more
      limit other bytes 0; cp large other/; ! getfattr -n spinney.quota.bytes other 2>/dev/null`);
    await site.umount();
    expect(await site.must('check', site.store)).toContain('clean');
  });
});

it('a limit holds for files that the kernel would write by itself, and for mappings', async () => {
  const site = new Site();
  await site.mount();
  await site.sh(`${TOOLS} cd $MNT; mkdir q; limit q bytes 100000
    python3 -c 'if True:
      import errno, mmap, os
      fd = os.open("q/f", os.O_RDWR | os.O_CREAT)
      os.ftruncate(fd, 65536)
      with mmap.mmap(fd, 65536) as shared:
          shared[:5] = b"bytes"
          shared.flush()
      assert os.pread(fd, 5, 0) == b"bytes"
      for grow in (lambda: os.pwrite(fd, b"x" * 40000, 65536), lambda: os.ftruncate(fd, 100001)):
          try:
              grow()
              raise SystemExit("it grew")
          except OSError as error:
              assert error.errno == errno.EDQUOT, error
      assert os.pwrite(fd, b"x" * 34464, 65536) == 34464
      assert os.fstat(fd).st_size == 100000
    '
    test "$(sum q rbytes)" = 100000`);
});

it('other users read limits and do not set them', async () => {
  const site = new Site();
  await site.letUsersIn();
  await site.mount('--allow-other');
  await site.sh(`chmod 755 $DIR; mkdir -m 777 $MNT/d; setfattr -n spinney.quota.files -v 9 $MNT/d; cd $MNT/d
    as() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
    test "$(as getfattr --only-values -n spinney.quota.files .)" = 9; as touch f
    test "$(as getfattr --only-values -n spinney.dir.entries .)" = 1
    ! as setfattr -n spinney.quota.files -v 10 . 2>/dev/null; ! as setfattr -x spinney.quota.files . 2>/dev/null
    test "$(getfattr --only-values -n spinney.quota.files .)" = 9`);
});

it('spinney du goes on at what cannot be read, tells it, and fails in the end', async () => {
  const site = new Site();
  await site.letUsersIn();
  await site.mount('--allow-other');
  await site.sh(`chmod 755 $DIR; cd $MNT; mkdir -p open/deep closed unlisted/deep; chmod 700 closed; chmod 311 unlisted
    for f in open/deep/f closed/f unlisted/deep/f; do head -c 1000 /dev/zero > $f; done; mkdir .snap/before; rm closed/f`);
  const du = (path: string, ...args: string[]) =>
    site.attempt(
      `setpriv --reuid 1000 --regid 1000 --clear-groups node $PROGRAM/dist/daemon/cli.js du ${path} ${args.join(' ')}`,
    );
  const { code, out, err } = await du('$MNT', '--depth', '2');
  const reason = (name: string) => `spinney: Cannot read ${site.mountpoint}/${name}: permission denied\n`;
  expect([code, err]).toEqual([1, reason('closed') + reason('unlisted')]);
  expect(out).toMatch(
    / open\/\n.* {2}deep\/\n.*\(files with several names, and what cannot be read\)\n.*: 2 files, 5 directories\n$/,
  );
  const { files, children } = JSON.parse((await du('$MNT', '--json')).out) as DuReport;
  expect([files, children.map(({ name }) => name)]).toEqual([2, ['open']]);
  expect(await du('$MNT/closed')).toEqual({
    code: 1,
    out: '',
    err: `spinney: Cannot sum up ${site.mountpoint}/closed: permission denied\n`,
  });
  // A snapshot is summed up as it was.
  expect(
    (JSON.parse(await site.must('du', `${site.mountpoint}/.snap/before`, '--json')) as DuReport).files,
  ).toBe(3);
});

it('spinney du shows what takes the space, by size', async () => {
  const site = new Site();
  await site.mount();
  await site.sh(`cd $MNT; mkdir -p large/deep small 'odd
name'; head -c 3000000 /dev/zero > large/deep/f; head -c 1000 /dev/zero > small/f; head -c 50 /dev/zero > file; ln -s x link
    head -c 700 /dev/zero > $'caf\\xe9'`);
  const read = async (...args: string[]): Promise<DuReport> =>
    JSON.parse(await site.must('du', ...args, '--json')) as DuReport;
  const report = await read(site.mountpoint, '--depth', '2');
  const apparent = Number(
    await site.sh(`find $MNT \\( -type f -o -type l \\) -printf '%s\\n' | awk '{ s += $1 } END { print s }'`),
  );
  expect(report.bytes).toBe(apparent);
  expect([report.files, report.subdirs]).toEqual([5, 4]);
  expect(report.children.map(({ name, bytes }) => [name, bytes])).toEqual([
    ['large', 3000000],
    ['small', 1000],
    ['caf\ufffd', 700],
    ['file', 50],
    ['link', 1],
    ['odd\nname', 0],
  ]);
  expect(report.children[0]?.children?.map(({ name }) => name)).toEqual(['deep']);
  expect((await read(`${site.mountpoint}/small`, '--depth', '0')).children).toBeUndefined();
  const lines = (await site.must('du', site.mountpoint)).split('\n');
  expect(lines[0]).toMatch(/^ +2\.9 MiB {3}99\.9 % {2}#{20} {2}large\/$/);
  expect(lines.some((line) => line.endsWith('odd\\nname/'))).toBe(true);
  expect(lines.at(-2)).toMatch(/^ +2\.9 MiB .*: 5 files, 4 directories$/);
  expect(await site.refusal('du', site.directory)).toContain('no directory of a Spinney mount');
  expect(await site.refusal('du', `${site.mountpoint}/none`)).toContain('it does not exist');
});
