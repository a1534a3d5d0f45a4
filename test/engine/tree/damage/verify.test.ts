import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Finding, SpinneyError, Tree, verifyTree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { SMALL_CACHE } from '../harness.js';

let home: string;
let dir: string;

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-verify-'));
  dir = path.join(home, 'store');
});
afterEach(() => fs.rmSync(home, { recursive: true, force: true }));

const KEYS = 3000;

/** Writes a tree of several blobs, and after its last checkpoint so many more keys. */
function write(later: number): void {
  const tree = Tree.open({ dir, checkpoint: { enabled: false } });
  for (let n = 0; n < KEYS; n++) tree.put(`key/${n % 37}/${n}`, Buffer.alloc(600, n));
  tree.checkpoint();
  for (let n = 0; n < later; n++) tree.put(`later/${n}`, Buffer.from('value'));
  tree.close();
}

function verify(options: { cacheBytes?: number } = {}) {
  const findings: Finding[] = [];
  let keys = -1;
  const found = verifyTree({
    dir,
    ...options,
    report: (finding) => findings.push(finding),
    inspect: (tree) => {
      keys = tree.stats().keyCount;
    },
  });
  return { findings, keys, found };
}

/** All files but the contents of the lock. */
function files(): Record<string, string> {
  return Object.fromEntries(
    fs.readdirSync(dir).map((name) => [name, fs.readFileSync(path.join(dir, name), 'latin1')]),
  );
}

function flip(name: string, offset: number): void {
  const bytes = fs.readFileSync(path.join(dir, name));
  bytes[offset]! ^= 0x10;
  fs.writeFileSync(path.join(dir, name), bytes);
}

test('a sound store has no findings, and is not changed', () => {
  write(10);
  const before = files();
  const { findings, keys, found } = verify();
  expect(findings).toEqual([]);
  expect(keys).toBe(KEYS + 10);
  expect(found).toMatchObject({ leaves: KEYS, depth: 2, journalRecords: 10, checkpointLsn: KEYS });
  expect(found.blobs).toBeGreaterThan(3);
  expect(files()).toEqual(before);
});

test('every damaged blob is told', () => {
  write(0);
  const slots = fs.statSync(path.join(dir, 'blobs.dat')).size / BLOB_SIZE;
  const { blobs } = verify().found;
  for (let slot = 0; slot < slots; slot++) flip('blobs.dat', slot * BLOB_SIZE + 1000);
  const { findings, keys } = verify();
  expect(
    findings.filter(({ message }) => /^Cannot read blob \d+ in slot \d+ of .*CRC/.test(message)),
  ).toHaveLength(blobs);
  expect(findings).toHaveLength(blobs);
  // What cannot be trusted is not looked into.
  expect(keys).toBe(-1);
});

test.each(['manifest', 'manifest.log'])('damage of the %s is told', (name) => {
  write(0);
  flip(name, 10);
  expect(verify().findings).toEqual([
    { kind: 'damage', message: expect.stringContaining(`Cannot open ${dir}/${name}: at offset`) as string },
  ]);
});

test('damage of the journal is told', () => {
  write(1000);
  const name = fs.readdirSync(dir).find((file) => file.endsWith('.wal'))!;
  const end = fs.readFileSync(path.join(dir, name)).indexOf('later/0');
  flip(name, end);
  const { findings, found } = verify();
  expect(findings).toEqual([
    { kind: 'damage', message: expect.stringMatching(/^Cannot recover the journal: /) as string },
  ]);
  expect(found).toMatchObject({ leaves: KEYS, journalRecords: 0 });
});

test('what cannot be verified is an error', () => {
  const code = (act: () => unknown): string => {
    try {
      act();
    } catch (error) {
      if (error instanceof SpinneyError) return error.code;
    }
    return '';
  };
  expect(code(verify)).toBe('ERR_NO_STORE');
  write(0);
  const tree = Tree.open({ dir });
  expect(code(verify)).toBe('ERR_STORE_LOCKED');
  for (let n = 0; n < 20_000; n++) tree.put(`key/${n % 37}/${n}`, Buffer.alloc(600, n));
  tree.close();
  expect(verify().findings).toEqual([]);
  // Beside others that only read.
  const reader = Tree.open({ dir, readOnly: true });
  expect(verify({ cacheBytes: SMALL_CACHE }).findings).toEqual([]);
  reader.close();
});
