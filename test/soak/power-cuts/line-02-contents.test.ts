/**
 * The power fails, or the process is killed, before calls that a load on the whole filesystem makes: the journal's, the store's
 * and those on contents. What starts has the names of one moment with all that was acknowledged. A file that was synced and left
 * alone is as it was; of another no byte is there that it never had; none is damaged.
 */
import type { DiskCall, Fault } from '../../support/disk/faults.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { FilesLoad } from '../../support/files/files-load.js';
import { SeededFiles } from '../../support/files/seeded-files.js';
import { isLook } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 50;
/** Of the calls before which the state is taken. */
const TAKEN = 0.1;
/** Random cuts of each state, by what they tear at. */
const TEARS = [4096, 512];

interface Boundary {
  call: string;
  disk: MemoryDisk;
  durable: number;
  returned: number;
}

soak({ line: 2, title: 'power cut at calls of the filesystem, and kill', seeds: 6 }, (seed) => {
  const figures = { states: 0, calls: 0, operations: 0, restarts: 0 };
  const random = seededRandom(seed + 0x5eed);
  const site = new SeededFiles(seed);
  const load = new FilesLoad(site);
  let boundaries: Boundary[] = [];
  const watch = ({ index, name, path }: DiskCall): Fault | undefined => {
    if (isLook(name) || random() >= TAKEN) return undefined;
    const { durable, returned } = site;
    boundaries.push({
      call: `${index} ${name} ${path}`,
      disk: site.disk.inner.afterKill(),
      durable,
      returned,
    });
    return undefined;
  };
  const check = ({ call }: Boundary, how: string, left: MemoryDisk, least: number, isCut: boolean): void => {
    figures.states++;
    try {
      site.checkLeft(left, least, isCut);
    } catch (error) {
      throw new Error(`${load.what}, before call ${call}, ${how}: ${error}`, { cause: error });
    }
  };
  const checkBoundaries = (): void => {
    for (const boundary of boundaries) {
      const { disk, durable, returned } = boundary;
      figures.calls++;
      check(boundary, 'killed', disk.afterKill(), returned, false);
      check(boundary, 'cut, unsynced dropped', disk.afterPowerCut('drop'), durable, true);
      for (const tear of TEARS)
        check(boundary, `cut, torn at ${tear}`, disk.afterPowerCut(random, tear), durable, true);
    }
    boundaries = [];
  };
  const restart = (): void => {
    const { inner } = site.disk;
    const roll = random();
    figures.restarts++;
    site.disk.heal();
    if (roll < 0.5) site.restart(inner.afterKill(), site.returned, false);
    else site.restart(inner.afterPowerCut(random), site.durable, true);
    site.checkNow();
    site.disk.onCall = watch;
  };

  try {
    site.disk.onCall = watch;
    for (let count = 0; count < OPERATIONS; count++) {
      const failure = load.step(checkBoundaries);
      if (failure !== undefined) throw new Error(`${failure.what}: errno ${failure.errno}`);
      figures.operations++;
      if (random() < 0.05) restart();
    }
    site.disk.heal();
    site.checkNow();
  } finally {
    site.end();
  }
  return figures;
});
