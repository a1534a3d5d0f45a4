import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Tree } from '../../../engine/index.js';
import { namespaceChanges } from '../../../mount/diff/index.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import { bytes, CALLER, Fixture, newResult, StepClock, split } from '../../filesystem/fixture.js';

let f: Fixture;
let tree: Tree;

beforeEach(() => {
  tree = Tree.open({ memory: true, cacheBytes: 64 << 20 });
  f = new Fixture(tree, { clock: new StepClock() });
});
afterEach(() => f.cleanUp());

const take = (name: string): void => void f.fs.snapshots.take(name);
const rename = (from: string, to: string, flags = 0): void => {
  const [a, b] = [split(from), split(to)];
  expect(f.fs.rename(CALLER, a.parent, a.name, b.parent, b.name, flags, newResult())).toBe(0);
};
const remove = (path: string): void => {
  const { parent, name } = split(path);
  expect(f.fs.unlink(CALLER, parent, name, newResult())).toBe(0);
};

/** What changed, a line for each. */
function changes(before: string, after?: string): string[] {
  const lines: string[] = [];
  for (const change of namespaceChanges(tree, before, after)) {
    if (change === undefined) continue;
    const text = (path: Uint8Array) => Buffer.from(path).toString('latin1') || '/';
    const from = change.from === undefined ? '' : `${text(change.from)} -> `;
    lines.push(`${change.change} ${from}${text(change.path)}${change.isChanged === true ? ' changed' : ''}`);
  }
  return lines;
}

describe('what changed between snapshots', () => {
  beforeEach(() => {
    for (const path of ['/a', '/a/deep', '/a/deep/er', '/b']) f.mkdir(path);
    for (const path of ['/a/one', '/a/two', '/a/deep/three', '/a/deep/er/four', '/b/five'])
      f.write(path, path);
    take('old');
  });

  it('is nothing where nothing did', () => {
    take('new');
    expect(changes('old', 'new')).toEqual([]);
    expect(changes('old')).toEqual([]);
  });

  it('is paths made, changed and removed, but no directory for names that came and went', () => {
    f.write('/a/one', 'other');
    f.write('/b/new', 'n');
    f.mkdir('/b/dir');
    remove('/a/deep/three');
    f.setattr('/b/five', { valid: 1, mode: 0o600 });
    take('new');
    f.write('/later', '');
    expect(changes('old', 'new')).toEqual(
      ['changed /a/one', 'removed /a/deep/three', 'made /b/dir', 'changed /b/five', 'made /b/new'].sort(
        (x, y) => (x.split(' ')[1]! < y.split(' ')[1]! ? -1 : 1),
      ),
    );
    expect(changes('new')).toEqual(['made /later']);
  });

  it('is directories that have other modes, owners or attributes', () => {
    f.setattr('/a', { valid: 1, mode: 0o700 });
    expect(f.fs.setxattr(CALLER, bytes('/b'), bytes('user.k'), bytes('v'), 0)).toBe(0);
    f.fs.setxattr(CALLER, bytes('/a/deep'), bytes('user.k'), bytes('v'), 0);
    f.write('/a/deep/new', '');
    expect(changes('old')).toEqual(['changed /a', 'changed /a/deep', 'made /a/deep/new', 'changed /b']);
  });

  it('is a move where the inode is the same, told once for a directory', () => {
    rename('/a/two', '/b/zwei');
    rename('/a/deep', '/b/tief');
    expect(changes('old')).toEqual(['moved /a/deep -> /b/tief', 'moved /a/two -> /b/zwei']);
    // What happened below it besides.
    f.write('/b/tief/three', 'new content');
    f.write('/b/tief/made', '');
    rename('/b/tief/er/four', '/b/tief/vier');
    rename('/b/tief/er', '/er');
    expect(changes('old')).toEqual([
      'moved /a/deep -> /b/tief',
      'made /b/tief/made',
      'changed /b/tief/three',
      'moved /a/deep/er/four -> /b/tief/vier',
      'moved /a/two -> /b/zwei',
      'moved /a/deep/er -> /er',
    ]);
  });

  it('is a move and a change where both happened', () => {
    rename('/a/one', '/a/eins');
    f.write('/a/eins', 'longer than it was before');
    expect(changes('old')).toEqual(['moved /a/one -> /a/eins changed']);
  });

  it('tells what took a name from what had it', () => {
    rename('/a/one', '/a/two');
    expect(changes('old')).toEqual(['moved /a/one -> /a/two', 'removed /a/two']);
    take('replaced');
    rename('/a', '/b', 2);
    expect(changes('replaced')).toEqual(['moved /b -> /a', 'moved /a -> /b']);
  });

  it('follows directories whose old parents are gone', () => {
    rename('/a/deep/er', '/b/er');
    remove('/a/deep/three');
    const { parent, name } = split('/a/deep');
    expect(f.fs.rmdir(CALLER, parent, name, newResult())).toBe(0);
    rename('/b', '/c');
    expect(changes('old')).toEqual([
      'removed /a/deep',
      'removed /a/deep/three',
      'moved /b -> /c',
      'moved /a/deep/er -> /c/er',
    ]);
  });

  it('finds all names of a file that has several', () => {
    expect(f.fs.link(CALLER, bytes('/a/one'), bytes('/b'), bytes('second'), newAttributes())).toBe(0);
    take('linked');
    expect(changes('old', 'linked')).toEqual(['changed /a/one', 'made /b/second']);
    f.write('/a/one', 'changed by one name');
    expect(changes('linked')).toEqual(['changed /a/one', 'changed /b/second']);
    rename('/b/second', '/b/third');
    expect(changes('linked')).toEqual(['changed /a/one', 'moved /b/second -> /b/third']);
  });

  it('refuses a snapshot that is not there', () => {
    expect(() => changes('absent')).toThrow(expect.objectContaining({ code: 'ERR_NOT_FOUND' }));
    expect(() => changes('old', 'absent')).toThrow(expect.objectContaining({ code: 'ERR_NOT_FOUND' }));
  });
});
