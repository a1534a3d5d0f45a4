/** Snapshots of one tree: names, ids, what a crash leaves, reading beside writers, deletion under a reader. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TreeOptions } from '../../../../engine/api.js';
import { MemoryBlobStore, Tree, verifyTree } from '../../../../engine/index.js';
import { BLOB_SIZE, MAX_SNAPSHOTS } from '../../../../engine/limits.js';
import { BUILT_ENGINE, builtEngine } from '../../../support/build.js';
import { FaultDisk } from '../../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../../support/disk/memory-disk.js';
import { abandon, openOn } from '../../../support/seeded-tree.js';
import { FailpointBlobStore } from '../failpoint-store.js';
import { codeOf, SMALL_CACHE } from '../harness.js';

let home: string;
let tree: Tree | undefined;
beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-snapshots-'));
});
afterEach(() => {
  tree?.close();
  tree = undefined;
  fs.rmSync(home, { recursive: true, force: true });
});

const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString();
const bytes = (value: string): Uint8Array => Buffer.from(value);

function openDir(options: TreeOptions = {}): Tree {
  tree = Tree.open({ dir: path.join(home, 'store'), cacheBytes: SMALL_CACHE, ...options });
  return tree;
}

/** So many keys with values of 1,000 bytes. */
function fill(target: Tree, count: number, value = 'a'): void {
  for (let n = 0; n < count; n++) target.put(key(n), Buffer.alloc(1000, value));
}
const key = (n: number): string => `key/${String(n).padStart(6, '0')}`;

describe('a snapshot', () => {
  test('is the tree as it was, whatever becomes of it', () => {
    const open = openDir();
    fill(open, 3000);
    open.put('a', bytes('1'));
    const before = open.lastLsn();
    const info = open.snapshot('first');
    expect(info).toMatchObject({ name: 'first', id: 1, lsn: before, ownBytes: 0 });
    expect(Math.abs(Date.now() - info.createdAt)).toBeLessThan(60_000);
    open.put('a', bytes('2'));
    open.deletePrefix('key/0001');
    open.renamePrefix('key/', 'moved/');
    const reads = open.at('first');
    expect(reads.snapshot).toEqual({ name: 'first', id: 1, lsn: before, createdAt: info.createdAt });
    expect(text(reads.get('a'))).toBe('1');
    expect(reads.getRecord('a')?.version).toBe(before);
    expect(reads.countPrefix('key/')).toBe(3000);
    expect(reads.isPrefixEmpty('moved/')).toBe(true);
    expect([...reads.range({ delimiter: '/', keysOnly: true })]).toHaveLength(2);
    expect(text(reads.longestPrefix('abc')?.key)).toBe('a');
    expect(open.countPrefix('moved/')).toBe(2900);
    open.checkpoint();
    open.compact();
    open.checkpoint();
    expect(reads.countPrefix('key/')).toBe(3000);
    const blobs = open.stats().snapshots.bytes / BLOB_SIZE;
    expect(blobs).toBeGreaterThan(1);
    expect(open.snapshots()[0]?.ownBytes).toBe(blobs * BLOB_SIZE);
    reads.close();
    reads.close();
    expect(codeOf(() => reads.get('a'))).toBe('ERR_CLOSED');
  });

  test('of an empty tree, and of one that was emptied', () => {
    const open = openDir();
    open.snapshot('empty');
    open.put('a', bytes('1'));
    open.snapshot('one');
    open.delete('a');
    open.snapshot('none');
    open.put('b', bytes('2'));
    const found = open.snapshots().map(({ name, id }) => {
      const reads = open.at(name);
      const keys = [...reads.range()].length;
      const count = reads.countPrefix('');
      reads.close();
      return [name, id, keys, count];
    });
    expect(found).toEqual([
      ['empty', 1, 0, 0],
      ['one', 2, 1, 1],
      ['none', 3, 0, 0],
    ]);
  });

  test('takes two in a row without a change between them', () => {
    const open = openDir();
    fill(open, 1000);
    open.snapshot('x');
    open.snapshot('y');
    open.delete(key(1));
    open.checkpoint();
    const [x, y] = open.snapshots();
    expect([x?.lsn, x?.ownBytes, y?.ownBytes]).toEqual([y?.lsn, 0, 0]);
    open.deleteSnapshot('x');
    expect(open.snapshots()).toMatchObject([{ name: 'y', ownBytes: BLOB_SIZE }]);
  });

  test('has an id that is never given again', () => {
    let open = openDir();
    for (const name of ['a', 'b', 'c']) open.snapshot(name);
    for (const name of ['c', 'a', 'b']) open.deleteSnapshot(name);
    open.close();
    open = openDir();
    expect(open.snapshot('a').id).toBe(4);
    open.deleteSnapshot('a');
    open.close();
    open = openDir();
    expect(open.snapshots()).toEqual([]);
    expect(open.snapshot('a').id).toBe(5);
  });

  test('has a name that a file could have', () => {
    const open = openDir();
    const wrong = [
      '',
      '.',
      '..',
      'a/b',
      'a\0b',
      'x'.repeat(256),
      'ü'.repeat(128),
      '\ud800',
      5 as unknown as string,
    ];
    for (const name of wrong) {
      expect(
        codeOf(() => open.snapshot(name)),
        JSON.stringify(name),
      ).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => open.deleteSnapshot(name))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => open.at(name))).toBe('ERR_INVALID_ARGUMENT');
    }
    const right = ['...', ' ', 'x'.repeat(255), 'ü'.repeat(127), 'a\nb', '.snap'];
    for (const name of right) open.snapshot(name);
    open.close();
    expect(
      openDir()
        .snapshots()
        .map(({ name }) => name),
    ).toEqual(right);
  });

  test('of a name that is there, or is not, is refused', () => {
    const open = openDir();
    open.snapshot('a');
    expect(() => open.snapshot('a')).toThrow(/Cannot take snapshot "a" of .*: there is one of this name/);
    expect(codeOf(() => open.snapshot('a'))).toBe('ERR_EXISTS');
    expect(codeOf(() => open.deleteSnapshot('b'))).toBe('ERR_NOT_FOUND');
    expect(codeOf(() => open.at('b'))).toBe('ERR_NOT_FOUND');
    expect(codeOf(() => open.diff('a', 'b'))).toBe('ERR_NOT_FOUND');
    expect(open.snapshots()).toHaveLength(1);
  });

  test('is one of so many at most', () => {
    tree = Tree.open({ memory: true, cacheBytes: SMALL_CACHE });
    for (let n = 0; n < MAX_SNAPSHOTS; n++) tree.snapshot(`s${n}`);
    expect(() => tree?.snapshot('more')).toThrow(/there are 1024, the limit is 1024; delete one first/);
    tree.deleteSnapshot('s17');
    expect(tree.snapshot('more').id).toBe(MAX_SNAPSHOTS + 1);
  });

  test('is read by a tree that was opened read-only, and not made', () => {
    const open = openDir();
    fill(open, 500);
    open.snapshot('a');
    open.delete(key(3));
    open.close();
    const reader = openDir({ readOnly: true });
    expect(reader.at('a').countPrefix('')).toBe(500);
    expect([...reader.diff('a', undefined)]).toHaveLength(1);
    expect(codeOf(() => reader.snapshot('b'))).toBe('ERR_READ_ONLY');
    expect(codeOf(() => reader.deleteSnapshot('a'))).toBe('ERR_READ_ONLY');
  });

  test("needs a store that keeps it: a caller's own may not", () => {
    const own = Tree.open({ store: new FailpointBlobStore(new MemoryBlobStore()), cacheBytes: SMALL_CACHE });
    own.put('a', bytes('1'));
    for (const act of [
      () => own.snapshot('a'),
      () => own.snapshots(),
      () => own.deleteSnapshot('a'),
      () => own.at('a'),
      () => own.diff(undefined, undefined),
    ])
      expect(codeOf(act)).toBe('ERR_NO_SNAPSHOTS');
    expect(own.stats().snapshots).toEqual({ count: 0, bytes: 0 });
    own.close();
    const store = new MemoryBlobStore();
    const first = Tree.open({ store, cacheBytes: SMALL_CACHE });
    first.put('a', bytes('1'));
    first.snapshot('s');
    first.put('a', bytes('2'));
    first.close();
    const again = Tree.open({ store, cacheBytes: SMALL_CACHE });
    expect(text(again.at('s').get('a'))).toBe('1');
    again.close();
  });

  test('that is deleted ends its readers with one clear error, and gives its space back', () => {
    const open = openDir({ checkpoint: { enabled: false } });
    fill(open, 4000);
    open.snapshot('a');
    const data = path.join(home, 'store/blobs.dat');
    fill(open, 4000, 'b');
    open.checkpoint();
    const reads = open.at('a');
    const cursor = reads.range();
    expect(text(reads.get(key(7)))).toBe('a'.repeat(1000));
    cursor.next();
    const changes = open.diff('a', undefined);
    changes.next();
    const { size } = fs.statSync(data);
    open.deleteSnapshot('a');
    for (const act of [
      () => reads.get(key(7)),
      () => reads.countPrefix(''),
      () => [...cursor],
      () => [...reads.range()],
      () => [...changes],
    ])
      expect(codeOf(act)).toBe('ERR_SNAPSHOT_DELETED');
    expect(() => reads.get('x')).toThrow(/Cannot go on with snapshot "a" of .*: it was deleted/);
    // A new one of the same name is another.
    open.snapshot('a');
    expect(codeOf(() => reads.get(key(7)))).toBe('ERR_SNAPSHOT_DELETED');
    expect(text(open.at('a').get(key(7)))).toBe('b'.repeat(1000));
    open.deleteSnapshot('a');
    // The slots are there for others.
    fill(open, 4000, 'c');
    open.checkpoint();
    expect(fs.statSync(data).size).toBe(size);
    expect(open.stats().snapshots).toEqual({ count: 0, bytes: 0 });
  });

  test('ends with its tree', () => {
    const open = openDir();
    fill(open, 10);
    open.snapshot('a');
    const reads = open.at('a');
    open.close();
    expect(codeOf(() => reads.get(key(1)))).toBe('ERR_CLOSED');
    reads.close();
  });

  test('is verified with the tree', () => {
    const open = openDir();
    fill(open, 3000);
    open.snapshot('a');
    fill(open, 1500, 'b');
    open.snapshot('b');
    open.close();
    const dir = path.join(home, 'store');
    const findings: string[] = [];
    const verify = () =>
      verifyTree({ dir, report: ({ kind, message }) => findings.push(`${kind}: ${message}`) });
    const { blobs, snapshots, snapshotImages } = verify();
    expect(findings).toEqual([]);
    expect(snapshots).toBe(2);
    expect(snapshotImages).toBeGreaterThan(1);
    expect(snapshotImages).toBeLessThan(blobs);
    // Damage to an image that only the snapshot has, and that is not its root.
    const data = path.join(dir, 'blobs.dat');
    const reader = openDir({ readOnly: true });
    const victim = reader.store.pins?.listKept().find(({ id }) => id !== 1);
    reader.close();
    const image = fs.readFileSync(data);
    let damaged = 0;
    for (let at = 0; at < image.length; at += BLOB_SIZE) {
      const isOlder = image.readUInt32LE(at + 8) === victim?.id && image.readDoubleLE(at + 16) === 1;
      if (isOlder) image[at + 5000]! ^= 1;
      if (isOlder) damaged++;
    }
    expect(damaged).toBe(1);
    fs.writeFileSync(data, image);
    expect(verify().leaves).toBe(3000);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatch(
      /^damage: Snapshot "a": Cannot read blob \d+ in slot .*; its keys begin with "key.*"; the tree as it is does not need it$/,
    );
    const again = openDir();
    expect(again.countPrefix('')).toBe(3000);
    expect(again.at('b').countPrefix('')).toBe(3000);
    expect(codeOf(() => [...again.at('a').range()])).toBe('ERR_BLOB_CORRUPT');
    again.deleteSnapshot('a');
    again.close();
    tree = undefined;
    findings.length = 0;
    verify();
    expect(findings).toEqual([]);
  });
});

describe('a crash', () => {
  test.each(['buffered', 'written', 'synced'] as const)(
    'leaves a snapshot that was taken, at level %s',
    (durability) => {
      const disk = new MemoryDisk();
      const open = openOn(disk, { durability });
      open.put('a', bytes('1'));
      open.snapshot('s');
      open.put('a', bytes('2'));
      for (const left of [disk.afterPowerCut('drop'), disk.afterKill()]) {
        const again = openOn(left);
        expect(text(again.at('s').get('a'))).toBe('1');
        again.close();
      }
      abandon(open);
    },
  );

  test('at any call leaves it whole or not there', () => {
    const disk = new FaultDisk(new MemoryDisk());
    const open = openOn(disk, { scale: 'large' });
    for (let n = 0; n < 60; n++) open.put(`k${n}`, Buffer.alloc(20_000, n));
    open.snapshot('old');
    for (let n = 0; n < 60; n += 7) open.put(`k${n}`, Buffer.alloc(20_000, 100));
    open.deletePrefix('k5');
    const states: { disk: MemoryDisk; call: string }[] = [];
    disk.onCall = ({ name, path: at }) => {
      states.push({ disk: disk.inner.afterKill(), call: `${name} ${at}` });
      return undefined;
    };
    open.snapshot('new');
    const last = disk.inner.afterKill();
    disk.heal();
    const expected = open.countPrefix('');
    let present = 0;
    for (const state of [...states, { disk: last, call: 'the end' }]) {
      for (const left of [
        state.disk.afterKill(),
        state.disk.afterPowerCut('drop'),
        state.disk.afterPowerCut('keep'),
      ]) {
        const again = openOn(left, { scale: 'large' });
        try {
          const names = again.snapshots().map(({ name }) => name);
          expect(names[0]).toBe('old');
          expect(again.at('old').countPrefix('')).toBe(60);
          expect(again.at('old').get('k7')?.[0]).toBe(7);
          if (names.length > 1) {
            expect(again.at('new').countPrefix('')).toBe(expected);
            expect(again.at('new').get('k7')?.[0]).toBe(100);
            present++;
          } else expect(state.call).not.toBe('the end');
        } finally {
          abandon(again);
        }
      }
    }
    expect(present).toBeGreaterThanOrEqual(3);
    abandon(open);
  });

  test.each(['write', 'fdatasync', 'rename', 'fsync'] as const)(
    'a %s that fails leaves no snapshot behind, or a whole one, and the next works',
    (call) => {
      for (let nth = 1; nth <= 8; nth++) {
        const disk = new FaultDisk(new MemoryDisk());
        const open = openOn(disk, { scale: 'large' });
        for (let n = 0; n < 30; n++) open.put(`k${n}`, Buffer.alloc(20_000, 1));
        open.snapshot('old');
        open.put('k1', Buffer.alloc(20_000, 2));
        open.deletePrefix('k2');
        disk.failNth(call, nth, { error: 'EIO' }, /blobs\.dat|manifest/);
        const code = codeOf(() => open.snapshot('new'), 'ERR_IO');
        disk.heal();
        open.put('k1', Buffer.alloc(20_000, 3));
        open.checkpoint();
        if (code === undefined) open.deleteSnapshot('new');
        expect(open.snapshots().map(({ name }) => name)).toEqual(['old']);
        const { id } = open.snapshot('new');
        expect(id).toBeLessThanOrEqual(3);
        open.put('k1', Buffer.alloc(20_000, 4));
        expect(open.at('old').get('k1')?.[0]).toBe(1);
        expect(open.at('new').get('k1')?.[0]).toBe(3);
        const again = openOn(disk.inner.afterPowerCut('drop'), { scale: 'large' });
        expect(again.snapshots().map(({ name }) => name)).toEqual(['old', 'new']);
        expect(again.at('old').countPrefix('k')).toBe(30);
        abandon(again);
        abandon(open);
      }
    },
  );
});

describe('in threads', () => {
  test('any of them takes, reads and deletes, while others write', async () => {
    const { Tree: Built } = await builtEngine();
    const dir = path.join(home, 'store');
    const shared = Built.open({
      dir,
      cacheBytes: SMALL_CACHE,
      durability: 'buffered',
      checkpoint: { idleIntervalMs: 5, dirtyBlobThreshold: 4, host: 'worker' },
    });
    try {
      for (let n = 0; n < 3000; n++) shared.put(key(n), Buffer.alloc(2000, 'a'));
      const handle = shared.share();
      const stop = new Int32Array(new SharedArrayBuffer(4));
      const start = (role: string, me: number, count: number) =>
        new Promise<unknown>((resolve, reject) => {
          const workerData = { engine: BUILT_ENGINE, handle, role, me, count, stop };
          const worker = new Worker(path.join(import.meta.dirname, '../threads/thread-roles.mjs'), {
            workerData,
          });
          worker.on('message', ({ result }: { result: unknown }) => resolve(result));
          worker.on('error', reject);
        });
      const writers = [start('pairs', 0, 400), start('churn', 2, 800)];
      const takers = [start('snapshots', 5, 12), start('snapshots', 6, 12)];
      const counts = await Promise.all(takers);
      await Promise.all(writers);
      expect(counts).toEqual([12, 12]);
      expect(shared.snapshots()).toEqual([]);
      expect(shared.snapshot('last').id).toBe(25);
      expect(shared.at('last').countPrefix('key/')).toBe(3000);
      expect(codeOf(() => shared.snapshot('last'))).toBe('ERR_EXISTS');
      shared.deleteSnapshot('last');
    } finally {
      shared.close();
    }
    const damage: string[] = [];
    verifyTree({ dir, report: ({ kind, message }) => kind === 'damage' && damage.push(message) });
    expect(damage).toEqual([]);
  });

  test('whoever waits is told when the thread that would do it has died', async () => {
    const { Tree: Built } = await builtEngine();
    const dir = path.join(home, 'store');
    const shared = Built.open({ dir, cacheBytes: SMALL_CACHE, checkpoint: { host: 'worker' } });
    shared.put('a', bytes('1'));
    shared.snapshot('s');
    const { control } = shared.share();
    const { C_MAINTENANCE_STATE, MAINTENANCE_DIED } = await import('../../../../engine/shared/control.js');
    const words = new Int32Array(control);
    Atomics.store(words, C_MAINTENANCE_STATE, MAINTENANCE_DIED);
    expect(codeOf(() => shared.snapshot('t'))).toBe('ERR_POISONED');
    expect(codeOf(() => shared.deleteSnapshot('s'))).toBe('ERR_POISONED');
    expect(codeOf(() => shared.close())).toBe('ERR_POISONED');
  });
});
