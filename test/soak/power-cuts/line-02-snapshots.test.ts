/**
 * The power fails, or the process is killed, before any call of a load that takes and deletes snapshots. In what opens each
 * snapshot whose taking had returned is there, until its deletion began; one that was being taken or deleted is there or not;
 * and each that is there is the whole tree of its moment. With all of them deleted the store holds what the tree needs.
 */

import { checkStore } from '../../engine/tree/check.js';
import type { DiskCall, Fault } from '../../support/disk/faults.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { abandon, digestOf, isLook, SeededTree } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 22;
/** Random cuts for each call, by what they tear at. */
const TEARS = [4096, 512];

interface Expected {
  /** What must be there after a power cut, and after a kill. */
  durable: number;
  returned: number;
  /** Digests of the snapshots that must be there, and of that which may. */
  must: ReadonlyMap<string, number>;
  may: ReadonlyMap<string, number>;
}

interface Found {
  lsn: number;
  snapshots: ReadonlyMap<string, number>;
}

soak({ line: 2, title: 'power cut at every call, and kill, with snapshots', seeds: 2 }, (seed) => {
  let boundaries: { call: string; disk: MemoryDisk; expected: Expected }[] = [];
  let must = new Map<string, number>();
  let may = new Map<string, number>();
  let found = new Map<string, Found>();
  let names = 0;
  const figures = { states: 0, 'distinct and opened': 0, calls: 0, taken: 0, 'deleted all': 0 };
  const watch =
    (site: SeededTree) =>
    (call: DiskCall): Fault | undefined => {
      if (isLook(call.name)) return undefined;
      const { durable, returned } = site;
      boundaries.push({
        call: `${call.index} ${call.name} ${call.path}`,
        disk: site.disk.inner.afterKill(),
        expected: { durable, returned, must: new Map(must), may },
      });
      return undefined;
    };
  const site = new SeededTree(seed, {
    watch: (made) => {
      made.disk.onCall = watch(made);
    },
  });
  const random = seededRandom(seed + 0x5eed);

  const lookAt = (disk: MemoryDisk): Found => {
    const tree = site.open(disk);
    try {
      const lsn = site.check(tree, 0, Number.POSITIVE_INFINITY);
      const snapshots = new Map<string, number>();
      for (const { name } of tree.snapshots()) {
        const reads = tree.at(name);
        snapshots.set(name, digestOf(reads));
        reads.close();
      }
      if (random() < 0.1) {
        for (const name of snapshots.keys()) tree.deleteSnapshot(name);
        tree.checkpoint();
        if (checkStore(tree.store).snapshotImages !== 0) throw new Error('images of no snapshot are kept');
        if (tree.stats().snapshots.bytes !== 0) throw new Error('slots of no snapshot are kept');
        figures['deleted all']++;
      }
      return { lsn, snapshots };
    } finally {
      abandon(tree);
    }
  };
  const checkState = (
    call: string,
    expected: Expected,
    least: number,
    disk: MemoryDisk,
    how: string,
  ): void => {
    figures.states++;
    try {
      const fingerprint = disk.fingerprint();
      let seen = found.get(fingerprint);
      if (seen === undefined) {
        seen = lookAt(disk);
        found.set(fingerprint, seen);
        figures['distinct and opened']++;
      }
      if (seen.lsn < least) throw new Error(`found LSN ${seen.lsn}, must be ${least}`);
      for (const [name, digest] of seen.snapshots) {
        const then = expected.must.get(name) ?? expected.may.get(name);
        if (then !== digest)
          throw new Error(`snapshot ${name} is ${then === undefined ? 'unknown' : 'not whole'}`);
      }
      for (const name of expected.must.keys())
        if (!seen.snapshots.has(name)) throw new Error(`snapshot ${name} is lost`);
    } catch (error) {
      throw new Error(`before call ${call}, ${how}: ${error}`, { cause: error });
    }
  };
  const checkBoundaries = (): void => {
    for (const { call, disk, expected } of boundaries) {
      const { durable, returned } = expected;
      figures.calls++;
      checkState(call, expected, returned, disk.afterKill(), 'killed');
      checkState(call, expected, durable, disk.afterPowerCut('drop'), 'cut, unsynced dropped');
      for (const [cut, tear] of TEARS.entries())
        checkState(call, expected, durable, disk.afterPowerCut(random, tear), `cut ${cut}, torn at ${tear}`);
    }
    boundaries = [];
  };
  const take = (): void => {
    const name = `s${++names}`;
    may = new Map([[name, digestOf(site.tree)]]);
    site.tree.snapshot(name);
    site.acknowledged = site.returned;
    must.set(name, may.get(name) as number);
    may = new Map();
    figures.taken++;
  };
  const drop = (name: string): void => {
    may = new Map([[name, must.get(name) as number]]);
    must.delete(name);
    site.tree.deleteSnapshot(name);
    may = new Map();
  };

  try {
    checkBoundaries();
    for (let count = 0; count < OPERATIONS; count++) {
      const roll = random();
      const known = [...must.keys()];
      if (roll < 0.25) take();
      else if (roll < 0.4 && known.length > 0) drop(known[Math.floor(random() * known.length)] as string);
      else site.apply(site.operation());
      checkBoundaries();
      if (random() < 0.08) {
        const { disk } = site;
        const left = random() < 0.5 ? disk.inner.afterKill() : disk.inner.afterPowerCut(random);
        found = new Map();
        site.restart(left, watch(site));
        const there = site.tree.snapshots().map(({ name }) => name);
        if (there.join() !== [...must.keys()].join())
          throw new Error(`found snapshots ${there} after a restart`);
        must = new Map([...must].filter(([name]) => there.includes(name)));
        checkBoundaries();
      }
    }
  } finally {
    site.end();
  }
  return figures;
});
