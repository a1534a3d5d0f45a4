/** kill -9 of a daemon at random points of a mixed load and of all else that it does, with and without its guard. */
import type { Durability } from '../../../engine/api.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';
import { CrashingMount } from './crashing-mount.js';
import { STRIKES, starting } from './strikes.js';

const LEVELS: readonly Durability[] = ['written', 'synced', 'buffered'];
const ROUNDS = 4;
/** MiB. */
const SMALLEST_CACHE = 8;
const KINDS = Object.entries(STRIKES);

soak({ line: 1, title: 'kill -9 under a mixed load, at any point of a daemon', seeds: 2 }, async (seed) => {
  const random = seededRandom(seed);
  const kills: Record<string, number> = Object.fromEntries(KINDS.map(([name]) => [name, 0]));
  const options = {
    seed,
    durability: LEVELS[seed % LEVELS.length]!,
    isStacked: Math.floor(seed / LEVELS.length) % 4 === 3,
    ...(seed % 2 === 1 && { cacheSize: SMALLEST_CACHE }),
  };
  let counts = {};
  await CrashingMount.use(options, async (mount) => {
    ({ counts } = mount);
    // Also while the store is made.
    if (random() < 0.5) kills.starting! += await starting(mount, random);
    await mount.start();
    for (let round = 0; round < ROUNDS; round++) {
      const [name, strike] = KINDS[(seed * ROUNDS + round) % KINDS.length]!;
      kills[name]! += await strike(mount, random);
      if (random() < 0.3) await mount.check();
      await mount.start();
    }
    await mount.finish();
  });
  const all = Object.values(kills).reduce((sum, count) => sum + count, 0);
  return { kills: all, ...kills, ...counts };
});
