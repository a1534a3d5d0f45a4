/**
 * Interleavings that do not depend on any scheduler: one operation of a thread, chosen by the seed, and before each of so many
 * of its steps a sequence of whole operations of another. Together they do what one after the other does.
 */
import { ABSENT, ANY_VERSION } from '../../../engine/tree/write/mutation.js';
import {
  type Action,
  eitherOrder,
  explore,
  FAR,
  KEY,
  NEAR,
  prepareTrees,
  tagOf,
  value,
  version,
} from '../../engine/tree/threads/explorer.js';
import type { Side } from '../../engine/tree/threads/sides.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';

/** Steps of the first operation before which the others are put. */
const MOST_STEPS = 8;
/** Keys in the blob of KEY, beside it, and far away. */
const KEYS = [KEY, NEAR, 'p/d/149', 'p/d/151', 'p/d/15', 'p/c/150', FAR];
const PREFIXES = ['p/d', 'p/', 'p/d/15', 'away', 'q/'];

type Random = () => number;

const of = <T>(random: Random, items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
const sizeOf = (random: Random): number => of(random, [10, 400, 2500, 9000, 60_000]);

/** One write, named after what it does. */
function write(random: Random, tag: string): Action {
  const key = of(random, KEYS);
  const bytes = value(tag, sizeOf(random));
  const roll = random();
  if (roll < 0.25) return { name: `put ${key} (${bytes.length})`, act: (side) => side.put(key, bytes) };
  if (roll < 0.35) return { name: `putIfAbsent ${key}`, act: (side) => side.put(key, bytes, ABSENT) };
  if (roll < 0.45) return { name: `compareAndPut ${KEY}`, act: (side) => side.put(KEY, bytes, version) };
  if (roll < 0.6) return { name: `delete ${key}`, act: (side) => side.remove(key, ANY_VERSION) };
  // Several operations, so not for who is interrupted.
  if (roll < 0.7 && tag === 'B') {
    const prefix = of(random, ['p/d/1', 'p/d/', 'p/c/']);
    return { name: `deletions below ${prefix}`, act: (side) => removeAll(side, prefix) };
  }
  if (roll < 0.85) {
    // The check takes a version for one key's, FAR's left out.
    const keys = [FAR, key];
    const changes = keys.map((each) => ({ key: Buffer.from(each), value: value(tag, sizeOf(random)) }));
    return { name: `batch of ${keys.join()}`, act: (side) => side.batch(changes) };
  }
  const [from, to] = [of(random, PREFIXES), of(random, PREFIXES)];
  return { name: `move of ${from} to ${to}`, act: (side) => side.renamePrefix(from, to) };
}

function removeAll(side: Side, prefix: string): void {
  for (const key of side.keys(prefix)) side.remove(key);
}

function firstOf(random: Random): Action {
  const key = of(random, KEYS);
  const roll = random();
  if (roll < 0.2) return { name: `get ${key}`, act: ({ reads }) => tagOf(reads.get(key)) };
  if (roll < 0.3) {
    return {
      name: `longestPrefix ${key}5`,
      act: ({ reads }) => tagOf(reads.longestPrefix(`${key}5`)?.value),
    };
  }
  if (roll < 0.4) return { name: 'compaction', act: (side) => side.compaction.run() };
  if (roll < 0.5) return { name: 'checkpoint', act: (side) => side.round.run() };
  return write(random, 'A');
}

function secondOf(random: Random): Action {
  const actions = Array.from({ length: 1 + Math.floor(random() * 4) }, (): Action => {
    const roll = random();
    if (roll < 0.15) return { name: 'compaction', act: (side) => side.compaction.run() };
    if (roll < 0.3) return { name: 'checkpoint', act: (side) => side.round.run() };
    return write(random, 'B');
  });
  return {
    name: actions.map(({ name }) => name).join(', then '),
    act: (side) => {
      for (const { act } of actions) act(side);
    },
  };
}

let isPrepared = false;

soak({ line: 11, title: 'deterministic interleavings', seeds: 15 }, (seed) => {
  if (!isPrepared) prepareTrees();
  isPrepared = true;
  const random = seededRandom(seed);
  const first = firstOf(random);
  const { steps, within } = explore(first, secondOf(random), eitherOrder, MOST_STEPS);
  return { tried: Math.min(steps, MOST_STEPS), within };
});
