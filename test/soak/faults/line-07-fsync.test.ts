/**
 * A sync fails once, and what it was to make durable never will be, though the next sync succeeds: nothing is acknowledged
 * that is not durable, the tree takes no more writes where it cannot tell, and says why, and opening it again loses nothing.
 */
import type { DiskCallName } from '../../support/disk/faults.js';
import { seededRandom } from '../../support/disk/random.js';
import { countCalls, SeededTree } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 25;
const SYNCS: ReadonlySet<DiskCallName> = new Set<DiskCallName>(['fsync', 'fdatasync', 'syncDirectory']);
const CASES = 8;

soak({ line: 7, title: 'EIO at every Nth fsync', seeds: 4 }, (seed) => {
  const figures = { cases: 0, 'read-only': 0, 'told and gone on': 0, 'cuts afterwards': 0 };
  for (let count = 0; count < CASES; count++) {
    const random = seededRandom(seed * CASES + count);
    const load = seed * CASES + count;
    const total = countCalls(load, OPERATIONS, ({ name }) => SYNCS.has(name));
    const nth = Math.floor(random() * total);
    const site = new SeededTree(load);
    try {
      let syncs = 0;
      let struck = '';
      site.disk.onCall = ({ name, path }) => {
        if (!SYNCS.has(name) || syncs++ !== nth) return undefined;
        struck = `${name} ${path}`;
        return { error: 'EIO', lose: true };
      };
      const told = (what: string, error: unknown) => {
        throw new Error(`${what} after ${struck} (sync ${nth}): ${error}`, { cause: error });
      };
      let isReadOnly = false;
      for (let done = 0; done < OPERATIONS; done++) {
        const before = site.returned;
        const operation = site.operation(false);
        const failure = site.attempt(operation);
        if (failure !== undefined) {
          if (struck === '') throw failure;
          if (!['ERR_IO', 'ERR_JOURNAL_FAILED'].includes(failure.code)) told('wrong code', failure);
          if (!failure.message.includes('EIO')) told('no cause', failure);
          if (failure.code === 'ERR_JOURNAL_FAILED') isReadOnly = true;
          else figures['told and gone on']++;
        } else if (isReadOnly && site.returned > before) told('it went on writing', operation);
        if (struck === '') continue;
        try {
          site.check(site.tree, site.returned, site.returned);
          const least = site.acknowledged;
          site.checkDisk(site.disk.inner.afterPowerCut('drop'), least, site.returned);
          site.checkDisk(site.disk.inner.afterPowerCut(random), least, site.returned);
          figures['cuts afterwards'] += 2;
        } catch (error) {
          told('lost', error);
        }
      }
      if (isReadOnly) figures['read-only']++;
      try {
        site.restart(site.disk.inner.afterKill());
        for (let done = 0; done < 3; done++) {
          const lsn = site.returned;
          site.checkDisk(site.disk.inner.afterPowerCut('drop'), site.acknowledged, lsn);
          figures['cuts afterwards']++;
          site.apply(site.operation());
        }
      } catch (error) {
        told('opened again', error);
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
