/** When rounds begin, and that writers go on while one is under way. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { roundDueAt } from '../../../../engine/cache/held-frames.js';
import { Tree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { C_ROUND_WANTED } from '../../../../engine/shared/control.js';
import { MemoryBlobStore } from '../../../../engine/store/memory-blob-store.js';
import { seededRandom } from '../../../support/disk/random.js';
import { checkStore } from '../check.js';
import { below } from '../keys.js';
import { openSides, type Side, shadow, WouldWait } from './sides.js';

const VALUE = Buffer.alloc(20_000, 'v');
const FRAMES = 32;

let dir: string;
let tree: Tree | undefined;

beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-rounds-'));
});
afterEach(() => {
  tree?.close();
  tree = undefined;
  fs.rmSync(dir, { recursive: true, force: true });
});

const name = (i: number): string => `key-${String(i).padStart(6, '0')}`;

/** Keys until the tree has so many blobs; returns how many. */
function fill(target: Tree, blobs: number): number {
  let keys = 0;
  while (target.stats().blobCount < blobs) for (let i = 0; i < 10; i++) target.put(name(keys++), VALUE);
  return keys;
}

test('a tree that fits in the cache changes at random without a round', () => {
  // Inline, and no timer in this time: rounds come only where a writer cannot go on without one.
  const checkpoint = { idleIntervalMs: 1e9 };
  tree = Tree.open({ dir, cacheBytes: FRAMES * BLOB_SIZE, durability: 'buffered', checkpoint });
  const keys = fill(tree, Math.floor(FRAMES * 0.85));
  const random = seededRandom(1);
  for (let i = 0; i < 1000; i++) tree.put(name(below(random, keys)), VALUE);
  const { blobCount, bmDirtyCount, checkpoint: done } = tree.stats();
  expect(blobCount).toBeGreaterThan(FRAMES * 0.75);
  expect(bmDirtyCount).toBe(blobCount);
  expect(done.rounds).toBe(0);
});

test('stats tell that a round is under way, and how much of the cache holds blobs', () => {
  const seen: boolean[] = [];
  class WatchedStore extends MemoryBlobStore {
    override writeBlob(...written: Parameters<MemoryBlobStore['writeBlob']>): void {
      seen.push(tree!.stats().checkpoint.isRunning);
      super.writeBlob(...written);
    }
  }
  tree = Tree.open({ store: new WatchedStore(), flushOnWrite: false, cacheBytes: FRAMES * BLOB_SIZE });
  expect(tree.stats().cacheUsedBytes).toBe(tree.stats().blobCount * BLOB_SIZE);
  fill(tree, 5);
  const { cacheUsedBytes, checkpoint } = tree.stats();
  expect([cacheUsedBytes, checkpoint.isRunning]).toEqual([5 * BLOB_SIZE, false]);
  tree.checkpoint();
  expect(seen).toEqual([true, true, true, true, true]);
  expect(tree.stats().checkpoint.isRunning).toBe(false);
  // Of a tree that is larger than the cache no more than the cache.
  fill(tree, FRAMES * 2);
  const most = tree.stats().cacheUsedBytes;
  expect(most).toBeGreaterThan((FRAMES / 2) * BLOB_SIZE);
  expect(most).toBeLessThanOrEqual(FRAMES * BLOB_SIZE);
});

/** Two threads' views of a tree of twice as many blobs as the cache has frames. */
function openLarge(): { a: Side; b: Side; keys: number; store: MemoryBlobStore } {
  const large = new MemoryBlobStore();
  const loaded = Tree.open({ store: large, flushOnWrite: false, cacheBytes: FRAMES * BLOB_SIZE });
  const keys = fill(loaded, 32);
  loaded.checkpoint();
  loaded.close();
  return { ...openSides(large), keys };
}

/** Puts that make frames dirty one by one, in a random order of the keys. */
function dirtier(side: Side, keys: number): () => void {
  const random = seededRandom(7);
  return () => {
    const { cache } = side.state;
    const before = cache.dirty;
    while (cache.dirty === before) side.put(name(below(random, keys)), VALUE);
  };
}

describe('in a tree that does not fit', () => {
  test('a round is wanted while there is still room for writers', () => {
    const { a, keys } = openLarge();
    const { cache, control, blobCount } = a.state;
    const due = roundDueAt(cache.heldLimit, blobCount);
    const dirtyOne = dirtier(a, keys);
    for (let dirty = 1; dirty < due; dirty++) {
      dirtyOne();
      expect(control.words[C_ROUND_WANTED]).toBe(0);
    }
    dirtyOne();
    expect(control.words[C_ROUND_WANTED]).toBe(1);
    expect(cache.held).toBeLessThan(cache.heldLimit);
    a.round.run();
    expect(control.words[C_ROUND_WANTED]).toBe(0);
  });

  test('writers go on in step with what a round has written', () => {
    const { a, b, keys, store } = openLarge();
    const { cache, blobCount } = a.state;
    const due = roundDueAt(cache.heldLimit, blobCount);
    const dirtyOne = dirtier(b, keys);
    for (let dirty = 0; dirty < due; dirty++) dirtyOne();
    /** What the other side could make dirty by each write of the round, until it had to wait. */
    const dirtyAt: number[] = [];
    shadow(store, 'writeBlob', (original, args) => {
      try {
        for (;;) dirtyOne();
      } catch (error) {
        if (!(error instanceof WouldWait)) throw error;
      }
      dirtyAt.push(cache.dirty);
      return original(...args);
    });
    let tended = 0;
    a.round.run(() => tended++);
    expect(tended).toBe(due);
    expect(dirtyAt).toHaveLength(due);
    // From the first write on, a little more with each, and the next round is as large as this one.
    expect(dirtyAt[0]).toBeGreaterThan(0);
    expect(dirtyAt[0]).toBeLessThanOrEqual(due / 2);
    expect(dirtyAt).toEqual([...dirtyAt].sort((x, y) => x - y));
    expect(dirtyAt.at(-1)).toBeGreaterThanOrEqual(due / 2);
    expect(dirtyAt.at(-1)).toBeLessThanOrEqual(due);
    expect(cache.dirty).toBe(dirtyAt.at(-1));
    a.round.run();
    expect(checkStore(store).leaves).toBe(keys);
  });
});
