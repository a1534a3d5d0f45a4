/** Sums after every step of random operations, reopenings and kills: what a walk comes to, and sound in the store. */
import fc from 'fast-check';
import { describe, test } from 'vitest';
import type { TreeOptions } from '../../../../engine/api.js';
import { Measure } from '../../../../engine/art/measure.js';
import { FileBlobStore, MemoryBlobStore, Tree } from '../../../../engine/index.js';
import { verifyBlobs } from '../../../../engine/tree/verify/verify.js';
import type { MemoryDisk } from '../../../support/disk/memory-disk.js';
import { seededRandom } from '../../../support/disk/random.js';
import { assertSums, SIZES } from '../../../support/measured.js';
import { SeededTree, STORE } from '../../../support/seeded-tree.js';
import { type Place, Run, SMALL_CACHE } from '../harness.js';
import { below, KEY_SPACES, operationOf, prefixOf, type Random } from '../keys.js';
import { keyOf } from '../model.js';

/** Prefixes of keys that are there, and all of the tree. */
function assertSomeSums(tree: Tree, random: Random, names: readonly string[]): void {
  const name = names[below(random, names.length)];
  assertSums(tree, keyOf(name === undefined ? '' : prefixOf(random, name)));
}

function play(place: Place, options: TreeOptions, seed: number, count: number, large: boolean): void {
  const random = seededRandom(seed);
  const pool: string[] = [];
  const keys = (): string => {
    if (pool.length > 0 && random() < 0.6) return pool[below(random, pool.length)] as string;
    const key = (KEY_SPACES[below(random, KEY_SPACES.length)] as (typeof KEY_SPACES)[number]).key(random);
    pool.push(key);
    return key;
  };
  const run = new Run(place, { cacheBytes: SMALL_CACHE, measure: SIZES, ...options }, large);
  try {
    for (let i = 0; i < count; i++) {
      run.apply(operationOf(random, keys, large));
      assertSomeSums(run.tree, random, run.model.sorted());
    }
    assertSums(run.tree, '');
    run.finish();
  } finally {
    run.end();
  }
}

describe('sums are those of a walk at every step', () => {
  const cases: { name: string; place: Place; runs: number; count: number; large: boolean }[] = [
    { name: 'in memory', place: 'memory', runs: 10, count: 150, large: false },
    { name: 'on a store', place: 'store', runs: 10, count: 200, large: false },
    { name: 'with large values', place: 'store', runs: 6, count: 300, large: true },
    { name: 'in a directory', place: 'dir', runs: 5, count: 150, large: true },
  ];
  for (const { name, place, runs, count, large } of cases) {
    test(name, () => {
      fc.assert(
        fc.property(fc.integer(), (seed) => play(place, {}, seed, count, large)),
        { numRuns: runs, seed: 20_261_130, endOnFailure: true },
      );
    });
  }
});

/** Throws unless what the store holds carries the sums of its records. */
function checkStored(disk: MemoryDisk): void {
  const store = FileBlobStore.open({ dir: STORE, disk, readOnly: true });
  try {
    verifyBlobs(
      store,
      (message) => {
        throw new Error(message);
      },
      undefined,
      undefined,
      new Measure(SIZES),
    );
  } finally {
    store.close();
  }
}

test('sums survive power cuts at random moments of a load, and what is stored has them', () => {
  for (let seed = 1; seed <= 6; seed++) {
    const site = new SeededTree(seed, { scale: seed % 2 === 0 ? 'small' : 'large' });
    try {
      for (let cut = 0; cut < 4; cut++) {
        for (let done = 0; done < 25; done++) {
          site.apply(site.operation(false));
          assertSomeSums(site.tree, site.random, site.run.model.sorted());
        }
        // `restart` compares the sums of what it finds, as it does the records.
        site.restart(site.disk.inner.afterPowerCut(site.random));
        site.tree.checkpoint();
        checkStored(site.disk.inner.afterKill());
      }
    } finally {
      site.end();
    }
  }
});

test('a split, a merge, a graft and a compaction of a large tree keep the sums, and so does reopening', () => {
  const store = new MemoryBlobStore();
  const open = () => Tree.open({ store, flushOnWrite: false, cacheBytes: SMALL_CACHE, measure: SIZES });
  let tree = open();
  const random = seededRandom(5);
  for (let i = 0; i < 12_000; i++) {
    tree.put(`dir${i % 37}/sub${i % 5}/file${i}`, new Uint8Array(below(random, 400)));
  }
  const prefixes = ['', 'dir1', 'dir12/', 'dir12/sub2/', 'dir36/sub1/file', 'none'];
  const check = () => {
    for (const prefix of prefixes) assertSums(tree, prefix);
  };
  check();
  tree.renamePrefix('dir12/', 'moved/far/away/from/there/');
  tree.renamePrefix('dir3/', 'dir12/');
  check();
  assertSums(tree, 'moved/');
  for (let i = 0; i < 12_000; i += 1 + below(random, 2)) tree.delete(`dir${i % 37}/sub${i % 5}/file${i}`);
  check();
  tree.compact();
  check();
  tree.checkpoint();
  tree.close();
  tree = open();
  check();
  tree.close();
});
