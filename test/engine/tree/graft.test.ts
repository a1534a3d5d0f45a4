import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FrameCache } from '../../../engine/cache/frame-cache.js';
import { MemoryBlobStore, Tree } from '../../../engine/index.js';
import { checkStore } from './check.js';

const directories: string[] = [];

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-graft-'));
  directories.push(directory);
  return directory;
}

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function contents(tree: Tree): [string, string, number][] {
  return [...tree.range()].flatMap((entry) =>
    entry.type === 'key'
      ? [[text(entry.key), text(entry.value), entry.version] as [string, string, number]]
      : [],
  );
}

/** What renamePrefix should do to a plain map; the code that it should throw, or undefined. */
function moveInModel(model: Map<string, string>, from: string, to: string): string | undefined {
  const moved = [...model].filter(([key]) => key.startsWith(from));
  if (moved.length === 0 || from === to) return undefined;
  if ([...model.keys()].some((key) => key.startsWith(to) && !key.startsWith(from)))
    return 'ERR_PREFIX_NOT_EMPTY';
  for (const [key] of moved) model.delete(key);
  for (const [key, value] of moved) model.set(to + key.slice(from.length), value);
  return undefined;
}

function codeOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const SEGMENT = fc.constantFrom(
  'a',
  'b',
  'ab',
  'abc',
  'x',
  'dir1',
  'dir2',
  `long${'z'.repeat(150)}`,
  'z'.repeat(300),
);
const PREFIX = fc
  .array(fc.tuple(SEGMENT, fc.constantFrom('/', '/', '/', '')), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.map(([segment, separator]) => segment + separator).join(''));
const STEP = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('fill' as const),
      prefix: PREFIX,
      count: fc.integer({ min: 1, max: 400 }),
      size: fc.constantFrom(0, 9, 90, 900),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('move' as const), from: PREFIX, to: PREFIX }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), prefix: PREFIX }) },
  { weight: 1, arbitrary: fc.constant({ do: 'compact' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'checkpoint' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'reopen' as const }) },
);

describe('renamePrefix', () => {
  it('does what moving each key would do, and replays', () => {
    fc.assert(
      fc.property(fc.array(STEP, { minLength: 5, maxLength: 40 }), (steps) => {
        const dir = newDirectory();
        const open = (): Tree =>
          Tree.open({ dir, cacheBytes: 8 << 20, durability: 'buffered', checkpoint: { enabled: false } });
        let tree = open();
        const model = new Map<string, string>();
        try {
          for (const step of steps) {
            if (step.do === 'fill') {
              for (let i = 0; i < step.count; i++) {
                const value = 'v'.repeat(step.size);
                tree.put(`${step.prefix}${i}`, Buffer.from(value));
                model.set(`${step.prefix}${i}`, value);
              }
            } else if (step.do === 'move') {
              const expected = moveInModel(model, step.from, step.to);
              expect(codeOf(() => tree.renamePrefix(step.from, step.to))).toBe(expected);
            } else if (step.do === 'clear') {
              tree.deletePrefix(step.prefix);
              for (const key of [...model.keys()]) if (key.startsWith(step.prefix)) model.delete(key);
            } else if (step.do === 'compact') tree.compact();
            else if (step.do === 'checkpoint') tree.checkpoint();
            else {
              tree.close();
              tree = open();
            }
          }
          const expected = [...model].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
          expect(contents(tree).map(([key, value]) => [key, value])).toEqual(expected);
        } finally {
          tree.close();
        }
      }),
      { numRuns: 40 },
    );
  });

  it('keeps the tree sound and loses no blob', () => {
    const store = new MemoryBlobStore();
    const tree = Tree.open({ store, flushOnWrite: false });
    const value = Buffer.alloc(200, 7);
    for (let i = 0; i < 20_000; i++) tree.put(`d/home/project/dir-${i % 50}/file-${i}`, value);
    for (let i = 0; i < 3_000; i++) tree.put(`d/other/dir-${i % 10}/file-${i}`, value);
    const names = ['d/home/project/', 'd/other/moved/', 'd/home/project/dir-7/', 'd/x'];
    for (let i = 0; i < 12; i++) {
      tree.renamePrefix(names[i % 2]!, names[1 - (i % 2)]!);
      if (i % 2 === 1) {
        tree.renamePrefix(names[2]!, names[3]!);
        tree.renamePrefix(names[3]!, names[2]!);
      }
      tree.checkpoint();
      checkStore(store);
      expect(store.listBlobs()).toHaveLength(tree.stats().blobCount);
    }
    expect(tree.stats().keyCount).toBe(23_000);
  });

  it('moves 100,000 keys in one mutation of a few frames, and keeps their versions', () => {
    const tree = Tree.open({ memory: true, flushOnWrite: false });
    for (let i = 0; i < 100_000; i++) tree.put(`from/${i}`, Buffer.from(`${i}`));
    const before = contents(tree);
    tree.checkpoint();
    const { lastLsn } = tree.stats();
    tree.renamePrefix('from/', 'some/where/else/');
    const stats = tree.stats();
    expect(stats.lastLsn).toBe(lastLsn + 1);
    expect(stats.bmDirtyCount).toBeLessThanOrEqual(4);
    expect(contents(tree)).toEqual(
      before.map(([key, value, version]) => [key.replace('from/', 'some/where/else/'), value, version]),
    );
  });

  it('within a frame copies nothing, and to and fro leaves nothing behind', () => {
    const tree = Tree.open({ memory: true, flushOnWrite: false });
    for (let i = 0; i < 4000; i++) tree.put(`half-${i % 2}/path-${i % 32}/file-${i}`, Buffer.alloc(64));
    const before = tree.stats();
    expect(before.blobCount).toBe(1);
    for (let i = 0; i < 200; i++) {
      tree.renamePrefix('half-0/', 'moved/further/');
      tree.renamePrefix('moved/further/', 'half-0/');
    }
    const after = tree.stats();
    expect(after.liveBytes).toBe(before.liveBytes);
    expect(after.compactions).toBe(before.compactions);
    expect(after.blobCount).toBe(1);
    tree.close();
  });

  it('out of itself gives no blob up that still holds what moves', () => {
    const tree = Tree.open({ memory: true, flushOnWrite: false });
    const put = (directory: string) => {
      for (let i = 0; i < 500; i++) tree.put(`${directory}${1000 + i}`, Buffer.alloc(400));
    };
    for (const directory of ['a/b/', 'a/c/', 'z/']) put(directory);
    // The blob with a/b/ hangs from the node that is to be cleared for it.
    tree.deletePrefix('a/c/');
    const dropped: number[] = [];
    const drop = FrameCache.prototype.drop;
    vi.spyOn(FrameCache.prototype, 'drop').mockImplementation(function (this: FrameCache, index) {
      dropped.push(this.frame(index).leaves);
      drop.call(this, index);
    });
    tree.renamePrefix('a/b/', 'a/');
    vi.restoreAllMocks();
    expect(dropped).toEqual([0]);
    expect(tree.countPrefix('a/1')).toBe(500);
    expect(tree.countPrefix('')).toBe(1000);
    tree.close();
  });

  it('goes where a directory of many blobs was emptied', () => {
    const store = new MemoryBlobStore();
    const tree = Tree.open({ store, flushOnWrite: false });
    for (let i = 0; i < 20_000; i++) tree.put(`old/${i}`, Buffer.alloc(100));
    tree.put('new/1', Buffer.from('1'));
    tree.checkpoint();
    for (let i = 0; i < 20_000; i++) tree.delete(`old/${i}`);
    tree.renamePrefix('new/', 'old/');
    tree.checkpoint();
    checkStore(store);
    expect(contents(tree).map(([key]) => key)).toEqual(['old/1']);
    expect(store.listBlobs()).toHaveLength(tree.stats().blobCount);
  });

  it('moves all that a blob without room has', () => {
    for (const size of [20, 100, 1000]) {
      const tree = Tree.open({ memory: true, flushOnWrite: false });
      let count = 0;
      for (; tree.stats().blobCount <= 1; count++)
        tree.put(`d/${String(count).padStart(6, '0')}`, Buffer.alloc(size));
      tree.deletePrefix('');
      for (let i = 0; i < count - 1; i++) tree.put(`d/${String(i).padStart(6, '0')}`, Buffer.alloc(size));
      tree.renamePrefix('d/', 'e/');
      expect(contents(tree)).toHaveLength(count - 1);
      expect(tree.isPrefixEmpty('d/')).toBe(true);
    }
  });

  it('is not overlooked by a read that is already on its way below', () => {
    const tree = Tree.open({ memory: true, flushOnWrite: false });
    const keys = Array.from({ length: 700 }, (_, i) => `d/${'n'.repeat(i + 1)}`);
    for (const key of keys) tree.put(key, Buffer.alloc(3000, 1));
    tree.put('z', Buffer.from('1'));
    const key = keys.at(-1)!;
    const original = FrameCache.prototype.find;
    const looked: number[] = [];
    let last = 0;
    const find = vi.spyOn(FrameCache.prototype, 'find').mockImplementation(function (
      this: FrameCache,
      blobId,
    ) {
      if (blobId === last) {
        last = 0;
        // What another thread may do at this very moment.
        tree.renamePrefix('d/', 'e/');
        tree.put(key.replace('d/', 'e/'), Buffer.from('put after the move'));
      }
      looked.push(blobId);
      return original.call(this, blobId);
    });
    try {
      tree.get(key);
      expect(looked.length).toBeGreaterThan(2);
      last = looked.at(-1)!;
      expect(tree.get(key)).toBeUndefined();
      expect(last).toBe(0);
    } finally {
      find.mockRestore();
    }
  });

  it('takes along what its own batch has put', () => {
    const store = new MemoryBlobStore();
    const tree = Tree.open({ store, flushOnWrite: false, cacheBytes: 8 << 20 });
    for (let i = 0; i < 9_000; i++) tree.put(`deep/${i % 9}/${i}`, Buffer.alloc(600));
    for (let i = 0; i < 60; i++) {
      tree.atomic((batch) => {
        batch.put(`s${i}`, Buffer.alloc(131_000, i));
        batch.renamePrefix('s', `deep/${i % 9}/moved/${i}/`);
        batch.put(`deep/${i % 9}/moved/${i}/more`, Buffer.alloc(50_000));
        batch.renamePrefix(`deep/${i % 9}/moved/${i}/`, `other/${i}/`);
      });
    }
    tree.checkpoint();
    checkStore(store);
    expect([...tree.range({ prefix: 'other/', keysOnly: true })]).toHaveLength(120);
    expect(tree.get(`other/7/7`)).toEqual(new Uint8Array(Buffer.alloc(131_000, 7)));
  });

  it('is seen by the guards that come after it in a batch', () => {
    const tree = Tree.open({ memory: true });
    tree.put('a/1', Buffer.from('one'));
    tree.put('a/2', Buffer.from('two'));
    const version = tree.getVersion('a/1')!;
    const done = tree.atomic((batch) => {
      batch.delete('a/2');
      batch.renamePrefix('a/', 'b/');
      batch.assertPrefixEmpty('a/');
      batch.assertAbsent('b/2');
      batch.assertVersion('b/1', version);
      batch.put('a/new', Buffer.from('new'));
      batch.renamePrefix('b/', 'c/b/');
      batch.compareAndPut('c/b/1', version, Buffer.from('changed'));
    });
    expect(done).toBe(true);
    expect(contents(tree).map(([key, value]) => [key, value])).toEqual([
      ['a/new', 'new'],
      ['c/b/1', 'changed'],
    ]);
  });

  it('makes keys longer than a put may, which reads, scans and deletes accept', () => {
    const store = new MemoryBlobStore();
    const tree = Tree.open({ store, flushOnWrite: false });
    const long = (letter: string): string => letter.repeat(16_384);
    tree.put('a', Buffer.from('one'));
    tree.put('a1', Buffer.alloc(100_000));
    let prefix = 'a';
    let rest = '';
    for (const letter of 'bcdefg') {
      tree.renamePrefix(prefix, long(letter));
      rest = long(letter).slice(1) + rest;
      prefix = letter;
      expect(text(tree.get(Buffer.from(letter + rest)) as Uint8Array)).toBe('one');
    }
    expect(contents(tree).map(([key]) => key)).toEqual([`g${rest}`, `g${rest}1`]);
    tree.compact();
    tree.checkpoint();
    checkStore(store);
    expect(tree.delete(`g${rest}1`)).toBe(true);
    expect(tree.delete(`g${rest}`)).toBe(true);
    expect(tree.isPrefixEmpty('')).toBe(true);
  });

  it('refuses a destination that is not empty and changes nothing', () => {
    const tree = Tree.open({ memory: true });
    tree.put('a/1', Buffer.from('one'));
    tree.put('b/1', Buffer.from('other'));
    const before = contents(tree);
    expect(codeOf(() => tree.renamePrefix('a/', 'b/'))).toBe('ERR_PREFIX_NOT_EMPTY');
    expect(tree.atomic((batch) => batch.renamePrefix('a', 'b'))).toBe(false);
    expect(contents(tree)).toEqual(before);
  });

  it('moves into itself, out of itself, and with empty prefixes', () => {
    const tree = Tree.open({ memory: true });
    for (const key of ['a', 'a1', 'ab2']) tree.put(key, Buffer.from(key));
    tree.renamePrefix('a', 'ab/');
    expect(contents(tree).map(([key]) => key)).toEqual(['ab/', 'ab/1', 'ab/b2']);
    tree.renamePrefix('ab/', 'a');
    expect(contents(tree).map(([key]) => key)).toEqual(['a', 'a1', 'ab2']);
    tree.renamePrefix('', 'root/');
    expect(contents(tree).map(([key]) => key)).toEqual(['root/a', 'root/a1', 'root/ab2']);
    tree.renamePrefix('root/', '');
    expect(contents(tree).map(([key]) => key)).toEqual(['a', 'a1', 'ab2']);
    expect(codeOf(() => tree.renamePrefix('a', ''))).toBe('ERR_INVALID_ARGUMENT');
    expect(contents(tree).map(([key]) => key)).toEqual(['a', 'a1', 'ab2']);
  });
});
