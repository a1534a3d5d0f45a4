/** One damaged blob among many: everything that lies elsewhere is there, can be changed, and the damage is named. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type SpinneyError, Tree, UnreadableBlobError, verifyTree } from '../../../../engine/index.js';
import { BLOB_SIZE } from '../../../../engine/limits.js';
import { IMAGE_MAGIC, IMAGE_OFFSET } from '../../../../engine/store/image.js';
import { SMALL_CACHE } from '../harness.js';

const KEYS = 12_000;
const VALUE = Buffer.alloc(700, 1);

let home: string;
let dir: string;
let tree: Tree | undefined;

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-unreadable-'));
  dir = path.join(home, 'store');
});
afterEach(() => {
  tree?.close();
  tree = undefined;
  fs.rmSync(home, { recursive: true, force: true });
});

function open(): Tree {
  tree = Tree.open({ dir, cacheBytes: SMALL_CACHE, checkpoint: { enabled: false } });
  return tree;
}

const keyOf = (i: number): string => `dir${i % 7}/name ${String(i).padStart(6, '0')}`;

/** A closed store of some tens of blobs, and the ids of those that hold much. */
function fill(): number[] {
  const first = open();
  for (let i = 0; i < KEYS; i++) first.put(keyOf(i), VALUE);
  first.checkpoint();
  const victims = first.stats().blobs.filter(({ id, leaves }) => id !== 1 && leaves > 100);
  expect(victims.length).toBeGreaterThan(15);
  first.close();
  return victims.map(({ id }) => id);
}

/** Flips a bit in every slot that holds the blob. */
function flip(id: number): void {
  const fd = fs.openSync(path.join(dir, 'blobs.dat'), 'r+');
  const image = Buffer.alloc(BLOB_SIZE);
  try {
    for (let at = 0; fs.readSync(fd, image, 0, BLOB_SIZE, at) === BLOB_SIZE; at += BLOB_SIZE) {
      if (image.readUInt32LE(IMAGE_OFFSET.magic) !== IMAGE_MAGIC) continue;
      if (image.readUInt32LE(IMAGE_OFFSET.id) !== id) continue;
      fs.writeSync(fd, Buffer.of(image[5000]! ^ 1), 0, 1, at + 5000);
    }
  } finally {
    fs.closeSync(fd);
  }
}

interface Listed {
  keys: string[];
  errors: UnreadableBlobError[];
}

/** All that a range gives, gone on with behind each error. */
function listAll(target: Tree): Listed {
  const listed: Listed = { keys: [], errors: [] };
  const entries = target.range({ keysOnly: true });
  for (;;) {
    try {
      const { done, value } = entries.next();
      if (done) return listed;
      if (value.type === 'key') listed.keys.push(Buffer.from(value.key).toString());
    } catch (error) {
      if (!(error instanceof UnreadableBlobError)) throw error;
      listed.errors.push(error);
      if (listed.errors.length > 300) throw new Error('It does not get on');
    }
  }
}

test('a range gives what is before and behind a damaged blob, and only its keys are missing', () => {
  const victims = fill();
  for (const victim of [victims[0]!, victims[victims.length >> 1]!, victims.at(-1)!]) {
    flip(victim);
    const target = open();
    const { keys, errors } = listAll(target);
    const found = new Set(keys);
    expect(found.size).toBe(keys.length);
    expect(keys).toEqual([...keys].sort());
    expect(errors.length).toBeGreaterThan(0);
    const prefixes = errors.map(({ prefix }) => Buffer.from(prefix!).toString('latin1'));
    let lost = 0;
    for (let i = 0; i < KEYS; i++) {
      const key = keyOf(i);
      const isLost = prefixes.some((prefix) => key.startsWith(prefix));
      expect(found.has(key)).toBe(!isLost);
      if (!isLost) expect(target.get(key)?.length).toBe(700);
      else if (lost++ % 50 === 0)
        expect(() => target.get(key)).toThrow(
          expect.objectContaining({ code: 'ERR_BLOB_CORRUPT', blobId: victim }),
        );
    }
    expect(lost).toBeGreaterThan(50);
    expect(lost).toBeLessThan(KEYS / 4);
    for (const error of errors) expect(error.blobId).toBe(victim);
    const [noted, ...others] = target.stats().unreadableBlobs;
    expect([noted?.id, others]).toEqual([victim, []]);
    expect(noted!.errors).toBeGreaterThanOrEqual(errors.length);
    for (const prefix of prefixes) expect(prefix.startsWith(noted!.prefix!)).toBe(true);
    target.close();
    flip(victim);
  }
  const whole = open();
  expect(listAll(whole)).toMatchObject({ errors: [], keys: { length: KEYS } });
  expect(whole.stats().unreadableBlobs).toEqual([]);
});

test('writing, checkpoints and compaction go on beside it', () => {
  const victims = fill();
  const victim = victims[3]!;
  flip(victim);
  const target = open();
  const { keys, errors } = listAll(target);
  const prefixes = errors.map(({ prefix }) => Buffer.from(prefix!).toString('latin1'));
  const kept = new Set(keys);
  // Full blobs share with their neighbours, of which the damaged one is the emptiest for all that anybody knows.
  for (let i = 0; i < KEYS / 2; i++) {
    const key = `${keyOf(i * 2)} more`;
    if (prefixes.some((prefix) => key.startsWith(prefix))) continue;
    target.put(key, VALUE);
    kept.add(key);
  }
  for (let i = 0; i < KEYS; i++) {
    const key = keyOf(i);
    if (!kept.has(key)) continue;
    if (i % 4 === 0) target.put(key, Buffer.alloc(900, 2));
    else {
      target.delete(key);
      kept.delete(key);
    }
  }
  target.checkpoint();
  const before = target.stats();
  expect(before.checkpoint.lastError).toBeUndefined();
  target.compact();
  target.checkpoint();
  expect(target.stats().merges).toBeGreaterThan(before.merges);
  target.close();
  const again = open();
  expect(listAll(again).keys).toEqual([...kept].sort());
  again.close();
  // What it held is there once it can be read again.
  flip(victim);
  const mended = listAll(open());
  expect(mended.errors).toEqual([]);
  expect(mended.keys.length).toBeGreaterThan(kept.size + 50);
});

test('a damaged first blob leaves nothing to be found, and ends at once', () => {
  fill();
  flip(1);
  const target = open();
  const { keys, errors } = listAll(target);
  expect([keys, errors.length, errors[0]?.prefix?.length]).toEqual([[], 1, 0]);
  expect(target.stats().unreadableBlobs).toMatchObject([{ id: 1, prefix: '' }]);
});

test('counting asks the rows and not the blobs, and checking names blob and prefix', () => {
  const victims = fill();
  const victim = victims[5]!;
  flip(victim);
  const target = open();
  expect(target.countPrefix('')).toBe(target.stats().keyCount);
  const { errors } = listAll(target);
  const { prefix } = target.stats().unreadableBlobs[0]!;
  target.close();
  const findings: string[] = [];
  verifyTree({ dir, report: ({ message }) => findings.push(message) });
  const named = findings.filter((message) => message.includes(`blob ${victim} `));
  expect(named).toHaveLength(1);
  expect(named[0]).toContain(`its keys begin with "${prefix}"`);
  expect(errors.length).toBeGreaterThan(0);
  expect((errors[0] as SpinneyError).code).toBe('ERR_BLOB_CORRUPT');
});

test('damage that a reader of a snapshot meets is told with its name, and ends with the snapshot', () => {
  const victims = fill();
  const target = open();
  target.snapshot('monday');
  // From here on the blobs as they are have other images.
  for (let i = 0; i < KEYS; i++) target.put(keyOf(i), Buffer.alloc(701, 2));
  target.checkpoint();
  flip(victims[2]!);
  const monday = target.at('monday');
  const read = (): number => {
    let failed = 0;
    for (let i = 0; i < KEYS; i += 50) {
      try {
        monday.get(keyOf(i));
      } catch {
        failed++;
      }
    }
    return failed;
  };
  expect(target.conditions().unreadableBlobs).toEqual([]);
  expect(read()).toBeGreaterThan(0);
  const told = target.conditions().unreadableBlobs.filter(({ snapshot }) => snapshot !== undefined);
  expect(told).toMatchObject([{ id: victims[2], snapshot: 'monday' }]);
  expect(target.stats().unreadableBlobs).toEqual(target.conditions().unreadableBlobs);
  flip(victims[2]!);
  expect(read()).toBe(0);
  expect(target.conditions().unreadableBlobs).toEqual([]);
  flip(victims[2]!);
  monday.close();
  const again = target.at('monday');
  expect(() => [...again.range({ keysOnly: true })]).toThrow();
  again.close();
  target.deleteSnapshot('monday');
  expect(target.conditions().unreadableBlobs).toEqual([]);
});

test('conditions tell what the journal has beyond the last checkpoint, and need no lock', () => {
  const target = open();
  target.put('key', VALUE);
  expect(target.conditions()).toMatchObject({ poisoned: undefined, failure: undefined, unreadableBlobs: [] });
  expect(target.conditions().lastLsn).toBe(target.lastLsn());
  target.sync();
  expect(target.conditions().uncheckpointedBytes).toBeGreaterThan(700);
  expect(target.conditions().durableLsn).toBe(target.lastLsn());
  target.checkpoint();
  expect(target.conditions().uncheckpointedBytes).toBe(0);
});
