/** Calls on contents fall short, are interrupted, or fail: what was asked for is done or refused, and no data is wrong. */
import { constants } from 'node:os';
import type { FaultDisk } from '../../support/disk/fault-disk.js';
import type { Fault } from '../../support/disk/faults.js';
import { seededRandom } from '../../support/disk/random.js';
import { FilesLoad } from '../../support/files/files-load.js';
import { CONTENT, SeededFiles } from '../../support/files/seeded-files.js';
import { soak } from '../soak.js';

const OPERATIONS = 50;
const CASES = 6;
const KINDS = ['short', 'EINTR', 'EIO'] as const;
const SHORTENED: readonly string[] = ['read', 'write', 'copyRange'];

soak({ line: 8, title: 'calls on contents fall short or fail', seeds: 5 }, (seed) => {
  const figures = { cases: 0, faults: 0, refused: 0, operations: 0, states: 0 };
  for (let count = 0; count < CASES; count++) {
    const random = seededRandom(seed * CASES + count);
    const site = new SeededFiles(seed * CASES + count);
    const load = new FilesLoad(site);
    const kind = KINDS[Math.floor(random() * KINDS.length)]!;
    const chance = kind === 'short' ? 0.5 : 0.03;
    let struck = '';
    site.disk.onCall = ({ name, path }): Fault | undefined => {
      const isContent = path.startsWith(CONTENT) || name === 'copyRange';
      if (!isContent || name === 'close' || random() >= chance) return undefined;
      if (kind === 'short' && !SHORTENED.includes(name)) return undefined;
      figures.faults++;
      struck += ` ${name} ${path.slice(CONTENT.length)}`;
      if (kind !== 'short') return { error: kind };
      // No disk ends a read within a sector that has more.
      const bytes = Math.floor(random() ** 3 * 5000);
      return { short: name === 'read' ? 512 * Math.ceil((bytes + 1) / 512) : bytes + 1 };
    };
    try {
      for (let done = 0; done < OPERATIONS; done++) {
        const failure = load.step();
        figures.operations++;
        if (failure === undefined) continue;
        figures.refused++;
        if (kind === 'short' || ![constants.errno[kind], constants.errno.EIO].includes(failure.errno))
          throw new Error(`${failure.what}: errno ${failure.errno}`);
        const strike: FaultDisk['onCall'] = site.disk.onCall;
        site.disk.onCall = undefined;
        site.checkNow();
        site.disk.onCall = strike;
      }
      site.disk.heal();
      site.checkNow();
      site.checkLeft(site.disk.inner.afterKill(), site.returned, false);
      site.checkLeft(site.disk.inner.afterPowerCut(random), site.durable, true);
      figures.states += 2;
      site.restart(site.disk.inner.afterKill(), site.returned, false);
      site.checkNow();
      figures.cases++;
    } catch (error) {
      throw new Error(`case ${count}, ${load.what}, after${struck.slice(-300)}: ${error}`, { cause: error });
    } finally {
      site.end();
    }
  }
  return figures;
});
