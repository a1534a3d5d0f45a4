/** When a round begins, and what may become dirty meanwhile: for every size of tree, so that frames suffice. */
import { expect, test } from 'vitest';
import {
  heldLimitOf,
  mayBeDirtyBetween,
  mayBeDirtyInRound,
  roundDueAt,
} from '../../../engine/cache/held-frames.js';

const CACHES = [16, 32, 128, 512, 12_288];

test.each(CACHES)('of %i frames some are always free to leave, and most may be held', (frames) => {
  const limit = heldLimitOf(frames);
  expect(frames - limit).toBeGreaterThanOrEqual(4);
  expect(limit).toBeGreaterThanOrEqual(frames * 0.75);
});

test('of a large cache more than nine tenths may be held', () => {
  expect(heldLimitOf(512)).toBe(480);
});

test.each(CACHES)('with %i frames a tree that fits needs no round for the sake of frames', (frames) => {
  const limit = heldLimitOf(frames);
  const growth = Math.max(1, Math.floor(limit / 64));
  expect(roundDueAt(limit, limit - growth)).toBe(Number.POSITIVE_INFINITY);
  expect(roundDueAt(limit, limit - growth + 1)).toBeLessThan(limit);
  expect(mayBeDirtyInRound(Number.POSITIVE_INFINITY, 10, 3)).toBe(Number.POSITIVE_INFINITY);
});

test.each(CACHES)('with %i frames, what becomes dirty in a round finds room beside it', (frames) => {
  const limit = heldLimitOf(frames);
  let before = limit;
  for (let blobs = limit; blobs < limit * 20; blobs += Math.ceil(limit / 7)) {
    const due = roundDueAt(limit, blobs);
    // The larger the tree, the earlier; never before half of the limit, where writers and rounds are even.
    expect(due).toBeLessThanOrEqual(before);
    expect(due).toBeGreaterThanOrEqual(Math.floor(limit / 2));
    before = due;
    // Of `due` blobs that change at random so many were not captured.
    expect(due + (due * (blobs - due)) / blobs).toBeLessThanOrEqual(limit);
    expect(mayBeDirtyBetween(limit, due)).toBeLessThan(limit);
  }
});

test('each blob that a round writes lets writers go on, up to when the next is due', () => {
  const due = 250;
  for (const captured of [1, 2, 40, 250, 480]) {
    let before = 0;
    for (let written = 0; written <= captured; written++) {
      const may = mayBeDirtyInRound(due, captured, written);
      expect(may).toBeGreaterThanOrEqual(Math.max(1, before));
      before = may;
    }
    // The rest is for its last step.
    expect(before).toBeLessThan(due);
    expect(before).toBeGreaterThan(due * 0.8);
  }
});
