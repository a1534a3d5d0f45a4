import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { prefixesOf, scrubBlobs, Tree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';

let home: string;
let tree: Tree;

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-scrub-'));
  tree = Tree.open({ dir: path.join(home, 'store'), checkpoint: { enabled: false } });
  for (let n = 0; n < 3000; n++) tree.put(`key/${n % 37}/${n}`, Buffer.alloc(600, n));
  tree.checkpoint();
});
afterEach(() => {
  tree.close();
  fs.rmSync(home, { recursive: true, force: true });
});

test('finds every blob sound, also those that are newer in memory, and passes over those that went away', () => {
  for (let n = 0; n < 3000; n++) tree.put(`key/${n % 37}/${n}`, Buffer.alloc(600, n + 1));
  const ids = tree.store.listBlobs();
  expect(ids.length).toBeGreaterThan(3);
  const { blobs, damaged, parents } = scrubBlobs(tree.store, [...ids, 4_000_000]);
  expect({ blobs, damaged }).toEqual({ blobs: ids.length, damaged: [] });
  expect(parents.map(([child]) => child).sort()).toEqual(ids.filter((id) => id !== 1).sort());
});

test('tells damage of each blob, and what its keys begin with', () => {
  const ids = tree.store.listBlobs();
  const data = path.join(home, 'store/blobs.dat');
  const bytes = fs.readFileSync(data);
  const victims = new Set<number>();
  for (let at = 0; at + BLOB_SIZE <= bytes.length; at += BLOB_SIZE) {
    const id = bytes.readUInt32LE(at + 8);
    if (id < 2 || !ids.includes(id)) continue;
    victims.add(id);
    bytes[at + 4000]! ^= 1;
  }
  const { parents } = scrubBlobs(tree.store, ids);
  fs.writeFileSync(data, bytes);
  const { damaged } = scrubBlobs(tree.store, ids);
  expect(damaged.map(({ id }) => id)).toEqual(ids.filter((id) => victims.has(id)));
  expect(damaged[0]!.message).toMatch(/^Cannot read blob \d+ in slot \d+ of .*: the CRC is/);
  const direct = parents.filter(([, parent]) => parent === 1).map(([child]) => child);
  for (const prefix of prefixesOf(tree.store, direct, new Map(parents))) expect(prefix).toMatch(/^key\/?/);
});

test('tells damage of the manifest, and nothing of a manifest that is being written', () => {
  const { store } = tree;
  expect(store.verifyIndex?.()).toBeUndefined();
  for (let round = 0; round < 30; round++) {
    tree.put('key', Buffer.of(round));
    tree.checkpoint();
    expect(store.verifyIndex?.()).toBeUndefined();
  }
  const manifest = path.join(home, 'store/manifest');
  const bytes = fs.readFileSync(manifest);
  bytes[20]! ^= 1;
  fs.writeFileSync(manifest, bytes);
  expect(store.verifyIndex?.()).toMatch(/^Cannot open .*manifest: at offset 0: /);
  bytes[20]! ^= 1;
  fs.writeFileSync(manifest, bytes);
  expect(store.verifyIndex?.()).toBeUndefined();
});
