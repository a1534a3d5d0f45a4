/** Threads that write and read one tree at once, against what each of them knows; and threads that are ended. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Durability } from '../../../../engine/api.js';
import { seededRandom } from '../../../support/disk/random.js';
import { codeOf } from '../harness.js';
import { below } from '../keys.js';
import { Crew } from './crew.js';

let crew: Crew;
afterEach(() => crew.end());

const COUNTERS = 5;

interface Journey {
  mine: { key: string; number: number; version: number }[];
  mutations: number;
  /** Of the writes of keys that only this thread writes. */
  versions: number[];
  won: { races: number; deaths: number; counted: number };
}

function stamped(number: number, size: number): Uint8Array {
  const value = Buffer.alloc(8 + size, number & 255);
  value.writeDoubleLE(number);
  return value;
}

const numberIn = (value: Uint8Array | undefined): number => Buffer.from(value ?? []).readDoubleLE(0);

/** What all threads find: more blobs than the cache holds, counters, and keys to be deleted by whoever is first. */
function prepare(races: number): number {
  const { tree } = crew;
  for (let i = 0; i < 60; i++) {
    for (let n = 0; n < 25; n++) tree.put(`m/${String(i).padStart(2, '0')}/filler${n}`, stamped(n, 6500));
  }
  for (let i = 0; i < COUNTERS; i++) tree.put(`counter/${i}`, stamped(0, 0));
  for (let i = 0; i < races; i++) tree.put(`dying/${i}`, stamped(i, 10));
  return tree.lastLsn();
}

/** Contents, versions and counts are what the threads tell; now, and after reopening. */
function compare(journeys: readonly Journey[], races: number): void {
  const { tree } = crew;
  for (const { mine } of journeys) {
    for (const { key, number, version } of mine) {
      const record = tree.getRecord(key);
      if (record?.version !== version || numberIn(record.value) !== number)
        throw new Error(`${key} is at version ${record?.version} instead of ${version}`);
    }
  }
  const own = journeys.reduce((sum, { mine }) => sum + mine.length, 0);
  expect(tree.countPrefix('')).toBe(own + 60 * 25 + COUNTERS + races);
  expect([...tree.range({ keysOnly: true })]).toHaveLength(own + 60 * 25 + COUNTERS + races);
  expect([...tree.range({ prefix: 'race/', keysOnly: true })]).toHaveLength(races);
  let counted = 0;
  for (let i = 0; i < COUNTERS; i++) counted += numberIn(tree.get(`counter/${i}`));
  expect(counted).toBe(sumOf(journeys, 'counted'));
}

const sumOf = (journeys: readonly Journey[], what: keyof Journey['won']): number =>
  journeys.reduce((sum, { won }) => sum + won[what], 0);

describe('threads that write one tree lose nothing, and agree about who was first', () => {
  const cases: { members: number; durability: Durability; count: number }[] = [
    { members: 2, durability: 'buffered', count: 1500 },
    { members: 4, durability: 'written', count: 700 },
    { members: 8, durability: 'buffered', count: 400 },
    { members: 4, durability: 'synced', count: 150 },
  ];
  for (const { members, durability, count } of cases) {
    test(`${members} threads, ${durability}`, async () => {
      crew = await Crew.open({ durability });
      // Each thread comes by each race.
      const races = Math.floor((count + 2) / 4);
      const before = prepare(races);
      const threads = Array.from({ length: members }, (_, me) =>
        crew.start<Journey>('mixed', { me, count, members, upkeep: me === 0 }),
      );
      const journeys = (await Promise.all(threads.map(({ result }) => result))) as Journey[];
      expect(sumOf(journeys, 'races')).toBe(races);
      expect(sumOf(journeys, 'deaths')).toBe(races);
      expect(sumOf(journeys, 'counted')).toBe(members * Math.ceil(count / 4));
      const versions = journeys.flatMap((journey) => journey.versions);
      expect(new Set(versions).size).toBe(versions.length);
      const mutations = journeys.reduce((sum, journey) => sum + journey.mutations, 0);
      expect(crew.tree.lastLsn()).toBe(before + mutations);
      compare(journeys, races);
      const keyCount = crew.tree.countPrefix('');
      expect(crew.check()).toBe(keyCount);
      await crew.open();
      expect(crew.tree.lastLsn()).toBe(before + mutations);
      compare(journeys, races);
    });
  }
});

test('threads that do nothing but write the same few keys of one frame', async () => {
  // Without rounds, which would send the writers to the lock.
  crew = await Crew.open({ checkpoint: { enabled: false, host: 'worker' } });
  const members = 3;
  const count = 8000;
  for (let i = 0; i < COUNTERS; i++) crew.tree.put(`counter/${i}`, stamped(0, 0));
  const threads = Array.from({ length: members }, (_, me) =>
    crew.start<{ mutations: number; counted: number }>('hammer', { me, count, members }),
  );
  let mutations = COUNTERS;
  for (const { result } of threads) mutations += (await result)?.mutations ?? 0;
  let counted = 0;
  for (let i = 0; i < COUNTERS; i++) counted += numberIn(crew.tree.get(`counter/${i}`));
  expect(counted).toBe(members * count);
  expect(crew.tree.lastLsn()).toBe(mutations);
  expect(crew.check()).toBe(COUNTERS + members * 20);
});

describe('a thread that is terminated at any point', () => {
  const MEMBERS = 3;
  const COUNT = 3000;

  /** All that was acknowledged to the thread, up to its last write, is there. */
  function checkAcknowledged(me: number): void {
    const { tree, words } = crew;
    const acknowledged = Atomics.load(words, 8 + me);
    const found = new Set<number>();
    for (const entry of tree.range({ prefix: 'numbered/', keysOnly: true })) {
      if (entry.type !== 'key') continue;
      const [, slot, whose, number] = Buffer.from(entry.key).toString().split('/').map(Number);
      if (whose === me) found.add(number as number);
      expect(slot).toBe((number as number) % 40);
    }
    for (let i = 1; i <= acknowledged; i++) {
      // Every third write is followed by the deletion of the one before.
      const isDeleted = (i + 1) % 3 === 0 && i + 1 <= acknowledged;
      const isOpen = (i + 1) % 3 === 0 && i + 1 === acknowledged + 1;
      if (!isOpen && found.has(i) === isDeleted) {
        throw new Error(`thread ${me}: ${i} of ${acknowledged} is ${isDeleted ? 'there' : 'lost'}`);
      }
    }
    expect(Math.max(0, ...found)).toBeLessThanOrEqual(acknowledged + 1);
  }

  test('leaves the tree whole or poisoned for all; reopening recovers what was acknowledged', async () => {
    const random = seededRandom(20_260_103);
    for (let round = 0; round < 6; round++) {
      crew = await Crew.open({ durability: 'written' });
      const threads = Array.from({ length: MEMBERS }, (_, me) =>
        crew.start<string>('numbered', { me, count: COUNT }),
      );
      await Promise.all(threads.map(({ started }) => started));
      const victim = threads[0]!;
      const until = 20 + below(random, 150);
      while (Atomics.load(crew.words, 8) < until) await new Promise((resolve) => setImmediate(resolve));
      await victim.worker.terminate();
      crew.tree.threadDied(victim.id);
      crew.stop();
      const codes = await Promise.all(threads.slice(1).map(({ result }) => result));
      const code = codeOf(() => crew.tree.put('after', Buffer.from('1')));
      expect([undefined, 'ERR_POISONED']).toContain(code);
      for (const other of codes) expect([undefined, code]).toContain(other);
      if (code !== undefined) {
        expect(codeOf(() => crew.tree.delete('after'))).toBe(code);
        expect(codeOf(() => crew.tree.view('', () => {}))).toBe(code);
        expect(codeOf(() => crew.tree.compact())).toBe(code);
      }
      codeOf(() => crew.tree.close());
      await crew.open();
      for (let me = 0; me < MEMBERS; me++) checkAcknowledged(me);
      crew.tree.put('after', Buffer.from('2'));
      const keyCount = crew.tree.countPrefix('');
      expect(crew.check()).toBe(keyCount);
      await crew.end();
    }
  });
});
