/** Caches beyond the 4 GiB that one typed array can span. Memory is taken only where it is touched. */

import { totalmem } from 'node:os';
import { expect, test } from 'vitest';
import { FrameCache } from '../../../engine/cache/frame-cache.js';
import { PreImages } from '../../../engine/cache/pre-images.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { Control } from '../../../engine/shared/control.js';

const GIB = 1024 ** 3;
const CACHE_BYTES = 5 * GIB;

/** The system gives no process more address space at once than there is memory. */
const isPossible = totalmem() > CACHE_BYTES * 1.5;

test.skipIf(!isPossible)('its last frame is as good as its first', () => {
  const cache = new FrameCache(new Control(), { bytes: CACHE_BYTES });
  const last = cache.frame(cache.count - 1);
  last.format(77);
  cache.frame(0).format(1);
  expect(last.blobId).toBe(77);
  expect(cache.frame(0).blobId).toBe(1);
});

test.skipIf(!isPossible)('all pre-images together may be beyond it', () => {
  const preImages = new PreImages(new Control(), { frames: (CACHE_BYTES * 8) / BLOB_SIZE });
  const image = Buffer.alloc(BLOB_SIZE, 'x');
  const into = new Uint8Array(BLOB_SIZE);
  expect(preImages.keep(5, image)).toBe(true);
  expect(preImages.waiting()).toBe(5);
  expect(preImages.take(5, into)).toBe(true);
  expect(image.equals(into)).toBe(true);
});
