/**
 * Interleavings of two operations: the one of side A, and before one step of it the whole of the other, of side B. All
 * steps are tried in turn, or so many spread over them.
 */
import { expect } from 'vitest';
import { MemoryBlobStore, SpinneyError } from '../../../../engine/index.js';
import { treeStats } from '../../../../engine/tree/stats.js';
import { checkStore } from '../check.js';
import { nameIn, openSides, type Side, WouldWait } from './sides.js';

/** The key that both sides are about; it is in a blob below the root. */
export const KEY = 'p/d/150';
export const NEAR = 'p/d/150+';
export const FAR = 'a/far';
export const BASE = 'base';

export const value = (tag: string, size = 2500): Uint8Array => Buffer.alloc(size, `${tag}.`);
export const tagOf = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes.subarray(0, 12)).toString().split('.')[0];

/** Under blobs three deep. */
export const DEEP = 'n'.repeat(350);

/** The trees that operations are tried on: small, larger than the cache, or with many blobs on the way to DEEP. */
type Kind = 'small' | 'wide' | 'deep';
const images = new Map<Kind, MemoryBlobStore>();
/** Version of KEY to begin with. */
export let version = 0;

function prepare(kind: Kind): MemoryBlobStore {
  const { a, store } = openSides(new MemoryBlobStore());
  a.put(FAR, value(BASE));
  for (let i = 100; i < 200; i++) {
    for (const part of 'cde') a.put(`p/${part}/${i}`, value(BASE));
  }
  for (let i = 0; kind === 'wide' && i < 70; i++) a.put(`z/${i}`, value(BASE, 130_000));
  for (let i = 1; kind === 'deep' && i <= 400; i++) a.put('n'.repeat(i), value(BASE, 4000));
  a.round.run();
  expect(a.way(KEY).length).toBeGreaterThan(1);
  if (kind === 'deep') expect(a.way(DEEP).length).toBeGreaterThan(2);
  version = a.reads.getVersion(KEY) as number;
  return store;
}
/** To be called before the rest. */
export function prepareTrees(): void {
  for (const kind of ['small', 'wide', 'deep'] as const) images.set(kind, prepare(kind));
}

export interface Action {
  name: string;
  /** Returns what its caller learns. */
  act: (side: Side) => unknown;
  /** What it needs, if not a small tree. */
  on?: Kind;
}

export const MERGES = 'merges of its blob into the one above';

export const others: Action[] = [
  { name: 'a put of the key', act: (side) => side.put(KEY, value('B')) },
  { name: 'its deletion', act: (side) => side.remove(KEY) },
  {
    name: 'its deletion, and its place taken by others',
    act: (side) => {
      side.remove(KEY);
      for (let i = 0; i < 4; i++) side.put(`p/d/151-${i}`, value('B'));
    },
  },
  {
    name: 'puts and deletions beside it',
    act: (side) => {
      side.put(NEAR, value('B'));
      side.remove('p/d/149');
      side.remove('p/d/151');
      side.put('p/d/15', value('B'));
    },
  },
  {
    name: 'a put that moves its leaf, and the place taken by another',
    act: (side) => {
      side.put(`${KEY}+more`, value('B'));
      side.put('p/d/1500', value('B'));
    },
  },
  {
    name: 'splits of its blob',
    act: (side) => {
      for (let i = 0; i < 60; i++) side.put(`p/d/150${i + 10}`, value('B', 15_000));
    },
  },
  {
    name: MERGES,
    act: (side) => {
      for (const name of side.keys('p/')) if (name !== KEY && !name.endsWith('7')) side.remove(name);
      side.compaction.run();
    },
  },
  {
    name: 'the end of its blob',
    act: (side) => {
      for (const name of side.keys('p/')) side.remove(name);
      side.round.run();
    },
  },
  {
    name: 'a graft of it to another name, and a put under that',
    act: (side) => {
      side.renamePrefix('p/', 'q/');
      side.put(KEY.replace('p', 'q'), value('B'));
    },
  },
  {
    name: 'a graft of it away and back',
    act: (side) => {
      side.renamePrefix('p/d', 'away');
      side.renamePrefix('away', 'p/d');
    },
  },
  { name: 'a checkpoint', act: (side) => side.round.run() },
  {
    name: 'evictions',
    on: 'wide',
    act: (side) => {
      side.round.run();
      for (let i = 0; i < 70; i++) side.reads.getVersion(`z/${i}`);
    },
  },
];

/** What a tree holds: names and tags. */
export function contents(side: Side): string {
  const entries = ['a', 'p', 'q', 'm/', 'n'].flatMap((prefix) => [...side.reads.range({ prefix })]);
  return entries
    .map((entry) => (entry.type === 'key' ? `${nameIn(entry)}=${tagOf(entry.value)}` : ''))
    .join();
}

export interface Outcome {
  result: unknown;
  contents: string;
}

/** What comes of A and then B, and of B and then A; `result` is A's. */
export interface Orders {
  ab: Outcome;
  ba: Outcome;
}

/** Whether what was found may be. */
export type Agree = (found: Outcome, orders: Orders) => boolean;

/** Both sides warm: all frames that fit are resident, those on the way to the key dirty. */
export function open(kind: Kind): { a: Side; b: Side; store: MemoryBlobStore } {
  const sides = openSides(images.get(kind) as MemoryBlobStore);
  for (const part of 'cde') sides.b.put(`p/${part}/199`, value('warm'));
  sides.b.put('a/warm', value('warm'));
  sides.b.reads.countPrefix('p/');
  return sides;
}

export function learn(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    if (error instanceof SpinneyError) return error.code;
    throw error;
  }
}

/** The outcomes of one after the other, in both orders; results of A. */
function inOrder(first: Action, second: Action): Orders {
  const kind = first.on ?? second.on ?? 'small';
  const one = open(kind);
  const result = learn(() => first.act(one.a));
  learn(() => second.act(one.b));
  const ab = { result, contents: contents(one.a) };
  const two = open(kind);
  learn(() => second.act(two.b));
  const ba = { result: learn(() => first.act(two.a)), contents: contents(two.a) };
  return { ab, ba };
}

/** Sound blobs, no version given twice, nothing in the store that is not in the tree. */
export function checkSound({ a, store }: { a: Side; store: MemoryBlobStore }): void {
  const entries = [...a.reads.range({ keysOnly: true })];
  // What one batch puts has one version.
  const alone = entries.filter((entry) => nameIn(entry) !== FAR);
  const versions = alone.map((entry) => (entry.type === 'key' ? entry.version : 0));
  if (new Set(versions).size !== versions.length) throw new Error('Two keys have one version');
  if (versions.some((each) => each > a.state.lsn())) throw new Error('A version is ahead of the LSN');
  a.round.run();
  const { leaves, blobs } = checkStore(store);
  const { keyCount, blobCount } = treeStats(a.state);
  expect({ leaves, blobs, keyCount, blobCount }).toEqual({
    leaves: entries.length,
    blobs: a.state.blobCount,
    keyCount: entries.length,
    blobCount: a.state.blobCount,
  });
}

export interface Explored {
  steps: number;
  /** How often the other could do all that it wanted within. */
  within: number;
}

/** Steps of `first` to try: all, or so many spread over them. */
function chosen(steps: number, most: number): number[] {
  const count = Math.min(steps, most);
  return Array.from({ length: count }, (_, i) => Math.floor((i * (steps - 1)) / Math.max(1, count - 1)) + 1);
}

export function explore(first: Action, second: Action, agree: Agree, most: number): Explored {
  const kind = first.on ?? second.on ?? 'small';
  const orders = inOrder(first, second);
  let steps = 0;
  const counted = open(kind);
  counted.a.onStep = () => steps++;
  learn(() => first.act(counted.a));
  let within = 0;
  for (const chosenStep of chosen(steps, most)) {
    const sides = open(kind);
    const { a, b } = sides;
    const before = a.state.lsn();
    let at = 0;
    let name = '';
    let isDone = false;
    let isHalf = false;
    a.onStep = (step) => {
      if (++at !== chosenStep) return;
      name = step;
      try {
        learn(() => second.act(b));
        isDone = true;
      } catch (error) {
        if (!(error instanceof WouldWait)) throw error;
        isHalf = a.state.lsn() !== before;
      }
    };
    const where = (): string => `${second.name} before step ${chosenStep} (${name}) of ${first.name}`;
    try {
      const result = learn(() => first.act(a));
      a.onStep = undefined;
      if (isDone) within++;
      else learn(() => second.act(b));
      const found = { result, contents: contents(a) };
      if (!isHalf && !agree(found, orders)) {
        throw new Error(
          `got ${JSON.stringify(found).slice(0, 300)}, not ${JSON.stringify(orders).slice(0, 600)}`,
        );
      }
      // The check takes its time, most of all of a large tree.
      if (chosenStep === steps || (kind !== 'wide' && chosenStep % 3 === 0)) checkSound(sides);
    } catch (error) {
      throw new Error(`${where()}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { steps, within };
}

export const same = (one: Outcome, two: Outcome): boolean =>
  one.contents === two.contents && JSON.stringify(one.result) === JSON.stringify(two.result);
export const eitherOrder = (found: Outcome, { ab, ba }: Orders): boolean =>
  same(found, ab) || same(found, ba);
