/** SIGTERM and SIGINT under a mixed load: the daemon ends in time, whoever uses the mount, and loses nothing. */
import { availableParallelism, loadavg } from 'node:os';
import type { Durability } from '../../../engine/api.js';
import { seededRandom } from '../../support/disk/random.js';
import { isLong, soak } from '../soak.js';
import { CrashingMount } from './crashing-mount.js';

const LEVELS: readonly Durability[] = ['written', 'synced', 'buffered'];
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
const ROUNDS = 4;
const MOST_CALLS = 600;
const MOST_CALLS_MEANWHILE = 30;
const DEADLINE_MS = 10_000;
/** The suite shares its machine; a soak may, too. */
const deadlineMs = () =>
  isLong ? DEADLINE_MS * Math.max(1, loadavg()[0]! / availableParallelism()) : 60_000;

soak({ line: 10, title: 'SIGTERM and SIGINT under a mixed load', seeds: 1 }, async (seed) => {
  const random = seededRandom(seed);
  const options = { seed, durability: LEVELS[seed % LEVELS.length]!, isStacked: seed % 4 === 3 };
  const figures = { signals: 0, hurried: 0, 'with users that stay': 0, longestMs: 0 };
  let counts = {};
  await CrashingMount.use(options, async (mount) => {
    ({ counts } = mount);
    await mount.start();
    for (let round = 0; round < ROUNDS; round++) {
      const { daemon, site } = mount;
      const signal = SIGNALS[(seed + round) % SIGNALS.length]!;
      const calls = 1 + Math.floor(random() * MOST_CALLS);
      const moments = [{ calls, strike: () => daemon.signal(signal) }];
      // A second signal does not wait for the last checkpoint, nor for users.
      const isHurried = random() < 0.3;
      const meanwhile = Math.floor(random() * MOST_CALLS_MEANWHILE);
      if (isHurried) moments.push({ calls: calls + meanwhile, strike: () => daemon.signal('SIGTERM') });
      const hasUser = round === 0;
      const user = hasUser ? site.start('cd $MNT; echo there; exec sleep 300', 300) : undefined;
      if (user !== undefined) await new Promise((resolve) => user.child.stdout!.once('data', resolve));
      await mount.load(moments);
      if (await mount.ended()) throw new Error('the daemon was killed, and nobody did that');
      user?.child.kill();
      if (mount.isMounted) throw new Error('a mount was left behind');
      const took = Math.round(daemon.endedAfterMs);
      if (took > deadlineMs()) throw new Error(`the daemon ended ${took} ms after ${signal}`);
      figures.signals++;
      figures.hurried += Number(isHurried);
      figures['with users that stay'] += Number(hasUser);
      figures.longestMs = Math.max(figures.longestMs, took);
      await mount.start();
    }
    await mount.finish();
  });
  return { ...figures, ...counts };
});
