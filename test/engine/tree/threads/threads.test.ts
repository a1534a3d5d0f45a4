/** One tree in several threads: readers and writers at once, and threads that die. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeDisk } from '../../../../engine/disk/node-disk.js';
import { FileBlobStore, type SpinneyError, type Tree } from '../../../../engine/index.js';
import { BUILT_ENGINE, builtEngine } from '../../../support/build.js';
import { checkStore } from '../check.js';
import { SMALL_CACHE } from '../harness.js';

let dir: string;
let tree: Tree;
/** Word 0: set to tell readers and upkeep to stop. */
let stop: Int32Array;
let workers: Worker[];

async function open(): Promise<Tree> {
  const { Tree } = await builtEngine();
  return Tree.open({
    dir,
    cacheBytes: SMALL_CACHE,
    durability: 'buffered',
    checkpoint: { idleIntervalMs: 5, dirtyBlobThreshold: 4, host: 'worker' },
  });
}

beforeEach(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-threads-'));
  stop = new Int32Array(new SharedArrayBuffer(4));
  workers = [];
  tree = await open();
});
afterEach(async () => {
  Atomics.store(stop, 0, 1);
  await Promise.all(workers.map((worker) => worker.terminate()));
  try {
    tree.close();
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

interface Thread {
  id: number;
  started: Promise<unknown>;
  /** What its role returned; undefined when the thread ended without. */
  result: Promise<unknown>;
}

function start(role: string, me = 0, count = 0): Thread {
  const workerData = { engine: BUILT_ENGINE, handle: tree.share(), role, me, count, stop };
  const worker = new Worker(path.join(import.meta.dirname, 'thread-roles.mjs'), { workerData });
  workers.push(worker);
  const { threadId } = worker;
  const started = new Promise((resolve) => worker.once('message', resolve));
  const result = new Promise<unknown>((resolve, reject) => {
    let posted: unknown;
    worker.on('message', (message: { result?: unknown }) => {
      posted = message.result ?? posted;
    });
    worker.on('error', reject);
    worker.on('exit', () => resolve(posted));
  });
  return { id: threadId, started, result };
}

function stamped(number: number): Uint8Array {
  const value = Buffer.alloc(8);
  value.writeDoubleLE(number);
  return value;
}

/** What readers expect to find from the beginning. */
function prepare(): void {
  for (let i = 0; i < 20; i++) {
    tree.put(`a/pair${i}`, stamped(0));
    tree.put(`z/pair${i}`, stamped(0));
  }
  for (let i = 0; i < 500; i++) tree.put(`m/fixed/${i}`, stamped(i));
  for (let i = 0; i < 3; i++) tree.put(`counter${i}`, stamped(0));
  // Between the pairs lie more blobs than the cache holds.
  for (let i = 0; i < 1500; i++)
    tree.put(`m/filler/${i}`, Buffer.concat([stamped(7), Buffer.alloc(6000, 7)]));
}

function checkClosed(): void {
  const keyCount = tree.countPrefix('');
  tree.checkpoint();
  tree.close();
  const store = FileBlobStore.open({ dir, disk: new NodeDisk(), readOnly: true, create: false });
  try {
    expect(checkStore(store).leaves).toBe(keyCount);
  } finally {
    store.close();
  }
}

function keysBelow(prefix: string): string[] {
  return [...tree.range({ prefix, keysOnly: true })].map((entry) =>
    Buffer.from(entry.type === 'key' ? entry.key : entry.prefix).toString(),
  );
}

async function codeOf(act: () => unknown): Promise<string | undefined> {
  try {
    await act();
  } catch (error) {
    return (error as SpinneyError).code;
  }
  return undefined;
}

test('readers see whole values, in order, and batches all or not at all, while one thread writes', async () => {
  prepare();
  const readers = [start('reader', 20), start('reader', 21)];
  await start('pairs', 0, 1500).result;
  await start('pairs', 1, 300).result;
  Atomics.store(stop, 0, 1);
  for (const { result } of readers) expect(await result).toBeGreaterThan(0);
  checkClosed();
});

test('several writers, readers and upkeep at once lose nothing', async () => {
  prepare();
  const others = [start('reader', 30), start('upkeep', 31)];
  const churning = [start('churn', 2, 1500), start('churn', 3, 1500)];
  const pairs = [start('pairs', 0, 300), start('pairs', 1, 300)];
  const left = await Promise.all(churning.map(({ result }) => result));
  for (const { result } of pairs) await result;
  Atomics.store(stop, 0, 1);
  for (const { result } of others) expect(await result).toBeGreaterThan(0);
  expect(keysBelow('m/thread2/')).toEqual(left[0]);
  expect(keysBelow('m/thread3/')).toEqual(left[1]);
  checkClosed();
});

test('no update of a shared counter is lost', async () => {
  prepare();
  const threads = [1, 2, 3].map((me) => start('counters', me, 600));
  const upkeep = start('upkeep');
  for (const { result } of threads) await result;
  Atomics.store(stop, 0, 1);
  await upkeep.result;
  for (let i = 0; i < 3; i++) {
    expect(Buffer.from(tree.get(`counter${i}`) ?? []).readDoubleLE(0)).toBe(600);
  }
  checkClosed();
});

test('threads that end between their calls leave the tree as it is', async () => {
  const exits = start('exits', 0, 200);
  const throws = start('throws', 0, 200);
  const [, thrown] = await Promise.allSettled([exits.result, throws.result]);
  expect(thrown).toMatchObject({ status: 'rejected', reason: { message: 'as ordered' } });
  tree.threadDied(exits.id);
  tree.threadDied(throws.id);
  tree.put('after', stamped(1));
  expect(keysBelow('exits/')).toHaveLength(200);
  expect(keysBelow('throws/')).toHaveLength(200);
  checkClosed();
});

test('of two threads that died, the one inside a change may be told of last', async () => {
  const harmless = start('exits', 0, 10);
  await harmless.result;
  const victim = start('diesInside');
  await victim.result;
  // Nobody else can let go of what the other holds: waiting for it here would be for ever.
  tree.threadDied(harmless.id);
  tree.threadDied(victim.id);
  expect(await codeOf(() => tree.put('a', stamped(1)))).toBe('ERR_POISONED');
});

test('a thread that dies inside a change poisons the tree, hangs nobody, and reopening recovers', async () => {
  for (let i = 0; i < 100; i++) tree.put(`before/${i}`, stamped(i));
  tree.sync();
  const writer = start('untilRefused');
  await writer.started;
  const victim = start('diesInside');
  await victim.result;
  tree.threadDied(victim.id);
  expect(await writer.result).toBe('ERR_POISONED');
  expect(await codeOf(() => tree.put('a', stamped(1)))).toBe('ERR_POISONED');
  expect(await codeOf(() => tree.delete('before/1'))).toBe('ERR_POISONED');
  expect(await codeOf(() => tree.atomic((batch) => batch.put('a', stamped(1))))).toBe('ERR_POISONED');
  expect(await codeOf(() => tree.compact())).toBe('ERR_POISONED');
  expect(await codeOf(() => tree.checkpoint())).toBe('ERR_POISONED');
  expect(await codeOf(() => tree.stats())).toBe('ERR_POISONED');
  expect(await start('untilRefused').result).toBe('ERR_POISONED');
  await codeOf(() => tree.close());
  tree = await open();
  expect(keysBelow('before/')).toHaveLength(100);
  tree.put('after', stamped(1));
  checkClosed();
});
