/**
 * The engine alone: put, get, list of 100 and directory rollup, at 20,000 and 500,000 path-shaped keys with 64-byte
 * values, on a store in a directory at durability `written`, and `buffered` beside it for put.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tree } from '../../dist/engine/index.js';
import { measure } from './measure.mjs';

const VALUE = Buffer.alloc(64, 'v');
const OPERATIONS = 20_000;

/** The two shapes of keys, and the level that their rollup lists. */
const SHAPES = {
  bucket: {
    key: (i) => `bucket-${pad(i % 32, 2)}/path/sub/file-${pad(Math.floor(i / 32), 4)}.bin`,
    rollup: '',
  },
  local: {
    key: (i) => `/usr/local/share/category-${i % 64}/file-${pad(Math.floor(i / 64), 4)}`,
    rollup: '/usr/local/share/',
  },
};

function pad(number, width) {
  return String(number).padStart(width, '0');
}

/** A shuffle that is the same in every run (a multiplicative walk through all indices). */
function shuffled(keys) {
  const step = 7_368_787 % keys.length;
  return keys.map((_, i) => keys[(i * step) % keys.length]);
}

export function benchEngine(sizes) {
  for (const shape of Object.keys(SHAPES)) for (const count of sizes) benchShape(shape, count);
}

function benchShape(shape, count) {
  const { key, rollup } = SHAPES[shape];
  const keys = Array.from({ length: count }, (_, i) => Buffer.from(key(i)));
  const labels = { shape, keys: count, durability: 'written' };
  withTree('written', (tree) => {
    for (const each of keys) tree.put(each, VALUE);
    const some = shuffled(keys).slice(0, OPERATIONS);
    measure('engine.get', labels, some.length, () => {
      for (const each of some) tree.get(each);
    });
    measure('engine.put', labels, some.length, () => {
      for (const each of some) tree.put(each, VALUE);
    });
    const starts = some.slice(0, 500);
    measure('engine.list100', labels, starts.length, () => {
      for (const start of starts) {
        let left = 100;
        for (const _ of tree.range({ startAfter: start })) if (--left === 0) break;
      }
    });
    measure('engine.rollup', labels, 200, () => {
      for (let i = 0; i < 200; i++) for (const _ of tree.range({ prefix: rollup, delimiter: '/' }));
    });
    const { averageFill, liveBytes, maxBlobDepth } = tree.stats();
    console.log(
      JSON.stringify({
        figure: 'engine.space',
        ...labels,
        averageFill,
        bytesPerKey: liveBytes / count,
        maxBlobDepth,
      }),
    );
  });
  withTree('buffered', (tree) => {
    for (const each of keys) tree.put(each, VALUE);
    const some = shuffled(keys).slice(0, OPERATIONS);
    measure('engine.put', { ...labels, durability: 'buffered' }, some.length, () => {
      for (const each of some) tree.put(each, VALUE);
    });
  });
}

function withTree(durability, use) {
  const dir = mkdtempSync(join(tmpdir(), 'spinney-bench-'));
  const tree = Tree.open({ dir, durability, cacheBytes: 512 * 1024 * 1024 });
  try {
    use(tree);
  } finally {
    tree.close();
    rmSync(dir, { recursive: true });
  }
}
