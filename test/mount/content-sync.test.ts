import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isAfterCut, NO_BOOT, readMark, writeMark } from '../../mount/filesystem/contents/content-mark.js';
import { ContentSync } from '../../mount/stores/content-sync.js';
import { ModelTree } from '../support/model-tree.js';

const BOOT = 'this boot';
const MARK = {
  boot: 'a boot before',
  durableLsn: 0,
  durableSeconds: 0,
  cutLsn: 7,
  cutAfter: 8,
  cutBefore: 9,
};

let directory: string;
let tree: ModelTree;
let logged: string[];
let contents: ContentSync;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-sync-'));
  tree = new ModelTree();
  logged = [];
  contents = new ContentSync(tree, directory, (_level, message) => logged.push(message));
  writeMark(tree, MARK);
  tree.put('d/a', Buffer.from('record'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('notes up to where contents are durable: where they were when it began', async () => {
  const began = tree.lastLsn();
  const running = contents.run();
  tree.put('d/b', Buffer.from('too late'));
  await running;
  const mark = readMark(tree)!;
  expect(mark).toEqual({ ...MARK, durableLsn: began, durableSeconds: mark.durableSeconds });
  expect(Math.abs(mark.durableSeconds - Date.now() / 1000)).toBeLessThan(60);
  // A power cut from here on may take the content of the last one.
  expect(isAfterCut(tree, mark, BOOT)).toBe(true);
  await contents.end();
  expect(readMark(tree)?.durableLsn).toBe(tree.lastLsn() - 1);
});

it('has nothing to do where nothing came since, and then a clean end left all durable', async () => {
  await contents.run();
  const lsn = tree.lastLsn();
  await contents.end();
  expect(tree.lastLsn()).toBe(lsn);
  const closed = {
    previousEnd: 'closed',
    lastLsn: () => tree.lastLsn(),
    getVersion: (key: Uint8Array) => tree.getVersion(key),
  } as const;
  expect(isAfterCut(closed, readMark(tree), BOOT)).toBe(false);
  tree.put('d/b', Buffer.from('later'));
  expect(isAfterCut(closed, readMark(tree), BOOT)).toBe(true);
});

it('leaves alone a mark that says that a power cut is being settled', async () => {
  writeMark(tree, { ...MARK, boot: NO_BOOT });
  tree.put('d/b', Buffer.from('later'));
  await contents.end();
  expect(readMark(tree)).toEqual({ ...MARK, boot: NO_BOOT });
});

it('says so when it cannot', async () => {
  rmSync(directory, { recursive: true });
  await contents.end();
  expect(logged).toEqual([expect.stringMatching(/^Cannot make the contents in .* durable: .*ENOENT/)]);
  expect(readMark(tree)).toEqual(MARK);
});
