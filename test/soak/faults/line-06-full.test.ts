/**
 * The disk or the quota is full at a call that takes space, and stays so for a while: the caller is told so, reads go on,
 * and once there is space again all works. Nothing acknowledged is lost, whenever the power fails.
 */
import type { DiskCallName } from '../../support/disk/faults.js';
import { seededRandom } from '../../support/disk/random.js';
import { countCalls, SeededTree } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 25;
const TAKES_SPACE: ReadonlySet<DiskCallName> = new Set<DiskCallName>([
  'write',
  'allocate',
  'open',
  'rename',
  'link',
]);
/** Cases for each seed, each of a load of its own. */
const CASES = 8;

soak({ line: 6, title: 'ENOSPC and EDQUOT at every Nth write', seeds: 4 }, (seed) => {
  const figures = { cases: 0, refused: 0, operations: 0 };
  for (let count = 0; count < CASES; count++) {
    const random = seededRandom(seed * CASES + count);
    const load = seed * CASES + count;
    const total = countCalls(load, OPERATIONS, ({ name }) => TAKES_SPACE.has(name));
    const site = new SeededTree(load);
    let struck = '';
    try {
      const error = random() < 0.5 ? 'ENOSPC' : 'EDQUOT';
      const from = Math.floor(random() * total);
      const lasting = random() < 0.4 ? 1 : 1 + Math.floor(random() * 40);
      let taken = 0;
      site.disk.onCall = ({ name, path }) => {
        if (!TAKES_SPACE.has(name) || (name === 'open' && site.disk.inner.exists(path))) return undefined;
        const nth = taken++;
        if (nth < from || nth >= from + lasting) return undefined;
        struck += ` ${name} ${path}`;
        return { error };
      };
      let refusals = 0;
      for (let done = 0; done < OPERATIONS && refusals < 6; done++) {
        const refusal = site.attempt(site.operation(false));
        figures.operations++;
        if (refusal === undefined) continue;
        refusals++;
        if (refusal.code !== 'ERR_NO_SPACE') throw refusal;
        site.check(site.tree, site.returned, site.returned);
        site.checkDisk(site.disk.inner.afterPowerCut('drop'), site.acknowledged, site.returned);
      }
      figures.refused += refusals;
      site.disk.heal();
      for (let done = 0; done < 5; done++) site.apply(site.operation());
      site.apply({ op: 'checkpoint' });
      site.apply('sync');
      site.check(site.tree, site.returned, site.returned);
      site.checkDisk(site.disk.inner.afterPowerCut('drop'), site.returned, site.returned);
      figures.cases++;
    } catch (error) {
      throw new Error(`case ${count}, full at${struck.slice(0, 300)}: ${error}`, { cause: error });
    } finally {
      site.end();
    }
  }
  return figures;
});
