/**
 * The disk or the quota is full at a call that takes space, the tree's or one on contents, and stays so for a while: the client
 * is told ENOSPC or EDQUOT, what is there can be read, and once there is space again all works. Nothing is lost that was
 * written or acknowledged, whenever the process is killed or the power fails.
 */
import { constants } from 'node:os';
import type { DiskCall, DiskCallName, Fault } from '../../support/disk/faults.js';
import { seededRandom } from '../../support/disk/random.js';
import { FilesLoad } from '../../support/files/files-load.js';
import { SeededFiles } from '../../support/files/seeded-files.js';
import { soak } from '../soak.js';

const OPERATIONS = 40;
const CASES = 6;
const TAKES_SPACE: ReadonlySet<DiskCallName> = new Set<DiskCallName>([
  'write',
  'allocate',
  'copyRange',
  'open',
  'rename',
  'link',
  'mkdir',
  'makeDirectory',
]);
const REFUSALS: readonly number[] = [constants.errno.ENOSPC, constants.errno.EDQUOT];

soak({ line: 6, title: 'ENOSPC and EDQUOT at every Nth call on contents', seeds: 5 }, (seed) => {
  const figures = { cases: 0, struck: 0, refused: 0, operations: 0, states: 0 };
  for (let count = 0; count < CASES; count++) {
    const random = seededRandom(seed * CASES + count);
    const site = new SeededFiles(seed * CASES + count);
    const load = new FilesLoad(site);
    let struck = '';
    const fill = (): ((call: DiskCall) => Fault | undefined) => {
      const error = random() < 0.5 ? 'ENOSPC' : 'EDQUOT';
      const from = Math.floor(random() * 30);
      const lasting = random() < 0.4 ? 1 : 1 + Math.floor(random() * 40);
      let taken = 0;
      return ({ name, path }) => {
        if (!TAKES_SPACE.has(name) || (name === 'open' && site.disk.inner.exists(path))) return undefined;
        const nth = taken++;
        if (nth < from || nth >= from + lasting) return undefined;
        struck += ` ${name} ${path}`;
        figures.struck++;
        return { error };
      };
    };
    const check = (): void => {
      const { inner } = site.disk;
      site.checkLeft(inner.afterKill(), site.returned, false);
      site.checkLeft(inner.afterPowerCut('drop'), site.durable, true);
      figures.states += 2;
    };
    try {
      site.disk.onCall = fill();
      for (let done = 0; done < OPERATIONS; done++) {
        const failure = load.step();
        figures.operations++;
        if (failure === undefined) continue;
        figures.refused++;
        if (!REFUSALS.includes(failure.errno)) throw new Error(`${failure.what}: errno ${failure.errno}`);
        site.checkNow();
        check();
      }
      site.disk.heal();
      site.checkNow();
      for (let done = 0; done < 15; done++) {
        const failure = load.step();
        if (failure !== undefined)
          throw new Error(`${failure.what}, on a disk with space: errno ${failure.errno}`);
      }
      site.checkNow();
      check();
      figures.cases++;
    } catch (error) {
      throw new Error(`case ${count}, ${load.what}, full at${struck.slice(-300)}: ${error}`, {
        cause: error,
      });
    } finally {
      site.end();
    }
  }
  return figures;
});
