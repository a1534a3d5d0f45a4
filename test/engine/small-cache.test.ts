/** The smallest cache that is allowed must do for every batch that the namespace makes. */
import { expect, it } from 'vitest';
import { Tree } from '../../engine/index.js';
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
