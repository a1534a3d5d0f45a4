/**
 * Contents that the kernel reads and writes in their backing files by itself. Needs root and Linux 6.9; elsewhere
 * contents go through the daemon, as they do here on a store that is on a stacked filesystem.
 */
import { release } from 'node:os';
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

const [major = 0, minor = 0] = release().split('.').map(Number.parseFloat);
const isPossible = process.getuid?.() === 0 && (major > 6 || (major === 6 && minor >= 9));

/** Requests by operation since `before`. */
async function requests(site: Site): Promise<Record<string, number>> {
  return (await site.stats()).mount.operations;
}

const PYTHON = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
class Mapping:
    """A shared mapping alone: Python's own keeps a descriptor."""
    def __init__(self, fd, size):
        self.at, self.size = libc.mmap(None, size, 3, 1, fd, 0), size
    def put(self, at, byte):
        ctypes.memset(self.at + at, byte, 1)
        assert libc.msync(ctypes.c_void_p(self.at), ctypes.c_size_t(self.size), 4) == 0
    def close(self):
        assert libc.munmap(ctypes.c_void_p(self.at), ctypes.c_size_t(self.size)) == 0
def show(path):
    s = os.stat(path)
    return (s.st_size, s.st_mtime_ns, s.st_ctime_ns)
`;

function python(script: string): string {
  return `cd $MNT; python3 - <<'END'\n${PYTHON}${script}\nEND`;
}

describe.skipIf(!isPossible)('contents past the daemon', () => {
  it('are read and written without a request', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cd $MNT; head -c 3000000 /dev/urandom > $DIR/data
      cp $DIR/data a; cmp a $DIR/data; cat a >> b; cat a >> b; test $(stat -c %s b) = 6000000; dd if=b of=c bs=64k conv=notrunc
      cmp b c; cp --reflink=never c d; truncate -s 10 a; echo tail >> a; test $(stat -c %s a) = 15`);
    const { read, write, create } = await requests(site);
    expect([read, write]).toEqual([undefined, undefined]);
    expect(create).toBeGreaterThan(3);
    expect((await site.stats()).mount.passthrough).toBe(true);
    await site.umount();
    await site.mount();
    await site.sh(`cd $MNT; cat a > $DIR/a; (head -c 10 $DIR/data; echo tail) | cmp - a
      cat $DIR/data $DIR/data | cmp - c; cmp c d; test "$(stat -c %s a b c d)" = "$(printf '15\\n6000000\\n6000000\\n6000000')"`);
    expect(site.logged('warn')).toEqual([]);
  });

  it('go through the daemon while a file is open that had none when it was opened, and not after that', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cd $MNT; python3 -c 'import os; os.mknod("f")'; exec 3< f; echo one > f; echo two >> f; cat <&3 > $DIR/seen; cat f f > $DIR/both
      printf 'one\\ntwo\\n' | cmp - $DIR/seen; cat $DIR/seen $DIR/seen | cmp - $DIR/both`);
    const before = await requests(site);
    expect(before.write).toBeGreaterThan(0);
    await site.sh(`cd $MNT; echo three >> f; tail -1 f > $DIR/last; test $(cat $DIR/last) = three`);
    const after = await requests(site);
    expect([after.write, after.read]).toEqual([before.write, before.read]);
    expect(site.logged('warn')).toEqual([]);
  });

  it('are seen at once by everyone, also what is stored in a mapping after the file was closed', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(
      python(`
with open('f', 'wb') as f: f.write(b'x' * 5000)
old = show('f')
fd = os.open('f', os.O_RDWR)
shared = Mapping(fd, 5000)
os.close(fd)
# The mapping keeps no handle of the mount.
after_close = show('f')
assert after_close == old, (after_close, old)
for i in range(3):
    # A page that is clean is written to: the file's times change.
    shared.put(i, 65)
    now = show('f')
    assert now[0] == 5000 and now[1] > old[1] and now[2] >= now[1], (now, old)
    assert open('f', 'rb').read(4) == b'A' * (i + 1) + b'x' * (3 - i)
    old = now
os.utime('f', ns=(10**18, 10**18 + 7))
assert show('f')[1] == 10**18 + 7
shared.put(4, 66)
assert show('f')[1] > 1.7 * 10**18
shared.close()
last = show('f')
assert show('f') == last
os.chmod('f', 0o600)
assert show('f')[1] == last[1] and show('f')[2] > last[2]
# What was told before the last close holds after it.
for what in ('allocated', 'written after a chmod'):
    fd = os.open('g', os.O_RDWR | os.O_CREAT)
    os.write(fd, b'x' * 5000)
    other = Mapping(fd, 5000)
    if what == 'allocated':
        os.posix_fallocate(fd, 0, 9000)
    else:
        os.chmod('g', 0o640)
        os.write(fd, b'y')
    told = show('g')
    os.close(fd)
    assert show('g') == told, what
    other.close()
    assert show('g') == told, what
# An opening for writing alone changes nothing, also where the backing file cannot have the time.
for seconds in (2**34, -2**32):
    os.utime('g', (seconds, seconds))
    told = show('g')
    os.close(os.open('g', os.O_WRONLY))
    os.close(os.open('g', os.O_RDWR))
    assert show('g') == told, seconds
`),
    );
    // What nobody writes to any more is the kernel's to answer.
    await site.sh('stat $MNT/f');
    const before = await requests(site);
    await site.sh('stat $MNT/f; stat $MNT/f');
    const after = await requests(site);
    expect([after.getattr, after.lookup]).toEqual([before.getattr, before.lookup]);
    const times = await site.sh('stat -c "%s %.9Y %.9Z" $MNT/f');
    await site.umount();
    await site.mount();
    expect(await site.sh('stat -c "%s %.9Y %.9Z" $MNT/f')).toBe(times);
    expect(site.logged('warn')).toEqual([]);
  });

  it('are written on after the daemon was killed, and the next one tells their size', async () => {
    const site = new Site();
    await site.mount();
    const writer = site.start(`
      exec 3>> $MNT/f; echo one >&3; echo started > $DIR/started
      until test -e $DIR/go; do :; done
      echo two >&3; echo written > $DIR/written
      until test -e $DIR/end; do :; done`);
    await site.sh('until test -e $DIR/started; do :; done; test $(stat -c %s $MNT/f) = 4');
    await site.kill();
    await site.mount();
    await site.sh(`test $(stat -c %s $MNT/f) = 4; touch $DIR/go; until test -e $DIR/written; do :; done
      test $(stat -c %s $MNT/f) = 8; printf 'one\\ntwo\\n' | cmp - $MNT/f; test $(stat -c %s $MNT/f) = 8; touch $DIR/end`);
    await writer.result;
    expect(await site.sh('stat -c %s $MNT/f')).toBe('8');
    expect(site.logged('warn')).toEqual([]);
  });

  it.each(['3>>', '3<>'])('are written on after the mount was taken away (%s)', async (how) => {
    const site = new Site();
    await site.mount();
    const writer = site.start(`
      exec ${how} $MNT/f; echo one >&3; echo started > $DIR/started
      until test -e $DIR/go; do :; done
      echo two >&3; echo written > $DIR/written
      until test -e $DIR/end; do :; done`);
    await site.sh('until test -e $DIR/started; do :; done');
    await site.umount('--force');
    await site.mount();
    await site.sh(`test $(stat -c %s $MNT/f) = 4; touch $DIR/go; until test -e $DIR/written; do :; done
      test $(stat -c %s $MNT/f) = 8; cat $MNT/f > $DIR/seen; test $(stat -c %s $DIR/seen) = 8; touch $DIR/end`);
    await writer.result;
    await site.umount();
    await site.mount('--read-only');
    expect(await site.sh('stat -c %s $MNT/f')).toBe('8');
    // That it was taken away while it was in use is a warning.
    expect(site.logged('error')).toEqual([]);
  });

  it('keep what was written just before the daemon was killed', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('for i in 1 2 3; do echo some text > $MNT/$i; done; exec 3<> $MNT/1; echo more >&3');
    await site.kill();
    await site.mount();
    expect(await site.sh('cd $MNT; stat -c "%n %s" 1 2 3; cat 1')).toBe('1 10\n2 10\n3 10\nmore\ntext');
  });

  it('are gone with the last name, open or not', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cd $MNT; exec 3<> f; echo text >&3; rm f; echo more >&3; test $(stat -L -c '%s %h' /proc/self/fd/3 | tr -d ' ') = 100
      exec 3>&-; for i in $(seq 50); do echo $i > g$i; done; rm g*`);
    await site.umount();
    expect(await site.sh('find $STORE/content -type f | wc -l')).toBe('0');
  });

  it('go through the daemon where the store is on a stacked filesystem', async () => {
    const site = new Site();
    await site.stackStore();
    await site.mount();
    await site.sh(`cd $MNT; head -c 3000000 /dev/urandom > $DIR/data; cp $DIR/data f; cmp f $DIR/data; echo more >> f
      test $(stat -c %s f) = 3000005`);
    const { mount } = await site.stats();
    expect([mount.passthrough, (mount.operations.write ?? 0) > 2]).toEqual([false, true]);
    expect(site.logged('warn')).toEqual([]);
    expect(site.logged('info').filter((line) => line.includes('stacked')).length).toBe(1);
    await site.umount();
  });
});
