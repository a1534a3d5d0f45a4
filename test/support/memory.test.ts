/** Processes of the tests stay small, however many stores they open (vitest.config.ts). */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { Tree } from '../../engine/index.js';
import { MIN_CACHE_BYTES } from '../../engine/limits.js';
import { MemoryDisk } from './disk/memory-disk.js';

const STORES = 24;
/** Of the whole process. */
const MOST_BYTES = 250 * 1024 * 1024;

it('many stores, one after the other, take as much memory as is touched', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const openMany = () => {
    for (let n = 0; n < STORES; n++)
      Tree.open({ dir: '/store', cacheBytes: MIN_CACHE_BYTES }, { disk: new MemoryDisk() }).close();
  };
  openMany();
  // Now malloc has memory to give out again.
  collect();
  openMany();
  expect(process.memoryUsage.rss()).toBeLessThan(MOST_BYTES);
});
