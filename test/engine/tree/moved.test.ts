/** A tree whose directory is moved while it is open. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { Tree, verifyTree } from '../../../engine/index.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-moved-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
});

const bytes = (text: string) => new TextEncoder().encode(text);

test('goes on where the directory is, and makes nothing where it was', () => {
  const before = join(directory, 'before');
  const after = join(directory, 'after');
  const tree = Tree.open({ dir: before });
  const { location } = tree;
  tree.put('first', bytes('1'));
  renameSync(before, after);
  // Enough for several segments of the journal.
  const value = new Uint8Array(100_000);
  for (let n = 0; n < 300; n++) tree.put(`key ${n}`, value);
  tree.checkpoint();
  tree.sync();
  tree.put('last', bytes('2'));
  expect(readdirSync(location!)).toContain('blobs.dat');
  expect(() => Tree.open({ dir: after })).toThrow(`Cannot open the store ${after}: it is in use`);
  tree.close();
  expect(existsSync(before)).toBe(false);
  const damage: string[] = [];
  verifyTree({ dir: after, report: ({ kind, message }) => kind === 'damage' && damage.push(message) });
  expect(damage).toEqual([]);
  const again = Tree.open({ dir: after });
  expect(again.get('first')).toEqual(bytes('1'));
  expect(again.get('last')).toEqual(bytes('2'));
  expect(again.stats().keyCount).toBe(302);
  again.close();
});

test('messages name the path that was given', () => {
  const dir = join(directory, 'store');
  const tree = Tree.open({ dir });
  rmSync(dir, { recursive: true });
  mkdirSync(dir);
  const value = new Uint8Array(100_000);
  let message = '';
  // Until a new file is needed, for which there is no place any more.
  for (let n = 0; message === '' && n < 5000; n++) {
    try {
      tree.put(`key ${n}`, value);
      if (n % 100 === 0) tree.sync();
    } catch (error) {
      message = (error as Error).message;
    }
  }
  expect(message).toContain(`${dir}/`);
  expect(message).not.toContain('/proc/self');
  expect(() => tree.close()).toThrow(dir);
  expect(readdirSync(dir)).toEqual([]);
});
