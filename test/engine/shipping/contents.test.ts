/** Contents of files, shipped beside the records that tell of them. */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SpinneyError } from '../../../engine/errors.js';
import { JournalTail } from '../../../engine/journal/segments/journal-tail.js';
import { CONTENT_PART_BYTES, MAX_CONTENTS_IN_ROWS_BYTES } from '../../../engine/limits.js';
import { decodeHead } from '../../../engine/remote/objects/head.js';
import { readManifest } from '../../../engine/remote/objects/manifest.js';
import { HEAD } from '../../../engine/remote/objects/names.js';
import { newId, type Site } from '../../../engine/remote/site.js';
import { isSame, stateOf } from '../../../engine/shipping/contents/content-file.js';
import { fetchPart } from '../../../engine/shipping/contents/fetch-part.js';
import { forgetUnneeded } from '../../../engine/shipping/contents/forget-unneeded.js';
import { removeShippedContent, shippedContent } from '../../../engine/shipping/contents/rows.js';
import { Shipper } from '../../../engine/shipping/live/shipper.js';
import { resumeRemoteStore, takeOverStore } from '../../../engine/shipping/open-remote-store.js';
import { BOOT_CLOCK } from '../../../engine/store/object/clock.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { PutCondition } from '../../../engine/store/object/object-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import { PATIENTLY } from '../../support/until.js';

/** Notes what is put, in order, and waits where it is told to. */
class Bucket extends MemoryObjectStore {
  puts: { key: string; bytes: number }[] = [];
  before: (key: string) => Promise<void> = async () => {};

  override async put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    await this.before(key);
    const etag = await super.put(key, bytes, condition);
    this.puts.push({ key, bytes: bytes.length });
    return etag;
  }
}

const HOLDER = 'a'.repeat(32);
const LEASE_MS = 500;

let directory: string;
let bucket: Bucket;
let site: Site;
let tree: Tree;
let shipper: Shipper;

/** Contents that somebody has open for writing. */
const writers = new Set<number>();
const pathOf = (ino: number) => join(directory, 'content', String(ino));
/** A record is a key `f` and the number of the inode; its value tells whether it is being written. */
const contentOf = (key: Uint8Array, value: Uint8Array) => {
  const text = Buffer.from(key).toString();
  if (!text.startsWith('f')) return undefined;
  if (value.length < 4) throw new Error(`${text} has no record`);
  return { ino: Number(text.slice(1)), born: 0, isLive: Buffer.from(value).toString() === 'live' };
};

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-contents-'));
  mkdirSync(join(directory, 'content'));
  bucket = new Bucket();
  writers.clear();
  site = { store: bucket, clock: BOOT_CLOCK, newId };
  tree = Tree.open({ dir: join(directory, 'store') });
  shipper = await begin();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await shipper.stop();
  tree.close();
  rmSync(directory, { recursive: true });
});

async function begin(): Promise<Shipper> {
  const { writer, shipped } = await resumeRemoteStore(site, tree, { holder: HOLDER, leaseMs: LEASE_MS });
  const next = new Shipper({
    site,
    writer,
    shipped,
    tree,
    directory: join(directory, 'store'),
    contents: { pathOf, contentOf, hasWriters: (ino) => writers.has(ino) },
  });
  next.start();
  return next;
}

const put = (ino: number, value: 'live' | 'rest') => tree.put(`f${ino}`, Buffer.from(value));
const contentPuts = () => bucket.puts.filter(({ key }) => key.startsWith('content/'));

/** Nobody waits for it. */
const restIsShipped = () => vi.waitFor(() => expect(shipper.lag().records).toBe(0), PATIENTLY);
/** Contents get there only in their rows. */
const holdContents = () => {
  bucket.before = (key) => (key.startsWith('content/') ? new Promise(() => {}) : Promise.resolve());
};

/** The bytes that the remote has of the content. */
async function fetched(from: Tree, ino: number): Promise<Buffer | undefined> {
  const shipped = shippedContent(from, ino, 0);
  if (shipped === undefined) return undefined;
  return Buffer.concat(await Promise.all(shipped.parts.map((part) => fetchPart(bucket, part))));
}

/** All different, so that no part is like another. */
function bytesOf(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0, x = seed + 1; at + 4 <= length; at += 4) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    bytes.writeInt32LE(x, at);
  }
  return bytes;
}

it('what is at rest goes there with its record, and many small ones share an object', async () => {
  for (let ino = 1; ino <= 50; ino++) {
    writeFileSync(pathOf(ino), `content of ${ino}`);
    put(ino, 'rest');
  }
  await restIsShipped();
  for (let ino = 1; ino <= 50; ino++)
    expect((await fetched(tree, ino))?.toString()).toBe(`content of ${ino}`);
  expect(contentPuts().length).toBeLessThan(10);
  // No record came before the content that it tells of.
  const first = bucket.puts.findIndex(({ key }) => key.startsWith('content/'));
  const firstRecords = bucket.puts.findIndex(({ key }) => key.startsWith('journal/'));
  expect(first).toBeLessThan(firstRecords);
});

it('one that is being written goes there when somebody waits for it, as it is then', async () => {
  writeFileSync(pathOf(1), 'the beginning');
  put(1, 'live');
  await shipper.waitUntilShipped(tree.lastLsn());
  expect(shippedContent(tree, 1, 0)).toBeUndefined();
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect((await fetched(tree, 1))?.toString()).toBe('the beginning');
  writeFileSync(pathOf(1), 'the beginning and the end');
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect((await fetched(tree, 1))?.toString()).toBe('the beginning and the end');
  // Whoever takes over has it.
  await shipper.stop();
  await takeOverStore(site, join(directory, 'taken'), { holder: 'b'.repeat(32), leaseMs: LEASE_MS });
  const taken = Tree.open({ dir: join(directory, 'taken') });
  try {
    expect((await fetched(taken, 1))?.toString()).toBe('the beginning and the end');
  } finally {
    taken.close();
  }
});

it('a small one that somebody waits for goes with the records, and into an object later', async () => {
  await shipper.checkpoint();
  await shipper.waitUntilShipped(tree.lastLsn());
  bucket.puts = [];
  writeFileSync(pathOf(1), 'small');
  put(1, 'live');
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  const kinds = bucket.puts.map(({ key }) => key.split('/')[0]);
  // Some time there is an object; nobody waited for it.
  expect(kinds).toContain('journal');
  if (kinds.includes('content')) expect(kinds.indexOf('content')).toBeGreaterThan(kinds.indexOf('journal'));
  expect((await fetched(tree, 1))?.toString()).toBe('small');
  await vi.waitFor(() => expect(shippedContent(tree, 1, 0)!.parts[0]!.inRow).toBeUndefined(), PATIENTLY);
  expect((await fetched(tree, 1))?.toString()).toBe('small');
  // The next is in its row again, whatever it was before.
  writeFileSync(pathOf(1), 'other');
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect((await fetched(tree, 1))?.toString()).toBe('other');
});

it('whoever waits for records waits for one request, though small contents must be there before them', async () => {
  holdContents();
  for (let ino = 1; ino <= 4; ino++) {
    writeFileSync(pathOf(ino), bytesOf(MAX_CONTENTS_IN_ROWS_BYTES / 4, ino));
    put(ino, 'rest');
  }
  await shipper.waitUntilShipped(tree.lastLsn());
  expect(contentPuts()).toEqual([]);
  await shipper.stop();
  await takeOverStore(site, join(directory, 'taken'), { holder: 'b'.repeat(32), leaseMs: LEASE_MS });
  const taken = Tree.open({ dir: join(directory, 'taken') });
  try {
    for (let ino = 1; ino <= 4; ino++)
      expect(bytesOf(MAX_CONTENTS_IN_ROWS_BYTES / 4, ino).equals((await fetched(taken, ino))!)).toBe(true);
  } finally {
    taken.close();
  }
});

it('more than a little of them goes before the records all the same', async () => {
  for (let ino = 1; ino <= 8; ino++) {
    writeFileSync(pathOf(ino), bytesOf(MAX_CONTENTS_IN_ROWS_BYTES / 4, ino));
    put(ino, 'rest');
  }
  await shipper.waitUntilShipped(tree.lastLsn());
  expect(contentPuts()).not.toEqual([]);
});

it('what the remote has already is not told anew while somebody waits', async () => {
  holdContents();
  writeFileSync(pathOf(1), 'synced, and then closed');
  put(1, 'live');
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  put(1, 'rest');
  const lsn = tree.lastLsn();
  await shipper.waitUntilShipped(lsn);
  await shipper.waitUntilShipped(lsn, [{ ino: 1, born: 0 }]);
  expect(tree.lastLsn()).toBe(lsn);
  // What was written in the same tick is another content.
  writeFileSync(pathOf(1), 'SYNCED, AND THEN CLOSED');
  await shipper.waitUntilShipped(lsn, [{ ino: 1, born: 0 }]);
  expect((await fetched(tree, 1))?.toString()).toBe('SYNCED, AND THEN CLOSED');
});

it('of a large one only the parts go there that changed, also where it becomes shorter', async () => {
  const size = 2 * CONTENT_PART_BYTES + 1000;
  const bytes = bytesOf(size, 1);
  writeFileSync(pathOf(1), bytes);
  put(1, 'rest');
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(contentPuts().reduce((sum, { bytes: length }) => sum + length, 0)).toBe(size);
  expect(bytes.equals((await fetched(tree, 1))!)).toBe(true);

  bucket.puts = [];
  bytes[CONTENT_PART_BYTES + 5] = bytes[CONTENT_PART_BYTES + 5]! ^ 1;
  writeFileSync(pathOf(1), bytes);
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(contentPuts().map(({ bytes: length }) => length)).toEqual([CONTENT_PART_BYTES]);
  expect(bytes.equals((await fetched(tree, 1))!)).toBe(true);

  bucket.puts = [];
  truncateSync(pathOf(1), CONTENT_PART_BYTES);
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(contentPuts()).toEqual([]);
  expect(bytes.subarray(0, CONTENT_PART_BYTES).equals((await fetched(tree, 1))!)).toBe(true);
  truncateSync(pathOf(1), 0);
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(shippedContent(tree, 1, 0)).toMatchObject({ size: 0, parts: [] });
});

it('holes take no room there', async () => {
  writeFileSync(pathOf(1), '');
  truncateSync(pathOf(1), 5 * CONTENT_PART_BYTES + 10);
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(contentPuts()).toEqual([]);
  expect((await fetched(tree, 1))?.length).toBe(5 * CONTENT_PART_BYTES + 10);
});

it('a row tells for certain whether a file is what was shipped', async () => {
  writeFileSync(pathOf(1), 'one');
  const past = new Date(Date.now() - 60_000);
  utimesSync(pathOf(1), past, past);
  put(1, 'rest');
  const isShipped = () => {
    const shipped = shippedContent(tree, 1, 0);
    return shipped !== undefined && isSame(shipped, stateOf(statSync(pathOf(1), { bigint: true })));
  };
  await shipper.waitUntilShipped(tree.lastLsn());
  // What was shipped right after it was written might have been written in the same tick.
  put(1, 'live');
  put(1, 'rest');
  await vi.waitFor(() => expect(isShipped()).toBe(true), PATIENTLY);
  writeFileSync(pathOf(1), 'two');
  utimesSync(pathOf(1), past, past);
  expect(isShipped()).toBe(false);
});

const isTold = (ino: number) =>
  isSame(shippedContent(tree, ino, 0)!, stateOf(statSync(pathOf(ino), { bigint: true })));

it('one that somebody may write through a mapping is never told to be what was shipped, until nobody can', async () => {
  writeFileSync(pathOf(1), bytesOf(100_000, 1));
  // Its times are of long ago, so they tell what is written later. But not what is stored to a page that was written before.
  await vi.waitFor(() => expect(Date.now() - statSync(pathOf(1)).ctimeMs).toBeGreaterThan(50), PATIENTLY);
  writers.add(1);
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(isTold(1)).toBe(false);
  writers.clear();
  await vi.waitFor(() => expect(isTold(1)).toBe(true), PATIENTLY);
});

it('one whose file is given up while it is shipped again keeps its row', async () => {
  writeFileSync(pathOf(1), 'small');
  // It moves into an object; by the time that this is there, nothing is left of the file.
  bucket.before = async (key) => {
    if (key.startsWith('content/')) rmSync(pathOf(1), { force: true });
  };
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(shippedContent(tree, 1, 0)!.parts[0]!.inRow).toBeDefined();
  await vi.waitFor(() => expect(contentPuts()).toHaveLength(1), PATIENTLY);
  await shipper.finish();
  expect((await fetched(tree, 1))?.toString()).toBe('small');
});

it('one whose row becomes another while it is shipped is looked at anew', async () => {
  writeFileSync(pathOf(1), bytesOf(100_000, 1));
  bucket.before = async (key) => {
    if (!key.startsWith('content/')) return;
    bucket.before = async () => {};
    // What was there goes, and it is written anew.
    writeFileSync(pathOf(1), bytesOf(100_000, 2));
    removeShippedContent(tree, 1, 0);
  };
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  bucket.before = async (key) => {
    if (!key.startsWith('content/')) return;
    bucket.before = async () => {};
    writeFileSync(pathOf(1), bytesOf(100_000, 4));
    removeShippedContent(tree, 1, 0);
  };
  writeFileSync(pathOf(1), bytesOf(100_000, 3));
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(bytesOf(100_000, 4).equals((await fetched(tree, 1))!)).toBe(true);
});

it('what the journal gave before it could not be read for a moment is not forgotten', async () => {
  const { read: original } = JournalTail.prototype;
  let isFailing = true;
  vi.spyOn(JournalTail.prototype, 'read').mockImplementation(function (
    this: JournalTail,
    last,
    enough,
    visit,
  ) {
    const lsn = this.nextLsn;
    const outcome = original.call(this, last, isFailing ? 1 : enough, visit);
    if (!isFailing || this.nextLsn === lsn) return outcome;
    isFailing = false;
    throw new SpinneyError('ERR_IO', 'Cannot read the journal: for a moment');
  });
  writeFileSync(pathOf(1), 'one');
  put(1, 'rest');
  await shipper.waitUntilShipped(tree.lastLsn());
  expect(isFailing).toBe(false);
  expect((await fetched(tree, 1))?.toString()).toBe('one');
});

it('removals and moves tell of no content, and hold nothing up', async () => {
  await shipper.checkpoint();
  const manifests = () => bucket.puts.filter(({ key }) => key.startsWith('manifest/')).length;
  const before = manifests();
  put(1, 'live');
  tree.delete('f1');
  put(2, 'live');
  tree.renamePrefix('f2', 'f3');
  writeFileSync(pathOf(4), 'four');
  put(4, 'rest');
  await shipper.waitUntilShipped(tree.lastLsn());
  expect((await fetched(tree, 4))?.toString()).toBe('four');
  expect(shipper.stats().failure).toBeUndefined();
  expect(manifests()).toBe(before);
});

it('a row that cannot be read holds up no other content', async () => {
  const damaged = new SpinneyError('ERR_BLOB_CORRUPT', 'Cannot read blob 7: it is damaged');
  const getRecord = tree.getRecord.bind(tree);
  let isDamaged = true;
  vi.spyOn(tree, 'getRecord').mockImplementation((key) => {
    if (isDamaged && (key as Uint8Array)[0] === 0x72 && (key as Uint8Array)[8] === 1) throw damaged;
    return getRecord(key);
  });
  for (const ino of [1, 2]) {
    writeFileSync(pathOf(ino), `content of ${ino}`);
    put(ino, 'rest');
  }
  await shipper.waitUntilShipped(tree.lastLsn());
  expect((await fetched(tree, 2))?.toString()).toBe('content of 2');
  expect(shipper.stats().failure).toBe(damaged.message);
  isDamaged = false;
  await vi.waitFor(async () => expect((await fetched(tree, 1))?.toString()).toBe('content of 1'), PATIENTLY);
});

it('a content that is gone for good leaves nothing, whenever it goes', async () => {
  writeFileSync(pathOf(1), bytesOf(100_000, 1));
  // It goes while its bytes are on their way.
  bucket.before = async (key) => {
    if (!key.startsWith('content/')) return;
    bucket.before = async () => {};
    rmSync(pathOf(1));
    removeShippedContent(tree, 1, 0);
  };
  await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]);
  expect(tree.isPrefixEmpty('r')).toBe(true);
});

it('a file that cannot be read holds up nobody else, and is told', async () => {
  mkdirSync(pathOf(1));
  writeFileSync(pathOf(2), 'two');
  put(1, 'rest');
  put(2, 'rest');
  await shipper.waitUntilShipped(tree.lastLsn());
  expect((await fetched(tree, 2))?.toString()).toBe('two');
  expect(shipper.stats().failure).toMatch(/^Cannot ship the content .*content\/1: /);
  await expect(shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }])).rejects.toThrow(SpinneyError);
  // Some time it can.
  rmSync(pathOf(1), { recursive: true });
  writeFileSync(pathOf(1), 'one');
  await vi.waitFor(async () => expect((await fetched(tree, 1))?.toString()).toBe('one'), PATIENTLY);
});

it('after a start finds what was not shipped, and ships nothing again', async () => {
  await shipper.stop();
  bucket.puts = [];
  for (let ino = 1; ino <= 20; ino++) {
    writeFileSync(pathOf(ino), bytesOf(100_000, ino));
    put(ino, 'rest');
  }
  // What follows has all of the records in a checkpoint, so nothing but the tree tells of the contents.
  tree.checkpoint();
  shipper = await begin();
  await vi.waitFor(() => expect(shippedContent(tree, 20, 0)).toBeDefined(), {
    timeout: 30_000,
    interval: 20,
  });
  await shipper.finish();
  for (let ino = 1; ino <= 20; ino++)
    expect(bytesOf(100_000, ino).equals((await fetched(tree, ino))!)).toBe(true);
  bucket.puts = [];
  shipper = await begin();
  await shipper.finish();
  expect(contentPuts()).toEqual([]);
});

it('is shipped though a checkpoint brings the record there before it was read', async () => {
  let goOn: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let isHeld = false;
  bucket.before = (key) => {
    if (!key.startsWith('journal/')) return Promise.resolve();
    isHeld = true;
    return held;
  };
  tree.put('first', Buffer.from('keeps what ships records busy'));
  await vi.waitFor(() => expect(isHeld).toBe(true), PATIENTLY);
  writeFileSync(pathOf(1), 'one');
  put(1, 'rest');
  await shipper.checkpoint();
  // The remote has the record; whether it has the content, nobody has looked yet.
  expect(shipper.lag().shippedLsn).toBe(tree.lastLsn());
  expect(shipper.lag().records).toBeGreaterThan(0);
  goOn();
  await shipper.finish();
  expect((await fetched(tree, 1))?.toString()).toBe('one');
});

it('what was there before its record was is not collected by who goes on after a kill', async () => {
  bucket.before = (key) => (key.startsWith('journal/') ? new Promise(() => {}) : Promise.resolve());
  const bytes = bytesOf(100_000, 1);
  writeFileSync(pathOf(1), bytes);
  shipper.waitUntilShipped(tree.lastLsn(), [{ ino: 1, born: 0 }]).catch(() => {});
  await vi.waitFor(() => expect(shippedContent(tree, 1, 0)).toBeDefined(), PATIENTLY);
  for (const isCut of [false, true]) {
    await shipper.stop();
    bucket.before = async () => {};
    if (isCut) {
      put(2, 'live');
      tree.journal!.tail(1).holdAfter(Number.POSITIVE_INFINITY);
      tree.journal!.rotate();
      tree.checkpoint();
    }
    shipper = await begin();
    // The second begins once the first has been collected after.
    await shipper.checkpoint();
    await shipper.checkpoint();
    expect(bytes.equals((await fetched(tree, 1))!)).toBe(true);
  }
});

it('objects that neither the tree nor a snapshot needs are collected, and no others', async () => {
  const readOf = (ino: number) => readFileSync(pathOf(ino), 'utf8');
  for (let ino = 1; ino <= 3; ino++) {
    writeFileSync(pathOf(ino), `content of ${ino}`);
    put(ino, 'rest');
    await restIsShipped();
  }
  tree.snapshot('with two');
  for (const ino of [2, 3]) {
    rmSync(pathOf(ino));
    removeShippedContent(tree, ino, 0);
  }
  await shipper.checkpoint();
  await shipper.stop();
  // Done by itself now and then; here at once.
  const names = new Set(await contentNames());
  expect(names.size).toBe(3);
  const idle = { watch: () => {}, watched: () => new Set<string>() };
  expect((await forgetUnneeded(tree, names, idle)).forgotten).toBe(0);
  tree.deleteSnapshot('with two');
  expect((await forgetUnneeded(tree, names, idle)).forgotten).toBe(2);
  expect([...names]).toEqual([shippedContent(tree, 1, 0)!.parts[0]!.name]);
  expect((await fetched(tree, 1))?.toString()).toBe(readOf(1));
});

async function contentNames(): Promise<string[]> {
  const { manifest } = decodeHead((await bucket.get(HEAD))!.bytes);
  const { references } = await readManifest(bucket, manifest!);
  return references.filter((name) => name.startsWith('content/'));
}
