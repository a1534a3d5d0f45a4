/** The smallest cache that is allowed must do for every batch that the namespace makes, and what it refuses must be told. */
import { expect, it } from 'vitest';
import { type SpinneyError, Tree } from '../../engine/index.js';
import { MIN_CACHE_BYTES } from '../../engine/limits.js';
import { MemoryBlobStore } from '../../engine/store/memory-blob-store.js';

const PLACES = ['d/', 'i/', 'o/', 'x/', 'y/'];
const KEYS = 10_000;

it('a batch that changes five distant blobs fits in the smallest cache', () => {
  const tree = Tree.open({
    store: new MemoryBlobStore(),
    cacheBytes: MIN_CACHE_BYTES,
    flushOnWrite: false,
    checkpoint: { enabled: false },
  });
  const value = new Uint8Array(400);
  const key = (place: string, n: number) => `${place}${String(n % KEYS).padStart(6, '0')}`;
  for (const place of PLACES) for (let n = 0; n < KEYS; n++) tree.put(key(place, n), value);
  expect(tree.stats().totalSpaceUsed).toBeGreaterThan(3 * MIN_CACHE_BYTES);
  for (let round = 0; round < 200; round++) {
    const done = tree.atomic((batch) => {
      for (const [i, place] of PLACES.entries()) {
        const n = (round * 7919 + i * 3001) % KEYS;
        batch.delete(key(place, n));
        batch.put(`${key(place, n)}-moved`, value);
      }
    });
    expect(done).toBe(true);
  }
  expect([...tree.range({ prefix: 'd/', keysOnly: true })]).toHaveLength(KEYS);
  expect(tree.stats().checkpoint.failures).toBe(0);
  tree.close();
});

/** Values so large that a blob holds three, below keys that are each other's beginnings: blob hangs below blob. */
const LARGE = new Uint8Array(120 * 1024);

function openSmallest(): Tree {
  return Tree.open({
    store: new MemoryBlobStore(),
    cacheBytes: MIN_CACHE_BYTES,
    flushOnWrite: false,
    checkpoint: { enabled: false },
  });
}

/** The code of the error that the action throws; undefined: it throws none. */
function refusal(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as SpinneyError).code;
  }
}

it('a tree that is as deep as the cache allows takes nothing that makes other keys unreachable', () => {
  const tree = openSmallest();
  const keys: string[] = [];
  const put = (key: string, value: Uint8Array) => {
    const code = refusal(() => tree.put(key, value));
    if (code === undefined) keys.push(key);
    return code;
  };
  let length = 1;
  while (put('c'.repeat(length), LARGE) === undefined) length++;
  const deepest = keys.at(-1)!;
  const codes = new Set<string | undefined>();
  for (let i = 0; i < 400; i++)
    codes.add(put(`${'c'.repeat(1 + (i % length))}x${i}`, new Uint8Array(20_000)));
  expect([...codes].sort()).toEqual(['ERR_NO_SPACE', undefined]);
  expect([...tree.range({ keysOnly: true })].length).toBe(keys.length);
  expect(tree.delete(deepest)).toBe(true);
  tree.close();
});

it('a batch that needs more frames than there are is refused, not tried for ever', () => {
  const tree = openSmallest();
  const areas = 'ABCDEFGH';
  const value = new Uint8Array(1000);
  for (const area of areas) {
    for (let i = 0; i < 900; i++) tree.put(`${area}${String(i).padStart(5, '0')}`, value);
  }
  let length = 1;
  for (; tree.stats().maxBlobDepth < 5; length++) tree.put('c'.repeat(length), LARGE);
  const codes = new Set<string | undefined>();
  for (let step = 0; step < 6; step++, length++) {
    tree.checkpoint();
    const code = refusal(() => {
      tree.atomic((batch) => {
        for (const area of areas) batch.put(`${area}00450x${step}`, new Uint8Array(10));
        batch.put('c'.repeat(length), LARGE);
      });
    });
    codes.add(code);
    if (code !== undefined) tree.put('c'.repeat(length), LARGE);
  }
  codes.delete(undefined);
  expect([...codes]).toEqual(['ERR_BATCH_TOO_LARGE']);
  expect(tree.get('c'.repeat(length - 1))).toEqual(LARGE);
  tree.close();
});
