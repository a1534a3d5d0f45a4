/** Keys that are looked up in blobs that are not in memory: by some pages, and with the same answers. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Tree } from '../../../engine/index.js';
import { BLOB_SIZE, PAGE_BYTES } from '../../../engine/limits.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { SMALL_CACHE } from './harness.js';

const KEYS = 14_000;
const MIB = 1024 * 1024;
let home: string;
let dir: string;
let tree: Tree | undefined;

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-cold-'));
  dir = path.join(home, 'store');
});
afterEach(() => {
  tree?.close();
  tree = undefined;
  fs.rmSync(home, { recursive: true, force: true });
});

function open(cacheBytes = SMALL_CACHE): Tree {
  tree = Tree.open({ dir, cacheBytes, checkpoint: { enabled: false } });
  return tree;
}

const keyOf = (i: number): string => `dir${i % 7}/name ${String(i).padStart(6, '0')}`;
const payloadOf = (i: number): Buffer => Buffer.alloc(900, `value ${i}.`);

/** Throws unless the key number `i` has its value. */
function assertThere(found: Uint8Array | undefined, i: number): void {
  if (found === undefined || Buffer.compare(found, payloadOf(i)) !== 0)
    throw new Error(`${keyOf(i)} is another`);
}

/** A store of some thirty blobs. */
function fill(): void {
  const first = open(64 * MIB);
  for (let i = 0; i < KEYS; i++) first.put(keyOf(i), payloadOf(i));
  first.checkpoint();
  expect(first.stats().blobCount).toBeGreaterThan(25);
  first.close();
}

/** Counts what is read of the data file and of its pages' checksums. */
class CountingDisk extends MemoryDisk {
  bytes = 0;
  override read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const count = super.read(fd, into, offset, length, position);
    this.bytes += count;
    return count;
  }
}

test('a get of a key whose blob is not in memory reads at most 64 KiB', () => {
  const disk = new CountingDisk();
  const options = { dir: '/store', cacheBytes: SMALL_CACHE, checkpoint: { enabled: false } };
  const first = Tree.open(options, { disk });
  for (let i = 0; i < KEYS; i++) first.put(keyOf(i), payloadOf(i));
  first.checkpoint();
  first.close();
  tree = Tree.open(options, { disk });
  // The blob at the root is in memory once there was any read.
  tree.get('nothing');
  const random = seededRandom(1);
  const sizes: number[] = [];
  for (let count = 0; count < 40; count++) {
    const i = Math.floor(random() * KEYS);
    disk.bytes = 0;
    assertThere(tree.get(keyOf(i)), i);
    sizes.push(disk.bytes);
  }
  expect(tree.stats().coldReads).toBeGreaterThan(35);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(64 * 1024);
  expect(sizes.reduce((a, b) => a + b) / sizes.length).toBeLessThan(6 * PAGE_BYTES);
});

test('a blob that is looked into often is loaded, and the cache fills up', () => {
  fill();
  const target = open();
  target.get('nothing');
  const before = target.stats();
  for (let count = 0; count < 100; count++) expect(target.get(keyOf(5))).toBeDefined();
  const after = target.stats();
  expect(after.cacheMisses - before.cacheMisses).toBe(1);
  expect(after.coldReads).toBeGreaterThan(0);
  expect(after.coldReads).toBeLessThan(20);
  for (let i = 0; i < KEYS; i += 7) target.get(keyOf(i));
  for (let i = 0; i < KEYS; i += 11) target.get(keyOf(i));
  expect(target.stats().cacheUsedBytes).toBe(SMALL_CACHE);
});

test('random changes, and looks at keys of all shapes, agree with a map', () => {
  const random = seededRandom(20_261_130);
  const below = (limit: number): number => Math.floor(random() * limit);
  const expected = new Map<string, Uint8Array>();
  const target = open();
  const name = (): string => {
    const i = below(2500);
    const long = i % 50 === 0 ? `/${'long'.repeat(700)}` : '';
    // Some keys are the beginning of others; some have no byte of their own in their leaf.
    return `area${i % 5}/${String(i).padStart(4, '0')}${long}${['', '/x', '/y', 'tail'][below(4)]}`;
  };
  const value = (): Uint8Array =>
    new Uint8Array(below(40) === 0 ? 20_000 + below(80_000) : 900 + below(4000)).fill(below(256));
  const move = (from: string, to: string): void => {
    for (const [key, moved] of [...expected]) {
      if (!key.startsWith(from)) continue;
      expected.delete(key);
      expected.set(to + key.slice(from.length), moved);
    }
  };
  for (let step = 0; step < 9000; step++) {
    const kind = below(100);
    const key = name();
    if (kind < (step < 3500 ? 90 : 12)) {
      const written = value();
      target.put(key, written);
      expected.set(key, written);
    } else if (kind < 16) expect(target.delete(key)).toBe(expected.delete(key));
    else if (kind < 20) expect(target.getVersion(key) !== undefined).toBe(expected.has(key));
    else if (kind < 24) expect(target.getRecord(key)?.value).toEqual(expected.get(key));
    else if (kind === 24 && step % 50 === 0) {
      target.renamePrefix('area3/', 'moved/');
      target.renamePrefix('moved/', 'area3/');
    } else if (kind === 25 && step % 40 === 0) target.compact();
    else if (kind === 26) target.checkpoint();
    else if (kind === 27 && step % 20 === 0) {
      target.renamePrefix('area4/', 'elsewhere/');
      move('area4/', 'elsewhere/');
      expect(target.get(key)).toEqual(expected.get(key));
      target.renamePrefix('elsewhere/', 'area4/');
      move('elsewhere/', 'area4/');
    } else {
      const found = target.get(key);
      const wanted = expected.get(key);
      const isRight =
        found === undefined || wanted === undefined ? found === wanted : Buffer.compare(found, wanted) === 0;
      if (!isRight) throw new Error(`Step ${step}: ${key} is another`);
    }
  }
  const { coldReads, blobCount } = target.stats();
  expect(blobCount).toBeGreaterThan(25);
  expect(coldReads).toBeGreaterThan(1000);
  expect([...target.range({ keysOnly: true })].length).toBe(expected.size);
});

test('a view sees what was, also in blobs that are not in memory', () => {
  fill();
  const target = open();
  target.get('nothing');
  target.view('', (view) => {
    assertThere(view.get(keyOf(3)), 3);
    for (const i of [3, 4, 10_003]) target.put(keyOf(i), Buffer.from('new'));
    target.checkpoint();
    // All others come by, and take the frames of the blobs that were changed.
    expect([...target.range({ keysOnly: true })].length).toBe(KEYS);
    const before = target.stats().coldReads;
    for (const i of [3, 4, 10_003, 7, 14, 8]) assertThere(view.get(keyOf(i)), i);
    expect(target.stats().coldReads).toBeGreaterThan(before);
    expect(target.get(keyOf(3))).toEqual(new Uint8Array(Buffer.from('new')));
  });
});

describe('what happens between the pages that a get reads', () => {
  /** Of a key in dir3, in the middle. */
  const NUMBER = 2803;
  const key = keyOf(NUMBER);
  const options = { dir: '/store', cacheBytes: SMALL_CACHE, checkpoint: { enabled: false } };
  const disk = new MemoryDisk();
  beforeAll(() => {
    const first = Tree.open(options, { disk });
    for (let i = 0; i < 6000; i++) first.put(keyOf(i), payloadOf(i));
    first.checkpoint();
    first.close();
  });
  const put = (target: Tree) => target.put(key, Buffer.from('new'));

  test.each<[string, (target: Tree) => void]>([
    ['a put', put],
    ['a delete', (target) => target.delete(key)],
    ['a rename of the prefix', (target) => target.renamePrefix('dir3/', 'moved/')],
    [
      'a rename of the prefix, and another in its place',
      (target) => {
        target.renamePrefix('dir3/', 'moved/');
        target.renamePrefix('dir4/', 'dir3/');
      },
    ],
    [
      'checkpoints that write the blob again and again',
      (target) => {
        for (let i = 0; i < 6; i++) {
          target.put(key, Buffer.from(`new ${i}`));
          target.checkpoint();
        }
      },
    ],
    [
      'the end of nearly all other keys, and merging',
      (target) => {
        for (let i = 0; i < 6000; i++) if (i !== NUMBER && i % 100 !== 0) target.delete(keyOf(i));
        put(target);
        target.compact();
        target.checkpoint();
      },
    ],
  ])('%s: it gives what was before or after', (_, act) => {
    for (const nth of [1, 2, 3]) {
      const faults = new FaultDisk(disk.afterKill());
      tree = Tree.open(options, { disk: faults });
      expect(tree.get('nothing')).toBeUndefined();
      let reads = 0;
      faults.onCall = ({ name, path: file }) => {
        if (name === 'read' && file === '/store/blobs.dat' && ++reads === nth) act(tree!);
        return undefined;
      };
      const found = tree.get(key);
      faults.onCall = undefined;
      expect(reads).toBeGreaterThan(1);
      const after = tree.get(key);
      expect([payloadOf(NUMBER).toString(), after && Buffer.from(after).toString()]).toContain(
        found && Buffer.from(found).toString(),
      );
      tree.close();
    }
  });
});

/** Flips a bit of each page of the data file that contains `text`; returns how to undo it. */
function damage(text: string): () => void {
  const file = path.join(dir, 'blobs.dat');
  const bytes = fs.readFileSync(file);
  const pages: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1))
    if (pages.at(-1) !== Math.floor(at / PAGE_BYTES)) pages.push(Math.floor(at / PAGE_BYTES));
  expect(pages.length).toBeGreaterThan(0);
  const write = (flipped: number): void => {
    const fd = fs.openSync(file, 'r+');
    for (const page of pages) {
      const at = page * PAGE_BYTES + 4000;
      fs.writeSync(fd, Buffer.of(bytes[at]! ^ flipped), 0, 1, at);
    }
    fs.closeSync(fd);
  };
  write(1);
  return () => write(0);
}

test('a damaged page is found by who reads it, and nobody gets a wrong answer', () => {
  fill();
  const victim = 12_345;
  const repair = damage(`value ${victim}.`);
  const target = open();
  let failed = 0;
  for (let i = 0; i < KEYS; i += 3) {
    try {
      assertThere(target.get(keyOf(i)), i);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_BLOB_CORRUPT' });
      failed++;
    }
  }
  expect(failed).toBeGreaterThan(0);
  expect(failed).toBeLessThan(KEYS / 3 / 10);
  expect(target.stats().unreadableBlobs).toHaveLength(1);
  expect(() => target.get(keyOf(victim))).toThrow(expect.objectContaining({ code: 'ERR_BLOB_CORRUPT' }));
  repair();
  assertThere(target.get(keyOf(victim)), victim);
  expect(target.stats().unreadableBlobs).toEqual([]);
});

test('a store without checksums of its pages answers as ever, and gets them', () => {
  fill();
  fs.unlinkSync(path.join(dir, 'blobs.pages'));
  const read = (): number => {
    const target = open();
    for (let i = 0; i < KEYS; i += 201) assertThere(target.get(keyOf(i)), i);
    const { coldReads } = target.stats();
    target.close();
    return coldReads;
  };
  expect(read()).toBeLessThan(40);
  expect(read()).toBeGreaterThan(40);
});

test('a store that is opened read-only is not written to', () => {
  fill();
  const before = fs.readFileSync(path.join(dir, 'blobs.pages'));
  expect(before.length % (BLOB_SIZE / PAGE_BYTES)).toBe(0);
  fs.writeFileSync(path.join(dir, 'blobs.pages'), Buffer.alloc(before.length));
  tree = Tree.open({ dir, cacheBytes: SMALL_CACHE, readOnly: true });
  for (let i = 0; i < KEYS; i += 201) assertThere(tree.get(keyOf(i)), i);
  expect(tree.stats().coldReads).toBe(0);
  expect(fs.readFileSync(path.join(dir, 'blobs.pages')).every((byte) => byte === 0)).toBe(true);
});
