/** Calls that are cut short by a kill: what they were to do is done, or is as it was before them. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CHANGE_SIZE } from '../../mount/filesystem/types.js';
import { CALLER, Fixture } from './fixture.js';

const CHANGE_MTIME = 32;
const OLD = { mtimeSeconds: 1_000_000_000, mtimeNanos: 7 };

let f: Fixture;
beforeEach(() => {
  f = new Fixture(undefined, { rests: true });
});
afterEach(() => f.cleanUp());

/** Does the call as far as the first record that it puts, and opens what is there then. */
function killAfterPut(call: () => void): void {
  const { tree } = f;
  const put = tree.compareAndPut.bind(tree);
  tree.compareAndPut = (...args) => {
    put(...args);
    throw new Error('killed');
  };
  expect(call).toThrow('killed');
  tree.compareAndPut = put;
  f.open();
}

it.each([3, 10, 20])('truncating a file to %d bytes', (size) => {
  f.write('/a', 'ten bytes.');
  f.setattr('/a', { valid: CHANGE_MTIME, ...OLD });
  killAfterPut(() => f.setattr('/a', { valid: CHANGE_SIZE, size }));
  expect(f.stat('/a')).toMatchObject({ size: 10, ...OLD });
  expect(f.read('/a')).toBe('ten bytes.');
});

it('truncating a file that has no content', () => {
  f.create('/a');
  f.setattr('/a', { valid: CHANGE_MTIME, ...OLD });
  killAfterPut(() => f.setattr('/a', { valid: CHANGE_SIZE, size: 5 }));
  expect(f.stat('/a')).toMatchObject({ size: 0, ...OLD });
  expect(f.read('/a')).toBe('');
});

it.each(['at rest', 'by the next start', 'at the end'])(
  'records of files that were removed go %s',
  (when) => {
    const orphans = () => [...f.tree.range({ prefix: 'o' })].length;
    const inos = Array.from({ length: 40 }, (_, i) => {
      f.create(`/f${i}`);
      f.fs.setxattr(CALLER, Buffer.from(`/f${i}`), Buffer.from('user.a'), Buffer.from('b'), 0);
      return f.stat(`/f${i}`).ino;
    });
    for (const i of inos.keys()) f.unlink(`/f${i}`);
    const keys = [...f.tree.range({})].length;
    expect(orphans()).toBe(inos.length);
    for (const ino of inos) f.fs.forget(ino);
    // Many go by one batch, the last ones when there is time.
    expect([orphans(), f.fs.stats().orphans]).toEqual([8, 0]);
    if (when === 'at rest') f.fs.rest();
    else if (when === 'at the end') f.fs.close();
    else {
      f.open();
      f.reclaimed(f.scheduled);
    }
    expect(orphans()).toBe(0);
    expect([...f.tree.range({})].length).toBe(keys - 2 * inos.length);
  },
);
