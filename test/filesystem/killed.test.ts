/** Calls that are cut short by a kill: what they were to do is done, or is as it was before them. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CHANGE_SIZE } from '../../mount/filesystem/types.js';
import { Fixture } from './fixture.js';

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
