/** Contents of snapshots: what is copied, shared, kept and freed, and what a crash leaves of it. */
import { constants } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ContentAwaited } from '../../../mount/filesystem/errno.js';
import { keptKey } from '../../../mount/filesystem/records/keys.js';
import { SnapshotStore, type StoreOptions } from './snapshot-store.js';

const { ENOSPC, EROFS } = constants.errno;
const O_RDONLY = 0;

function store(options: StoreOptions = {}): SnapshotStore {
  const made = new SnapshotStore(options);
  onTestFinished(() => made.end());
  return made;
}

describe.each([
  ['the kernel driver, copies', { isKernel: true, clones: false }],
  ['the kernel driver, shared blocks', { isKernel: true, clones: true }],
  ['fuse-native, copies', { isKernel: false, clones: false }],
] as const)('with %s', (_name, options) => {
  it('copies nothing for files at rest, until they are written', () => {
    const s = store(options);
    s.write('/a', 'one');
    s.write('/b', 'other');
    const before = s.files();
    s.fs.snapshots.take('x');
    expect(s.files()).toEqual(before);
    s.disk.calls.length = 0;
    expect([s.read('/a'), s.readAt('x', '/a')]).toEqual(['one', 'one']);
    s.write('/a', 'O');
    expect([s.read('/a'), s.readAt('x', '/a'), s.readAt('x', '/b')]).toEqual(['One', 'one', 'other']);
    expect(s.files().length).toBe(before.length + 1);
    // Once.
    s.write('/a', 'ON');
    expect([s.read('/a'), s.readAt('x', '/a')]).toEqual(['ONe', 'one']);
    expect(s.files().length).toBe(before.length + 1);
    expect(s.findings()).toEqual([]);
  });

  it('gives every snapshot its own', () => {
    const s = store(options);
    const names = ['w', 'x', 'y', 'z'];
    for (const [index, name] of names.entries()) {
      s.write('/a', `${index}`, index);
      if (index % 2 === 0) s.write(`/new${index}`, name);
      s.fs.snapshots.take(name);
    }
    s.write('/a', '!', 4);
    expect(names.map((name) => s.readAt(name, '/a'))).toEqual(['0', '01', '012', '0123']);
    expect(s.read('/a')).toBe('0123!');
    expect(s.damage()).toEqual([]);
    s.fs.snapshots.delete('x');
    s.reclaim();
    expect(['w', 'y', 'z'].map((name) => s.readAt(name, '/a'))).toEqual(['0', '012', '0123']);
    for (const name of ['z', 'w', 'y']) s.fs.snapshots.delete(name);
    s.reclaim();
    expect([s.files().length, s.keptRecords(), s.findings()]).toEqual([3, 0, []]);
    expect(s.fs.snapshots.progress).toBe(undefined);
  });

  it.each([
    ['replaced', (s: SnapshotStore) => s.replace('/a', 'new'), 'new'],
    ['emptied', (s: SnapshotStore) => s.truncate('/a', 0), ''],
    ['shortened', (s: SnapshotStore) => s.truncate('/a', 2), 'he'],
    ['made longer', (s: SnapshotStore) => s.truncate('/a', 7), 'hello\0\0'],
    ['removed', (s: SnapshotStore) => s.unlink('/a'), undefined],
    ['renamed over', (s: SnapshotStore) => s.rename('/b', '/a'), 'other'],
    ['written through another name', (s: SnapshotStore) => s.write('/linked', 'J'), 'Jello'],
  ])('keeps what is %s', (_how, change, expected) => {
    const s = store(options);
    s.write('/a', 'hello');
    s.write('/b', 'other');
    if (expected === 'Jello') s.link('/a', '/linked');
    s.fs.snapshots.take('x');
    expect(change(s)).toBe(0);
    s.reclaim();
    if (expected !== undefined) expect(s.read('/a')).toBe(expected);
    expect([s.readAt('x', '/a'), s.readAt('x', '/b')]).toEqual(['hello', 'other']);
    expect(s.damage()).toEqual([]);
    s.restart();
    expect([s.readAt('x', '/a'), s.damage()]).toEqual(['hello', []]);
    s.fs.snapshots.delete('x');
    s.reclaim();
    expect([s.keptRecords(), s.findings()]).toEqual([0, []]);
  });

  it('has files that are open for writing as they are, and they go on', () => {
    const s = store(options);
    s.write('/old', 'before');
    const old = s.open('/old');
    s.put(old, 'B');
    s.create('/idle');
    s.write('/idle', 'idle');
    const idle = s.open('/idle');
    const made = s.fs.stats().openFiles;
    s.fs.snapshots.take('x');
    s.put(old, 'after!');
    expect(s.put(idle, 'I')).toBe(1);
    expect([s.read('/old'), s.readAt('x', '/old')]).toEqual(['after!', 'Before']);
    expect([s.read('/idle'), s.readAt('x', '/idle')]).toEqual(['Idle', 'idle']);
    expect(s.fs.stats().openFiles).toBe(made);
    expect(s.damage()).toEqual([]);
    expect([s.fs.release(old), s.fs.release(idle)]).toEqual([0, 0]);
    s.fs.snapshots.take('y');
    s.write('/old', '2');
    expect(['x', 'y'].map((name) => s.readAt(name, '/old'))).toEqual(['Before', 'after!']);
    for (const name of ['x', 'y']) s.fs.snapshots.delete(name);
    s.reclaim();
    expect([s.files().length, s.keptRecords(), s.findings()]).toEqual([2, 0, []]);
  });

  it('shows what is written to whoever had the file open before', () => {
    const s = store(options);
    s.write('/a', 'hello');
    s.fs.snapshots.take('x');
    const reader = s.open('/a', O_RDONLY);
    s.write('/a', 'J');
    expect([s.readHandle(reader), s.readAt('x', '/a')]).toEqual(['Jello', 'hello']);
    expect(s.replace('/a', 'new')).toBe(0);
    expect([s.readHandle(reader), s.readAt('x', '/a')]).toEqual(['new', 'hello']);
    s.fs.release(reader);
    expect([s.findings(), s.read('/a')]).toEqual([[], 'new']);
  });

  it('tells the size and the times of the moment', () => {
    const s = store(options);
    s.write('/a', 'hello');
    const before = s.stat('/a');
    s.fs.snapshots.take('x');
    expect(s.write('/a', 'longer than that')).toBe(0);
    expect(s.stat('/a').size).toBe(16);
    expect(s.stat('/a').mtimeSeconds).toBeGreaterThan(before.mtimeSeconds);
    s.restart();
    expect([s.stat('/a').size, s.readAt('x', '/a')]).toEqual([16, 'hello']);
  });

  it('leaves times alone where only the content moves', () => {
    const s = store(options);
    s.write('/a', 'hello');
    const { mtimeSeconds, mtimeNanos } = s.stat('/a');
    s.fs.snapshots.take('x');
    const handle = s.open('/a');
    expect(s.stat('/a')).toMatchObject({ mtimeSeconds, mtimeNanos });
    s.fs.release(handle);
    expect(s.stat('/a')).toMatchObject({ mtimeSeconds, mtimeNanos, live: false });
  });

  it('keeps a removed file for those that have it open, and for the snapshot', () => {
    const s = store(options);
    s.write('/a', 'hello');
    s.fs.snapshots.take('x');
    const reader = s.open('/a', O_RDONLY);
    s.unlink('/a');
    s.fs.snapshots.delete('x');
    s.reclaim();
    expect(s.readHandle(reader)).toBe('hello');
    s.fs.release(reader);
    s.reclaim();
    expect([s.files(), s.keptRecords(), s.findings()]).toEqual([[], 0, []]);
  });

  it('keeps nothing of what had no name when it was taken', () => {
    const s = store(options);
    s.write('/a', 'hello');
    const handle = s.open('/a');
    s.put(handle, 'H');
    s.unlink('/a');
    s.fs.snapshots.take('x');
    expect(s.put(handle, 'J')).toBe(1);
    expect(s.readHandle(handle)).toBe('Jello');
    s.fs.release(handle);
    s.reclaim();
    expect([s.files(), s.keptRecords(), s.findings()]).toEqual([[], 0, []]);
  });

  it('changes nothing where there is no room for the copy', () => {
    if (options.clones) return;
    const s = store(options);
    s.write('/a', 'hello'.repeat(4000));
    s.fs.snapshots.take('x');
    const files = s.files();
    for (const path of [/copies/, /content/]) {
      s.disk.failNth('copyRange', 1, { error: 'ENOSPC' }, path);
      expect(s.open('/a')).toBe(-ENOSPC);
      expect(s.files()).toEqual(files);
    }
    s.disk.failNth('open', 1, { error: 'EDQUOT' }, /copies/);
    expect(s.open('/a')).toBe(-constants.errno.EDQUOT);
    const reader = s.open('/a', O_RDONLY);
    s.disk.failNth('link', 1, { error: 'ENOSPC' });
    expect(s.open('/a')).toBe(-ENOSPC);
    expect([s.files(), s.keptRecords()]).toEqual([files, 0]);
    s.fs.release(reader);
    expect([s.write('/a', 'H'), s.readAt('x', '/a').slice(0, 5)]).toEqual([0, 'hello']);
    expect(s.findings()).toEqual([]);
  });

  it('goes on with what was being removed when it was killed', () => {
    const s = store(options);
    for (let i = 0; i < 300; i++) s.write(`/${i}`, 'x');
    s.fs.snapshots.take('x');
    for (let i = 0; i < 300; i++) s.unlink(`/${i}`);
    s.reclaim();
    expect(s.files().length).toBe(300);
    s.fs.snapshots.delete('x');
    s.goOn();
    s.fs.snapshots.work();
    expect(s.fs.snapshots.progress).toMatchObject({ examined: 128 });
    s.restart();
    expect(s.fs.snapshots.progress).toMatchObject({ examined: 0, removed: 0 });
    s.reclaim();
    expect([s.files(), s.keptRecords(), s.findings()]).toEqual([[], 0, []]);
  });
});

describe('files that the kernel writes past the daemon', () => {
  it('are in it as they are, whether they were written or not, and go on', () => {
    const s = store();
    const written = s.createPassed('/written');
    s.poke(written.fd, 'hello');
    const unwritten = s.createPassed('/unwritten');
    const taken = s.createPassed('/taken');
    s.fs.release(taken.handle);
    s.fs.snapshots.take('x');
    s.poke(written.fd, 'J');
    s.poke(unwritten.fd, 'later');
    expect([s.read('/written'), s.read('/unwritten')]).toEqual(['Jello', 'later']);
    expect(s.shown('x')).toMatchObject({ '/written': 'hello', '/unwritten': '', '/taken': '' });
    s.restart();
    expect([s.read('/written'), s.read('/unwritten')]).toEqual(['Jello', 'later']);
    expect(s.shown('x')).toMatchObject({ '/written': 'hello', '/unwritten': '' });
    expect(s.damage()).toEqual([]);
  });

  it('get a borrowed file under the name of the newest snapshot, also after a kill', () => {
    const s = store();
    s.write('/a', 'a');
    for (const name of ['w', 'x', 'y']) s.fs.snapshots.take(name);
    s.fs.snapshots.delete('y');
    s.reclaim();
    const { fd } = s.createPassed('/new');
    s.poke(fd, 'hello');
    s.restart();
    expect([s.read('/new'), s.damage()]).toEqual(['hello', []]);
    expect(s.files()).toContain(`${s.stat('/new').ino.toString(16)}.3`);
  });

  it('stay what a mapping writes to, though nobody has them open', () => {
    const s = store();
    const { handle, fd } = s.createPassed('/a');
    s.poke(fd, 'hello');
    expect(s.fs.release(handle)).toBe(0);
    s.rename('/a', '/moved');
    s.fs.snapshots.take('x');
    s.poke(fd, 'J');
    expect([s.read('/moved'), s.readAt('x', '/moved')]).toEqual(['Jello', 'hello']);
    const again = s.open('/moved');
    s.put(again, '!', 5);
    expect(s.readHandle(again)).toBe('Jello!');
    expect([s.readAt('x', '/moved'), s.damage()]).toEqual(['hello', []]);
    s.fs.release(again);
  });
});

describe('with a worker', () => {
  it('lets who writes wait for the copy, and nobody else', () => {
    const s = store({ hasWorker: true });
    s.write('/a', 'hello');
    s.write('/b', 'other');
    s.fs.snapshots.take('x');
    expect(() => s.open('/a')).toThrow(ContentAwaited);
    expect(() => s.open('/a')).toThrow(ContentAwaited);
    expect(() => s.truncate('/a', 2)).toThrow(ContentAwaited);
    // The copy is being written, so that nobody else may make another of that name.
    expect(() => s.replace('/a', 'new')).toThrow(ContentAwaited);
    expect(s.tasks).toBe(1);
    expect([s.read('/a'), s.replace('/b', 'new'), s.read('/b')]).toEqual(['hello', 0, 'new']);
    s.goOn();
    expect(s.truncate('/a', 2)).toBe(0);
    expect([s.read('/a'), s.readAt('x', '/a'), s.readAt('x', '/b')]).toEqual(['he', 'hello', 'other']);
    expect(s.findings()).toEqual([]);
  });

  it('tells who waits that it failed, and tries again for the next', () => {
    const s = store({ hasWorker: true });
    s.write('/a', 'hello');
    s.fs.snapshots.take('x');
    expect(() => s.open('/a')).toThrow(ContentAwaited);
    s.disk.failNth('copyRange', 1, { error: 'ENOSPC' });
    s.goOn();
    expect(s.open('/a')).toBe(-ENOSPC);
    expect(() => s.open('/a')).toThrow(ContentAwaited);
    s.goOn();
    expect(s.write('/a', 'J')).toBe(0);
    expect([s.read('/a'), s.readAt('x', '/a'), s.findings()]).toEqual(['Jello', 'hello', []]);
  });

  it('gives up a copy that nobody came for', () => {
    const s = store({ hasWorker: true });
    s.write('/a', 'hello');
    s.fs.snapshots.take('x');
    expect(() => s.open('/a')).toThrow(ContentAwaited);
    s.goOn();
    expect(s.files().length).toBe(2);
    for (let i = 0; i < 12; i++) s.fs.rest();
    expect(s.files().length).toBe(1);
  });

  it('copies what is being written right after it, and a kill in between is told', () => {
    const s = store({ hasWorker: true });
    s.write('/a', 'hello');
    const handle = s.open('/a');
    s.put(handle, 'H');
    s.fs.snapshots.take('x');
    expect(s.readAt('x', '/a')).toBe('Hello');
    s.restart();
    // The copy is being made, and nobody has written since: whoever wants to waits.
    expect(() => s.open('/a')).toThrow(ContentAwaited);
    s.goOn();
    expect(s.write('/a', 'J')).toBe(0);
    expect([s.read('/a'), s.readAt('x', '/a'), s.damage()]).toEqual(['Jello', 'Hello', []]);
    expect(s.keptRecords()).toBe(1);
  });

  it('does not bring a content back that was removed meanwhile', () => {
    const s = store({ hasWorker: true });
    s.write('/a', 'hello');
    const handle = s.open('/a');
    s.put(handle, 'H');
    s.fs.snapshots.take('x');
    s.fs.snapshots.delete('x');
    s.reclaim();
    s.put(handle, 'J');
    s.fs.release(handle);
    expect([s.read('/a'), s.files().length, s.keptRecords(), s.findings()]).toEqual(['Jello', 1, 0, []]);
  });
});

it('finds contents where they are on a mount that is only read, and refuses to take or delete', () => {
  const s = store({ hasWorker: true });
  s.write('/a', 'hello');
  s.write('/b', 'other');
  const handle = s.open('/a');
  s.put(handle, 'H');
  s.fs.snapshots.take('x');
  s.disk.failNth('rename', 1, { crash: 'before' }, /content/);
  expect(() => s.open('/b')).toThrow(ContentAwaited);
  s.restart('kill', { readOnly: true });
  expect([s.read('/a'), s.read('/b')]).toEqual(['Hello', 'other']);
  expect(s.shown('x')).toMatchObject({ '/a': 'Hello', '/b': 'other' });
  expect(() => s.fs.snapshots.take('y')).toThrow(/the mount is read-only/);
  expect(() => s.fs.snapshots.delete('x')).toThrow(/the mount is read-only/);
  expect(s.open('/a')).toBe(-EROFS);
  expect(s.findings().filter((finding) => finding.startsWith('damage'))).toEqual([]);
});

describe('check', () => {
  function prepared(): SnapshotStore {
    const s = store();
    s.write('/a', 'hello');
    s.write('/b', 'other');
    s.fs.snapshots.take('x');
    s.write('/a', 'J');
    s.unlink('/b');
    s.reclaim();
    expect(s.findings()).toEqual([]);
    return s;
  }
  const A = '/store/content/0/2';
  const B = '/store/content/0/3';

  it('tells of a content that a snapshot misses, or that is not what it was', () => {
    const s = prepared();
    s.contents.inner.remove(B);
    const fd = s.contents.inner.open(A, 'write');
    s.contents.inner.truncate(fd, 2);
    s.contents.inner.close(fd);
    expect(s.findings()).toEqual([
      'damage: snapshot x: /a: of its 5 bytes 2 are there (inode 2)',
      'damage: snapshot x: /b: its 5 bytes are missing (inode 3)',
    ]);
  });

  it('tells of a file that misses the content it has since', () => {
    const s = prepared();
    s.contents.inner.remove(`${A}.1`);
    expect(s.findings()).toEqual(['damage: /a: its 5 bytes are missing (inode 2)']);
  });

  it('tells of contents that are left over, and of those that would be lost', () => {
    const s = prepared();
    s.contents.inner.close(s.contents.inner.open('/store/content/0/2.7', 'create'));
    s.tree.delete(keptKey(3, 0));
    s.tree.put(keptKey(2, 1), Buffer.from([1, 0, 0, 0]));
    s.tree.put(keptKey(9, 1), Buffer.from([1, 0, 0, 0]));
    expect(s.findings().sort()).toEqual([
      'damage: kept content of inode 2, made after snapshot 1: a file has it, too, and would lose it with the last snapshot',
      'damage: snapshot x: /b: its content is not kept for the snapshot (inode 3)',
      'note: /store/content/0/2.7: no file has this content (0 bytes)',
      'note: /store/content/0/3: no file has this content (5 bytes)',
      'note: kept content of inode 2, made after snapshot 1: no snapshot needs it, and it goes at the next mount',
      'note: kept content of inode 9, made after snapshot 1: no snapshot needs it, and it goes at the next mount',
    ]);
  });
});
