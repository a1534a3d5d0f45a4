/** What is left of a tree in a directory: after kills, after damage, and to those who may only read. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Durability, TreeOptions } from '../../../../engine/api.js';
import { NodeDisk } from '../../../../engine/disk/node-disk.js';
import { FileBlobStore, type SpinneyError, Tree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { IMAGE_MAGIC, IMAGE_OFFSET } from '../../../../engine/store/image.js';
import { BUILT_ENGINE } from '../../../support/build.js';
import { seededRandom } from '../../../support/disk/random.js';
import { runUntil } from '../../../support/killed-program.js';
import { checkStore } from '../check.js';
import { SMALL_CACHE } from '../harness.js';
import { operation, perform } from './numbered-work.mjs';

let home: string;
let dir: string;
let tree: Tree | undefined;

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-recovery-'));
  dir = path.join(home, 'store');
});
afterEach(() => {
  tree?.close();
  tree = undefined;
  fs.rmSync(home, { recursive: true, force: true });
});

function open(options: TreeOptions = {}): Tree {
  tree = Tree.open({ dir, cacheBytes: SMALL_CACHE, checkpoint: { enabled: false }, ...options });
  return tree;
}

function errorOf(act: () => unknown): SpinneyError {
  try {
    act();
  } catch (error) {
    return error as SpinneyError;
  }
  throw new Error('Nothing was thrown');
}

/** The contents after the first operations of the numbered work. */
class Expected {
  readonly #contents = new Map<string, Uint8Array>();
  #done = 0;

  advanceTo(number: number): Map<string, Uint8Array> {
    if (number < this.#done) throw new Error(`The tree went back from ${this.#done} to ${number}`);
    while (this.#done < number) {
      for (const [key, value] of operation(++this.#done)) {
        if (value === undefined) this.#contents.delete(key);
        else this.#contents.set(key, value);
      }
    }
    return this.#contents;
  }
}

function expectContents(target: Tree, expected: ReadonlyMap<string, Uint8Array>): void {
  const keys: string[] = [];
  for (const entry of target.range()) {
    if (entry.type !== 'key') continue;
    const key = Buffer.from(entry.key).toString();
    keys.push(key);
    if (Buffer.compare(entry.value, expected.get(key) ?? Buffer.from('absent')) !== 0)
      throw new Error(`The value of ${key} differs`);
  }
  expect(keys).toEqual([...expected.keys()].sort());
}

/**
 * Runs the work in a process that is killed once it has acknowledged `acknowledgements`; the last number told.
 * @param syncEvery operations between two syncs of its own; none by default
 */
function workUntilKilled(
  options: TreeOptions,
  acknowledgements: number,
  syncEvery?: number,
): Promise<number> {
  const script = path.join(import.meta.dirname, 'killed-process.mjs');
  const given = [BUILT_ENGINE, JSON.stringify({ dir, ...options }), String(syncEvery)];
  const child = spawn(process.execPath, [script, ...given], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Promise((resolve, reject) => {
    let output = '';
    let errors = '';
    let lines = 0;
    child.stderr.on('data', (data: Buffer) => {
      errors += data.toString();
    });
    child.stdout.on('data', (data: Buffer) => {
      const text = data.toString();
      lines += text.split('\n').length - 1;
      output = (output + text).slice(-100);
      if (lines >= acknowledgements) child.kill('SIGKILL');
    });
    child.on('error', reject);
    child.on('close', (_code, signal) => {
      if (signal !== 'SIGKILL') reject(new Error(`The process ended by itself: ${errors}`));
      const whole = output.slice(0, output.lastIndexOf('\n') + 1).trimEnd();
      resolve(whole === '' ? 0 : Number(whole.slice(whole.lastIndexOf('\n') + 1)));
    });
  });
}

describe('kill -9 at random points', () => {
  const cases: { durability: Durability; host: 'inline' | 'worker'; kills: number; most: number }[] = [
    { durability: 'synced', host: 'inline', kills: 12, most: 300 },
    { durability: 'written', host: 'inline', kills: 15, most: 600 },
    { durability: 'written', host: 'worker', kills: 12, most: 600 },
    { durability: 'buffered', host: 'inline', kills: 12, most: 1000 },
    { durability: 'buffered', host: 'worker', kills: 10, most: 1000 },
  ];
  test.each(cases)('$durability, $host', async ({ durability, host, kills, most }) => {
    const random = seededRandom(most + kills);
    const expected = new Expected();
    const options: TreeOptions = {
      cacheBytes: SMALL_CACHE,
      durability,
      checkpoint: { host, idleIntervalMs: 5, dirtyBlobThreshold: 3 },
    };
    let last = 0;
    for (let i = 0; i < kills; i++) {
      const syncEvery = i % 2 === 0 ? undefined : 2 + Math.floor(random() * 60);
      const acknowledged = await workUntilKilled(options, 1 + Math.floor(random() * most), syncEvery);
      expect(acknowledged).toBeGreaterThan(0);
      // Every third time the next process meets what the kill left, with nobody's look in between.
      if (i % 3 === 1) continue;
      const left = open();
      const lsn = left.lastLsn();
      if (durability !== 'buffered') expect(lsn).toBeGreaterThanOrEqual(acknowledged);
      expect(lsn).toBeGreaterThanOrEqual(last);
      expectContents(left, expected.advanceTo(lsn));
      last = lsn;
      left.close();
    }
    const final = open();
    const keyCount = final.countPrefix('');
    final.checkpoint();
    final.close();
    const store = FileBlobStore.open({ dir, disk: new NodeDisk(), readOnly: true, create: false });
    try {
      expect(checkStore(store).leaves).toBe(keyCount);
    } finally {
      store.close();
    }
  });

  test.each(['inline', 'worker'] as const)('after laps of the ring, %s', async (host) => {
    const expected = new Expected();
    const options: TreeOptions = { cacheBytes: SMALL_CACHE, durability: 'written', checkpoint: { host } };
    for (const acknowledgements of [3000, 6500]) {
      const acknowledged = await workUntilKilled(options, acknowledgements);
      const left = open();
      expect(left.lastLsn()).toBeGreaterThanOrEqual(acknowledged);
      expectContents(left, expected.advanceTo(left.lastLsn()));
      left.close();
    }
  });

  test('while the journal of an earlier kill is replayed', async () => {
    const expected = new Expected();
    const options: TreeOptions = {
      cacheBytes: SMALL_CACHE,
      durability: 'written',
      checkpoint: { enabled: false },
    };
    const acknowledged = await workUntilKilled(options, 205);
    const script = `await import(${JSON.stringify(BUILT_ENGINE)})`;
    const loaded = await runUntil(Number.POSITIVE_INFINITY, ['--input-type=module', '-e', script]);
    for (let i = 0; i < 5; i++) await killAtOpen(loaded.calls + i * 10);
    const left = open();
    expect(left.lastLsn()).toBeGreaterThanOrEqual(acknowledged);
    expectContents(left, expected.advanceTo(left.lastLsn()));
  });

  /** Kills a process when it has made so many calls: somewhere in its start or its recovery. */
  async function killAtOpen(calls: number): Promise<void> {
    const script = path.join(import.meta.dirname, 'killed-process.mjs');
    await runUntil(calls, [script, BUILT_ENGINE, JSON.stringify({ dir, cacheBytes: SMALL_CACHE })]);
  }
});

/** Names, sizes, times and bytes of all files. */
function snapshot(): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of fs.readdirSync(dir).sort()) {
    const file = path.join(dir, name);
    const { mtimeNs, size } = fs.statSync(file, { bigint: true });
    files[name] = `${size} ${mtimeNs} ${fs.readFileSync(file).toString('base64').slice(0, 1e6)}`;
  }
  return files;
}

/** Leaves the directory as a crash after `operations` would, its journal not yet part of a checkpoint. */
function crashAfter(operations: number): Map<string, Uint8Array> {
  const first = open({ cacheBytes: 64 * 1024 * 1024, durability: 'buffered' });
  for (let number = 1; number <= operations; number++) perform(first, number);
  first.sync();
  const copy = path.join(home, 'crashed');
  fs.cpSync(dir, copy, { recursive: true });
  first.close();
  tree = undefined;
  fs.rmSync(dir, { recursive: true });
  fs.renameSync(copy, dir);
  return new Expected().advanceTo(operations);
}

test('a tree tells how the use of its directory before ended', async () => {
  expect(open().previousEnd).toBe('none');
  tree?.close();
  expect(open().previousEnd).toBe('closed');
  tree?.close();
  await workUntilKilled({ cacheBytes: SMALL_CACHE, checkpoint: { host: 'worker' } }, 20);
  const reader = open({ readOnly: true });
  expect([reader.previousEnd, Tree.attach(reader.share()).previousEnd]).toEqual(['killed', 'killed']);
  reader.close();
  const again = open();
  expect(again.previousEnd).toBe('killed');
  again.close();
  expect(open().previousEnd).toBe('closed');
  const memory = Tree.open({ memory: true });
  expect(memory.previousEnd).toBe('none');
  memory.close();
});

test('a store of version 0.1.0 opens, and is held to what later runs note', () => {
  open().put('a', Buffer.from('1'));
  tree?.close();
  fs.rmSync(path.join(dir, 'journal.run'));
  expect(errorOf(() => open()).code).toBe('ERR_JOURNAL_CORRUPT');
  const manifest = path.join(dir, 'manifest');
  const bytes = fs.readFileSync(manifest);
  expect([bytes.readUInt16LE(4), bytes.readUInt32LE(60) & 2]).toEqual([3, 2]);
  bytes.writeUInt16LE(1, 4);
  bytes.writeUInt32LE(bytes.readUInt32LE(60) & ~2, 60);
  bytes.writeUInt32LE(0, 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 64)), 8);
  fs.writeFileSync(manifest, bytes);
  expect(open({ readOnly: true }).previousEnd).toBe('closed');
  tree?.close();
  expect(Buffer.from(open().get('a') ?? []).toString()).toBe('1');
  expect(tree?.previousEnd).toBe('closed');
  tree?.close();
  expect(fs.readFileSync(manifest).readUInt16LE(4)).toBe(3);
  fs.rmSync(path.join(dir, 'journal.run'));
  expect(errorOf(() => open()).message).toMatch(/journal\.run at offset 0: the file is missing/);
});

describe('replay', () => {
  test('a journal larger than the cache', () => {
    const big = open({ cacheBytes: 128 * 1024 * 1024, durability: 'buffered' });
    const value = (i: number): Uint8Array => Buffer.alloc(3000, i);
    for (let i = 0; i < 9000; i++) big.put(`k${i}`, value(i));
    big.atomic((batch) => {
      for (let i = 0; i < 9000; i += 10) batch.put(`k${i}`, Buffer.from('batch'));
    });
    big.close();
    const small = open();
    expect(small.countPrefix('')).toBe(9000);
    for (let i = 0; i < 9000; i++) {
      const expected = i % 10 === 0 ? Buffer.from('batch') : value(i);
      if (Buffer.compare(small.get(`k${i}`) ?? Buffer.from('absent'), expected) !== 0)
        throw new Error(`The value of k${i} differs`);
    }
    expect(small.lastLsn()).toBe(9001);
  });

  test('keeps versions', () => {
    const first = open();
    first.put('a', Buffer.from('1'));
    first.atomic((batch) => batch.put('b', Buffer.from('2')));
    first.put('a', Buffer.from('3'));
    const versions = [first.getVersion('a'), first.getVersion('b')];
    first.close();
    const second = open();
    expect([second.getVersion('a'), second.getVersion('b')]).toEqual(versions);
    expect(second.compareAndPut('a', 3, Buffer.from('4'))).toBe(true);
    expect(second.getVersion('a')).toBe(4);
  });
});

describe('a read-only open', () => {
  test('reads what only the journal has, and writes nothing', () => {
    const expected = crashAfter(800);
    const before = snapshot();
    const reader = open({ readOnly: true, cacheBytes: 64 * 1024 * 1024 });
    expectContents(reader, expected);
    expect(errorOf(() => reader.put('a', Buffer.from('1'))).code).toBe('ERR_READ_ONLY');
    expect(errorOf(() => reader.delete('last')).code).toBe('ERR_READ_ONLY');
    expect(errorOf(() => reader.compact()).code).toBe('ERR_READ_ONLY');
    reader.close();
    expect(snapshot()).toEqual(before);
  });

  test('of a journal beyond the cache is refused, and writes nothing', () => {
    const expected = crashAfter(5000);
    const before = snapshot();
    expect(errorOf(() => open({ readOnly: true })).code).toBe('ERR_NEEDS_RECOVERY');
    expect(snapshot()).toEqual(before);
    expectContents(open(), expected);
  });

  test('of what is not there', () => {
    expect(errorOf(() => open({ readOnly: true })).code).toBe('ERR_NO_STORE');
    expect(fs.existsSync(dir)).toBe(false);
    fs.mkdirSync(dir);
    expect(errorOf(() => open({ readOnly: true })).code).toBe('ERR_NO_STORE');
    expect(fs.readdirSync(dir)).toEqual([]);
  });

  test('several may read at once', () => {
    open().put('a', Buffer.from('1'));
    tree?.close();
    const readers = [1, 2, 3].map(() => Tree.open({ dir, readOnly: true, cacheBytes: SMALL_CACHE }));
    try {
      for (const reader of readers) expect(Buffer.from(reader.get('a') ?? []).toString()).toBe('1');
      expect(errorOf(() => open()).code).toBe('ERR_STORE_LOCKED');
    } finally {
      for (const reader of readers) reader.close();
    }
    expect(open().stats().keyCount).toBe(1);
  });
});

describe('a second writer', () => {
  test("is told the first one's pid, and may come once that has closed", () => {
    const first = open();
    first.put('a', Buffer.from('1'));
    const error = errorOf(() => Tree.open({ dir }));
    expect(error.code).toBe('ERR_STORE_LOCKED');
    expect(error.message).toContain(String(process.pid));
    expect(errorOf(() => Tree.open({ dir, readOnly: true })).code).toBe('ERR_STORE_LOCKED');
    first.close();
    expect(open().stats().keyCount).toBe(1);
  });
});

describe('a damaged blob', () => {
  test('is told by its id; what lies in others can still be read', () => {
    const first = open();
    for (let i = 0; i < 3000; i++) first.put(`k${String(i).padStart(5, '0')}`, Buffer.alloc(1000, i));
    first.checkpoint();
    const victim = first.stats().blobs.findLast(({ leaves }) => leaves > 100)?.id as number;
    expect(victim).toBeGreaterThan(1);
    first.close();
    damage(victim);
    const second = open();
    let lost = 0;
    for (let i = 0; i < 3000; i++) {
      const key = `k${String(i).padStart(5, '0')}`;
      try {
        expect(second.get(key)?.[0]).toBe(i & 255);
      } catch (error) {
        expect((error as SpinneyError).code).toBe('ERR_BLOB_CORRUPT');
        expect((error as SpinneyError).message).toContain(`blob ${victim}`);
        expect(errorOf(() => second.put(key, Buffer.from('x'))).code).toBe('ERR_BLOB_CORRUPT');
        lost++;
      }
    }
    expect(lost).toBeGreaterThan(100);
    expect(lost).toBeLessThan(2500);
    expect(errorOf(() => [...second.range()]).code).toBe('ERR_BLOB_CORRUPT');
    expect(second.lastLsn()).toBe(3000);
  });

  /** Flips a bit in every slot that holds the blob. */
  function damage(id: number): void {
    const file = path.join(dir, 'blobs.dat');
    const bytes = fs.readFileSync(file);
    for (let slot = 0; slot + BLOB_SIZE <= bytes.length; slot += BLOB_SIZE) {
      if (bytes.readUInt32LE(slot + IMAGE_OFFSET.magic) !== IMAGE_MAGIC) continue;
      if (bytes.readUInt32LE(slot + IMAGE_OFFSET.id) === id)
        bytes[slot + 5000] = (bytes[slot + 5000] as number) ^ 1;
    }
    fs.writeFileSync(file, bytes);
  }
});

test('opening tells what the journal had beyond the last checkpoint', () => {
  const before = open();
  for (let i = 0; i < 10; i++) before.put(`key ${i}`, Buffer.of(i));
  before.sync();
  before.put('in the ring only', Buffer.of(1));
  expect(before.recovery).toEqual({ replayed: 0, fromRing: 0 });
  const copy = path.join(home, 'copy');
  fs.cpSync(dir, copy, { recursive: true });
  before.close();
  open({ dir: copy });
  expect(tree?.recovery).toEqual({ replayed: 11, fromRing: 1 });
  expect(tree?.countPrefix('')).toBe(11);
});
