/**
 * Regressions found by reading the engine for races, deadlocks and crashes. What would hang for ever when it is broken
 * runs in a child process with a deadline.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FrameCache } from '../../../engine/cache/frame-cache.js';
import { Tree } from '../../../engine/index.js';
import { BatchEncoder } from '../../../engine/journal/records/batch-encoder.js';
import { BLOB_SIZE, MIN_CACHE_BYTES } from '../../../engine/limits.js';
import { Control, F_MERGES } from '../../../engine/shared/control.js';
import { MUTEX_WORDS, Mutex } from '../../../engine/shared/mutex.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { openState, settingsOf } from '../../../engine/tree/open.js';
import type { TreeState } from '../../../engine/tree/state/state.js';
import { treeStats } from '../../../engine/tree/stats.js';
import { Compaction } from '../../../engine/tree/upkeep/compaction.js';
import { inlineMaintenance, satisfy } from '../../../engine/tree/upkeep/maintenance.js';
import { Round } from '../../../engine/tree/upkeep/round.js';
import type { NetChange } from '../../../engine/tree/write/changes.js';
import { ANY_VERSION } from '../../../engine/tree/write/mutation.js';
import { Writer } from '../../../engine/tree/write/writer.js';
import { BUILT_ENGINE } from '../../support/build.js';

let dir = '';
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-review-'));
});
afterEach(() => {
  fs.rmSync(dir, { recursive: true, force: true });
});

/** Runs a module that has `Tree`, `dir` and `say`, which prints a line; returns the lines. A hang fails. */
function inChild(body: string, deadline = 60_000): string[] {
  const module = `import { Tree } from ${JSON.stringify(BUILT_ENGINE)};
    import fs from 'node:fs';
    const dir = ${JSON.stringify(dir)};
    const say = (text) => fs.writeSync(1, text + '\\n');
    ${body}`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', module], {
    timeout: deadline,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
  });
  expect(result.signal, `hung after: ${result.stdout}`).toBeNull();
  expect(result.stderr).toBe('');
  return result.stdout.trim().split('\n');
}

interface OpenTree {
  state: TreeState;
  round: Round;
  writer: Writer;
}

/** A tree of which the test is the only thread, without timers. */
function openTree(cacheBytes: number): OpenTree {
  const { state } = openState(settingsOf({ dir, cacheBytes, durability: 'buffered' }));
  const round = new Round(state);
  const inline = inlineMaintenance(state, round);
  const writer = new Writer(state, (need, wanted) => satisfy(state, inline, need, wanted));
  return { state, round, writer };
}

function closeTree({ state }: OpenTree): void {
  state.journal?.close();
  if (state.store instanceof FileBlobStore) state.store.close();
}

test('a compaction that needs a checkpoint does not wait for a worker that waits to merge', () => {
  const lines = inChild(`
    const t = Tree.open({ dir, cacheBytes: 8 << 20, durability: 'buffered',
      checkpoint: { host: 'worker', idleIntervalMs: 1, dirtyBlobThreshold: 2 } });
    const key = (d, i) => 'dir' + d + '/file' + String(i).padStart(6, '0');
    const each = (visit) => { for (let d = 0; d < 20; d++) for (let i = 0; i < 800; i++) visit(d, i); };
    each((d, i) => t.put(key(d, i), Buffer.alloc(2000, 1)));
    for (let round = 0; round < 3; round++) {
      each((d, i) => { if ((i * 7 + d + round) % 10 < 6) t.delete(key(d, i)); });
      t.compact();
      each((d, i) => { if ((i * 7 + d + round) % 10 < 6) t.put(key(d, i), Buffer.alloc(2000, 2)); });
    }
    let count = 0;
    for (const _ of t.range({ keysOnly: true })) count++;
    say(String(count));
    t.close();`);
  expect(lines).toEqual(['16000']);
});

test('background merging does not go on with blobs that have left the tree with their last key', () => {
  const { state, round, writer } = openTree(200 << 20);
  const background = new Compaction(state, writer);
  const keyOf = (length: number): Buffer => Buffer.alloc(length, 'd');
  const KEYS = 1000;
  for (let n = 1; n <= KEYS; n++) writer.write(keyOf(n), Buffer.alloc(4000, 1), ANY_VERSION);
  for (let n = 1; n <= KEYS; n++) if (n % 5 > 1) writer.remove(keyOf(n), ANY_VERSION);
  round.run();
  expect(treeStats(state).maxBlobDepth).toBeGreaterThan(3);
  // The root is looked at, the blob below it, which leads on, is noted.
  background.mergeSome(1);
  expect(background.isMerging).toBe(true);
  for (let n = KEYS; n > 10; n--) writer.remove(keyOf(n), ANY_VERSION);
  while (background.isMerging) background.mergeSome(16);
  expect(state.blobCount).toBe(treeStats(state).blobCount);
  for (let n = 1; n <= KEYS; n++)
    expect(writer.locked(() => writer.version(keyOf(n))) !== undefined).toBe(n <= 10 && n % 5 <= 1);
});

test('background merging does not go on with blobs that a compaction has merged meanwhile', () => {
  const tree = openTree(200 << 20);
  const { state, round, writer } = tree;
  const background = new Compaction(state, writer);
  const keys: string[] = [];
  // Names so long that what leads to the directories fills more than one blob.
  const long = 'x'.repeat(500);
  for (let a = 0; a < 40; a++) {
    for (let b = 0; b < 40; b++)
      for (let i = 0; i < 15; i++) keys.push(`d${a + 100}/e${b + 100}${long}/${i + 10}`);
  }
  for (const key of keys) writer.write(Buffer.from(key), Buffer.alloc(4000, 1), ANY_VERSION);
  keys.forEach((key, i) => {
    if (i % 300 !== 0) writer.remove(Buffer.from(key), ANY_VERSION);
  });
  round.run();
  // The first blobs are looked at; those that they lead to are noted.
  background.mergeSome(1);
  expect(background.isMerging).toBe(true);
  new Compaction(state, writer).run();
  const blobs = state.blobCount;
  const merges = state.control.floats[F_MERGES];
  for (let i = 0; i < 100; i++) background.mergeSome(16);
  expect(state.control.floats[F_MERGES]).toBe(merges);
  expect(state.blobCount).toBe(blobs);
  closeTree(tree);
});

test('a maintenance worker that cannot start hangs nobody', () => {
  const lines = inChild(`
    const t = Tree.open({ dir, cacheBytes: 8 << 20, checkpoint: { host: 'worker' } });
    t.put('a', Buffer.from('kept'));
    fs.renameSync(dir + '/manifest.log', dir + '/aside');
    try { t.checkpoint(); } catch (error) { say(error.code); }
    try { t.close(); } catch (error) { say(error.code); }
    fs.renameSync(dir + '/aside', dir + '/manifest.log');
    const again = Tree.open({ dir });
    say(String(Buffer.from(again.get('a'))));
    again.close();`);
  expect(lines).toEqual(['ERR_POISONED', 'ERR_POISONED', 'kept']);
});

test('opening and closing with a maintenance worker leaks no descriptors', () => {
  const lines = inChild(`
    for (let i = 0; i < 5; i++) {
      const t = Tree.open({ dir, cacheBytes: 8 << 20, checkpoint: { host: 'worker' } });
      t.put('a' + i, Buffer.alloc(3));
      t.checkpoint();
      t.close();
      const open = fs.readdirSync('/proc/self/fd').map((fd) => {
        try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return ''; }
      });
      say(String(open.filter((name) => name.startsWith(dir)).length));
    }`);
  expect(lines).toEqual(['0', '0', '0', '0', '0']);
});

test('a tree whose last round failed can be shared', () => {
  const disk = new URL('disk/node-disk.js', BUILT_ENGINE).href;
  const lines = inChild(`
    const { NodeDisk } = await import(${JSON.stringify(disk)});
    const t = Tree.open({ dir, cacheBytes: 8 << 20, checkpoint: { idleIntervalMs: 1e6 } });
    for (let i = 0; i < 40; i++) t.put('k' + i, Buffer.alloc(50_000, i));
    const { write } = NodeDisk.prototype;
    let images = 0;
    NodeDisk.prototype.write = function (fd, buffers, position) {
      if (buffers[0].length === ${BLOB_SIZE} && ++images === 3) throw Object.assign(new Error('EIO'), { code: 'EIO' });
      return write.call(this, fd, buffers, position);
    };
    try { t.checkpoint(); } catch (error) { say(error.code); }
    const other = Tree.attach(t.share());
    other.checkpoint();
    say(String(t.stats().bmDirtyCount));
    t.close();`);
  expect(lines).toEqual(['ERR_IO', '0']);
});

test('writers at synced wake a worker that has gone to sleep', () => {
  // Without the wake-up the worker looks again after a minute.
  const lines = inChild(
    `
    const t = Tree.open({ dir, cacheBytes: 8 << 20, durability: 'synced',
      checkpoint: { host: 'worker', idleIntervalMs: 20, dirtyBlobThreshold: 1 } });
    const words = new Int32Array(t.share().journal.control, 0, 48);
    const { SLEEPING } = await import(${JSON.stringify(new URL('journal/shared.js', BUILT_ENGINE).href)});
    while (Atomics.load(words, SLEEPING) === 0) Atomics.wait(words, SLEEPING, 0, 1);
    t.put('a', Buffer.from('b'));
    while (t.stats().checkpoint.rounds === 0) Atomics.wait(words, SLEEPING, 2, 1);
    say('round');
    t.close();`,
    20_000,
  );
  expect(lines).toEqual(['round']);
});

test('a small batch is not refused because others are quicker to take the frames', () => {
  const tree = openTree(MIN_CACHE_BYTES);
  const { state, round } = tree;
  let busy = 0;
  const inline = inlineMaintenance(state, round);
  const other = new Writer(state, (need, wanted) => satisfy(state, inline, need, wanted));
  const key = (i: number) => Buffer.from(`k${String(i).padStart(4, '0')}`);
  for (let i = 0; i < 400; i++) other.write(key(i), Buffer.alloc(40_000, 1), ANY_VERSION);
  /** Dirties all the frames that may be dirty, but not the batch's. */
  const fill = (): void => {
    round.run();
    for (let i = 399; state.cache.held < state.cache.heldLimit; i -= 5) {
      other.write(key(i), Buffer.alloc(40_000, 2), ANY_VERSION);
    }
    busy++;
  };
  fill();
  const writer = new Writer(state, (need, wanted) => {
    if (need.what !== 'frames') satisfy(state, inline, need, wanted);
    else if (busy < 8) fill();
    else round.run();
  });
  const encoder = new BatchEncoder();
  const done = writer.batch(
    () => [
      { key: key(0), value: Buffer.from('x') },
      { key: key(1), value: Buffer.from('y') },
    ],
    (changes) => {
      encoder.reset();
      for (const change of changes as NetChange[]) encoder.put(change.key, change.value as Uint8Array);
      return { body: encoder.body(), length: encoder.length };
    },
  );
  expect(done).toBe(true);
  expect(busy).toBe(8);
  closeTree(tree);
});

test('a batch over many blobs is recovered with a cache that could not have made it', () => {
  const options = { dir, checkpoint: { enabled: false } };
  const tree = Tree.open({ ...options, cacheBytes: 64 << 20 });
  const key = (i: number) => `k${String(i).padStart(4, '0')}`;
  for (let i = 0; i < 500; i++) tree.put(key(i), Buffer.alloc(40_000, 1));
  expect(tree.stats().blobCount).toBeGreaterThan(40);
  tree.atomic((batch) => {
    for (let i = 0; i < 500; i += 3) batch.put(key(i), Buffer.from('new'));
    for (let i = 1; i < 500; i += 3) batch.delete(key(i));
  });
  const version = tree.getVersion(key(0));
  const lastLsn = tree.lastLsn();
  tree.close();
  const again = Tree.open({ ...options, cacheBytes: MIN_CACHE_BYTES });
  expect(again.lastLsn()).toBe(lastLsn);
  for (let i = 0; i < 500; i++) {
    const value = again.get(key(i));
    if (i % 3 === 0) expect(Buffer.from(value!).toString()).toBe('new');
    else if (i % 3 === 1) expect(value).toBeUndefined();
    else expect(value).toHaveLength(40_000);
    if (i % 3 === 0) expect(again.getVersion(key(i))).toBe(version);
  }
  again.close();
});

test('a walk down more blobs than dirty frames leave room for comes to its end', () => {
  const lines = inChild(`
    const t = Tree.open({ dir, cacheBytes: 8 << 20, durability: 'buffered', checkpoint: { idleIntervalMs: 1e6 } });
    const aside = (i) => 'b/' + String(i).padStart(4, '0');
    let deep = 'a/';
    while (t.stats().maxBlobDepth < 7) t.put((deep += 'd'), Buffer.alloc(4000));
    for (let i = 0; i < 4; i++) t.put(deep + 'f' + i, Buffer.alloc(1000));
    for (let i = 0; i < 400; i++) t.put(aside(i), Buffer.alloc(20_000));
    const fill = () => {
      t.checkpoint();
      for (let i = 0; t.stats().bmDirtyCount < 12; i += 3) t.put(aside(i), Buffer.alloc(20_000, 1));
    };
    const count = () => { let n = 0; for (const _ of t.range({ prefix: deep, keysOnly: true })) n++; return n; };
    say('depth ' + (t.stats().maxBlobDepth > 4));
    fill();
    say('range ' + count());
    fill();
    say('batch ' + t.atomic((batch) => batch.assertPrefixEmpty(deep + 'g')));
    t.close();`);
  expect(lines).toEqual(['depth true', 'range 5', 'batch true']);
});

test('a frame is found for eviction however busily readers note their use', async () => {
  const cache = new FrameCache(new Control(), { bytes: MIN_CACHE_BYTES });
  for (let id = 1; id <= cache.count; id++) cache.install(cache.obtain(), id, false);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const reader = new Worker(
    `const { rows, stop, count } = require('node:worker_threads').workerData;
     const words = new Int32Array(rows);
     while (Atomics.load(stop, 0) === 0) {
       for (let n = 0; n < 100; n++) for (let i = 0; i < count; i++) words[i * 16 + 3] = 1;
     }`,
    { eval: true, workerData: { rows: cache.handle.rows, stop, count: cache.count } },
  );
  await new Promise((resolve) => reader.once('online', resolve));
  let none = 0;
  for (let id = 100; id < 100_100; id++) {
    const index = cache.obtain();
    if (index < 0) none++;
    else cache.install(index, id, false);
  }
  Atomics.store(stop, 0, 1);
  await reader.terminate();
  expect(none).toBe(0);
});

test('tryLock takes a free lock only, and none that was abandoned', () => {
  const words = new Int32Array(new SharedArrayBuffer(MUTEX_WORDS * 4));
  const one = new Mutex(words, 0, 1);
  const two = new Mutex(words, 0, 2);
  expect(one.tryLock()).toBe(true);
  expect(two.tryLock()).toBe(false);
  one.unlock();
  expect(two.tryLock()).toBe(true);
  two.abandon();
  two.unlock();
  expect(one.tryLock()).toBe(false);
  expect(one.lock()).toBe(false);
});
