import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/order.js';

/**
 * For the processes that tests run in. They open and close thousands of stores, each with tens of megabytes of shared memory of which little is
 * touched. By itself malloc gives back what was freed before, cleared and so all in memory; with this set each is fresh of the system.
 */
process.env.MALLOC_MMAP_THRESHOLD_ ??= '131072';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/run-directory.ts', 'test/support/build.ts'],
    sequence: { sequencer: LongestFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
