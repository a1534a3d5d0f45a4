/** Names that many operations make, move and remove at once: no cycle, no orphan, no wrong count of links. */
import { Tree } from '../../../engine/index.js';
import { Fixture } from '../../filesystem/fixture.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';
import { NamesWork } from './names-work.js';

const OPERATIONS = 2000;

soak({ line: 12, title: 'rename, link, unlink, rmdir, create', seeds: 8 }, (seed) => {
  const random = seededRandom(seed);
  const options = { keepsNodes: random() < 0.5, rests: random() < 0.5 };
  const fixture = new Fixture(Tree.open({ memory: true }), options);
  try {
    const work = new NamesWork(fixture, random);
    while (work.operations < OPERATIONS) {
      work.step();
      if (options.rests && random() < 0.01) fixture.fs.rest();
      if (work.operations % 500 !== 0) continue;
      const damage = work.damage();
      if (damage.length > 0) throw new Error(`after ${work.operations} operations: ${damage.join('; ')}`);
    }
    return { operations: OPERATIONS };
  } finally {
    fixture.cleanUp();
  }
});
