/** Power cuts and kills among changes, snapshots and their deletion: each snapshot shows what was there at its moment. */
import { Walk } from '../../filesystem/snapshots/snapshot-walk.js';
import { soak } from '../soak.js';

const OPTIONS = [
  { isKernel: true, clones: false },
  { isKernel: true, clones: true, hasWorker: true },
  { isKernel: false, clones: false, hasWorker: true },
] as const;

soak({ line: 2, title: 'snapshots of names and contents', seeds: 3 }, (seed) => {
  const walk = new Walk(OPTIONS[seed % OPTIONS.length]!, seed);
  walk.run();
  const { take = 0, cut = 0, kill = 0 } = walk.done;
  return { snapshots: take, cuts: cut, kills: kill };
});
