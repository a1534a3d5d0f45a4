/** longestPrefix, countPrefix, and walks that go on after the tree has changed. */
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Tree } from '../../../engine/index.js';
import { MemoryBlobStore } from '../../../engine/store/memory-blob-store.js';
import { BUILT_ENGINE } from '../../support/build.js';
import { seededRandom } from '../../support/disk/random.js';
import { codeOf, SMALL_CACHE } from './harness.js';
import { below } from './keys.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (key: Uint8Array): string => Buffer.from(key).toString();

let tree: Tree;
beforeEach(() => {
  tree = Tree.open({ store: new MemoryBlobStore(), cacheBytes: SMALL_CACHE, flushOnWrite: false });
});
afterEach(() => tree.close());

describe('longestPrefix', () => {
  test('finds the key itself, one in a blob above, one of several nodes, and nothing', () => {
    expect(tree.longestPrefix('a')).toBeUndefined();
    tree.put('a', bytes('1'));
    tree.put('ab/', bytes('2'));
    // Blobs of their own.
    for (let i = 0; i < 400; i++) tree.put(`ab/cd/${i + 100}`, Buffer.alloc(3000, 3));
    expect(tree.stats().blobCount).toBeGreaterThan(1);
    const found = (key: string): string | undefined => {
      const record = tree.longestPrefix(key);
      return record && text(record.key);
    };
    expect(found('ab/cd/1234')).toBe('ab/cd/123');
    expect(found('ab/cd/100')).toBe('ab/cd/100');
    expect(found('ab/cd/10')).toBe('ab/');
    expect(found('ab/ce')).toBe('ab/');
    expect(found('ab')).toBe('a');
    expect(found('b')).toBeUndefined();
    expect(found('')).toBeUndefined();
  });

  test('the key that it gives is not tied to the memory of the one that was asked for', () => {
    tree.put('a/b', bytes('1'));
    const asked = Buffer.from('a/b/c');
    const found = tree.longestPrefix(asked);
    asked.fill(0x7a);
    expect(text(found!.key)).toBe('a/b');
  });
});

describe('countPrefix', () => {
  test('counts up to the limit', () => {
    for (let i = 0; i < 9000; i++) tree.put(`k/${i}`, bytes('v'));
    tree.put('l', bytes('v'));
    expect(tree.countPrefix('k/')).toBe(9000);
    expect(tree.countPrefix('')).toBe(9001);
    expect(tree.countPrefix('k/12')).toBe(111);
    for (const limit of [0, 1, 4095, 4096, 4097, 8999, 9000, 9001]) {
      expect(tree.countPrefix('k/', limit)).toBe(Math.min(limit, 9000));
    }
    expect(tree.countPrefix('k/', 2.9)).toBe(2);
    for (const limit of [-1, Number.NaN]) {
      expect(codeOf(() => tree.countPrefix('k/', limit))).toBe('ERR_INVALID_ARGUMENT');
    }
  });

  test('comes to its end where the keys lie in more blobs than the cache holds', () => {
    const module = `import { Tree } from ${JSON.stringify(BUILT_ENGINE)};
      const tree = Tree.open({ memory: true, cacheBytes: ${SMALL_CACHE} });
      for (let i = 0; i < 200; i++) tree.put('b/' + (i + 100), Buffer.alloc(130_000, i));
      console.log(tree.countPrefix('b/'), tree.view('b/', (view) => view.countPrefix('b/')));`;
    const result = spawnSync(process.execPath, ['--input-type=module', '-e', module], {
      timeout: 100_000,
      killSignal: 'SIGKILL',
      encoding: 'utf8',
    });
    expect(result.signal).toBeNull();
    expect(result.stderr).toBe('');
    expect(result.stdout.trim()).toBe('200 200');
  });
});

describe('ranges', () => {
  test('leave the bytes alone that they are given as places', () => {
    for (const key of ['a/1', 'a/2', 'b/1']) tree.put(key, bytes('v'));
    const startAfter = Buffer.from('a/');
    const prefix = Buffer.from('');
    const level = (): string[] =>
      [...tree.range({ prefix, startAfter, delimiter: '/' })].map((entry) =>
        text(entry.type === 'key' ? entry.key : entry.prefix),
      );
    expect(level()).toEqual(['b/']);
    expect(text(startAfter)).toBe('a/');
    expect(level()).toEqual(['b/']);
  });

  const FIXED = 900;
  const fixed = (i: number): string => `k/${String(i).padStart(4, '0')}`;

  /** Goes through a range and changes the tree between its entries. */
  function walk(seed: number, keysOnly: boolean, change: (random: () => number, at: string) => void): void {
    const random = seededRandom(seed);
    for (let i = 0; i < FIXED; i++) tree.put(fixed(i), Buffer.alloc(10 + (i % 7) * 400, i));
    const found: string[] = [];
    let last = '';
    for (const entry of tree.range({ prefix: 'k/', keysOnly })) {
      if (entry.type !== 'key') throw new Error('A range without delimiter gave a prefix');
      const key = text(entry.key);
      if (key <= last) throw new Error(`${key} came after ${last}`);
      last = key;
      if (key.length === 6) found.push(key);
      if (random() < 0.3) change(random, key);
    }
    expect(found).toEqual(Array.from({ length: FIXED }, (_, i) => fixed(i)));
  }

  test('keys that are there throughout come exactly once while others come and go around them', () => {
    walk(1, false, (random, at) => {
      const near = fixed(Math.max(0, Number(at.slice(2, 6)) + below(random, 60) - 20));
      for (let i = 0; i < 5; i++) {
        if (random() < 0.5) tree.put(`${near}/${i}`, Buffer.alloc(below(random, 4000), i));
        else tree.delete(`${near}/${i}`);
      }
    });
  });

  test('and while blobs are split, merged, written and evicted', () => {
    walk(2, true, (random, at) => {
      const near = fixed(Math.min(FIXED - 1, Math.max(0, Number(at.slice(2, 6)) + below(random, 60) - 20)));
      const roll = random();
      if (roll < 0.4) for (let i = 0; i < 20; i++) tree.put(`${near}/${i}`, Buffer.alloc(20_000, i));
      else if (roll < 0.8) tree.deletePrefix(`${near}/`);
      else if (roll < 0.85) tree.compact();
      else if (roll < 0.9) tree.checkpoint();
      else for (let i = 0; i < 40; i++) tree.put(`z/${below(random, 100)}`, Buffer.alloc(100_000, i));
    });
    expect(tree.stats().blobCount).toBeGreaterThan(16);
  });

  test('and while all of them are moved away and back', () => {
    walk(3, false, (random) => {
      tree.renamePrefix('k/', 'away/');
      if (random() < 0.5) tree.put('k', bytes('between'));
      tree.renamePrefix('away/', 'k/');
      tree.delete('k');
    });
  });

  test('and while their values are put anew: none older than when the range began', () => {
    const newest = new Map<string, number>();
    for (let i = 0; i < FIXED; i++) tree.put(fixed(i), Buffer.alloc(2000, 0));
    for (const entry of tree.range({ prefix: 'k/' })) {
      if (entry.type === 'key') newest.set(text(entry.key), entry.version);
    }
    const random = seededRandom(4);
    for (const entry of tree.range({ prefix: 'k/' })) {
      if (entry.type !== 'key') continue;
      expect(entry.version).toBeGreaterThanOrEqual(newest.get(text(entry.key)) as number);
      expect(entry.value).toHaveLength(2000);
      tree.put(fixed(below(random, FIXED)), Buffer.alloc(2000, 1));
    }
  });
});
