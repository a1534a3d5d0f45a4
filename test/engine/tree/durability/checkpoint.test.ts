/** What a checkpoint round does to the store, call by call, and what it leaves when a call fails. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NodeDisk } from '../../../../engine/disk/node-disk.js';
import { FileBlobStore, MemoryBlobStore, Tree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { imageRow } from '../../../../engine/store/image.js';
import { seededRandom } from '../../../support/disk/random.js';
import { checkStore } from '../check.js';
import { type Call, FailpointBlobStore } from '../failpoint-store.js';
import { SMALL_CACHE } from '../harness.js';
import { below, randomValue } from '../keys.js';
import { keyOf } from '../model.js';

let store: FailpointBlobStore;
let tree: Tree;

beforeEach(() => {
  store = new FailpointBlobStore(new MemoryBlobStore());
  tree = Tree.open({ store, flushOnWrite: false });
});
afterEach(() => {
  tree.close();
});

const name = (i: number): string => `key${String(i).padStart(5, '0')}`;

/** Several blobs, some of them merged away again since the last round. */
function withPendingDeletes(): void {
  for (let i = 0; i < 1500; i++) tree.put(name(i), Buffer.alloc(1024, i));
  tree.checkpoint();
  for (let i = 0; i < 1400; i++) tree.delete(name(i));
  tree.compact();
  store.log.length = 0;
}

describe('order of calls', () => {
  test('writes, flush with the mark, deletes, flush', () => {
    withPendingDeletes();
    const { bmDirtyCount, bmPendingDeleteCount, lastLsn } = tree.stats();
    expect(bmPendingDeleteCount).toBeGreaterThan(0);
    tree.checkpoint();
    const calls = store.log.map(({ call }) => call);
    const expected: Call[] = [
      ...Array<Call>(bmDirtyCount).fill('write'),
      'flush',
      ...Array<Call>(bmPendingDeleteCount).fill('delete'),
      'flush',
    ];
    expect(calls).toEqual(expected);
    const deleted = store.log.flatMap((entry) => (entry.call === 'delete' ? [entry.id] : []));
    const marks = store.log.flatMap((entry) => (entry.call === 'flush' ? [entry.mark] : []));
    expect(marks[0]).toEqual({
      lsn: lastLsn,
      generation: 2,
      nextBlobId: expect.any(Number),
      pendingDeletes: deleted,
    });
    expect(marks[1]).toBeUndefined();
    const ids = store.log.flatMap((entry) => (entry.call === 'write' ? [entry.id] : []));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => deleted.includes(id))).toEqual([]);
    expect(checkStore(store).leaves).toBe(100);
  });

  test('a round without deletes flushes once', () => {
    tree.put('a', Buffer.from('1'));
    tree.checkpoint();
    expect(store.log.map(({ call }) => call)).toEqual(['write', 'flush']);
  });

  test('images carry the generation of the round that wrote them', () => {
    const image = new Uint8Array(BLOB_SIZE);
    for (let generation = 1; generation <= 3; generation++) {
      tree.put('a', Buffer.from([generation]));
      tree.checkpoint();
      store.readBlob(1, image);
      expect(imageRow(image).generation).toBe(generation);
      expect(store.readMark()).toMatchObject({ generation, lsn: generation, pendingDeletes: [] });
    }
  });

  test('a failed round uses its generation up', () => {
    tree.put('a', Buffer.from('1'));
    store.arm('flush');
    expect(() => tree.checkpoint()).toThrow('failpoint');
    tree.checkpoint();
    expect(store.readMark()?.generation).toBe(2);
  });
});

describe('what touches nothing', () => {
  test('a clean checkpoint, however often', () => {
    tree.put('a', Buffer.from('1'));
    tree.checkpoint();
    store.log.length = 0;
    for (let i = 0; i < 3; i++) tree.checkpoint();
    tree.get('a');
    tree.delete('b');
    tree.putIfAbsent('a', Buffer.from('2'));
    tree.checkpoint();
    expect(store.log).toEqual([]);
  });

  test('opening, reading and closing', () => {
    withPendingDeletes();
    tree.checkpoint();
    tree.close();
    store.log.length = 0;
    tree = Tree.open({ store, flushOnWrite: false });
    expect(tree.stats()).toMatchObject({ bmDirtyCount: 0, bmPendingDeleteCount: 0, keyCount: 100 });
    expect([...tree.range()]).toHaveLength(100);
    tree.checkpoint();
    tree.close();
    expect(store.log).toEqual([]);
  });

  test('a read-only tree refuses a checkpoint', () => {
    tree.put('a', Buffer.from('1'));
    tree.checkpoint();
    tree.close();
    store.log.length = 0;
    tree = Tree.open({ store, readOnly: true });
    expect(() => tree.checkpoint()).toThrow(expect.objectContaining({ code: 'ERR_READ_ONLY' }));
    expect(() => tree.put('b', Buffer.from('1'))).toThrow(expect.objectContaining({ code: 'ERR_READ_ONLY' }));
    expect(store.log).toEqual([]);
  });
});

describe('a failing call', () => {
  const failures: { call: Call; nth: number }[] = [
    { call: 'write', nth: 1 },
    { call: 'write', nth: 2 },
    { call: 'flush', nth: 1 },
    { call: 'delete', nth: 1 },
    { call: 'delete', nth: 2 },
    { call: 'flush', nth: 2 },
  ];
  test.each(failures)('$call number $nth gives everything back', ({ call, nth }) => {
    withPendingDeletes();
    // So that at least two blobs are dirty.
    for (let i = 0; i < 700; i++) tree.put(`other${i}`, Buffer.alloc(1024, i));
    const before = tree.stats();
    expect(before.bmDirtyCount).toBeGreaterThan(1);
    store.arm(call, nth);
    expect(() => tree.checkpoint()).toThrow(`failpoint: ${call}`);
    const after = tree.stats();
    expect(after.bmDirtyCount).toBe(before.bmDirtyCount);
    expect(after.bmPendingDeleteCount).toBe(before.bmPendingDeleteCount);
    expect(after.checkpoint).toMatchObject({ failures: 1, lastError: `failpoint: ${call}` });
    if (call === 'write' || (call === 'flush' && nth === 1)) expect(store.counts.delete).toBe(0);
    tree.checkpoint();
    expect(tree.stats()).toMatchObject({ bmDirtyCount: 0, bmPendingDeleteCount: 0 });
    expect(tree.stats().checkpoint.lastError).toBeUndefined();
    expect(checkStore(store).leaves).toBe(800);
  });

  test('a blob that is emptied between a failed round and the next is no longer written', () => {
    withPendingDeletes();
    for (let i = 0; i < 1000; i++) tree.put(`other${i}`, Buffer.alloc(1024, i));
    store.arm('flush');
    expect(() => tree.checkpoint()).toThrow('failpoint');
    for (let i = 0; i < 1000; i++) tree.delete(`other${i}`);
    tree.compact();
    store.log.length = 0;
    tree.checkpoint();
    expect(store.log.filter(({ call }) => call === 'write')).toHaveLength(tree.stats().blobCount);
    expect(checkStore(store)).toMatchObject({ leaves: 100, blobs: tree.stats().blobCount });
  });
});

/** Plays random work on a store that fails now and then; whatever was done must be there in the end. */
function loadOnFailingStore(target: FailpointBlobStore, seed: number, reopen: boolean): void {
  const random = seededRandom(seed);
  const model = new Map<string, Uint8Array>();
  let every = 3 + below(random, 9);
  let calls = 0;
  target.fails = () => ++calls % every === 0;
  tree.close();
  tree = Tree.open({ store: target, flushOnWrite: false, cacheBytes: SMALL_CACHE });
  let failures = 0;
  const survive = (act: () => void): boolean => {
    try {
      act();
      return true;
    } catch (error) {
      if (!String(error).includes('failpoint')) throw error;
      failures++;
      // A period that a round always meets would never let one through.
      every = 3 + below(random, 60);
      return false;
    }
  };
  for (let i = 0; i < 6000; i++) {
    const key = `${'p'.repeat(below(random, 3))}/${below(random, 40)}/${below(random, 60)}`;
    const value = randomValue(random, [10, 1000, 20_000]);
    const removes = random() < 0.3;
    if (survive(() => (removes ? tree.delete(key) : tree.put(key, value)))) {
      if (removes) model.delete(key);
      else model.set(key, value);
    }
    if (random() < 0.01) survive(() => tree.checkpoint());
    if (random() < 0.002) survive(() => tree.compact());
  }
  expect(failures).toBeGreaterThan(3);
  target.fails = () => false;
  tree.checkpoint();
  if (reopen) {
    tree.close();
    tree = Tree.open({ store: target, flushOnWrite: false, cacheBytes: SMALL_CACHE });
  }
  const found = new Map<string, string>();
  for (const entry of tree.range()) {
    if (entry.type === 'key')
      found.set(Buffer.from(entry.key).toString(), Buffer.from(entry.value).toString('base64'));
  }
  expect(found.size).toBe(model.size);
  for (const [key, value] of model) expect(found.get(key)).toBe(Buffer.from(value).toString('base64'));
  expect(checkStore(target).leaves).toBe(model.size);
}

describe('a store that fails every few calls', () => {
  test.each([1, 2, 3])('in memory, seed %i', (seed) => {
    loadOnFailingStore(store, seed, seed % 2 === 0);
  });

  test('in files', () => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-checkpoint-'));
    const files = FileBlobStore.open({ dir, disk: new NodeDisk(), readOnly: false, create: true });
    try {
      loadOnFailingStore(new FailpointBlobStore(files), 4, true);
      tree.close();
    } finally {
      files.close();
      fs.rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe('flushOnWrite', () => {
  test('mirrors each write before the call returns', () => {
    tree.close();
    tree = Tree.open({ store });
    const second = (): Tree => Tree.open({ store: store.inner, readOnly: true });
    for (let i = 0; i < 20; i++) {
      tree.put(`k${i % 7}`, Buffer.from([i]));
      if (i % 3 === 0) tree.atomic((batch) => batch.delete(`k${(i + 1) % 7}`));
      const mirror = second();
      expect([...mirror.range()]).toEqual([...tree.range()]);
      mirror.close();
      expect(store.readMark()?.lsn).toBe(tree.lastLsn());
    }
    expect(tree.stats()).toMatchObject({ bmDirtyCount: 0, bmPendingDeleteCount: 0 });
  });

  test('without it nothing reaches the store before a checkpoint', () => {
    for (let i = 0; i < 50; i++) tree.put(keyOf(`k${i}`), Buffer.from([i]));
    expect(store.log).toEqual([]);
  });
});
