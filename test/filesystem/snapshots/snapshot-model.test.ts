/** Names, contents, snapshots, kills and power cuts at random, against what was there at each snapshot's moment. */
import { describe, it } from 'vitest';
import { Walk } from './snapshot-walk.js';

const SEEDS = 4;

describe.each([
  { isKernel: true, clones: false },
  { isKernel: true, clones: true, hasWorker: true },
  { isKernel: false, clones: false, hasWorker: true },
])('with %j', (options) => {
  it.each(Array.from({ length: SEEDS }, (_, index) => index + 1))('seed %i', (seed) => {
    new Walk(options, seed).run();
  });
});
