/** What of the contents is here, and what goes when there is too much. */
import { describe, expect, it } from 'vitest';
import type { ContentName } from '../../../mount/filesystem/types.js';
import { ContentCache } from '../../../mount/remote/content-cache.js';
import { seededRandom } from '../../support/disk/random.js';

const nameOf = ({ ino, born }: ContentName) => `${ino}.${born}`;

/** A disk, and whoever decides what may go. */
class World {
  readonly disk = new Map<string, number>();
  readonly shipped = new Set<string>();
  readonly asked: ContentName[] = [];
  /** Bytes of the disk that are not others'. */
  space = Number.POSITIVE_INFINITY;
  readonly cache: ContentCache;

  constructor(bound: number) {
    this.cache = new ContentCache(bound, {
      bytesOf: (ino, born) => this.disk.get(nameOf({ ino, born })) ?? 0,
      room: () => this.space - this.used,
      mayGo: (ino, born) => this.shipped.has(nameOf({ ino, born })),
      evict: (ino, born) => this.asked.push({ ino, born }),
    });
  }

  put(ino: number, bytes: number, born = 0): ContentName {
    this.disk.set(nameOf({ ino, born }), bytes);
    this.shipped.add(nameOf({ ino, born }));
    return { ino, born };
  }

  /** Answers the first eviction that was asked for. */
  answer(isDone: boolean): ContentName {
    const content = this.asked.shift()!;
    if (isDone) this.disk.delete(nameOf(content));
    this.cache.evicted(content, isDone);
    return content;
  }

  get used(): number {
    return [...this.disk.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}

describe('a cache of contents', () => {
  it('has those go that were not used for longest, and no more than are too many', () => {
    const world = new World(100);
    for (let ino = 1; ino <= 5; ino++) world.cache.used(world.put(ino, 30));
    expect(world.asked).toEqual([
      { ino: 1, born: 0 },
      { ino: 2, born: 0 },
    ]);
    world.cache.used({ ino: 2, born: 0 });
    world.answer(true);
    world.answer(true);
    expect(world.cache.figures()).toMatchObject({ bytes: 90, contents: 3, evictions: 2, isStuck: false });
    expect(world.asked).toEqual([]);
  });

  it('fills no disk, however much it is allowed, and is not stuck for that', () => {
    const world = new World(1_000);
    world.space = 100;
    for (let ino = 1; ino <= 5; ino++) world.cache.used(world.put(ino, 30));
    expect(world.asked.map(({ ino }) => ino)).toEqual([1, 2]);
    world.answer(true);
    world.answer(true);
    expect(world.cache.figures()).toMatchObject({ bytes: 90, contents: 3, isStuck: false });
    // Others take what is left.
    world.space = 50;
    world.cache.retry();
    while (world.asked.length > 0) world.answer(true);
    expect(world.used).toBe(30);
    world.space = -1_000;
    world.cache.retry();
    world.answer(false);
    expect([world.used, world.cache.figures().isStuck]).toEqual([30, false]);
  });

  it('takes the next one where one stays, and says when none can go', () => {
    const world = new World(50);
    for (let ino = 1; ino <= 3; ino++) world.cache.used(world.put(ino, 30, 1));
    expect(world.answer(false)).toEqual({ ino: 1, born: 1 });
    expect(world.answer(false)).toEqual({ ino: 2, born: 1 });
    expect(world.answer(false)).toEqual({ ino: 3, born: 1 });
    expect(world.asked).toEqual([]);
    expect(world.cache.figures()).toMatchObject({ bytes: 90, isStuck: true });
    world.cache.retry();
    expect(world.answer(true)).toEqual({ ino: 1, born: 1 });
    expect(world.answer(true)).toEqual({ ino: 2, born: 1 });
    expect(world.cache.figures()).toMatchObject({ bytes: 30, isStuck: false });
  });

  it('asks for none that the remote has not', () => {
    const world = new World(50);
    const one = world.put(1, 40);
    world.shipped.clear();
    world.cache.used(one);
    world.cache.used(world.put(2, 40));
    expect(world.asked).toEqual([{ ino: 2, born: 0 }]);
  });

  it('takes what is here from before for older than what was used since', () => {
    const world = new World(1000);
    const [one, two, three] = [world.put(1, 10), world.put(2, 20), world.put(3, 40)];
    world.cache.used(one);
    world.cache.found([three, one, two, { ino: 9, born: 0 }]);
    expect(world.cache.figures()).toMatchObject({ bytes: 70, contents: 3 });
    world.cache.used(world.put(4, 950));
    expect(world.asked).toEqual([{ ino: 3, born: 0 }]);
  });

  it.each([1, 2, 3, 4])('counts exactly what is there, whatever happens, seed %i', (seed) => {
    const random = seededRandom(seed);
    const below = (n: number) => Math.floor(random() * n);
    const world = new World(500);
    for (let step = 0; step < 5_000; step++) {
      const content = { ino: 1 + below(20), born: below(3) };
      const name = nameOf(content);
      switch (below(5)) {
        case 0:
          // It comes, grows or shrinks, and is not shipped then.
          world.disk.set(name, below(100));
          world.shipped.delete(name);
          world.cache.used(content);
          break;
        case 1:
          world.disk.delete(name);
          world.cache.used(content);
          break;
        case 2:
          world.shipped.add(name);
          if (below(4) === 0) world.cache.retry();
          break;
        case 3:
          world.cache.used(content);
          break;
        default:
          if (world.asked.length > 0) world.answer(below(3) > 0);
      }
      expect(world.cache.figures().bytes).toBe(world.used);
    }
    // What can go goes, until there is little enough.
    for (const name of world.disk.keys()) world.shipped.add(name);
    world.cache.retry();
    while (world.asked.length > 0) world.answer(true);
    expect(world.used).toBeLessThanOrEqual(500);
  });
});
