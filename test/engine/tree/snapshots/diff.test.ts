/** Differences between snapshots: what they cost, and that they hold beside writers. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TreeChange } from '../../../../engine/api.js';
import { NodeDisk } from '../../../../engine/disk/node-disk.js';
import { Tree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { seededRandom } from '../../../support/disk/random.js';
import { codeOf } from '../harness.js';
import { below } from '../keys.js';

const KEYS = 6000;
const BYTES = 1200;

/** Tells of each image that is read, by blob and generation. */
class WatchedDisk extends NodeDisk {
  readonly images: string[] = [];

  override read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const count = super.read(fd, into, offset, length, position);
    if (length === BLOB_SIZE) {
      const view = new DataView(into.buffer, into.byteOffset);
      this.images.push(`${view.getUint32(8, true)} ${view.getFloat64(16, true)}`);
    }
    return count;
  }
}

let dir: string;
let disk: WatchedDisk;
let tree: Tree;
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-diff-'));
  disk = new WatchedDisk();
  tree = Tree.open(
    { dir, cacheBytes: 64 * 1024 * 1024, durability: 'buffered', checkpoint: { enabled: false } },
    { disk },
  );
  for (let n = 0; n < KEYS; n++) tree.put(key(n), Buffer.alloc(BYTES, n));
});
afterEach(() => {
  tree.close();
  fs.rmSync(dir, { recursive: true, force: true });
});

const key = (n: number): string => `d/${n % 60}/some/name-${String(n).padStart(6, '0')}`;

const shown = ({ key: name, before, after }: TreeChange): string =>
  `${Buffer.from(name)} ${before?.value[0]} ${after?.value[0]}`;

/** Blobs, with their generations, that `act` reads from the disk. */
function readBy(act: () => void): string[] {
  disk.images.length = 0;
  act();
  return [...disk.images];
}

describe('the difference of two trees', () => {
  test('is found without reading what both share', () => {
    tree.snapshot('a');
    for (const n of [7, 67, 127]) tree.put(key(n), Buffer.alloc(BYTES, 'x'));
    tree.delete(key(3000));
    tree.put('e/new', Buffer.from('!'));
    tree.snapshot('b');
    const { pins } = tree.store;
    const [a, b] = tree.snapshots().map(({ id }) => id);
    const blobs = pins?.listBlobs(a!) ?? [];
    expect(blobs.length).toBeGreaterThan(15);
    let changes: string[] = [];
    const read = readBy(() => {
      changes = Array.from(tree.diff('a', 'b'), shown);
    });
    expect(changes).toEqual([
      `${key(3000)} ${3000 & 255} undefined`,
      `${key(7)} 7 120`,
      `${key(67)} 67 120`,
      `${key(127)} 127 120`,
      'e/new undefined 33',
    ]);
    const rows = (pin: number): string[] =>
      (pins?.listBlobs(pin) ?? []).map((id) => `${id} ${pins?.blobRow(pin, id)?.generation}`);
    const [inA, inB] = [rows(a!), rows(b!)];
    const shared = new Set(inA.filter((row) => inB.includes(row)));
    const leading = new Set(
      [...shared].filter((row) => pins?.blobRow(a!, Number(row.split(' ')[0]))?.crossings !== 0),
    );
    expect(shared.size).toBeGreaterThan(blobs.length / 2);
    // Each once, and none that both share but for those with crossings, which are few.
    expect(new Set(read).size).toBe(read.length);
    expect(read.filter((row) => shared.has(row) && !leading.has(row))).toEqual([]);
    expect(read.length).toBeLessThanOrEqual(2 * (blobs.length - shared.size + 3) + leading.size);
    expect(leading.size).toBeLessThan(blobs.length / 5);
  });

  test('below a prefix reads no more than what is there', () => {
    tree.snapshot('a');
    for (let n = 0; n < KEYS; n += 10) tree.put(key(n), Buffer.alloc(BYTES + 1, 'x'));
    tree.snapshot('b');
    let changes: string[] = [];
    const read = readBy(() => {
      changes = Array.from(tree.diff('a', 'b', { prefix: 'd/20/' }), shown);
    });
    expect(changes).toHaveLength(100);
    expect(changes.every((change) => change.startsWith('d/20/'))).toBe(true);
    expect(read.length).toBeLessThan(20);
    expect([...tree.diff('a', 'b', { prefix: 'd/20/some/nothing' })]).toEqual([]);
    expect([...tree.diff('a', 'b', { prefix: 'z' })]).toEqual([]);
    expect([...tree.diff('a', 'b', { prefix: key(10) })]).toHaveLength(1);
  });

  test('of a snapshot and itself, or the tree and itself, is nothing and reads nothing', () => {
    tree.snapshot('a');
    const read = readBy(() => {
      expect([...tree.diff('a', 'a')]).toEqual([]);
      expect([...tree.diff(undefined, undefined)]).toEqual([]);
    });
    expect(read).toEqual([]);
  });

  test('of the tree as it was checkpointed last reads only blobs with crossings', () => {
    tree.snapshot('a');
    const [snapshot] = tree.snapshots();
    const rows = tree.store.pins
      ?.listBlobs(snapshot!.id)
      .map((id) => tree.store.pins?.blobRow(snapshot!.id, id));
    const leading = rows?.filter((row) => row?.crossings !== 0).length ?? 0;
    const read = readBy(() => expect([...tree.diff('a', undefined)]).toEqual([]));
    expect(read.length).toBeLessThanOrEqual(leading);
  });

  test('does not tell what was written anew with the same value, nor what was moved there and back', () => {
    tree.snapshot('a');
    tree.put(key(5), tree.get(key(5)) as Uint8Array);
    tree.renamePrefix('d/3/', 'x/');
    tree.renamePrefix('x/', 'd/3/');
    tree.delete(key(8));
    tree.put(key(8), Buffer.alloc(BYTES, 8));
    tree.snapshot('b');
    tree.compact();
    tree.snapshot('c');
    expect([...tree.diff('a', 'b')]).toEqual([]);
    expect([...tree.diff('a', 'c')]).toEqual([]);
    expect([...tree.diff('c', undefined)]).toEqual([]);
  });

  test('tells a moved directory as keys that are gone and keys that are there, in order', () => {
    tree.snapshot('a');
    tree.renamePrefix('d/30/', 'c/');
    const changes = [...tree.diff('a', undefined)];
    expect(changes).toHaveLength(200);
    expect(
      changes.slice(0, 100).every(({ before, after }) => before === undefined && after !== undefined),
    ).toBe(true);
    const keys = changes.map(({ key: name }) => Buffer.from(name).toString());
    expect(keys).toEqual([...keys].sort());
    const turned = changes.map(({ key: name, before, after }) =>
      shown({ key: name, before: after, after: before }),
    );
    expect(Array.from(tree.diff(undefined, 'a'), shown)).toEqual(turned);
  });

  test('is given while the tree changes under it: what stays is told once, and right', () => {
    const random = seededRandom(3);
    for (let n = 0; n < KEYS; n += 3) tree.put(key(n), Buffer.alloc(BYTES, 'a'));
    tree.snapshot('a');
    for (let n = 0; n < KEYS; n += 3) tree.put(key(n), Buffer.alloc(BYTES, 'b'));
    const told = new Map<string, string>();
    let last = '';
    for (const change of tree.diff('a', undefined)) {
      const name = Buffer.from(change.key).toString();
      expect(name > last).toBe(true);
      last = name;
      told.set(name, `${change.before?.value[0]} ${change.after?.value[0]}`);
      // Others are written, and moved about, by whoever; rounds come between.
      const other = 1 + 3 * below(random, KEYS / 3);
      tree.put(key(other), Buffer.alloc(BYTES, below(random, 200)));
      if (random() < 0.02) tree.checkpoint();
      if (random() < 0.01) tree.renamePrefix(`d/${1 + 3 * below(random, 20)}/`, `y${told.size}/`);
    }
    for (let n = 0; n < KEYS; n += 3) expect(told.get(key(n)), key(n)).toBe('97 98');
  });

  test('can be left in the middle', () => {
    tree.snapshot('a');
    for (let n = 0; n < KEYS; n++) tree.put(key(n), Buffer.alloc(BYTES, n + 1));
    for (const after of [undefined, 'b']) {
      if (after !== undefined) tree.snapshot(after);
      for (let time = 0; time < 20; time++) {
        const changes = tree.diff('a', after);
        expect(changes.next().done).toBe(false);
      }
      for (const _ of tree.diff('a', after)) break;
      const ended = tree.diff('a', after);
      ended.next();
      ended.return?.();
      expect(ended.next()).toEqual({ done: true, value: undefined });
    }
    // No view is left behind.
    expect(tree.view('', (view) => view.countPrefix(''))).toBe(KEYS);
  });

  test('tells damage where it meets it, after what was found before', () => {
    tree.snapshot('a');
    tree.put(key(0), Buffer.from('x'));
    tree.put('z', Buffer.from('x'));
    tree.snapshot('b');
    const { pins } = tree.store;
    const [a, b] = tree.snapshots().map(({ id }) => id);
    const generationOf = (pin: number, id: number) => pins?.blobRow(pin, id)?.generation;
    const changed = (pins?.listBlobs(b!) ?? []).filter((id) => generationOf(a!, id) !== generationOf(b!, id));
    const victim = Math.max(...changed.filter((id) => id !== 1));
    const data = path.join(dir, 'blobs.dat');
    const image = fs.readFileSync(data);
    for (let at = 0; at + BLOB_SIZE <= image.length; at += BLOB_SIZE) {
      if (image.readUInt32LE(at + 8) === victim) image[at + 9000]! ^= 1;
    }
    fs.writeFileSync(data, image);
    const changes = tree.diff('a', 'b');
    const act = (): unknown => [...changes];
    expect(codeOf(act)).toBe('ERR_BLOB_CORRUPT');
    expect(codeOf(act)).toBe('ERR_BLOB_CORRUPT');
  });
});
