/**
 * The protocol with an object store, simulated: two or three machines that write by turns, one or two that follow, requests and answers that get
 * lost or come late, machines that stand still, are cut off and killed. What must never be is told in
 * test/support/object/remote-world.ts.
 */
import { runMachines } from '../../support/object/remote-machines.js';
import { RemoteWorld } from '../../support/object/remote-world.js';
import { isLong, soak } from '../soak.js';

const STEPS = isLong ? 50_000 : 15_000;

soak({ line: 20, title: 'writers and followers of one remote', seeds: 6 }, async (seed) => {
  const world = new RemoteWorld(seed);
  await runMachines(world, 2 + (seed % 2), 1 + ((seed >> 1) % 2), STEPS);
  await world.finish();
  return { steps: world.simulation.steps, ...world.figures };
});
