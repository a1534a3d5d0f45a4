/** Ways for a daemon to be killed. Each lets clients work, and leaves the daemon ended. */
import { join } from 'node:path';
import { askDaemon } from '../../../daemon/control/client.js';
import type { CrashingMount } from './crashing-mount.js';

type Random = () => number;

/** Returns how many daemons were killed: one may have come to its end before. */
export type Strike = (mount: CrashingMount, random: Random) => Promise<number>;

/** Calls of all clients together before the strike. */
const MOST_CALLS = 600;
/** Calls between the request of something long and the kill. */
const MOST_CALLS_MEANWHILE = 60;
/** System calls of a daemon between the signal that ends it and its end; some more are no harm. */
const ENDING_CALLS = 400;
/** System calls of a daemon until it is mounted, to begin with those that come after its program was loaded. */
const STARTING_CALLS = { fewest: 100, most: 700 };
/** Starts that are killed, one after the other. */
const MOST_STARTS = 3;

const upTo = (random: Random, most: number): number => Math.floor(random() * (most + 1));

async function inLoad(mount: CrashingMount, random: Random): Promise<number> {
  const { daemon } = mount;
  await mount.load([{ calls: 1 + upTo(random, MOST_CALLS), strike: () => daemon.kill() }]);
  return Number(await mount.ended());
}

/** Nobody takes the mount away then: the next start replaces it. */
async function withGuard(mount: CrashingMount, random: Random): Promise<number> {
  const { daemon, guards } = mount;
  const strike = () => daemon.kill(guards, random() < 0.5);
  await mount.load([{ calls: 1 + upTo(random, MOST_CALLS), strike }]);
  return Number(await mount.ended(true));
}

function during(path: string): Strike {
  return async (mount, random) => {
    const { daemon, site } = mount;
    let answered: Promise<unknown> = Promise.resolve();
    const request = 1 + upTo(random, MOST_CALLS);
    await mount.load([
      {
        calls: request,
        strike: () => {
          // The daemon may be gone before it answers.
          answered = askDaemon(join(site.store, 'control.sock'), 'POST', path).catch(() => {});
        },
      },
      { calls: request + upTo(random, MOST_CALLS_MEANWHILE), strike: () => daemon.kill() },
    ]);
    await answered;
    return Number(await mount.ended());
  };
}

async function unmounting(mount: CrashingMount, random: Random): Promise<number> {
  const { daemon } = mount;
  let killed: Promise<void> = Promise.resolve();
  const signalled = () => {
    daemon.signal('SIGTERM');
    killed = daemon.reached(daemon.systemCalls() + upTo(random, ENDING_CALLS)).then(() => daemon.kill());
  };
  await mount.load([{ calls: 1 + upTo(random, MOST_CALLS), strike: signalled }]);
  await killed;
  return Number(await mount.ended());
}

/** Some starts, one after the other, none of which comes to its end, unless it is faster. */
export async function starting(mount: CrashingMount, random: Random): Promise<number> {
  let kills = 0;
  for (let starts = 1 + upTo(random, MOST_STARTS - 1); starts > 0; starts--) {
    const { fewest, most } = STARTING_CALLS;
    const daemon = mount.launch();
    await daemon.reached(fewest + upTo(random, most - fewest), true);
    daemon.kill();
    kills += Number(await mount.ended());
  }
  return kills;
}

async function startingAgain(mount: CrashingMount, random: Random): Promise<number> {
  const { daemon } = mount;
  await mount.load([{ calls: 1 + upTo(random, MOST_CALLS), strike: () => daemon.signal('SIGTERM') }]);
  if (await mount.ended()) throw new Error('the daemon was killed, and nobody did that');
  return starting(mount, random);
}

async function recovering(mount: CrashingMount, random: Random): Promise<number> {
  return (await inLoad(mount, random)) + (await starting(mount, random));
}

/** By what the figures call them. */
export const STRIKES: Readonly<Record<string, Strike>> = {
  'in a load': inLoad,
  'with the guard': withGuard,
  'in a checkpoint': during('/v1/checkpoint'),
  'in a compaction': during('/v1/compact'),
  unmounting,
  starting: startingAgain,
  recovering,
};
