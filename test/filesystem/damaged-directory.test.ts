/** Listings of directories of which a part cannot be read. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { RangeEntry, RangeOptions } from '../../engine/api.js';
import { SpinneyError, UnreadableBlobError } from '../../engine/errors.js';
import { newAttributes } from '../../mount/filesystem/arguments.js';
import { ModelTree } from '../support/model-tree.js';
import { Fixture } from './fixture.js';

/** A tree of which all keys that begin with a prefix lie in a blob that cannot be read. */
class DamagedTree extends ModelTree {
  lost: string | undefined;

  #check(key: Uint8Array): void {
    if (this.lost === undefined || !Buffer.from(key).toString('latin1').startsWith(this.lost)) return;
    const error = new UnreadableBlobError(7, new SpinneyError('ERR_BLOB_CORRUPT', 'Cannot read blob 7'));
    error.prefix = Buffer.from(this.lost, 'latin1');
    throw error;
  }

  override get(key: Uint8Array): Uint8Array | undefined {
    this.#check(key);
    return super.get(key);
  }

  override range(options: RangeOptions = {}): ReturnType<ModelTree['range']> {
    const entries = [...super.range(options)];
    let at = 0;
    let told = false;
    const iterator: IterableIterator<RangeEntry> = {
      [Symbol.iterator]: () => iterator,
      next: () => {
        for (;;) {
          const entry = entries[at];
          if (entry === undefined) return { done: true, value: undefined };
          at++;
          try {
            this.#check(entry.type === 'key' ? entry.key : entry.prefix);
          } catch (error) {
            if (told) continue;
            told = true;
            throw error;
          }
          return { done: false, value: entry };
        }
      },
    };
    return iterator as ReturnType<ModelTree['range']>;
  }
}

let tree: DamagedTree;
let fixture: Fixture;
const ROOT = new Uint8Array(0);
const path = (text: string): Uint8Array => Buffer.from(text);

beforeEach(() => {
  tree = new DamagedTree();
  fixture = new Fixture(tree);
  for (const name of ['a', 'b', 'c1', 'c2', 'c3', 'd', 'e']) expect(fixture.mkdir(`/${name}`)).toBe(0);
});
afterEach(() => fixture.cleanUp());

/** Reads on from `offset`, `room` entries at a time; how it ended. */
function list(
  handle: number,
  offset: number,
  room: number,
): { names: string[]; offsets: number[]; end: unknown } {
  const names: string[] = [];
  const offsets = [offset];
  for (let reads = 0; reads < 50; reads++) {
    let left = room;
    let result: number;
    const before = names.length;
    try {
      result = fixture.fs.readdir(handle, offsets.at(-1)!, true, (name, next) => {
        if (left-- === 0) return false;
        names.push(Buffer.from(name).toString());
        offsets.push(next);
        return true;
      });
    } catch (error) {
      return { names, offsets, end: error };
    }
    if (names.length === before) return { names, offsets, end: result };
  }
  throw new Error('It does not end');
}

const isDamage = expect.objectContaining({ code: 'ERR_BLOB_CORRUPT', blobId: 7 }) as unknown;

it('give what is before and behind, and end with the error, however often they are asked', () => {
  tree.lost = 'd/c';
  for (const room of [1, 2, 3, 100]) {
    const handle = fixture.fs.opendir(ROOT);
    const { names, offsets, end } = list(handle, 0, room);
    expect(names).toEqual(['.', '..', 'a', 'b', 'd', 'e']);
    expect(end).toEqual(isDamage);
    expect(list(handle, offsets.at(-1)!, room)).toMatchObject({ names: [], end: isDamage });
    // From anywhere, and from the beginning again.
    expect(list(handle, offsets[4]!, room)).toMatchObject({ names: ['d', 'e'], end: isDamage });
    expect(list(handle, 0, room)).toMatchObject({ names, end: isDamage });
    fixture.fs.releasedir(handle);
  }
});

it('end with the error for who comes in behind the damage, too', () => {
  tree.lost = 'd/c';
  const first = fixture.fs.opendir(ROOT);
  const { offsets } = list(first, 0, 100);
  fixture.fs.releasedir(first);
  const second = fixture.fs.opendir(ROOT);
  expect(list(second, offsets.at(-2)!, 100)).toMatchObject({ names: ['e'], end: isDamage });
  // Once all of it can be read, they end well again.
  tree.lost = undefined;
  const third = fixture.fs.opendir(ROOT);
  expect(list(third, 0, 3)).toMatchObject({ names: { length: 9 }, end: 0 });
  const fourth = fixture.fs.opendir(ROOT);
  expect(list(fourth, offsets.at(-1)!, 100)).toMatchObject({ names: [], end: 0 });
});

it('are whole where the damage is below a directory of theirs', () => {
  for (const name of ['x', 'y']) expect(fixture.mkdir(`/d/${name}`)).toBe(0);
  tree.lost = 'd/d/';
  expect(list(fixture.fs.opendir(ROOT), 0, 100)).toMatchObject({ names: { length: 9 }, end: 0 });
  expect(list(fixture.fs.opendir(path('/d')), 0, 100)).toMatchObject({ names: ['.', '..'], end: isDamage });
});

it('have the names of files whose inodes cannot be read', () => {
  expect(fixture.create('/file')).toBe(0);
  const out = newAttributes();
  expect(fixture.fs.lookup(ROOT, path('file'), out)).toBe(0);
  const { ino } = out;
  expect(fixture.link('/file', '/second')).toBe(0);
  tree.lost = 'i';
  const found = new Map<string, { ino: number; isComplete: boolean }>();
  const handle = fixture.fs.opendir(ROOT);
  fixture.fs.readdir(handle, 0, true, (name, _next, attributes, isComplete) => {
    found.set(Buffer.from(name).toString(), { ino: attributes.ino, isComplete });
    return true;
  });
  expect(found.get('a')).toMatchObject({ isComplete: true });
  for (const name of ['file', 'second']) expect(found.get(name)).toEqual({ ino, isComplete: false });
  expect(() => fixture.fs.lookup(ROOT, path('file'), out)).toThrow('blob 7');
});
