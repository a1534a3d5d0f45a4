/** Two daemons that want one store: the second is refused, whatever becomes of the file named lock; a kill frees the store at once. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tree } from '../../../engine/index.js';
import { Site } from '../../e2e/site.js';
import { seededRandom } from '../../support/disk/random.js';
import { isLong, soak } from '../soak.js';

const REFUSALS = 4;
/**
 * From the kill of a daemon until the store is open again, on a machine that does nothing else; on others one in some tries. The suite
 * shares its machine, where it tells nothing of the store.
 */
const DEADLINE_MS = isLong ? 1000 : 30_000;
const TRIES = 3;

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
  try {
    await site.mount('--no-restart');
    await site.sh('echo text > $MNT/f');
    MEDDLING[Math.floor(random() * MEDDLING.length)]!(join(site.store, 'lock'));
    await refuseOthers(site);
    const rivals = await race(site);
    let kills = 1;
    let longestMs = Number.POSITIVE_INFINITY;
    while (longestMs > DEADLINE_MS && kills <= TRIES) {
      await site.mount('--no-restart');
      await site.sh(`echo ${kills} > $MNT/kill; mkdir $MNT/d${kills}`);
      longestMs = await reopen(site);
      kills++;
    }
    if (longestMs > DEADLINE_MS)
      throw new Error(`after a kill the store was open again after ${longestMs} ms`);
    await site.must('check', site.store);
    return { refused: REFUSALS + rivals - 1, kills, longestMs };
  } finally {
    await cleanUp?.();
  }
});

/** Others that want the store while it is served are refused, and it is served on. */
async function refuseOthers(site: Site): Promise<void> {
  const pid = site.daemon();
  const places = Array.from({ length: REFUSALS }, (_, i) => join(site.directory, `other${i}`));
  for (const place of places) mkdirSync(place);
  const ends = places.map((place) => site.spinney('mount', place, '--store', site.store));
  for (const { code, err } of await Promise.all(ends)) {
    if (code !== 1 || !/in use by (process \d+|another open)/.test(err)) {
      throw new Error(`a second daemon was not refused: ${code} ${err}`);
    }
  }
  if (site.daemon() !== pid) throw new Error('another daemon has the store');
}

/** After a kill the first to come has the store, and only he. Returns how many came. */
async function race(site: Site): Promise<number> {
  await site.kill();
  const places = [site.mountpoint, join(site.directory, 'other0')];
  const ends = await Promise.all(places.map((place) => site.spinney('mount', place, '--store', site.store)));
  const winners = places.filter((_, i) => ends[i]!.code === 0);
  if (winners.length !== 1) throw new Error(`${winners.length} daemons have it: ${JSON.stringify(ends)}`);
  const seen = await site.sh(`cat ${winners[0]}/f`);
  if (seen !== 'text') throw new Error(`the store has ${seen}`);
  await site.must('umount', winners[0]!);
  await site.must('check', site.store);
  return places.length;
}

/** Milliseconds from a kill of its daemon until the store is open again, its journal played back. */
async function reopen(site: Site): Promise<number> {
  const since = performance.now();
  await site.kill();
  const tree = Tree.open({ dir: site.store });
  const took = Math.round(performance.now() - since);
  const replayed = tree.recovery?.replayed ?? 0;
  tree.close();
  if (replayed === 0) throw new Error('nothing was played back');
  return took;
}
