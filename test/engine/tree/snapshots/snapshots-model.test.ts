/** Random operations, snapshots among them: each is what the tree was, until it is deleted, and differences are what changed. */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { TreeOptions } from '../../../../engine/api.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { seededRandom } from '../../../support/disk/random.js';
import { type Place, SMALL_CACHE } from '../harness.js';
import { below, KEY_SPACES, operationOf, pick, randomValue } from '../keys.js';
import { SnapshotRun } from './snapshot-run.js';

let run: SnapshotRun | undefined;
afterEach(() => {
  run?.end();
  run = undefined;
});

function play(place: Place, options: TreeOptions, seed: number, count: number, large: boolean): void {
  const random = seededRandom(seed);
  const space = KEY_SPACES[below(random, KEY_SPACES.length + 1)];
  const pool: string[] = [];
  const keys = (): string => {
    if (pool.length > 0 && random() < 0.6) return pick(random, pool);
    const key = (space ?? pick(random, KEY_SPACES)).key(random);
    pool.push(key);
    return key;
  };
  run = new SnapshotRun(place, { cacheBytes: SMALL_CACHE, ...options }, large);
  let taken = 0;
  try {
    for (let i = 0; i < count; i++) {
      const roll = random();
      if (roll < 0.03) run.take(`s${++taken}`);
      else if (roll < 0.05 && run.names.length > 0) run.drop(pick(random, run.names));
      else if (roll < 0.06) run.compareSnapshots(random);
      else if (roll < 0.07) run.compareDiffs(random);
      else run.apply(operationOf(random, keys, large));
    }
    run.compareSnapshots(random);
    run.compareDiffs(random);
    run.finish();
    run.compareSnapshots(random);
    for (const name of run.names) run.drop(name);
    run.finish();
    const { snapshots, blobCount } = run.tree.stats();
    expect(snapshots).toEqual({ count: 0, bytes: 0 });
    expect(run.tree.store.listBlobs()).toHaveLength(blobCount);
  } finally {
    run.end();
    run = undefined;
  }
}

describe('snapshots agree with the model', () => {
  const cases: {
    name: string;
    place: Place;
    options: TreeOptions;
    runs: number;
    count: number;
    large: boolean;
  }[] = [
    { name: 'in memory', place: 'memory', options: {}, runs: 15, count: 300, large: false },
    { name: 'on a store', place: 'store', options: {}, runs: 25, count: 300, large: false },
    { name: 'on a store, large values', place: 'store', options: {}, runs: 10, count: 500, large: true },
    {
      name: 'in a directory',
      place: 'dir',
      options: { durability: 'buffered' },
      runs: 8,
      count: 200,
      large: true,
    },
    { name: 'synced', place: 'dir', options: { durability: 'synced' }, runs: 2, count: 60, large: false },
  ];
  for (const { name, place, options, runs, count, large } of cases) {
    test(name, () => {
      fc.assert(
        fc.property(fc.integer(), fc.integer({ min: 1, max: count }), (seed, operations) => {
          play(place, options, seed, operations, large);
        }),
        { numRuns: runs, seed: 20_261_130, endOnFailure: true, examples: [[7, count]] },
      );
    });
  }

  test('of a tree larger than the cache, thinned out, filled and moved about', () => {
    const target = new SnapshotRun('dir', { cacheBytes: SMALL_CACHE, durability: 'buffered' });
    run = target;
    const random = seededRandom(5);
    const path = (near: number, n: number): string =>
      `d/home/user${near % 20}/project-${near}/src/file-${n}.txt`;
    const sizes = [10, 100, 1000, 4000, 30_000];
    for (let near = 0; near < 40; near++) {
      for (let n = 0; n < 100; n++)
        target.apply({ op: 'put', key: path(near, n), value: randomValue(random, sizes) });
    }
    expect(target.tree.stats().totalSpaceUsed).toBeGreaterThan(SMALL_CACHE * 1.5);
    for (let round = 0; round < 6; round++) {
      target.take(`round ${round}`);
      for (let change = 0; change < 30; change++) {
        const near = below(random, 40);
        const n = below(random, 100);
        const roll = random();
        if (roll < 0.3) target.apply({ op: 'delete', key: path(near, n) });
        else if (roll < 0.4)
          target.apply({
            op: 'renamePrefix',
            key: `d/home/user${near % 20}/`,
            to: `d/home/moved${round}-${change}/`,
          });
        else if (roll < 0.45) target.apply({ op: 'deletePrefix', key: path(near, n).slice(0, -8) });
        else target.apply({ op: 'put', key: path(near, n), value: randomValue(random, sizes) });
      }
      if (round === 2) target.apply({ op: 'compact' });
      if (round === 4) target.apply({ op: 'kill' });
    }
    target.compareSnapshots(random);
    target.compareDiffs(random);
    const total = target.tree.stats().snapshots.bytes;
    const own = target.tree.snapshots().reduce((sum, { ownBytes }) => sum + ownBytes, 0);
    expect(total).toBeGreaterThan(10 * BLOB_SIZE);
    expect(own).toBeLessThanOrEqual(total);
    for (const name of ['round 1', 'round 4', 'round 0']) target.drop(name);
    target.compareSnapshots(random);
    for (const name of target.names) target.drop(name);
    target.finish();
    expect(target.tree.stats().snapshots).toEqual({ count: 0, bytes: 0 });
  });
});
