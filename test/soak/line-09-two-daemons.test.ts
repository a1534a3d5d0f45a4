/** Two daemons that want one store: the second is refused, whatever becomes of the file named lock; a kill frees the store at once. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Site } from '../e2e/site.js';
import { seededRandom } from '../support/disk/random.js';
import { soak } from './soak.js';

const REFUSALS = 4;
const KILLS = 2;
/** From the kill of a daemon to the answer of the next one's mount; on a machine that has nothing else to do. */
const DEADLINE_MS = 1000;

/** What people and programs do to a file named lock. */
const MEDDLING: readonly ((lock: string) => void)[] = [
  () => {},
  (lock) => rmSync(lock),
  (lock) => writeFileSync(lock, '1\n'),
  (lock) => renameSync(lock, `${lock}.old`),
  (lock) => {
    rmSync(lock);
    writeFileSync(lock, '');
  },
];

soak({ line: 9, title: 'two daemons on one store', seeds: 2 }, async (seed) => {
  const random = seededRandom(seed);
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  const mountAt = (mountpoint: string) => site.spinney('mount', mountpoint, '--store', site.store);
  const others = Array.from({ length: REFUSALS }, (_, i) => join(site.directory, `other${i}`));
  for (const other of others) mkdirSync(other);
  let fastest = Number.POSITIVE_INFINITY;
  try {
    await site.mount();
    for (let kill = 0; kill < KILLS; kill++) {
      await site.sh(`mkdir $MNT/d${kill}; echo ${kill} > $MNT/d${kill}/f`);
      MEDDLING[Math.floor(random() * MEDDLING.length)]!(join(site.store, 'lock'));
      const pid = site.daemon();
      for (const { code, err } of await Promise.all(others.map(mountAt))) {
        if (code !== 1 || !/in use by (process \d+|another open)/.test(err)) {
          throw new Error(`a second daemon was not refused: ${code} ${err}`);
        }
      }
      if (site.daemon() !== pid) throw new Error('another daemon has the store');
      await site.kill();
      const since = performance.now();
      // The first to come has it, and only he.
      const rivals = [site.mountpoint, others[0]!].map(async (mountpoint) => {
        const { code, err } = await mountAt(mountpoint);
        if (code === 0) fastest = Math.min(fastest, performance.now() - since);
        return { mountpoint, code, err };
      });
      const ends = await Promise.all(rivals);
      const winners = ends.filter(({ code }) => code === 0);
      if (winners.length !== 1)
        throw new Error(`${winners.length} daemons have the store: ${JSON.stringify(ends)}`);
      const seen = await site.sh(`cat ${winners[0]!.mountpoint}/d*/f; ls ${winners[0]!.mountpoint} | wc -l`);
      const expected = [...Array(kill + 1).keys(), kill + 1].join('\n');
      if (seen !== expected) throw new Error(`the store has ${seen} in place of ${expected}`);
      await site.must('umount', winners[0]!.mountpoint);
      await site.must('check', site.store);
      await site.mount();
    }
    await site.umount();
  } finally {
    await cleanUp?.();
  }
  if (fastest > DEADLINE_MS) throw new Error(`after a kill the store was open again after ${fastest} ms`);
  return { refused: KILLS * (REFUSALS + 1), kills: KILLS, longestMs: Math.round(fastest) };
});
