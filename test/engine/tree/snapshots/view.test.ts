/** Views: whatever is done to the tree meanwhile, they show it as it was when they began, or say that they cannot. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RangeEntry, TreeOptions, TreeReads } from '../../../../engine/api.js';
import { Tree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { seededRandom } from '../../../support/disk/random.js';
import {
  codeOf,
  compareCount,
  compareEntries,
  compareLongestPrefix,
  compareRange,
  compareRecord,
  type Place,
  Run,
  SMALL_CACHE,
} from '../harness.js';
import { below, KEY_SPACES, lookAlike, operationOf, pick, prefixOf, type Random } from '../keys.js';
import { keyOf, type Model } from '../model.js';
import { Crew } from '../threads/crew.js';

let run: Run | undefined;
afterEach(() => {
  run?.end();
  run = undefined;
});

const ENDS_THE_TREE: readonly string[] = ['reopen', 'kill'];

/** Random operations on a tree while views of it go on, and what they must show. */
class Viewing {
  readonly #run: Run;
  readonly #random: Random;
  readonly #keys: () => string;
  /** Values that fill blobs, so that a view may need more images than there can be. */
  readonly #large: boolean;
  expired = 0;
  finished = 0;

  constructor(target: Run, random: Random, keys: () => string, large: boolean) {
    this.#run = target;
    this.#random = random;
    this.#keys = keys;
    this.#large = large;
  }

  /** One operation; inside a view none that ends the tree. */
  step(isInView: boolean): void {
    const roll = this.#random();
    if (roll < 0.03) this.#run.apply({ op: roll < 0.015 ? 'compact' : 'checkpoint' });
    else {
      const operation = operationOf(this.#random, this.#keys, this.#large);
      if (!isInView || !ENDS_THE_TREE.includes(operation.op)) this.#run.apply(operation);
    }
  }

  /** A view during which the tree changes and is viewed again. */
  view(depth: number, steps: number): void {
    const random = this.#random;
    const prefix = random() < 0.6 ? '' : prefixOf(random, this.#keys());
    const then = this.#run.model.snapshot();
    const code = codeOf(() => {
      this.#run.tree.view(keyOf(prefix), (view) => this.#during(view, then, prefix, depth, steps));
    }, 'ERR_VIEW_EXPIRED');
    if (code === undefined) this.finished++;
    else this.expired++;
    // Few blobs never need more images than there are: a small tree's views do not expire.
    if (code !== undefined && !this.#large) throw new Error('The view of a small tree expired');
  }

  #during(view: TreeReads, then: Model, prefix: string, depth: number, steps: number): void {
    const random = this.#random;
    const slow = view.range({ prefix: keyOf(prefix) });
    const slowly: RangeEntry[] = [];
    for (let i = 0; i < steps; i++) {
      const roll = random();
      if (roll < 0.35) this.#compare(view, then, prefix);
      else if (roll < 0.45) for (const entry of taken(slow, below(random, 40))) slowly.push(entry);
      else if (roll < 0.52 && depth < 2) this.view(depth + 1, below(random, 15));
      else this.step(true);
    }
    compareEntries([...slowly, ...slow], then.range({ prefix }));
    compareRange(view, then, { key: prefix, after: undefined, delimiter: 0x2f, keysOnly: true });
  }

  /** Each kind of read, somewhere below the prefix. */
  #compare(view: TreeReads, then: Model, prefix: string): void {
    const random = this.#random;
    const key = this.#keys();
    const name = key.startsWith(prefix) ? lookAlike(random, key) : `${prefix}${key}`;
    const inside = name.startsWith(prefix) ? name : prefix;
    const part = inside.slice(0, prefix.length + below(random, inside.length - prefix.length + 1));
    compareRecord(view, then, inside);
    compareCount(view, then, part, pick(random, [undefined, 0, 1, 3, 1000]));
    const after = random() < 0.5 ? undefined : this.#keys();
    const delimiter = pick(random, [undefined, 0x2f, 0, 255, key.charCodeAt(below(random, key.length))]);
    compareRange(view, then, { key: part, after, delimiter, keysOnly: random() < 0.5 });
    if (prefix === '') compareLongestPrefix(view, then, inside);
    else compareLongestPrefix(view, partOf(then, prefix), inside);
  }
}

/** What a view of a prefix knows. */
function partOf(model: Model, prefix: string): Model {
  const part = model.snapshot();
  for (const name of model.records.keys()) if (!name.startsWith(prefix)) part.records.delete(name);
  return part;
}

function* taken(range: IterableIterator<RangeEntry>, most: number): Generator<RangeEntry> {
  for (let i = 0; i < most; i++) {
    const { done, value } = range.next();
    if (done === true) return;
    yield value;
  }
}

describe('a view shows its instant while the tree changes', () => {
  const cases: { name: string; place: Place; options: TreeOptions; runs: number; large: boolean }[] = [
    { name: 'in memory', place: 'memory', options: {}, runs: 20, large: false },
    { name: 'on a store', place: 'store', options: {}, runs: 20, large: false },
    { name: 'on a store, large values', place: 'store', options: {}, runs: 12, large: true },
    { name: 'in a directory', place: 'dir', options: { durability: 'buffered' }, runs: 8, large: true },
  ];
  for (const { name, place, options, runs, large } of cases) {
    test(name, () => {
      let finished = 0;
      const play = (seed: number, views: number): void => {
        const random = seededRandom(seed);
        const space = KEY_SPACES[below(random, KEY_SPACES.length + 1)];
        const pool: string[] = [];
        const keys = (): string => {
          if (pool.length > 0 && random() < 0.6) return pick(random, pool);
          const key = (space ?? pick(random, KEY_SPACES)).key(random);
          pool.push(key);
          return key;
        };
        run = new Run(place, { cacheBytes: SMALL_CACHE, ...options }, large);
        const viewing = new Viewing(run, random, keys, large);
        try {
          for (let i = 0; i < views; i++) {
            for (let n = below(random, 40); n > 0; n--) viewing.step(false);
            viewing.view(0, 30);
          }
          run.finish();
        } finally {
          run.end();
          run = undefined;
        }
        finished += viewing.finished;
      };
      fc.assert(fc.property(fc.integer(), fc.integer({ min: 1, max: 8 }), play), {
        numRuns: runs,
        seed: 20_260_102,
        endOnFailure: true,
      });
      expect(finished).toBeGreaterThan(0);
    });
  }
});

describe('what a view is, and when it ends', () => {
  let tree: Tree;
  beforeEach(() => {
    tree = Tree.open({ memory: true, cacheBytes: SMALL_CACHE });
    for (let i = 0; i < 600; i++) tree.put(`k/${String(i).padStart(4, '0')}`, Buffer.from(String(i)));
    tree.put('other', Buffer.from('x'));
  });
  afterEach(() => tree.close());

  const isEndedView = (view: TreeReads): void => {
    for (const read of [
      () => view.get('k/0001'),
      () => view.getRecord('k/0001'),
      () => view.getVersion('k/0001'),
      () => view.range(),
      () => view.longestPrefix('k/0001'),
      () => view.isPrefixEmpty('k/'),
      () => view.countPrefix('k/'),
    ])
      expect(codeOf(read)).toBe('ERR_CLOSED');
  };

  test('it gives back what its callback does', () => {
    expect(tree.view('k/', (view) => view.countPrefix('k/'))).toBe(600);
    expect(tree.view('', (view) => view.countPrefix(''))).toBe(601);
  });

  test('keys outside of its prefix are refused, of each kind of read', () => {
    tree.view('k/0', (view) => {
      for (const key of ['other', 'k', 'k/', 'k/1', 'l/0', '']) {
        for (const read of [
          () => view.get(key),
          () => view.getRecord(key),
          () => view.getVersion(key),
          () => view.range({ prefix: key }),
          () => view.longestPrefix(key),
          () => view.isPrefixEmpty(key),
          () => view.countPrefix(key),
        ])
          expect(codeOf(read), key).toBe('ERR_INVALID_ARGUMENT');
      }
      expect([...view.range()]).toHaveLength(600);
      expect(view.longestPrefix('k/0001/x')?.version).toBe(2);
    });
  });

  test('a longest prefix that is shorter than the prefix of the view is not its', () => {
    tree.put('k', Buffer.from('short'));
    tree.view('k/0', (view) => expect(view.longestPrefix('k/0x')).toBeUndefined());
    tree.view('k', (view) => expect(view.longestPrefix('k/0x')?.key).toHaveLength(1));
  });

  test('after its callback each read throws ERR_CLOSED', () => {
    let kept: TreeReads | undefined;
    tree.view('k/', (view) => {
      kept = view;
    });
    isEndedView(kept!);
  });

  test('an iterator kept from a view never tells that the range has ended when it has not', () => {
    const iterators: IterableIterator<RangeEntry>[] = [];
    tree.view('k/', (view) => {
      iterators.push(view.range(), view.range());
      iterators[1]?.next();
    });
    tree.deletePrefix('k/');
    for (const iterator of iterators) {
      let entries = 0;
      const drain = (): void => {
        for (const _ of iterator) entries++;
      };
      expect(codeOf(drain)).toBe('ERR_CLOSED');
      expect(entries).toBeLessThan(599);
    }
  });

  test('an exception in the callback passes through and ends the view', () => {
    let kept: TreeReads | undefined;
    const act = (): void =>
      tree.view('k/', (view) => {
        kept = view;
        throw new Error('as ordered');
      });
    // More than there may be at a time.
    for (let i = 0; i < 200; i++) expect(act).toThrow('as ordered');
    isEndedView(kept!);
    expect(tree.view('k/', (view) => view.countPrefix('k/'))).toBe(600);
  });

  test('closing the tree ends the view', () => {
    const code = codeOf(() =>
      tree.view('k/', (view) => {
        tree.close();
        view.get('k/0001');
      }),
    );
    expect(code).toBe('ERR_CLOSED');
  });

  test('an empty tree is viewed as empty, also when it fills meanwhile', () => {
    const empty = Tree.open({ memory: true });
    empty.view('', (view) => {
      empty.put('a', Buffer.from('1'));
      expect([...view.range()]).toEqual([]);
      expect(view.get('a')).toBeUndefined();
      expect(view.longestPrefix('ab')).toBeUndefined();
      expect(view.countPrefix('')).toBe(0);
      expect(view.isPrefixEmpty('')).toBe(true);
      empty.view('', (later) => expect(later.countPrefix('')).toBe(1));
    });
    empty.close();
  });

  test('as many views as may be at a time; one more is refused, and when they end all can be had again', () => {
    const nest = (depth: number): number => {
      let deepest = depth;
      const code = codeOf(() =>
        tree.view('k/', () => {
          deepest = nest(depth + 1);
        }),
      );
      expect(code === undefined || code === 'ERR_VIEW_EXPIRED').toBe(true);
      return deepest;
    };
    const most = nest(0);
    expect(most).toBeGreaterThanOrEqual(16);
    expect(most).toBeLessThan(1000);
    expect(nest(0)).toBe(most);
    expect(tree.view('k/', (view) => view.countPrefix('k/'))).toBe(600);
  });
});

describe('views that need more images than there can be', () => {
  const COUNT = 40;
  let crew: Crew;
  beforeEach(async () => {
    crew = await Crew.open({ checkpoint: { enabled: false } });
    for (let i = 0; i < COUNT; i++) for (let part = 0; part < 4; part++) putBlob(i, part, 1);
    crew.tree.checkpoint();
  });
  afterEach(() => crew.end());

  /** A quarter of a blob. */
  function putBlob(i: number, part: number, number: number): void {
    const value = Buffer.alloc(BLOB_SIZE / 4 - 2000, number);
    crew.tree.put(`b/${String(i).padStart(3, '0')}/${part}`, value);
  }

  test('expire, give ERR_VIEW_EXPIRED and no wrong answer, and writers go on', () => {
    const { tree } = crew;
    expect(tree.stats().blobCount).toBeGreaterThan(35);
    let right = 0;
    let before = 0;
    const code = codeOf(() =>
      tree.view('b/', (view) => {
        for (let i = 0; i < COUNT; i++) {
          putBlob(i, 0, 2);
          before = i;
          for (let n = 0; n <= i; n++) {
            const value = view.get(`b/${String(n).padStart(3, '0')}/0`);
            expect(value?.[0]).toBe(1);
            right++;
          }
        }
      }),
    );
    expect(code).toBe('ERR_VIEW_EXPIRED');
    expect(before).toBeGreaterThan(8);
    expect(right).toBeGreaterThan(30);
    for (let i = 0; i <= before; i++) expect(tree.get(`b/${String(i).padStart(3, '0')}/0`)?.[0]).toBe(2);
    // All images are free again.
    tree.view('b/', (view) => {
      for (let i = 0; i < 10; i++) putBlob(i, 0, 3);
      for (let i = 0; i < 10; i++) expect(view.get(`b/00${i}/0`)?.[0]).toBe(2);
    });
  });

  test('a callback that catches it cannot give a result of a view that had expired', () => {
    const code = codeOf(() =>
      crew.tree.view('b/', () => {
        for (let i = 0; i < COUNT; i++) putBlob(i, 0, 2);
        return 'as if nothing had been';
      }),
    );
    expect(code).toBe('ERR_VIEW_EXPIRED');
  });

  test('the oldest goes first, a newer one goes on', () => {
    const { tree } = crew;
    const code = codeOf(() =>
      tree.view('b/', (outer) => {
        for (let i = 0; i < 12; i++) putBlob(i, 0, 2);
        tree.view('b/', (inner) => {
          for (let i = 20; i < 30; i++) putBlob(i, 0, 2);
          expect(codeOf(() => outer.get('b/000/0'))).toBe('ERR_VIEW_EXPIRED');
          for (let i = 0; i < 12; i++) expect(inner.get(`b/${String(i).padStart(3, '0')}/0`)?.[0]).toBe(2);
          for (let i = 20; i < 30; i++) expect(inner.get(`b/0${i}/0`)?.[0]).toBe(1);
          expect([...inner.range({ prefix: 'b/', keysOnly: true })]).toHaveLength(4 * COUNT);
        });
      }),
    );
    expect(code).toBe('ERR_VIEW_EXPIRED');
  });

  test('threads that die inside of views leave no image taken', async () => {
    const { tree } = crew;
    for (let round = 0; round < 2; round++) {
      const exits = crew.start('diesInView');
      const waits = crew.start('diesInView', { waits: true });
      await Promise.all([exits.result, waits.started]);
      await waits.worker.terminate();
      // What they needed until then is taken, and not given back by itself.
      for (let i = 0; i < 10; i++) putBlob(i, 0, 10 + round);
      tree.threadDied(exits.id);
      tree.threadDied(waits.id);
    }
    tree.view('b/', (view) => {
      for (let i = 0; i < 15; i++) putBlob(i, 0, 20);
      for (let i = 0; i < 10; i++) expect(view.get(`b/00${i}/0`)?.[0]).toBe(11);
    });
    expect(crew.check()).toBe(4 * COUNT);
  });
});

describe('views beside writing threads', () => {
  let crew: Crew;
  beforeEach(async () => {
    crew = await Crew.open();
  });
  afterEach(() => crew.end());

  test('the total that batches keep is the same in each view', async () => {
    const { tree } = crew;
    const accounts = 60;
    for (let i = 0; i < accounts; i++) {
      const value = Buffer.alloc(8);
      value.writeDoubleLE(1000);
      tree.put(`a/${i}`, value);
      for (let n = 0; n < 8; n++) tree.put(`a/${i}/filler${n}`, Buffer.alloc(6000));
    }
    for (let i = 0; i < 1600; i++) tree.put(`b/${i % 40}/${i >> 5}`, Buffer.alloc(4000));
    const data = { accounts, total: accounts * 1000 };
    const viewers = [1, 2].map((me) =>
      crew.start<{ views: number; expired: number }>('viewer', { ...data, me }),
    );
    const bystander = crew.start<number>('bystander', { ...data, me: 3 });
    const transfers = [4, 5].map((me) => crew.start<number>('transfers', { ...data, me, count: 1500 }));
    for (const { result } of transfers) expect(await result).toBeGreaterThan(0);
    crew.stop();
    for (const { result } of viewers) expect((await result)?.views).toBeGreaterThan(0);
    expect(await bystander.result).toBeGreaterThan(0);
    const keyCount = tree.countPrefix('');
    expect(crew.check()).toBe(keyCount);
  });
});
