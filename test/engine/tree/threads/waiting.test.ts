/** Changes that wait beside a tree that is larger than its cache: nobody can tell, whatever happens. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { RangeEntry } from '../../../../engine/api.js';
import { WAITING_BLOBS } from '../../../../engine/art/layout.js';
import { SpinneyError } from '../../../../engine/errors.js';
import { salvage, Tree, Wreck } from '../../../../engine/index.js';
import type { JournalSizes } from '../../../../engine/journal/sizes.js';
import { SILENT } from '../../../../engine/progress.js';
import { verifyTree } from '../../../../engine/tree/verify/verify.js';
import { Mutation } from '../../../../engine/tree/write/mutation.js';
import { FaultDisk } from '../../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../../support/disk/memory-disk.js';
import { seededRandom } from '../../../support/disk/random.js';
import { SMALL_CACHE } from '../harness.js';
import { below, operationOf, pick, type Random } from '../keys.js';
import { SnapshotRun } from '../snapshots/snapshot-run.js';
import { Crew } from './crew.js';

const MIB = 1024 * 1024;
const SIZES: JournalSizes = {
  ringBytes: 256 * 1024,
  maxBodyBytes: 128 * 1024,
  segmentBytes: 4 * MIB,
  reserveBytes: 512 * 1024,
  firstBytes: 64 * 1024,
};
/** Keys of a tree of more than twenty blobs, twice as many as may be changed in the smallest cache at once. */
const KEYS = 5000;

/** Neighbours in number are far from each other in order. */
const keyOf = (i: number): string => `${String((i * 7919) % KEYS).padStart(6, '0')}/name-${i}`;
const contentOf = (i: number, stamp: number): Buffer => Buffer.alloc(1600 + (i % 7) * 200, `${i} ${stamp}.`);

const waitingChanges = (tree: Tree): number => tree.stats().waitingChanges;

/** What a tree is to hold, at each of its LSNs. */
class History {
  readonly #changes: [lsn: number, key: string, value: Buffer | undefined][] = [];

  note(tree: Tree, key: string, value: Buffer | undefined): void {
    this.#changes.push([tree.lastLsn(), key, value]);
  }

  at(lsn: number): Map<string, Buffer> {
    const contents = new Map<string, Buffer>();
    for (const [since, key, value] of this.#changes) {
      if (since > lsn) break;
      if (value === undefined) contents.delete(key);
      else contents.set(key, value);
    }
    return contents;
  }
}

function put(tree: Tree, history: History, i: number, stamp: number): void {
  tree.put(keyOf(i), contentOf(i, stamp));
  history.note(tree, keyOf(i), contentOf(i, stamp));
}

/** Some change at a random place. */
function change(tree: Tree, history: History, random: Random, stamp: number): void {
  const i = below(random, KEYS);
  const roll = random();
  if (roll < 0.7) put(tree, history, i, stamp);
  else if (roll < 0.85) {
    if (tree.delete(keyOf(i))) history.note(tree, keyOf(i), undefined);
  } else {
    const others = [i, (i + 1) % KEYS, (i + 2) % KEYS];
    tree.atomic((batch) => {
      batch.put(keyOf(others[0]!), contentOf(others[0]!, stamp));
      batch.put(keyOf(others[1]!), contentOf(others[1]!, stamp));
      batch.delete(keyOf(others[2]!));
    });
    for (const other of others.slice(0, 2)) history.note(tree, keyOf(other), contentOf(other, stamp));
    history.note(tree, keyOf(others[2]!), undefined);
  }
}

function fill(tree: Tree, history: History): void {
  for (let i = 0; i < KEYS; i++) put(tree, history, i, 0);
}

function expectContents(entries: Iterable<RangeEntry>, expected: ReadonlyMap<string, Buffer>): void {
  const keys = [...expected.keys()].sort();
  let at = 0;
  for (const entry of entries) {
    if (entry.type !== 'key') continue;
    const key = Buffer.from(entry.key).toString();
    if (key !== keys[at]) throw new Error(`${key} is there, not ${keys[at]}`);
    if (Buffer.compare(entry.value, expected.get(key)!) !== 0) throw new Error(`${key} has another value`);
    at++;
  }
  expect(at).toBe(keys.length);
}

let home: string | undefined;
const ends: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const end of ends.splice(0)) await end();
  if (home !== undefined) fs.rmSync(home, { recursive: true, force: true });
  home = undefined;
});

function directory(): string {
  home ??= fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-waiting-'));
  return path.join(home, 'store');
}

/** A tree in a directory beside which changes wait. */
function waitingTree(history: History): Tree {
  const tree = Tree.open({ dir: directory(), cacheBytes: SMALL_CACHE, checkpoint: { enabled: false } });
  ends.push(() => tree.close());
  fill(tree, history);
  const random = seededRandom(1);
  for (let stamp = 1; stamp < 400 || waitingChanges(tree) === 0; stamp++)
    change(tree, history, random, stamp);
  return tree;
}

test('random operations, snapshots and kills agree with the model', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = seededRandom(seed);
      const run = new SnapshotRun('dir', { cacheBytes: SMALL_CACHE, durability: 'buffered' });
      try {
        const pool: string[] = [];
        for (let i = 0; i < KEYS; i++) {
          const key = keyOf(i);
          pool.push(key);
          run.apply({ op: 'put', key, value: contentOf(i, 0) });
        }
        let most = 0;
        for (let i = 0; i < 500; i++) {
          const roll = random();
          const key = pick(random, pool);
          if (roll < 0.01) run.take(`s${i}`);
          else if (roll < 0.015) run.compareSnapshots(random);
          else if (roll < 0.02) run.compareDiffs(random);
          else if (roll < 0.5) run.apply({ op: 'put', key, value: contentOf(i, i) });
          else if (roll < 0.6) run.apply({ op: 'delete', key });
          else run.apply(operationOf(random, () => pick(random, pool), false));
          if (i % 20 === 0) most = Math.max(most, waitingChanges(run.tree));
        }
        expect(most).toBeGreaterThan(0);
        run.compareSnapshots(random);
        run.compareDiffs(random);
        run.compareAll();
        run.tree.countPrefix('');
        run.finish();
      } finally {
        run.end();
      }
    }),
    { numRuns: 2, seed: 20_261_201, endOnFailure: true },
  );
});

test('levels of names, the longest key and views see what waits', () => {
  const history = new History();
  const tree = waitingTree(history);
  const contents = history.at(tree.lastLsn());
  expect(waitingChanges(tree)).toBeGreaterThan(0);
  const levels = [...tree.range({ delimiter: '/' })].map((entry) =>
    Buffer.from(entry.type === 'prefix' ? entry.prefix : entry.key).toString(),
  );
  const expected = new Set([...contents.keys()].sort().map((key) => key.slice(0, key.indexOf('/') + 1)));
  expect(levels).toEqual([...expected]);
  for (let i = 0; i < KEYS; i += 17) {
    const found = tree.longestPrefix(`${keyOf(i)}/more`);
    expect(found && Buffer.from(found.key).toString()).toBe(contents.has(keyOf(i)) ? keyOf(i) : undefined);
  }
  tree.view('', (view) => {
    const random = seededRandom(2);
    for (let stamp = 1000; stamp < 1004; stamp++) change(tree, history, random, stamp);
    expect(view.countPrefix('')).toBe(contents.size);
    expect(view.countPrefix('', 10)).toBe(10);
    for (let i = 0; i < KEYS; i += 371) {
      const found = view.get(keyOf(i));
      const value = contents.get(keyOf(i));
      expect(found === undefined ? undefined : Buffer.from(found)).toEqual(value);
    }
  });
  expectContents(tree.range(), history.at(tree.lastLsn()));
});

test('a checkpoint and a kill at every step leave what was acknowledged, and nothing that was deleted', () => {
  const disk = new FaultDisk(new MemoryDisk());
  const options = { dir: '/store', cacheBytes: SMALL_CACHE, checkpoint: { enabled: false } } as const;
  const tree = Tree.open(options, { disk, journalSizes: SIZES });
  const history = new History();
  fill(tree, history);
  const random = seededRandom(3);
  for (let stamp = 1; stamp < 300 || waitingChanges(tree) === 0; stamp++)
    change(tree, history, random, stamp);
  tree.checkpoint();
  expect(tree.store.listBlobs().some((id) => id >= WAITING_BLOBS)).toBe(true);
  // A disk before every call that changes something, thinned out; what was durable then, and what was acknowledged.
  const left: { disk: MemoryDisk; durable: number; acknowledged: number }[] = [];
  let calls = 0;
  disk.onCall = ({ name, path: file }) => {
    if (name === 'read') return undefined;
    const isRare = name !== 'write' || !file.endsWith('blobs.dat');
    if (calls++ % (isRare ? 5 : 11) !== 0) return undefined;
    const durable = tree.durableLsn();
    const acknowledged = tree.lastLsn();
    left.push({ disk: disk.inner.afterKill(), durable: acknowledged - 1, acknowledged });
    if (calls % 3 === 0) left.push({ disk: disk.inner.afterPowerCut(random), durable, acknowledged });
    return undefined;
  };
  for (let stamp = 1000; stamp < 1150; stamp++) change(tree, history, random, stamp);
  tree.checkpoint();
  for (let stamp = 2000; stamp < 2050; stamp++) change(tree, history, random, stamp);
  // All is merged, and the store is one of before.
  tree.countPrefix('');
  tree.checkpoint();
  disk.onCall = undefined;
  expect(tree.store.listBlobs().every((id) => id < WAITING_BLOBS)).toBe(true);
  tree.close();
  const step = Math.ceil(left.length / 25);
  for (let n = 0; n < left.length; n += step) {
    const state = left[n]!;
    const again = Tree.open(options, { disk: state.disk, journalSizes: SIZES });
    const lsn = again.lastLsn();
    expect(lsn).toBeGreaterThanOrEqual(state.durable);
    expectContents(again.range(), history.at(lsn));
    again.countPrefix('');
    expectContents(again.range(), history.at(lsn));
    again.close();
  }
  expect(left.length).toBeGreaterThan(40);
});

test('a full disk refuses what adds, not what removes, and opens again', () => {
  const disk = new MemoryDisk({ capacityBytes: 36 * MIB });
  const options = { dir: '/store', cacheBytes: SMALL_CACHE } as const;
  let tree = Tree.open(options, { disk, journalSizes: SIZES });
  const history = new History();
  let refused = 0;
  let most = 0;
  for (let i = 0; refused < 20; i++) {
    if (i % 100 === 0) most = Math.max(most, waitingChanges(tree));
    const key = `${keyOf(i % KEYS)}-${Math.floor(i / KEYS)}`;
    try {
      tree.put(key, contentOf(i, 1));
      history.note(tree, key, contentOf(i, 1));
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_NO_SPACE') throw error;
      refused++;
    }
  }
  const keys = [...history.at(tree.lastLsn()).keys()];
  expect(most).toBeGreaterThan(0);
  for (let n = 0; n < keys.length; n += 3) {
    expect(tree.delete(keys[n]!)).toBe(true);
    history.note(tree, keys[n]!, undefined);
  }
  expectContents(tree.range(), history.at(tree.lastLsn()));
  tree.close();
  tree = Tree.open(options, { disk, journalSizes: SIZES });
  expectContents(tree.range(), history.at(tree.lastLsn()));
  tree.put('again', Buffer.from('there is room'));
  tree.close();
});

test('a thread that fails while it merges leaves a poisoned tree, and all that was acknowledged', () => {
  const history = new History();
  const tree = waitingTree(history);
  const lsn = tree.lastLsn();
  vi.spyOn(Mutation.prototype, 'dropEmpty').mockImplementationOnce(() => {
    throw new Error('The thread dies here');
  });
  expect(() => tree.countPrefix('')).toThrow('The thread dies here');
  for (const use of [() => tree.put('key', Buffer.from('value')), () => tree.countPrefix('')])
    expect(use).toThrow(expect.objectContaining({ code: 'ERR_POISONED' }));
  expect(() => tree.close()).not.toThrow();
  const again = Tree.open({ dir: directory(), cacheBytes: SMALL_CACHE });
  ends.push(() => again.close());
  expect(again.lastLsn()).toBe(lsn);
  expectContents(again.range(), history.at(lsn));
});

describe('the format', () => {
  /** Versions of the records in the manifest and, wherever they are, in its log. */
  function versions(): { manifest: number; log: Set<number> } {
    const manifest = fs.readFileSync(path.join(directory(), 'manifest')).readUInt16LE(4);
    const log = fs.readFileSync(path.join(directory(), 'manifest.log'));
    const found = new Set<number>();
    for (let at = log.indexOf('SPMR'); at >= 0; at = log.indexOf('SPMR', at + 1))
      found.add(log.readUInt16LE(at + 4));
    return { manifest, log: found };
  }

  test('older releases refuse the store as long as something waits, and no longer', () => {
    const history = new History();
    const tree = waitingTree(history);
    tree.checkpoint();
    expect(waitingChanges(tree)).toBeGreaterThan(0);
    expect(versions().manifest).toBe(4);
    tree.countPrefix('');
    tree.checkpoint();
    expect(waitingChanges(tree)).toBe(0);
    expect(versions().manifest).toBe(3);
    expect([...versions().log].every((version) => version === 3)).toBe(true);
  });

  test('what waits is verified, merged for a measure, and seen by who only reads', () => {
    const history = new History();
    const tree = waitingTree(history);
    tree.checkpoint();
    const contents = history.at(tree.lastLsn());
    const changes = waitingChanges(tree);
    tree.close();
    const findings: unknown[] = [];
    const cacheBytes = SMALL_CACHE;
    verifyTree({ dir: directory(), cacheBytes, report: (finding) => findings.push(finding) });
    expect(findings).toEqual([]);
    const reader = Tree.open({ dir: directory(), cacheBytes, readOnly: true });
    expect(waitingChanges(reader)).toBe(changes);
    expectContents(reader.range(), contents);
    reader.close();
    const measure = {
      name: 'bytes',
      fields: ['bytes'],
      of: (_key: Uint8Array, value: Uint8Array, out: Float64Array): void => {
        out[0] = value.length;
      },
    };
    expect(() => Tree.open({ dir: directory(), cacheBytes, readOnly: true, measure })).toThrow(
      expect.objectContaining({ code: 'ERR_NEEDS_RECOVERY' }),
    );
    const measured = Tree.open({ dir: directory(), cacheBytes, measure });
    ends.push(() => measured.close());
    expect(waitingChanges(measured)).toBe(0);
    const bytes = [...contents.values()].reduce((sum, { length }) => sum + length, 0);
    expect(measured.measure('')).toEqual({ bytes });
    expectContents(measured.range(), contents);
  });
});

test('repair takes what waits, and leaves out what is deleted', () => {
  const history = new History();
  const tree = waitingTree(history);
  tree.checkpoint();
  const contents = history.at(tree.lastLsn());
  expect(waitingChanges(tree)).toBeGreaterThan(0);
  tree.close();
  const wreck = new Wreck(directory(), SILENT);
  const salvaged = Tree.open({ dir: path.join(home!, 'new'), checkpoint: { enabled: false } });
  ends.push(
    () => wreck.close(),
    () => salvaged.close(),
  );
  const findings: unknown[] = [];
  const report = (finding: unknown): void => void findings.push(finding);
  salvage({ wreck, tree: salvaged, unproven: false, progress: SILENT, report, detached: () => undefined });
  expect(findings).toEqual([]);
  expectContents(salvaged.range(), contents);
});

test('several threads', async () => {
  const crew = await Crew.open();
  ends.push(() => crew.end());
  for (let i = 0; i < KEYS; i++) crew.tree.put(keyOf(i), contentOf(i, 0));
  const file = path.join(import.meta.dirname, 'waiting-roles.mjs');
  const members = [0, 1, 2].map((me) =>
    crew.start<Record<string, number>>('change', { me, keys: KEYS }, file),
  );
  const scans = crew.start<number>('scan', { me: 9, keys: KEYS }, file);
  const stamps = await Promise.all(members.map(({ result }) => result));
  crew.stop();
  expect(await scans.result).toBeGreaterThan(0);
  for (const mine of stamps) {
    for (const [i, stamp] of Object.entries(mine!)) {
      const found = crew.tree.get(keyOf(Number(i)));
      if (stamp === 0 ? found !== undefined : found?.[0] !== stamp)
        throw new Error(`${keyOf(Number(i))} is ${found?.[0]}`);
    }
  }
  const keyCount = crew.tree.countPrefix('');
  expect(crew.check()).toBe(keyCount);
});
