/** How full blobs are, and how deep the tree of blobs is, after loads, churn, deletions and compaction. */
import { describe, expect, test } from 'vitest';
import { Tree } from '../../../engine/index.js';
import { MemoryBlobStore } from '../../../engine/store/memory-blob-store.js';
import { checkStore } from './check.js';

const VALUE = Buffer.alloc(64, 'v');
const CACHE_BYTES = 256 * 1024 * 1024;

const pad = (number: number, width: number): string => String(number).padStart(width, '0');

/** xorshift32. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function noise(i: number): Buffer {
  const random = randomNumbers(Math.imul(i + 1, 0x9e3779b1) | 1);
  const bytes = Buffer.alloc(32);
  for (let at = 0; at < 32; at += 4) bytes.writeUInt32LE(Math.floor(random() * 2 ** 32), at);
  return bytes;
}

/** Keys by number, which go to so many directories in turn. */
const SHAPES = {
  bucket: {
    groups: 32,
    key: (i: number) =>
      Buffer.from(`bucket-${pad(i % 32, 2)}/path/sub/file-${pad(Math.floor(i / 32), 4)}.bin`),
  },
  local: {
    groups: 32,
    key: (i: number) => Buffer.from(`/usr/local/share/category-${i % 32}/file-${pad(Math.floor(i / 32), 4)}`),
  },
  bytes: { groups: 1, key: noise },
};
type Shape = keyof typeof SHAPES;
type Order = 'sorted' | 'random' | 'interleaved';

function shuffle(list: number[], random: () => number): number[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j] as number, list[i] as number];
  }
  return list;
}

function inOrder(shape: Shape, order: Order, count: number): number[] {
  const { groups, key } = SHAPES[shape];
  const numbers = Array.from({ length: count }, (_, i) => i);
  if (order === 'interleaved') return numbers;
  if (order === 'random') return shuffle(numbers, randomNumbers(1));
  if (groups === 1) {
    const keys = numbers.map(key);
    return numbers.sort((a, b) => Buffer.compare(keys[a] as Buffer, keys[b] as Buffer));
  }
  return numbers.sort((a, b) => (a % groups) - (b % groups) || a - b);
}

function load(
  shape: Shape,
  order: Order,
  count: number,
  value = VALUE,
): { tree: Tree; store: MemoryBlobStore } {
  const store = new MemoryBlobStore();
  const tree = Tree.open({ store, flushOnWrite: false, cacheBytes: CACHE_BYTES });
  const { key } = SHAPES[shape];
  for (const i of inOrder(shape, order, count)) tree.put(key(i), value);
  return { tree, store };
}

/** Checks the invariants of all blobs, and that what stats tell of the depth is not less than the truth. */
function check({ tree, store }: { tree: Tree; store: MemoryBlobStore }, keys: number): void {
  tree.checkpoint();
  const checked = checkStore(store);
  expect(checked.leaves).toBe(keys);
  expect(tree.stats().maxBlobDepth).toBeGreaterThanOrEqual(checked.depth);
}

const shapes = Object.keys(SHAPES) as Shape[];
const orders: Order[] = ['sorted', 'random', 'interleaved'];
const cases = shapes.flatMap((shape) => orders.map((order) => [shape, order] as const));

/** A directory of so many keys takes two thirds of a blob, which only keys of the same directory can share. */
const COUNT = 125_000;

describe('after a load', () => {
  test.each(cases)('%s keys, %s: 125,000', (shape, order) => {
    const loaded = load(shape, order, COUNT);
    const { averageFill, maxBlobDepth } = loaded.tree.stats();
    expect(averageFill).toBeGreaterThanOrEqual(0.6);
    expect(maxBlobDepth).toBeLessThanOrEqual(2);
    check(loaded, COUNT);
    loaded.tree.compact();
    expect(loaded.tree.stats().averageFill).toBeGreaterThanOrEqual(0.63);
    expect(loaded.tree.stats().maxBlobDepth).toBeLessThanOrEqual(2);
    check(loaded, COUNT);
    loaded.tree.close();
  });

  test.each(cases)('%s keys, %s: 20,000 take no more than 7 blobs', (shape, order) => {
    const { tree } = load(shape, order, 20_000);
    expect(tree.stats().blobCount).toBeLessThanOrEqual(7);
    expect(tree.stats().maxBlobDepth).toBe(2);
    tree.close();
  });

  test('the root blob keeps room for what is new to its nodes', () => {
    const { tree } = load('bucket', 'random', 4000, Buffer.alloc(1000));
    expect(tree.stats().averageFill).toBeGreaterThanOrEqual(0.75);
    expect(tree.stats().maxBlobDepth).toBe(2);
    tree.close();
  });

  test('directories of several blobs each, which all grow at once, hang from the root blob', () => {
    const count = 25_000;
    const loaded = load('bucket', 'interleaved', count, Buffer.alloc(1000));
    expect(loaded.tree.stats().averageFill).toBeGreaterThanOrEqual(0.7);
    expect(loaded.tree.stats().maxBlobDepth).toBe(2);
    check(loaded, count);
    loaded.tree.close();
  });
});

test.each(shapes)('%s keys: churn leaves blobs as full as they were, and compaction fills them', (shape) => {
  const count = COUNT;
  const loaded = load(shape, 'random', count);
  const { tree } = loaded;
  const random = randomNumbers(2);
  const names = new Array<string>(count).fill('');
  const keyOf = (i: number): Buffer => Buffer.concat([SHAPES[shape].key(i), Buffer.from(names[i] as string)]);
  for (let round = 0; round < 6; round++) {
    const half = shuffle(
      Array.from({ length: count }, (_, i) => i),
      random,
    ).slice(count / 2);
    for (const i of half) tree.delete(keyOf(i));
    for (const i of half.reverse()) {
      if (round % 2 === 1) names[i] = `-${round}`;
      tree.put(keyOf(i), VALUE);
    }
  }
  expect(tree.stats().averageFill).toBeGreaterThanOrEqual(0.57);
  expect(tree.stats().maxBlobDepth).toBeLessThanOrEqual(2);
  tree.compact();
  expect(tree.stats().averageFill).toBeGreaterThanOrEqual(0.6);
  expect(tree.stats().maxBlobDepth).toBeLessThanOrEqual(2);
  check(loaded, count);
  tree.close();
});

test.each(shapes)('%s keys: compaction unites what deletions left', (shape) => {
  const count = COUNT;
  const loaded = load(shape, 'random', count);
  const { tree } = loaded;
  const random = randomNumbers(3);
  let left = count;
  for (let i = 0; i < count; i++) if (random() < 0.6 && tree.delete(SHAPES[shape].key(i))) left--;
  const { averageFill, blobCount, liveBytes } = tree.stats();
  tree.compact();
  const after = tree.stats();
  expect(after.averageFill).toBeGreaterThanOrEqual(1.6 * averageFill);
  expect(after.averageFill).toBeGreaterThanOrEqual(0.5);
  expect(after.blobCount).toBeLessThan(blobCount);
  expect(after.liveBytes).toBeLessThanOrEqual(liveBytes);
  check(loaded, left);
  for (let i = 0, at = randomNumbers(3); i < count; i++) {
    expect(tree.getVersion(SHAPES[shape].key(i)) === undefined).toBe(at() < 0.6);
  }
  tree.close();
});
