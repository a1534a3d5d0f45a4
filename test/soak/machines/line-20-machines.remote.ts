/**
 * The store away from the machine, before a real radosgw: machines that die at any point under a load, each followed by another one
 * with an empty store, or by itself; a server that stands still or dies; and a writer that wakes up too late.
 */
import { join } from 'node:path';
import { askDaemon } from '../../../daemon/control/client.js';
import { seededRandom } from '../../support/disk/random.js';
import { isLong, soak } from '../soak.js';
import { makeBucket, Radosgw } from './away/bucket.js';
import { Machines } from './away/machine.js';
import { OldWriter } from './away/old-writer.js';

type Random = () => number;
type Death = (machines: Machines, random: Random) => Promise<void>;

const DEATHS_PER_SEED = isLong ? 5 : 2;
const MOST_CALLS = 600;
const MOST_CALLS_MEANWHILE = 60;
/** System calls of a daemon that takes over, until it is mounted; more are no harm. */
const MOST_STARTING_CALLS = 1500;
const ENDING_CALLS = 600;
const OUTAGE_MS = isLong ? 60_000 : 8_000;

const upTo = (random: Random, most: number): number => Math.floor(random() * (most + 1));

const inLoad: Death = (machines, random) =>
  machines.load([{ calls: 1 + upTo(random, MOST_CALLS), strike: () => machines.die(random) }]);

const inCheckpoint: Death = async (machines, random) => {
  const asked = 1 + upTo(random, MOST_CALLS);
  let answered: Promise<unknown> = Promise.resolve();
  const ask = () => {
    const socket = join(machines.site.store, 'control.sock');
    answered = askDaemon(socket, 'POST', '/v1/checkpoint').catch(() => {});
  };
  await machines.load([
    { calls: asked, strike: ask },
    { calls: asked + upTo(random, MOST_CALLS_MEANWHILE), strike: () => machines.die(random) },
  ]);
  await answered;
};

const unmounting: Death = async (machines, random) => {
  const { daemon } = machines;
  let died: Promise<void> = Promise.resolve();
  const signalled = () => {
    daemon.signal('SIGTERM');
    const calls = daemon.systemCalls() + upTo(random, ENDING_CALLS);
    died = daemon.reached(calls).then(() => machines.die(random));
  };
  await machines.load([{ calls: 1 + upTo(random, MOST_CALLS), strike: signalled }]);
  await died;
};

/** The next machine dies, too, while it takes over. */
const inTakeOver: Death = async (machines, random) => {
  await inLoad(machines, random);
  await machines.died();
  machines.moveOn();
  const taker = machines.launch();
  await taker.reached(upTo(random, MOST_STARTING_CALLS), true);
  machines.die(random);
};

const DEATHS: Readonly<Record<string, Death>> = {
  'in a load': inLoad,
  'in a checkpoint': inCheckpoint,
  unmounting,
  'taking over': inTakeOver,
};

/** Each other seed. */
const durabilityOf = (seed: number) => (seed % 2 === 1 ? ('remote' as const) : ('local' as const));

soak({ line: 20, title: 'machines that die', seeds: 2 }, async (seed) => {
  const durability = durabilityOf(seed);
  const random = seededRandom(seed);
  const names = Object.keys(DEATHS);
  const deaths: Record<string, number> = Object.fromEntries(names.map((name) => [name, 0]));
  let figures = {};
  const remote = `s3://${await makeBucket()}/some/prefix`;
  await Machines.use({ seed, remote, durability }, async (machines) => {
    await machines.begin();
    for (let i = 0; i < DEATHS_PER_SEED; i++) {
      const name = names[(seed + i) % names.length]!;
      await DEATHS[name]!(machines, random);
      await machines.died();
      deaths[name]!++;
      // A taker that died has less than there is in the remote, if anything.
      if (name !== 'taking over' && random() < 0.25) await machines.resume();
      else await machines.takeOver();
    }
    await machines.finish();
    const { counts, longestLossMs, longestLagMs } = machines;
    figures = { ...counts, ...(durability === 'local' && { longestLossMs, longestLagMs }) };
  });
  const died = Object.values(deaths).reduce((sum, count) => sum + count, 0);
  return { died, ...deaths, ...figures };
});

soak({ line: 20, title: 'a server that is away under a load', seeds: 1 }, async (seed) => {
  const durability = durabilityOf(seed);
  const random = seededRandom(seed);
  const radosgw = new Radosgw();
  const isKilled = Math.floor(seed / 2) % 2 === 0;
  let calls = 0;
  let figures = {};
  const remote = `s3://${await makeBucket()}/away`;
  // It is told after a request's time, and calls wait for all of it.
  const patienceSeconds = 120 + OUTAGE_MS / 1000;
  await Machines.use({ seed, remote, durability, patienceSeconds }, async (machines) => {
    await machines.begin();
    let outage: Promise<void> = Promise.resolve();
    const away = async () => {
      if (isKilled) await radosgw.kill();
      else radosgw.pause();
      try {
        await machines.healthIs('degraded', 'REMOTE_UNREACHABLE');
        await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
      } finally {
        if (isKilled) await radosgw.start();
        else radosgw.goOn();
      }
      await machines.healthIs('ok');
    };
    const begin = () => {
      outage = away().finally(() => machines.clients.stop());
      // `load` comes to its end first.
      outage.catch(() => {});
    };
    // No call fails: else `load` throws.
    await machines.load([{ calls: 1 + upTo(random, 200), strike: begin }]);
    await outage;
    await machines.compareLive();
    calls = machines.counts.acknowledged;
    // Nothing of it is lost when the machine dies some time after.
    await machines.settled();
    await inLoad(machines, random);
    await machines.died();
    await machines.takeOver();
    await machines.finish();
    figures = machines.counts;
  });
  return { outages: 1, calls, ...figures };
});

soak({ line: 20, title: 'a writer that wakes up after a take-over', seeds: 1 }, async (seed) => {
  const durability = durabilityOf(seed);
  const remote = `s3://${await makeBucket()}/old`;
  let figures = {};
  await OldWriter.use({ remote, durability }, async (old) => {
    await old.begin();
    await old.stopInLoad(20 + (seed % 300));
    await old.takeOverElsewhere();
    await old.wakeUp();
    figures = await old.finish();
  });
  return { takeOvers: 1, ...figures };
});
