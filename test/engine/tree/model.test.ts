/** Random operations on the tree and on a plain model of it: same answers, and sound blobs, at every step's end. */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { TreeOptions } from '../../../engine/api.js';
import { seededRandom } from '../../support/disk/random.js';
import { codeOf, type Place, Run, SMALL_CACHE } from './harness.js';
import { below, KEY_SPACES, operationOf, type Random, randomValue } from './keys.js';

let run: Run | undefined;
afterEach(() => {
  run?.end();
  run = undefined;
});

/** Plays `count` operations that follow from `seed`; keys come from a pool, so that most of them meet others. */
function play(place: Place, options: TreeOptions, seed: number, count: number, large: boolean): void {
  const random = seededRandom(seed);
  const space = KEY_SPACES[below(random, KEY_SPACES.length + 1)];
  const pool: string[] = [];
  const keys = (): string => {
    if (pool.length > 0 && random() < 0.6) return pool[below(random, pool.length)] as string;
    const from = space ?? (KEY_SPACES[below(random, KEY_SPACES.length)] as (typeof KEY_SPACES)[number]);
    const key = from.key(random);
    pool.push(key);
    return key;
  };
  run = new Run(place, { cacheBytes: SMALL_CACHE, ...options }, large);
  try {
    for (let i = 0; i < count; i++) run.apply(operationOf(random, keys, large));
    run.finish();
  } finally {
    run.end();
    run = undefined;
  }
}

describe('random operations agree with the model', () => {
  const cases: {
    name: string;
    place: Place;
    options: TreeOptions;
    runs: number;
    count: number;
    large: boolean;
  }[] = [
    { name: 'in memory', place: 'memory', options: {}, runs: 30, count: 300, large: false },
    { name: 'on a store', place: 'store', options: {}, runs: 40, count: 400, large: false },
    { name: 'on a store, large values', place: 'store', options: {}, runs: 12, count: 800, large: true },
    { name: 'mirrored', place: 'store', options: { flushOnWrite: true }, runs: 4, count: 100, large: false },
    { name: 'buffered', place: 'dir', options: { durability: 'buffered' }, runs: 8, count: 300, large: true },
    { name: 'written', place: 'dir', options: { durability: 'written' }, runs: 8, count: 300, large: false },
    { name: 'synced', place: 'dir', options: { durability: 'synced' }, runs: 2, count: 60, large: false },
  ];
  for (const { name, place, options, runs, count, large } of cases) {
    test(name, () => {
      fc.assert(
        fc.property(fc.integer(), fc.integer({ min: 1, max: count }), (seed, operations) => {
          play(place, options, seed, operations, large);
        }),
        { numRuns: runs, seed: 20_260_101, endOnFailure: true, examples: [[7, count]] },
      );
    });
  }
});

type NearKey = (random: Random, near: number) => string;

/**
 * Loads about `megabytes`, then thins it out and fills it again, with upkeep in between. Keys made with the same
 * `near` lie close together: a cache that is smaller than the tree changes its frames in every few hundred steps.
 */
function churn(target: Run, random: Random, key: NearKey, megabytes: number, sizes: readonly number[]): void {
  let bytes = 0;
  const keys: string[] = [];
  while (bytes < megabytes * 1024 * 1024) {
    const near = below(random, 1000);
    for (let i = 0; i < 300; i++) {
      const name = key(random, near);
      const value = randomValue(random, sizes);
      target.apply({ op: 'put', key: name, value });
      keys.push(name);
      bytes += name.length + value.length + 20;
    }
  }
  for (let round = 0; round < 3; round++) {
    for (let start = 0; start < keys.length; start += 100) {
      const share = random();
      for (let i = start; i < start + 100 && i < keys.length; i++) {
        const name = keys[i] as string;
        if (random() < share) target.apply({ op: 'delete', key: name });
        else if (random() < 0.2) target.apply({ op: 'put', key: name, value: randomValue(random, sizes) });
      }
    }
    if (round === 0) target.apply({ op: 'compact' });
    else if (round === 1) target.apply({ op: 'reopen' });
  }
}

describe('trees larger than the cache', () => {
  const small = [10, 50, 100, 200];
  const mixed = [10, 100, 1000, 4000, 30_000, 131_072];
  const bytesOf = (random: Random, count: number): string =>
    String.fromCharCode(...Array.from({ length: count }, () => below(random, 256)));
  const path: NearKey = (random, near) =>
    `d/home/user${near % 20}/project-${near % 50}/src/file-${near}-${below(random, 2000)}.txt`;
  const cases: {
    name: string;
    place: Place;
    options: TreeOptions;
    key: NearKey;
    sizes: number[];
    megabytes: number;
  }[] = [
    { name: 'paths', place: 'store', options: {}, key: path, sizes: small, megabytes: 20 },
    { name: 'paths with mixed values', place: 'store', options: {}, key: path, sizes: mixed, megabytes: 40 },
    {
      name: 'random bytes',
      place: 'store',
      options: {},
      key: (random, near) =>
        String.fromCharCode(near & 255, near >> 7) + bytesOf(random, 1 + below(random, 5)),
      sizes: [0, 100, 700],
      megabytes: 20,
    },
    {
      name: 'long keys',
      place: 'store',
      options: {},
      key: (random, near) =>
        `${'x'.repeat(600)}${near % 40}${'y'.repeat(below(random, 600))}${below(random, 1000)}`,
      sizes: [0, 100, 5000],
      megabytes: 30,
    },
    {
      name: 'largest values below few bytes',
      place: 'store',
      options: {},
      key: (random) =>
        `${'v'.repeat(300)}${below(random, 4)}${'w'.repeat(below(random, 3))}${below(random, 60)}`,
      sizes: [131_072, 131_000, 90_000, 10],
      megabytes: 40,
    },
    {
      name: 'in a directory',
      place: 'dir',
      options: { durability: 'written' },
      key: path,
      sizes: mixed,
      megabytes: 32,
    },
    {
      name: 'in a directory, buffered',
      place: 'dir',
      options: { durability: 'buffered' },
      key: path,
      sizes: small,
      megabytes: 12,
    },
  ];
  for (const [i, { name, place, options, key, sizes, megabytes }] of cases.entries()) {
    test(name, () => {
      run = new Run(place, { cacheBytes: SMALL_CACHE, ...options });
      churn(run, seededRandom(100 + i), key, megabytes, sizes);
      run.finish();
    });
  }
});

describe('special shapes', () => {
  test('a chain of 4000 keys, each the beginning of the next, in both orders', () => {
    run = new Run('store', { cacheBytes: SMALL_CACHE });
    for (let i = 1; i <= 4000; i++)
      run.apply({ op: 'put', key: 'n'.repeat(i % 2 === 0 ? i : 4001 - i), value: Buffer.alloc(200, i) });
    run.finish();
    for (let i = 1; i <= 4000; i += 3) run.apply({ op: 'delete', key: 'n'.repeat(i) });
    run.apply({ op: 'compact' });
    run.finish();
  });

  /** A tree whose blob 2 holds the keys below 'ra' and, until they are deleted, a few below 'rb'. */
  function lopsided(fill: number): Run {
    const target = new Run('store', { cacheBytes: SMALL_CACHE });
    run = target;
    const value = Buffer.alloc(3000, 'v');
    for (let i = 0; i < 20; i++) {
      for (const byte of 'aaaaaabccc') {
        const name = `r${byte}${Math.floor(i / 2)}${byte}${target.model.records.size}`;
        target.apply({ op: 'put', key: name, value });
      }
    }
    target.apply({ op: 'deletePrefix', key: 'rb' });
    const filled = (): number =>
      target.tree.stats().blobs.find(({ id }) => id === 2)?.liveBytes ?? Number.POSITIVE_INFINITY;
    for (let i = 0; filled() < fill * 524_288; i++) {
      target.apply({ op: 'put', key: `ra${i % 10}new${i}`, value: Buffer.alloc(500, 'n') });
    }
    return target;
  }

  test('a full blob is not lifted under a byte that leads to it and has no keys in it', () => {
    const target = lopsided(0.9);
    target.apply({ op: 'put', key: 'rb', value: Buffer.alloc(131_072, 'b') });
    target.apply({ op: 'put', key: 'rbb', value: Buffer.alloc(131_072, 'b') });
    target.finish();
  });

  test('a blob that leads to one subtree only is divided within it', () => {
    const target = lopsided(0.8);
    for (let i = 0; i < 6; i++)
      target.apply({ op: 'put', key: `ra${i}big`, value: Buffer.alloc(131_072, 'b') });
    target.finish();
  });

  test('keys nested through more blobs than the cache can follow are refused, and all else goes on', () => {
    run = new Run('store', { cacheBytes: SMALL_CACHE });
    const { tree } = run;
    let length = 0;
    let code: string | undefined;
    while (code === undefined && length < 16_000) {
      length++;
      code = codeOf(() => tree.put('n'.repeat(length), Buffer.alloc(4000, length)), 'ERR_NO_SPACE');
    }
    expect(code).toBe('ERR_NO_SPACE');
    expect([...tree.range({ keysOnly: true })]).toHaveLength(length - 1);
    tree.put('o', Buffer.from('elsewhere'));
    for (let i = length - 1; i > 0; i--) expect(tree.delete('n'.repeat(i))).toBe(true);
    tree.compact();
    expect(tree.stats()).toMatchObject({ keyCount: 1, blobCount: 1 });
  });

  test('a batch over several full blobs fits the smallest cache', () => {
    run = new Run('store', { cacheBytes: SMALL_CACHE });
    const target = run;
    const random = seededRandom(11);
    for (let i = 0; i < 1500; i++) {
      const steps = Array.from({ length: 5 }, () => ({
        op: 'put' as const,
        key: `d/${below(random, 6)}/${below(random, 9000)}`,
        value: Buffer.alloc(below(random, 3000), i),
      }));
      target.apply({ op: 'atomic', steps });
    }
    target.finish();
    expect(target.tree.stats().blobCount).toBeGreaterThan(16);
  });

  test('one put does not set off a cascade of splits', () => {
    run = new Run('store', { cacheBytes: SMALL_CACHE });
    // A path of 64 nodes without branches leads to three values that fill a blob.
    for (const end of 'abcdefgh')
      run.apply({ op: 'put', key: `${'k'.repeat(16_000)}${end}`, value: Buffer.alloc(131_072, end) });
    run.finish();
    expect(run.tree.stats().spillovers).toBeLessThan(5);
  });
});
