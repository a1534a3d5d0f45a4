/**
 * Each operation of one thread against whole operations of another, which are put before each of its steps in turn. What
 * comes out must be what comes out of the one after the other, in either order.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { TreeReads } from '../../../../engine/api.js';
import type { MemoryBlobStore } from '../../../../engine/index.js';
import { attachState } from '../../../../engine/tree/state/shared-tree.js';
import { ABSENT, ANY_VERSION } from '../../../../engine/tree/write/mutation.js';
import { Writer } from '../../../../engine/tree/write/writer.js';
import { Crew } from './crew.js';
import {
  type Action,
  type Agree,
  BASE,
  checkSound,
  contents,
  DEEP,
  eitherOrder,
  explore,
  FAR,
  KEY,
  learn,
  MERGES,
  NEAR,
  open,
  others,
  prepareTrees,
  same,
  tagOf,
  value,
  version,
} from './explorer.js';
import { copyOf, nameIn, openSides, shadow, WouldWait } from './sides.js';

beforeAll(prepareTrees);

/** Most steps of an operation that are tried, if nothing else is said. */
const MOST_STEPS = 6;

function againstAll(first: Action, agree: Agree = eitherOrder, most = MOST_STEPS): void {
  for (const second of others) {
    test(`${first.name} / ${second.name}`, () => {
      const { steps, within } = explore(first, second, agree, most);
      expect(steps).toBeGreaterThan(0);
      // Two compactions exclude each other.
      if (first.name !== 'compaction' || second.name !== MERGES) expect(within).toBeGreaterThan(0);
    });
  }
}

describe('reads: what they give was there before or after', () => {
  againstAll({ name: 'get', act: ({ reads }) => tagOf(reads.get(KEY)) }, eitherOrder, 20);
  againstAll(
    { name: 'longestPrefix', act: ({ reads }) => tagOf(reads.longestPrefix(`${KEY}5`)?.value) },
    eitherOrder,
    15,
  );
  againstAll({ name: 'absent key', act: ({ reads }) => tagOf(reads.get(NEAR)) });
});

describe('scans: what is there throughout comes exactly once, in order, each with a value that it had', () => {
  const scanOf = (prefix: string): Action => ({
    name: `range of ${prefix}`,
    act: ({ reads }) =>
      [...reads.range({ prefix })].map(
        (entry) => `${nameIn(entry)}=${entry.type === 'key' && tagOf(entry.value)}`,
      ),
  });
  const eachOnce: Agree = (found, { ab, ba }) => {
    const entries = found.result as string[];
    const names = entries.map((entry) => entry.split('=')[0] as string);
    const given = new Set(entries);
    const after = new Set(ba.result as string[]);
    const mayBe = new Set([...(ab.result as string[]), ...after]);
    const isSorted = names.every((name, i) => i === 0 || name > (names[i - 1] as string));
    const throughout = (ab.result as string[]).filter((entry) => after.has(entry));
    return (
      isSorted && throughout.every((entry) => given.has(entry)) && entries.every((entry) => mayBe.has(entry))
    );
  };
  againstAll(scanOf('p/'), eachOnce);
  againstAll(scanOf('p/d/15'), eachOnce, 16);
  againstAll({ name: 'countPrefix', act: ({ reads }) => reads.countPrefix('p/') }, (found, { ab, ba }) => {
    const [one, two] = [ab.result as number, ba.result as number];
    const count = found.result as number;
    // Puts before the place and deletions behind it may be seen by themselves.
    return count >= Math.min(one, two) - 4 && count <= Math.max(one, two) + 4;
  });
});

describe('writes of one key: as before or after', () => {
  const writes: Action[] = [
    { name: 'put', act: (side) => side.put(KEY, value('A')) },
    { name: 'compareAndPut', act: (side) => side.put(KEY, value('A'), version) },
    { name: 'putIfAbsent', act: (side) => side.put(NEAR, value('A'), ABSENT) },
    { name: 'deleteIfVersion', act: (side) => side.remove(KEY, version) },
  ];
  for (const write of writes) againstAll(write, eitherOrder, 10);
});

describe('batches: all or nothing', () => {
  againstAll({
    name: 'batch',
    act: (side) =>
      side.batch([
        { key: Buffer.from(FAR), value: value('A') },
        { key: Buffer.from(KEY), value: value('A') },
      ]),
  });
});

describe('upkeep: nobody notices, and the checkpoint is the tree of one instant', () => {
  againstAll({ name: 'compaction', act: (side) => side.compaction.run() });
  let published: MemoryBlobStore | undefined;
  const checkpoint: Action = {
    name: 'checkpoint',
    act: (side) => {
      side.round.run();
      published = copyOf(side.state.store as MemoryBlobStore);
    },
  };
  againstAll(checkpoint, (found, { ab }) => {
    const stored = contents(openSides(published as MemoryBlobStore).a);
    const atStart = contents(open('small').a);
    return found.contents === ab.contents && (stored === atStart || stored === found.contents);
  });
});

describe('views: nothing that is done meanwhile is seen', () => {
  /** Reads in a view; what they give comes with the LSN at their beginning. */
  const viewing = (name: string, read: (view: TreeReads) => unknown): Action => ({
    name,
    act: ({ state, views }) => views.run(new Uint8Array(0), (view) => [state.lsn(), read(view)]),
  });
  // The view has begun when its LSN is taken: later changes may come before that, but are not seen.
  const asItBegan: Agree = (found, { ab, ba }) => {
    if (same(found, ab) || same(found, ba)) return true;
    const [[, read], [, before]] = [found.result as unknown[], ab.result as unknown[]];
    return found.contents === ab.contents && JSON.stringify(read) === JSON.stringify(before);
  };
  againstAll(
    viewing('get in a view', (view) => tagOf(view.get(KEY))),
    asItBegan,
    30,
  );
  againstAll(
    viewing('all reads of a view', (view) => [
      tagOf(view.get(NEAR)),
      tagOf(view.longestPrefix(`${KEY}5`)?.value),
      [...view.range({ prefix: 'p/d/15' })].map((entry) => entry.type === 'key' && tagOf(entry.value)),
      view.countPrefix('p/'),
    ]),
    asItBegan,
    10,
  );
});

test('a view never begins between two changes of a batch', () => {
  let steps = 1;
  let within = 0;
  for (let step = 1; step <= steps; step++) {
    const { a, b } = open('small');
    steps = 0;
    let seen: (string | undefined)[] = [];
    a.onStep = () => {
      if (++steps !== step) return;
      try {
        seen = b.views.run(new Uint8Array(0), (view) => [tagOf(view.get(KEY)), tagOf(view.get(FAR))]);
        within++;
      } catch (error) {
        if (!(error instanceof WouldWait)) throw error;
      }
    };
    a.batch([
      { key: Buffer.from(FAR), value: value('A') },
      { key: Buffer.from(KEY), value: value('A') },
    ]);
    expect(seen[0]).toBe(seen[1]);
  }
  expect(within).toBeGreaterThan(0);
  expect(within).toBeLessThan(steps);
});

test('a graft between the steps of a compaction leaves no crossing that tells too low a height', () => {
  let locks = 1;
  for (let step = 1; step <= locks; step++) {
    const sides = open('small');
    locks = 0;
    sides.a.onStep = (name) => {
      if (name !== 'lock' || ++locks !== step) return;
      sides.b.renamePrefix('p/d', 'away');
      sides.b.renamePrefix('away', 'p/d');
    };
    sides.a.compaction.run();
    sides.a.onStep = undefined;
    checkSound(sides);
  }
  expect(locks).toBeGreaterThan(2);
});

describe('below a graft', () => {
  const elsewhere = `m/${DEEP.slice(1)}`;
  const above: Action[] = [
    {
      name: 'a graft above it and a put under its new name',
      act: (side) => {
        side.renamePrefix('n', 'm/');
        side.put(elsewhere, value('B'));
      },
    },
    {
      name: 'a graft above it, and another key put under its name',
      act: (side) => {
        side.renamePrefix('n', 'm/');
        side.put(DEEP, value('B'));
        side.remove(elsewhere);
      },
    },
  ];
  const deep: Action[] = [
    { name: 'get', on: 'deep', act: ({ reads }) => tagOf(reads.get(DEEP)) },
    { name: 'longestPrefix', on: 'deep', act: ({ reads }) => tagOf(reads.longestPrefix(`${DEEP}+`)?.value) },
    { name: 'put', on: 'deep', act: (side) => side.put(DEEP, value('A')) },
    { name: 'delete', on: 'deep', act: (side) => side.remove(DEEP) },
  ];
  for (const first of deep) {
    for (const second of above) {
      test(`${first.name} / ${second.name}`, () => {
        expect(explore(first, second, eitherOrder, 30).within).toBeGreaterThan(0);
      });
    }
  }
});

describe('a view that expires in the middle of a read', () => {
  for (const isWritten of [true, false]) {
    test(`says so and revives no blob that was merged meanwhile (${isWritten ? '' : 'not '}deleted from the store yet)`, () => {
      let steps = 0;
      // The first time round only counts the steps.
      for (let chosenStep = 0; chosenStep <= steps; chosenStep++) {
        const sides = open('small');
        const { a, b } = sides;
        a.round.run();
        const code = learn(() =>
          a.views.run(new Uint8Array(0), (view) => {
            const merge = others.find(({ name }) => name === MERGES) as Action;
            merge.act(b);
            let at = 0;
            a.onStep = () => {
              if (++at !== chosenStep) return;
              b.writer.locked(() => b.state.cache.views.expireAll());
              if (isWritten) b.round.run();
            };
            const found = tagOf(view.get(KEY));
            a.onStep = undefined;
            steps = Math.max(steps, at);
            return found;
          }),
        );
        a.onStep = undefined;
        expect(['ERR_VIEW_EXPIRED', BASE], `before step ${chosenStep}`).toContain(code);
        checkSound(sides);
      }
      expect(steps).toBeGreaterThan(5);
    });
  }
});

describe('who must be alone waits for a write that has found its place', () => {
  for (const what of ['view', 'atomic', 'checkpoint']) {
    test(what, async () => {
      const crew = await Crew.open({ checkpoint: { enabled: false, host: 'worker' } });
      try {
        const { tree, words } = crew;
        tree.put('k', Buffer.from('1'));
        const other = crew.start<number>('alone', { what });
        await other.started;
        const state = attachState(tree.share(), 'reader', undefined);
        const writer = new Writer(state, () => {});
        const { gate } = state.control;
        let isAwaited = false;
        shadow(state.appendLock, 'lock', (original) => {
          Atomics.store(words, 3, 1);
          Atomics.notify(words, 3);
          // The other either sleeps until this thread has left, or is not kept from what it wants.
          const row = gate.indexOf(1);
          while (!isAwaited && Atomics.load(words, 4) === 0) isAwaited = Atomics.notify(gate, row) > 0;
          return original();
        });
        writer.write(Buffer.from('k'), Buffer.from('2'), ANY_VERSION);
        expect(isAwaited).toBe(true);
        expect(await other.result).toBe(2);
        state.end();
      } finally {
        await crew.end();
      }
    });
  }
});
