/**
 * A tree that follows a remote: writers by turns, checkpoints, collections, followers that are away for long or get no answers, and what they play
 * fails in between. What must never be is told in test/support/object/followed-world.ts.
 */
import { FollowedWorld } from '../../support/object/followed-world.js';
import { isLong, soak } from '../soak.js';

const STEPS = isLong ? 1_500 : 300;

soak({ line: 20, title: 'trees that follow', seeds: 6 }, async (seed) => {
  const world = new FollowedWorld(seed);
  await world.run(STEPS);
  return world.figures;
});
