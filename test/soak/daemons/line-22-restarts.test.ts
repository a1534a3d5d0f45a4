/**
 * Daemons that are killed and replaced under clients that must not notice. The suite does a few; `scripts/soak` goes on with 20 kills and 5
 * upgrades a seed, so ten seeds are 200 and 50.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../support/disk/random.js';
import { isLong, soak } from '../soak.js';
import { median, RestartedMount } from './restarts/restarted-mount.js';

const KILLS = isLong ? 20 : 2;
const UPGRADES = isLong ? 5 : 1;
/** Of each client. */
const STEPS = isLong ? 800 : 150;
/** Of all clients together between two strikes, at most. */
const MOST_STEPS = isLong ? 400 : 150;
const LEVELS = ['info', 'debug'] as const;
const LOOK_AGAIN_MS = 2;

soak({ line: 22, title: 'kill -9 and upgrades that no client notices', seeds: 2 }, async (seed) => {
  const random = seededRandom(seed);
  const strikes = shuffled([...Array(KILLS).fill('kill'), ...Array(UPGRADES).fill('upgrade')], random);
  const counts = { kills: 0, upgrades: 0 };
  let figures: Record<string, number> = {};
  const options = {
    seed,
    durability: seed % 2 === 1 ? ('written' as const) : ('synced' as const),
    isStacked: seed % 4 >= 2,
    steps: STEPS,
  };
  await RestartedMount.use(options, async (mount) => {
    const { ended } = await mount.load();
    for (const strike of strikes) {
      const at = mount.steps + Math.floor(random() * MOST_STEPS);
      while (mount.steps < at && mount.isLoaded) await sleep(LOOK_AGAIN_MS);
      // A client that fails ends the strikes, too.
      if (!mount.isLoaded) break;
      if (strike === 'kill') {
        await mount.kill();
        counts.kills++;
      } else {
        await mount.upgrade(LEVELS[counts.upgrades % 2]!);
        counts.upgrades++;
      }
    }
    await ended;
    await mount.finish();
    figures = {
      steps: mount.steps,
      longestPauseMs: Math.max(...mount.pauses),
      longestMedianPauseMs: median(mount.pauses),
      longestStepMs: mount.longestStepMs,
      emptyLeft: mount.emptyLeft,
    };
  });
  return { ...counts, ...figures };
});

function shuffled<T>(values: readonly T[], random: () => number): T[] {
  const left = [...values];
  return values.map(() => left.splice(Math.floor(random() * left.length), 1)[0]!);
}
