/** The process dies, or the power fails, before any call of a recovery that changes the disk: the next one comes to the same end. */
import { FaultDisk } from '../../support/disk/fault-disk.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { abandon, isLook, SeededTree } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 25;
const RECOVERIES = 2;

soak({ line: 3, title: 'crash at every call of a recovery', seeds: 4 }, (seed) => {
  const site = new SeededTree(seed);
  const random = seededRandom(seed + 0x5eed);
  const figures = { states: 0, calls: 0, recoveries: 0 };

  /** What is left after `OPERATIONS` more, cut off in the middle of one. */
  const crashed = (): { disk: MemoryDisk; durable: number } => {
    let found = { disk: site.disk.inner.afterKill(), durable: site.durable };
    const stopAt = Math.floor(random() * OPERATIONS);
    for (let count = 0; count <= stopAt; count++) {
      if (count === stopAt) {
        site.disk.onCall = (call) => {
          if (!isLook(call.name) && random() < 0.3)
            found = { disk: site.disk.inner.afterKill(), durable: site.durable };
          return undefined;
        };
      } else found = { disk: site.disk.inner.afterKill(), durable: site.durable };
      site.apply(site.operation());
    }
    site.disk.onCall = undefined;
    return found;
  };

  try {
    for (let recovery = 0; recovery < RECOVERIES; recovery++) {
      const { disk, durable } = crashed();
      const isCut = random() < 0.6;
      const start = isCut ? disk.afterPowerCut(random, random() < 0.5 ? 512 : 4096) : disk;
      const wanted = site.checkDisk(start.afterKill(), durable, site.returned);
      // What a kill left in memory only, a power cut during recovery may take.
      const least = isCut ? wanted : durable;
      const states: { call: string; disk: MemoryDisk }[] = [];
      const faults = new FaultDisk(start.afterKill());
      faults.onCall = (call) => {
        if (!isLook(call.name))
          states.push({ call: `${call.index} ${call.name} ${call.path}`, disk: faults.inner.afterKill() });
        return undefined;
      };
      abandon(site.open(faults));
      faults.heal();
      figures.recoveries++;
      figures.calls += states.length;
      for (const { call, disk: left } of states) {
        const check = (state: MemoryDisk, atLeast: number, most: number, how: string): void => {
          figures.states++;
          try {
            site.checkDisk(state, atLeast, most);
          } catch (error) {
            throw new Error(`recovery ${recovery}, before call ${call}, ${how}: ${error}`, { cause: error });
          }
        };
        check(left.afterKill(), wanted, wanted, 'killed');
        check(left.afterPowerCut('drop'), least, wanted, 'cut, unsynced dropped');
        check(left.afterPowerCut(random), least, wanted, 'cut');
        check(left.afterPowerCut(random, 512), least, wanted, 'cut, torn at 512');
      }
      // The tree that is told open has made durable what it found.
      const opened = new FaultDisk(start.afterKill());
      const tree = site.open(opened);
      site.checkDisk(opened.inner.afterPowerCut('drop'), wanted, wanted);
      abandon(tree);
      figures.states++;
    }
  } finally {
    site.end();
  }
  return figures;
});
