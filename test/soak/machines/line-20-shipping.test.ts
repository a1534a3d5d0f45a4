/**
 * Real stores shipped to one remote by two or three machines that are killed, stand still and are cut off: what must never be is told in
 * test/support/shipping/shipping-world.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runShipping } from '../../support/shipping/run-shipping.js';
import { ShippingWorld } from '../../support/shipping/shipping-world.js';
import { isLong, soak } from '../soak.js';

const STEPS = isLong ? 12_000 : 1_500;

soak({ line: 20, title: 'stores that are shipped to one remote', seeds: 2 }, async (seed) => {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-shipping-'));
  try {
    const world = new ShippingWorld(seed, directory);
    await runShipping(world, 2 + (seed % 2), STEPS);
    return { steps: world.simulation.steps, ...world.figures };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
