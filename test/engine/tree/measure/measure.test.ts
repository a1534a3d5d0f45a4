/** Sums of a tree's records by prefix: what they cost, what they are refused for, and beside writers. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { MeasureOptions, TreeOptions } from '../../../../engine/api.js';
import { Measure } from '../../../../engine/art/measure.js';
import { NodeDisk } from '../../../../engine/disk/node-disk.js';
import { type BlobId, FileBlobStore, MemoryBlobStore, Tree, verifyTree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { sealImage } from '../../../../engine/store/image.js';
import { verifyBlobs } from '../../../../engine/tree/verify/verify.js';
import { BUILT_ENGINE, builtEngine } from '../../../support/build.js';
import { assertSums, SIZES, walked } from '../../../support/measured.js';
import { codeOf, SMALL_CACHE } from '../harness.js';

let dir: string;
let tree: Tree;
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-measure-'));
});
afterEach(() => {
  tree?.close();
  fs.rmSync(dir, { recursive: true, force: true });
});

function open(options: Partial<TreeOptions> = {}): Tree {
  tree = Tree.open({ dir: path.join(dir, 'store'), cacheBytes: SMALL_CACHE, ...options });
  return tree;
}

/** Records in some twenty blobs, below ten prefixes. */
function fill(): void {
  for (let i = 0; i < 12_000; i++) {
    tree.put(`dir${i % 10}/file${String(i).padStart(6, '0')}`, Buffer.alloc(i % 700));
  }
}

const countBytes: MeasureOptions['of'] = (_key, value, out) => {
  out[0] = value.length;
};
const named = (name: string): MeasureOptions => ({ ...SIZES, name });

describe('what is told', () => {
  test('sums, by the names of the fields; numbers name them where only their count was given', () => {
    open({ measure: { ...SIZES, fields: 3 } });
    tree.put('a/1', Buffer.alloc(10));
    tree.put('a/2', Buffer.alloc(5));
    tree.put('b', Buffer.alloc(7));
    expect(tree.measure('a/')).toEqual({ 0: 2, 1: 15, 2: 1 });
    expect(tree.measure('')).toEqual({ 0: 3, 1: 22, 2: 2 });
    expect(tree.measure('c')).toEqual({ 0: 0, 1: 0, 2: 0 });
  });

  test('the records that count in a field', () => {
    open({ measure: SIZES });
    fill();
    tree.checkpoint();
    const odd = tree.valuesCounted('dir3/', 'odd');
    expect(odd.length).toBe(walked(tree, 'dir3/').odd);
    expect(odd.every((value) => value.length % 2 === 1)).toBe(true);
    expect(codeOf(() => tree.valuesCounted('', 'even'))).toBe('ERR_INVALID_ARGUMENT');
  });

  test('of one moment, in a view', () => {
    open({ measure: SIZES });
    fill();
    const before = tree.measure('dir1/');
    tree.view('dir1/', (view) => {
      for (let i = 0; i < 3000; i++) tree.put(`dir1/more${i}`, Buffer.alloc(3));
      expect(view.measure('dir1/')).toEqual(before);
      assertSums(view, 'dir1/');
    });
    expect(tree.measure('dir1/').records).toBe((before.records as number) + 3000);
  });
});

describe('what is read', () => {
  /** Counts the images that are read of a store. */
  class CountingStore extends MemoryBlobStore {
    readonly read: BlobId[] = [];
    override readBlob(id: BlobId, into: Uint8Array): void {
      this.read.push(id);
      super.readBlob(id, into);
    }
  }

  test('blobs wholly below the prefix are not, but those from which others hang', () => {
    open({ measure: SIZES });
    fill();
    tree.close();
    const reads: BlobId[] = [];
    const readBlob = FileBlobStore.prototype.readBlob;
    FileBlobStore.prototype.readBlob = function (id, into) {
      reads.push(id);
      readBlob.call(this, id, into);
    };
    try {
      open({ measure: SIZES });
      const { blobs } = tree.stats();
      const leading = new Set(blobs.filter((row) => row.crossings > 0).map((row) => row.id));
      expect(blobs.length).toBeGreaterThan(6);
      expect(reads).toEqual([]);
      const sums = tree.measure('');
      expect(new Set(reads)).toEqual(leading);
      reads.length = 0;
      expect(tree.countPrefix('dir')).toBe(12_000);
      expect(reads.filter((id) => !leading.has(id)).length).toBeLessThanOrEqual(1);
      reads.length = 0;
      tree.measure('dir4/');
      // The blob in which the prefix begins, and the one in which it ends.
      expect(reads.filter((id) => !leading.has(id)).length).toBeLessThanOrEqual(2);
      expect(sums).toEqual(walked(tree, ''));
    } finally {
      FileBlobStore.prototype.readBlob = readBlob;
    }
  });

  test("a store without rows is read, and its blobs' sums do", () => {
    const store = new CountingStore();
    const openStore = () =>
      Tree.open({ store, flushOnWrite: false, cacheBytes: SMALL_CACHE, measure: SIZES });
    tree = openStore();
    fill();
    tree.checkpoint();
    tree.close();
    tree = openStore();
    assertSums(tree, '');
    expect(new Set(store.read).size).toBe(tree.stats().blobCount);
  });
});

describe('the measure of a store', () => {
  test('is refused where it is another, by name or by fields', () => {
    open({ measure: SIZES });
    tree.put('a', Buffer.from('b'));
    tree.close();
    expect(codeOf(() => open({ measure: named('others') }))).toBe('ERR_MEASURE');
    expect(codeOf(() => open({ measure: { ...SIZES, fields: ['records'] } }))).toBe('ERR_MEASURE');
    expect(codeOf(() => open({ measure: named('others'), readOnly: true }))).toBe('ERR_MEASURE');
    expect(open({ measure: SIZES }).measure('')).toEqual({ records: 1, bytes: 1, odd: 1 });
  });

  test('is refused where it cannot be one', () => {
    const faulty: MeasureOptions[] = [
      named(''),
      named('n'.repeat(65)),
      named('é'),
      { ...SIZES, fields: [] },
      { ...SIZES, fields: 9 },
      { ...SIZES, fields: ['a', 'a'] },
    ];
    for (const measure of faulty) expect(codeOf(() => open({ measure }))).toBe('ERR_INVALID_ARGUMENT');
  });

  test('is made for a store that has none, told on the way, and kept then', () => {
    open();
    fill();
    tree.close();
    const told: number[] = [];
    open({ measure: SIZES, onProgress: (done, total) => told.push(done / total) });
    expect(told[0]).toBe(0);
    expect(told.at(-1)).toBe(1);
    for (const prefix of ['', 'dir1', 'dir4/']) assertSums(tree, prefix);
    tree.checkpoint();
    const { blobs } = tree.stats();
    expect(blobs.every((row) => row.sums !== undefined)).toBe(true);
    tree.close();
    told.length = 0;
    open({ measure: SIZES, onProgress: (done) => told.push(done) });
    expect(told).toEqual([]);
    assertSums(tree, '');
  });

  test('is made for a store of the format before', () => {
    open();
    fill();
    tree.close();
    const manifest = path.join(dir, 'store', 'manifest');
    const bytes = fs.readFileSync(manifest);
    bytes.writeUInt16LE(2, 4);
    bytes.writeUInt32LE(0, 8);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 64)), 8);
    fs.writeFileSync(manifest, bytes);
    open({ measure: SIZES });
    assertSums(tree, 'dir5/');
    tree.close();
    expect(fs.readFileSync(manifest).readUInt16LE(4)).toBe(3);
    open({ measure: SIZES });
    assertSums(tree, '');
  });

  test('is made bit by bit, whenever the process dies', () => {
    open();
    fill();
    tree.close();
    const store = path.join(dir, 'store');
    let blobs = 0;
    const stopping = (done: number, total: number) => {
      blobs = total;
      if (done === 3) throw new Error('killed');
    };
    expect(() => open({ measure: SIZES, onProgress: stopping })).toThrow('killed');
    open({ measure: SIZES });
    tree.checkpoint();
    fs.cpSync(store, path.join(dir, 'killed'), { recursive: true });
    tree.close();
    fs.rmSync(store, { recursive: true });
    fs.renameSync(path.join(dir, 'killed'), store);
    open({ measure: SIZES, onProgress: () => expect.fail('all have their sums') });
    expect(blobs).toBe(tree.stats().blobCount);
    assertSums(tree, '');
  });

  test('a store without one that is only read tells sums all the same', () => {
    open();
    fill();
    tree.close();
    open({ measure: SIZES, readOnly: true });
    assertSums(tree, 'dir2/');
    expect(Object.keys(tree.measure(''))).toEqual(['records', 'bytes', 'odd']);
  });

  test('is given up by whoever writes without it; what was not touched meanwhile is not taken for it', () => {
    open({ measure: SIZES });
    fill();
    tree.close();
    open();
    expect(codeOf(() => tree.measure(''))).toBe('ERR_MEASURE');
    for (let i = 0; i < 50; i++) tree.put(`dir3/other${i}`, Buffer.alloc(9));
    tree.close();
    open({ measure: { ...named('others'), of: countBytes } });
    expect(tree.measure('').records).toBe(walked(tree, '').bytes);
    tree.close();
    open();
    tree.put('z', Buffer.alloc(1));
    tree.close();
    open({ measure: SIZES });
    assertSums(tree, '');
  });

  test('counts whole numbers: what it cannot count is not written, and nothing is broken by it', () => {
    const failing: MeasureOptions = {
      ...SIZES,
      of(_key, value, out) {
        if (value[0] === 1) throw new Error('not this one');
        out[0] = value[0] === 2 ? 0.5 : 1;
      },
    };
    open({ measure: failing });
    tree.put('a', Buffer.of(0));
    for (const bad of [1, 2]) {
      expect(() => tree.put('b', Buffer.of(bad))).toThrow(/not this one|whole number/);
      expect(() => tree.put('a', Buffer.of(bad))).toThrow(/not this one|whole number/);
      const batch = () =>
        tree.atomic((b) => {
          b.put('c', Buffer.of(0));
          b.put('d', Buffer.of(bad));
        });
      expect(batch).toThrow(/not this one|whole number/);
    }
    expect([...tree.range()].length).toBe(1);
    expect(tree.measure('').records).toBe(1);
    tree.put('e', Buffer.of(0));
    expect(tree.measure('').records).toBe(2);
  });
});

test('verification compares sums with records', () => {
  open({ measure: SIZES });
  fill();
  tree.close();
  const disk = new NodeDisk();
  const findings = (): string[] => {
    const found: string[] = [];
    const report = ({ message }: { message: string }) => void found.push(message);
    verifyTree({ dir: path.join(dir, 'store'), measure: SIZES, report });
    return found;
  };
  expect(findings()).toEqual([]);
  const store = FileBlobStore.open({ dir: path.join(dir, 'store'), disk });
  const image = new Uint8Array(BLOB_SIZE);
  store.readBlob(1, image);
  const view = new DataView(image.buffer);
  const block = view.getUint16(50, true) * 8;
  view.setFloat64(block + 16, view.getFloat64(block + 16, true) + 1, true);
  const mark = store.readMark()!;
  sealImage(image, 1, mark.generation + 1);
  store.writeBlob(1, image);
  store.flush({ ...mark, generation: mark.generation + 1 });
  store.close();
  const found = findings();
  expect(
    found.some((message) => /^Blob 1: its header tells \d+ bytes, its records come to \d+$/.test(message)),
  ).toBe(true);
  expect(found.some((message) => /^Blob 1: the manifest tells \d+ bytes/.test(message))).toBe(true);
});

describe('threads', () => {
  /** Moves units between two directories, always both ends in one batch, and directories about. */
  const MOVER = path.join(import.meta.dirname, 'measure-mover.mjs');
  const UNITS: MeasureOptions = {
    name: 'units',
    fields: ['units'],
    of(_key, value, out) {
      out[0] = value[0] ?? 0;
    },
  };

  test('sums are of one moment, whatever others write meanwhile', async () => {
    const { Tree: Built } = await builtEngine();
    const shared = Built.open({
      dir: path.join(dir, 'store'),
      cacheBytes: SMALL_CACHE,
      durability: 'buffered',
      measure: UNITS,
      checkpoint: { idleIntervalMs: 5, dirtyBlobThreshold: 4, host: 'worker' },
    });
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const workers: Worker[] = [];
    try {
      const accounts = 4000;
      for (let i = 0; i < accounts; i++) shared.put(`bank/${i % 7}/account${i}`, Buffer.alloc(300, 100));
      const handle = shared.share();
      const ends = [0, 1].map((me) => {
        const worker = new Worker(MOVER, {
          workerData: { engine: BUILT_ENGINE, handle, me, accounts, stop },
        });
        workers.push(worker);
        return new Promise<number>((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', reject);
        });
      });
      let looks = 0;
      let moves = 0;
      // Waits by looking: others must have written a good deal meanwhile.
      while (looks < 300 || moves < 600) {
        expect(shared.measure('bank/')).toEqual({ units: accounts * 100 });
        const seen = shared.view('bank/', (view) => [view.measure('bank/'), view.measure('bank/')]);
        expect(seen[0]).toEqual(seen[1]);
        expect(shared.countPrefix('bank/')).toBe(accounts);
        looks++;
        moves = shared.lastLsn() - accounts;
      }
      Atomics.store(stop, 0, 1);
      expect((await Promise.all(ends)).every((count) => count > 0)).toBe(true);
      shared.compact();
      expect(shared.measure('bank/')).toEqual({ units: accounts * 100 });
      shared.close();
      const store = FileBlobStore.open({
        dir: path.join(dir, 'store'),
        disk: new NodeDisk(),
        readOnly: true,
      });
      const damage: string[] = [];
      verifyBlobs(store, (message) => damage.push(message), undefined, undefined, new Measure(UNITS));
      store.close();
      expect(damage).toEqual([]);
    } finally {
      Atomics.store(stop, 0, 1);
      await Promise.all(workers.map((worker) => worker.terminate()));
      shared.close();
    }
  });

  test('one that was not told the measure reads and does not write; another measure is refused', async () => {
    const { Tree: Built } = await builtEngine();
    const shared = Built.open({ dir: path.join(dir, 'store'), cacheBytes: SMALL_CACHE, measure: SIZES });
    try {
      shared.put('a', Buffer.from('b'));
      const handle = shared.share();
      const untold = Built.attach(handle);
      expect(Buffer.from(untold.get('a')!).toString()).toBe('b');
      expect(untold.countPrefix('')).toBe(1);
      expect(codeOf(() => untold.put('c', Buffer.from('d')))).toBe('ERR_MEASURE');
      expect(codeOf(() => untold.atomic((batch) => batch.delete('a')))).toBe('ERR_MEASURE');
      expect(codeOf(() => untold.measure(''))).toBe('ERR_MEASURE');
      expect(codeOf(() => Built.attach(handle, { measure: named('others') }))).toBe('ERR_MEASURE');
      const told = Built.attach(handle, { measure: SIZES });
      told.put('c', Buffer.from('de'));
      expect(shared.measure('')).toEqual({ records: 2, bytes: 3, odd: 1 });
    } finally {
      shared.close();
    }
  });
});
