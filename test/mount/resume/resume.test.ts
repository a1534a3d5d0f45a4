/** A mount that goes on after its daemon was killed, through real system calls. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { HeldMount } from './held-mount.js';

let mount: HeldMount;
const clients: ChildProcess[] = [];

afterEach(() => {
  for (const client of clients.splice(0)) client.kill('SIGKILL');
  mount.cleanUp();
});

/** Runs a shell script in the mount's directory above; resolves to what it prints. */
function sh(script: string): Promise<string> {
  const child = spawn('timeout', ['120', 'sh', '-ec', script], {
    env: { ...process.env, MNT: mount.mountpoint, STORE: mount.store },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  clients.push(child);
  let text = '';
  child.stdout.on('data', (data) => {
    text += data;
  });
  child.stderr.on('data', (data) => {
    text += data;
  });
  return new Promise((resolve, reject) =>
    child.once('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`${code}: ${text}`)))),
  );
}

/** A client that does a part for each line that it is given, and prints a line for each. */
function client(script: string): { line(): Promise<string>; step(): Promise<string> } {
  const child = spawn('timeout', ['120', 'python3', '-uc', script], {
    env: { ...process.env, MNT: mount.mountpoint },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  clients.push(child);
  const lines: string[] = [];
  let waiting: (() => void) | undefined;
  let rest = '';
  child.stdout.on('data', (data) => {
    const parts = (rest + data).split('\n');
    rest = parts.pop()!;
    lines.push(...parts);
    waiting?.();
  });
  child.once('exit', () => {
    lines.push('exited');
    waiting?.();
  });
  return {
    step() {
      child.stdin.write('\n');
      return this.line();
    },
    async line() {
      while (lines.length === 0) {
        await new Promise<void>((resolve) => {
          waiting = resolve;
        });
      }
      return lines.shift()!;
    },
  };
}

describe('a daemon that is killed', () => {
  it('is followed by another, and clients notice nothing', { timeout: 240_000 }, async () => {
    mount = new HeldMount();
    expect((await mount.mount()).isKept).toBe(true);
    await sh(
      'mkdir $MNT/d; echo one > $MNT/d/f; ln $MNT/d/f $MNT/g; setfattr -n user.a -v b $MNT/d/f || true',
    );
    const held = client(`
import fcntl, mmap, os
mnt = os.environ['MNT']
os.chdir(mnt + '/d')
deleted = os.open('deleted', os.O_RDWR | os.O_CREAT)
os.write(deleted, b'still here')
os.unlink('deleted')
empty = os.open('empty', os.O_RDWR | os.O_CREAT)
os.unlink('empty')
locked = os.open(mnt + '/g', os.O_RDWR)
fcntl.flock(locked, fcntl.LOCK_EX)
mapped = os.open(mnt + '/mapped', os.O_RDWR | os.O_CREAT)
os.ftruncate(mapped, 8192)
memory = mmap.mmap(mapped, 8192)
memory[0:5] = b'first'
written = os.open('written', os.O_WRONLY | os.O_CREAT)
os.write(written, b'a' * 1000)
os.mkdir('gone'); gone = os.open('gone', os.O_RDONLY); os.rmdir('gone')
print('ready')
import sys
for _ in sys.stdin:
    memory[4096:4102] = b'second'
    assert memory[0:5] == b'first'
    assert os.pread(deleted, 100, 0) == b'still here', os.pread(deleted, 100, 0)
    assert os.fstat(deleted).st_nlink == 0 and os.fstat(deleted).st_size == 10
    assert os.fstat(empty).st_nlink == 0 and os.fstat(empty).st_size == 0
    os.write(empty, b'x'); os.ftruncate(empty, 0)
    assert os.fstat(gone).st_nlink == 0
    os.write(written, b'b' * 1000)
    assert os.getcwd() == mnt + '/d'
    assert os.path.exists('f')
    os.rename('f', 'f2'); os.rename('f2', 'f')
    print(os.fstat(written).st_size)
`);
    expect(await held.line()).toBe('ready');
    expect(await held.step()).toBe('2000');
    for (let kill = 0; kill < 3; kill++) {
      await mount.kill();
      const pending = sh('echo two > $MNT/after; cat $MNT/d/f; ls -l $MNT $MNT/d >/dev/null');
      const { resumed } = await mount.resume();
      expect(resumed!.files).toBeGreaterThanOrEqual(5);
      expect(await pending).toBe('one\n');
      expect(await held.step()).toBe(String(3000 + kill * 1000));
      await expect(sh('flock -n $MNT/g true')).rejects.toThrow();
    }
    expect(await sh('head -c 5 $MNT/mapped; dd if=$MNT/mapped bs=1 skip=4096 count=6 2>/dev/null')).toBe(
      'firstsecond',
    );
    for (const one of clients.splice(0)) one.kill('SIGKILL');
    expect(await mount.unmount()).toBe('unmounted');
    expect(existsSync(`${mount.store}/session.state`)).toBe(false);
    expect(mount.logged.filter((line) => !line.startsWith('info'))).toEqual([]);
  });

  it('is followed in the middle of listings, writes and renames', { timeout: 240_000 }, async () => {
    mount = new HeldMount({ timeout: 0 });
    await mount.mount();
    await sh('mkdir $MNT/many; cd $MNT/many; seq -f n%06.0f 1 3000 | xargs touch');
    const lister = client(LISTER);
    const writer = client(WRITER);
    expect([await lister.line(), await writer.line()]).toEqual(['ready', 'ready']);
    const results = [lister, writer].map((one) => one.step());
    for (let kill = 0; kill < 4; kill++) {
      // At any request: what is counted is what the clients got done.
      await sh(
        `at=$(stat -c %s $STORE/../progress); while [ $(stat -c %s $STORE/../progress) -lt $((at + ${37 + kill * 11})) ]; do :; done`,
      );
      await mount.kill();
      await mount.resume();
    }
    await sh(': > $STORE/../enough');
    expect(await Promise.all(results)).toEqual(['done', 'done']);
    expect(mount.logged).toEqual([]);
    for (const one of clients.splice(0)) one.kill('SIGKILL');
    expect(await mount.unmount()).toBe('unmounted');
  });

  it('is followed by one that it handed over to, which is asked for nothing', {
    timeout: 240_000,
  }, async () => {
    mount = new HeldMount({ durability: 'synced' });
    await mount.mount();
    const held = client(`
import os
f = os.open(os.environ['MNT'] + '/f', os.O_RDWR | os.O_CREAT)
print('ready')
import sys
for _ in sys.stdin:
    os.write(f, b'more')
    os.fsync(f)
    print(os.fstat(f).st_size)
`);
    expect(await held.line()).toBe('ready');
    for (let turn = 1; turn < 4; turn++) {
      expect(await held.step()).toBe(String(turn * 8 - 4));
      expect(await mount.handOver()).toBe(true);
      const waiting = held.step();
      expect((await mount.resume()).resumed!.files).toBe(1);
      expect(await waiting).toBe(String(turn * 8));
    }
    for (const one of clients.splice(0)) one.kill('SIGKILL');
    expect(await mount.unmount()).toBe('unmounted');
  });

  it('is followed by one that looks names in snapshots up anew', { timeout: 240_000 }, async () => {
    mount = new HeldMount();
    await mount.mount();
    await sh('mkdir $MNT/d; echo then > $MNT/d/f; mkdir $MNT/.snapshots/one; echo now > $MNT/d/f');
    expect(await sh('cat $MNT/.snapshots/one/d/f $MNT/d/.snapshots/one/f')).toBe('then\nthen\n');
    await mount.kill();
    await mount.resume();
    expect(await sh('cat $MNT/.snapshots/one/d/f $MNT/d/.snapshots/one/f $MNT/d/f; ls $MNT/.snapshots')).toBe(
      'then\nthen\nnow\none\n',
    );
    await sh('mkdir $MNT/.snapshots/two; rmdir $MNT/.snapshots/one');
    expect(await sh('ls $MNT/d/.snapshots; cat $MNT/.snapshots/two/d/f')).toBe('two\nnow\n');
    expect(await mount.unmount()).toBe('unmounted');
  });

  it('is not followed where its tables are damaged: the mount stays for another attempt', async () => {
    mount = new HeldMount();
    await mount.mount();
    await sh('mkdir -p $MNT/a/b; ls -R $MNT >/dev/null');
    await mount.kill();
    const path = `${mount.store}/session.nodes`;
    const sound = readFileSync(path);
    const damaged = Buffer.from(sound);
    // The first node is the root.
    damaged.writeDoubleLE(77, 4096);
    writeFileSync(path, damaged);
    await expect(mount.resume()).rejects.toThrow(/Cannot go on with the mount.*not the root/);
    writeFileSync(path, sound);
    expect((await mount.resume()).resumed!.nodes).toBeGreaterThan(1);
    expect(await sh('ls $MNT/a')).toBe('b\n');
    expect(await mount.unmount()).toBe('unmounted');
  });
});

/** Lists a directory in small parts, again and again, while it and its names change. */
const LISTER = `
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
mnt = os.environ['MNT']
store = mnt + '/../'
fd = os.open(mnt + '/many', os.O_RDONLY)
progress = os.open(store + 'progress', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(progress, b'.')
print('ready')
input()
buffer = ctypes.create_string_buffer(700)
turn = 0
while True:
    os.lseek(fd, 0, 0)
    names = []
    while True:
        n = libc.syscall(217, fd, buffer, 700)
        assert n >= 0, os.strerror(ctypes.get_errno())
        if n == 0: break
        at = 0
        while at < n:
            length = struct.unpack_from('H', buffer, at + 16)[0]
            name = bytes(buffer[at + 19:at + length]).split(bytes(1))[0].decode()
            names.append(name)
            at += length
        os.write(progress, b'.')
        # What was read goes, and comes again.
        if len(names) % 7 == 0 and names[-1].startswith('n'):
            os.rename(mnt + '/many/' + names[-1], mnt + '/moved')
            os.rename(mnt + '/moved', mnt + '/many/' + names[-1])
    found = [name for name in names if name.startswith('n')]
    assert len(set(found)) == len(found), 'given twice'
    assert len(found) == 3000, len(found)
    turn += 1
    if os.path.exists(store + 'enough'): break
print('done')
`;

/** Writes to a file in the way of fsx, beside renames, links and removals, and compares. */
const WRITER = `
import os, random
random.seed(7)
mnt = os.environ['MNT']
store = mnt + '/../'
os.mkdir(mnt + '/w')
fd = os.open(mnt + '/w/file', os.O_RDWR | os.O_CREAT)
model = bytearray()
progress = os.open(store + 'progress', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
print('ready')
input()
name = 'file'
step = 0
while True:
    step += 1
    kind = random.randrange(8)
    at = random.randrange(30000)
    if kind < 3:
        data = bytes(random.randrange(256) for _ in range(random.randrange(1, 900)))
        os.pwrite(fd, data, at)
        if len(model) < at: model.extend(bytes(at - len(model)))
        model[at:at + len(data)] = data
    elif kind == 3:
        os.ftruncate(fd, at)
        if len(model) > at: del model[at:]
        else: model.extend(bytes(at - len(model)))
    elif kind == 4:
        new = 'file%d' % step
        os.rename(mnt + '/w/' + name, mnt + '/w/' + new)
        name = new
    elif kind == 5:
        os.link(mnt + '/w/' + name, mnt + '/w/second')
        assert os.fstat(fd).st_nlink == 2
        os.unlink(mnt + '/w/second')
        assert os.fstat(fd).st_nlink == 1
    elif kind == 6:
        os.rename(mnt + '/w', mnt + '/x'); os.rename(mnt + '/x', mnt + '/w')
        os.setxattr(mnt + '/w/' + name, 'user.n', b'%d' % step, os.XATTR_CREATE)
        assert os.getxattr(mnt + '/w/' + name, 'user.n') == b'%d' % step
        os.removexattr(mnt + '/w/' + name, 'user.n')
    else:
        other = os.open(mnt + '/w/other', os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.write(other, b'x' * 100)
        os.unlink(mnt + '/w/other')
        assert os.pread(other, 200, 0) == b'x' * 100
        os.close(other)
        os.mkdir(mnt + '/w/dir'); os.symlink('a', mnt + '/w/dir/link'); os.unlink(mnt + '/w/dir/link'); os.rmdir(mnt + '/w/dir')
    assert os.fstat(fd).st_size == len(model), (os.fstat(fd).st_size, len(model))
    if step % 5 == 0: assert os.pread(fd, 60000, 0) == bytes(model)
    os.write(progress, b'.')
    if os.path.exists(store + 'enough'): break
assert sorted(os.listdir(mnt + '/w')) == [name]
print('done')
`;
