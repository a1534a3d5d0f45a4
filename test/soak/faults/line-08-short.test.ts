/** Reads and writes fall short, are interrupted, or fail: what was asked for is done or refused, and no data is wrong. */
import { SpinneyError } from '../../../engine/index.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import type { Fault } from '../../support/disk/faults.js';
import { seededRandom } from '../../support/disk/random.js';
import { abandon, countCalls, SeededTree } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 20;
const CASES = 8;

soak({ line: 8, title: 'short reads and writes, EINTR, EIO on reads', seeds: 4 }, (seed) => {
  const figures = { cases: 0, faults: 0, refused: 0, openings: 0 };
  for (let count = 0; count < CASES; count++) {
    const random = seededRandom(seed * CASES + count);
    const load = seed * CASES + count;
    const total = countCalls(load, OPERATIONS, ({ name }) => name === 'read' || name === 'write');
    const site = new SeededTree(load);
    try {
      // One call, or any.
      const nth = random() < 0.7 ? Math.floor(random() * total) : -1;
      const kind = Math.floor(random() * 3);
      let calls = 0;
      let struck = '';
      const strike = ({ name, path }: { name: string; path: string }): Fault | undefined => {
        const isRead = name === 'read';
        if (!isRead && name !== 'write') return undefined;
        const index = calls++;
        if (nth >= 0 ? index !== nth : random() < 0.5) return undefined;
        let fault: Fault;
        if (kind === 0) fault = { short: 1 + Math.floor(random() ** 3 * 5000) };
        else if (nth < 0 && random() < 0.9) return undefined;
        else if (kind === 1) fault = { error: 'EINTR' };
        else if (isRead) fault = { error: 'EIO' };
        else return undefined;
        figures.faults++;
        struck += ` ${name} ${path} ${JSON.stringify(fault)}`.slice(0, 200);
        return fault;
      };
      site.disk.onCall = strike;
      for (let done = 0; done < OPERATIONS; done++) {
        const failure = site.attempt(site.operation(false));
        if (failure !== undefined) {
          figures.refused++;
          if (kind === 0 || !/ERR_IO|ERR_JOURNAL_FAILED/.test(failure.code))
            throw new Error(`${struck.slice(-300)}: ${failure}`, { cause: failure });
        }
        site.check(site.tree, site.returned, site.returned);
      }
      site.disk.heal();
      const least = site.acknowledged;
      for (const left of [site.disk.inner.afterKill(), site.disk.inner.afterPowerCut(random)]) {
        const wanted = site.checkDisk(left.afterKill(), least, site.returned);
        for (let opening = 0; opening < 6; opening++) {
          const faults = new FaultDisk(left.afterKill());
          calls = 0;
          const at = Math.floor(random() * 40);
          faults.onCall = (call) => {
            if (call.name !== 'read' || (kind === 0 ? random() < 0.2 : calls++ !== at)) return undefined;
            return kind === 0
              ? { short: 1 + Math.floor(random() ** 3 * 5000) }
              : { error: kind === 1 ? 'EINTR' : 'EIO' };
          };
          figures.openings++;
          try {
            const tree = site.open(faults);
            try {
              site.check(tree, wanted, wanted);
            } finally {
              abandon(tree);
            }
          } catch (error) {
            if (!(error instanceof SpinneyError) || error.code !== 'ERR_IO') throw error;
          }
          faults.heal();
          site.checkDisk(faults.inner.afterKill(), wanted, wanted);
        }
      }
      figures.cases++;
    } catch (error) {
      throw new Error(`case ${count}: ${error}`, { cause: error });
    } finally {
      site.end();
    }
  }
  return figures;
});
