/**
 * The power fails before any call of a load that changes the disk: what was not made durable is dropped, or a random
 * part of it kept, the last write torn at 4 KiB or at 512 bytes; or the process is killed there. What opens is a
 * prefix of the history with all that was acknowledged.
 */
import type { DiskCall, Fault } from '../../support/disk/faults.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { isLook, SeededTree } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 30;
/** Random cuts for each call, by what they tear at. */
const TEARS = [4096, 512, 4096, 512, 4096, 512, 4096, 512];

interface Boundary {
  call: string;
  disk: MemoryDisk;
  /** What must be there after a power cut, and after a kill. */
  durable: number;
  returned: number;
}

soak({ line: 2, title: 'power cut at every call, and kill', seeds: 2 }, (seed) => {
  let boundaries: Boundary[] = [];
  let states = 0;
  /** What was found on a disk with this fingerprint: the same will be found on the next. */
  let found = new Map<string, number>();
  let opened = 0;
  let calls = 0;
  const watch =
    (site: SeededTree) =>
    (call: DiskCall): Fault | undefined => {
      if (isLook(call.name)) return undefined;
      const { durable, returned } = site;
      boundaries.push({
        call: `${call.index} ${call.name} ${call.path}`,
        disk: site.disk.inner.afterKill(),
        durable,
        returned,
      });
      // A write that falls short is gone on with: the process may die, too, with a part of it done.
      const most = call.path.endsWith('.dat') ? 500_000 : 400;
      return call.name === 'write' && short() < 0.15
        ? { short: 1 + Math.floor(short() ** 2 * most) }
        : undefined;
    };
  const short = seededRandom(seed + 0x5407);
  const site = new SeededTree(seed, {
    watch: (made) => {
      made.disk.onCall = watch(made);
    },
  });
  const random = seededRandom(seed + 0x5eed);

  const checkState = ({ call, durable }: Boundary, least: number, disk: MemoryDisk, how: string): void => {
    states++;
    try {
      const fingerprint = disk.fingerprint();
      const known = found.get(fingerprint);
      if (known === undefined) {
        found.set(fingerprint, site.checkDisk(disk, least, site.returned));
        opened++;
      } else if (known < least) throw new Error(`found LSN ${known}, must be ${least}`);
    } catch (error) {
      throw new Error(`before call ${call}, ${how}, durable ${durable}: ${error}`, { cause: error });
    }
  };
  const checkBoundaries = (): void => {
    for (const boundary of boundaries) {
      const { disk, durable, returned } = boundary;
      calls++;
      checkState(boundary, returned, disk.afterKill(), 'killed');
      checkState(boundary, durable, disk.afterPowerCut('drop'), 'cut, unsynced dropped');
      for (const [cut, tear] of TEARS.entries())
        checkState(boundary, durable, disk.afterPowerCut(random, tear), `cut ${cut}, torn at ${tear}`);
    }
    boundaries = [];
  };

  try {
    checkBoundaries();
    for (let count = 0; count < OPERATIONS; count++) {
      site.apply(site.operation());
      checkBoundaries();
      if (random() < 0.05) {
        const { disk } = site;
        const left = random() < 0.5 ? disk.inner.afterKill() : disk.inner.afterPowerCut(random);
        found = new Map();
        site.restart(left, watch(site));
        checkBoundaries();
      }
    }
  } finally {
    site.end();
  }
  return { states, 'distinct and opened': opened, calls, operations: OPERATIONS };
});
