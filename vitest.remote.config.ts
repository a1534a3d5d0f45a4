import { defineConfig } from 'vitest/config';

/** What needs a server: scripts/test-remote starts one, and runs this. */
export default defineConfig({
  test: {
    include: ['test/remote/*.remote.ts', 'test/soak/**/*.remote.ts'],
    globalSetup: ['test/support/run-directory.ts', 'test/support/build.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
