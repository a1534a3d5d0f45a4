/** What little is left of an object with contents goes into another; large contents that change all the time are not read all the time. */
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CONTENT_PART_BYTES, PARTS_AT_ONCE } from '../../../engine/limits.js';
import { objectName } from '../../../engine/remote/objects/names.js';
import { ContentShipper } from '../../../engine/shipping/contents/content-shipper.js';
import { fetchPart } from '../../../engine/shipping/contents/fetch-part.js';
import { forgetUnneeded } from '../../../engine/shipping/contents/forget-unneeded.js';
import { repackContents } from '../../../engine/shipping/contents/repack.js';
import { removeShippedContent, shippedContent } from '../../../engine/shipping/contents/rows.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import { Tree } from '../../../engine/tree/tree.js';

const PUT_MS = 100;

let directory: string;
let tree: Tree;
let bucket: MemoryObjectStore;
let names: Set<string>;
let shipper: ContentShipper;
let now: number;
let beforePut: (bytes: Uint8Array) => Promise<void>;
let sleepers: { until: number; wake: () => void }[];

const pathOf = (ino: number) => join(directory, String(ino));
const bytesOf = (ino: number) => Buffer.alloc(1000, `content of ${ino} `);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-upkeep-'));
  // Snapshots need a directory.
  tree = Tree.open({ dir: join(directory, 'store') });
  bucket = new MemoryObjectStore();
  names = new Set();
  now = 0;
  sleepers = [];
  beforePut = async () => {};
  let number = 0;
  shipper = new ContentShipper({
    tree,
    pathOf,
    names,
    clock: {
      now: () => now,
      sleep: (ms) => new Promise((wake) => sleepers.push({ until: now + ms, wake })),
    },
    writer: {
      newName: (kind) => objectName(kind, 1, ++number),
      put: async (name, bytes) => {
        now += PUT_MS;
        await beforePut(bytes);
        await bucket.put(name, bytes);
      },
    },
  });
});

afterEach(() => {
  tree.close();
  rmSync(directory, { recursive: true });
});

async function shipFiles(inos: readonly number[]): Promise<void> {
  for (const ino of inos) {
    writeFileSync(pathOf(ino), bytesOf(ino));
    shipper.add({ ino, born: 0 });
  }
  await shipper.shipSome('background');
}

function remove(inos: readonly number[]): void {
  for (const ino of inos) {
    rmSync(pathOf(ino));
    removeShippedContent(tree, ino, 0);
  }
}

async function upkeep(): Promise<{ forgotten: number; repacked: number }> {
  const use = await forgetUnneeded(tree, names, shipper);
  const repacked = await repackContents({ tree, store: bucket, put: (bytes) => shipper.put(bytes) }, use);
  return { forgotten: use.forgotten, repacked };
}

const namesOf = (ino: number) => shippedContent(tree, ino, 0)!.parts.map(({ name }) => name);

async function expectThere(inos: readonly number[]): Promise<void> {
  for (const ino of inos) {
    const { parts } = shippedContent(tree, ino, 0)!;
    expect(Buffer.concat(await Promise.all(parts.map((part) => fetchPart(bucket, part))))).toEqual(
      bytesOf(ino),
    );
  }
}

function held(): { promise: Promise<void>; goOn: () => void } {
  let goOn = () => {};
  const promise = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  return { promise, goOn };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

it('an object of which less than half is needed is left, and what it had is in another', async () => {
  await shipFiles(upTo(10));
  const [old] = namesOf(1);
  expect(await upkeep()).toEqual({ forgotten: 0, repacked: 0 });
  remove([1, 2, 3, 4, 5]);
  expect(await upkeep()).toEqual({ forgotten: 0, repacked: 0 });
  const before = shippedContent(tree, 7, 0)!;
  remove([6]);
  expect(await upkeep()).toEqual({ forgotten: 0, repacked: 1 });
  await expectThere([7, 8, 9, 10]);
  expect(namesOf(7)).not.toContain(old);
  const { parts, ...state } = shippedContent(tree, 7, 0)!;
  expect(state).toMatchObject({ size: before.size, mtime: before.mtime, ctime: before.ctime });
  expect(parts[0]!.digest).toEqual(before.parts[0]!.digest);
  // Both are named until the next look, which then has nothing to repack.
  expect(names.size).toBe(2);
  expect(await upkeep()).toEqual({ forgotten: 1, repacked: 0 });
  expect([...names]).toEqual(namesOf(7));
});

it('what is left of several objects shares one', async () => {
  for (let i = 0; i < 5; i++) await shipFiles(upTo(10).map((ino) => 10 * i + ino));
  const left = upTo(50).filter((ino) => ino % 10 === 0);
  remove(upTo(50).filter((ino) => ino % 10 !== 0));
  expect((await upkeep()).repacked).toBe(5);
  await expectThere(left);
  expect(new Set(left.flatMap(namesOf)).size).toBe(1);
});

it('what a snapshot needs stays where it is', async () => {
  await shipFiles(upTo(10));
  const [old] = namesOf(10);
  tree.snapshot('all');
  remove(upTo(9));
  expect((await upkeep()).repacked).toBe(0);
  expect(namesOf(10)).toEqual([old]);
  tree.deleteSnapshot('all');
  expect((await upkeep()).repacked).toBe(1);
  await expectThere([10]);
});

it('a content that goes, or becomes another, while it is on its way is not made of what it was', async () => {
  await shipFiles(upTo(10));
  remove(upTo(7));
  const use = await forgetUnneeded(tree, names, shipper);
  const put = async (bytes: Uint8Array) => {
    remove([8]);
    writeFileSync(pathOf(9), bytesOf(99));
    shipper.add({ ino: 9, born: 0 });
    await shipper.shipSome('background');
    return shipper.put(bytes);
  };
  await repackContents({ tree, store: bucket, put }, use);
  expect(shippedContent(tree, 8, 0)).toBeUndefined();
  const { parts } = shippedContent(tree, 9, 0)!;
  expect(Buffer.from(await fetchPart(bucket, parts[0]!))).toEqual(bytesOf(99));
  await expectThere([10]);
});

it('a content that is on its way while what it had is repacked is shipped anew, and names nothing that is collected', async () => {
  // More than are read at a time.
  const size = PARTS_AT_ONCE * CONTENT_PART_BYTES + 1000;
  writeFileSync(pathOf(1), bytesOf(1));
  truncateSync(pathOf(1), size - 10);
  writeFileSync(pathOf(1), 'the end...', { flag: 'a' });
  shipper.add({ ino: 1, born: 0 });
  await shipFiles(upTo(9).map((i) => i + 1));
  const tail = () => shippedContent(tree, 1, 0)!.parts.at(-1)!;
  const before = tail();
  remove(upTo(9).map((i) => i + 1));
  // Those before its last are others, and take long.
  const { promise, goOn } = held();
  const file = openSync(pathOf(1), 'r+');
  for (let part = 0; part < PARTS_AT_ONCE; part++) writeSync(file, `PART ${part}`, part * CONTENT_PART_BYTES);
  closeSync(file);
  beforePut = async (bytes) => {
    if (bytes.length === CONTENT_PART_BYTES) await promise;
  };
  const shipped = shipper.shipped({ ino: 1, born: 0 });
  const shipping = shipper.shipSome('large');
  expect((await upkeep()).repacked).toBe(1);
  expect(tail().name).not.toBe(before.name);
  await upkeep();
  goOn();
  await shipping;
  // Its row was another by then.
  await shipper.shipSome('large');
  await shipped;
  for (const { key } of (await bucket.list('content/')).objects)
    if (!names.has(key)) await bucket.delete(key);
  const { parts } = shippedContent(tree, 1, 0)!;
  expect(Buffer.from(await fetchPart(bucket, parts[0]!)).toString('latin1', 0, 6)).toBe('PART 0');
  expect(Buffer.from(await fetchPart(bucket, parts.at(-1)!)).toString('latin1', 990)).toBe('the end...');
});

it('a large one that was read rests before it is read again, unless somebody waits for it', async () => {
  const content = { ino: 1, born: 0 };
  let size = CONTENT_PART_BYTES;
  const change = () => {
    size++;
    writeFileSync(pathOf(1), `changed to ${size}`);
    truncateSync(pathOf(1), size);
    shipper.add(content);
  };
  change();
  expect(await shipper.shipSome('background')).toBe(true);
  const took = now;
  change();
  expect(await shipper.shipSome('background')).toBe(false);
  expect(shipper.waiting.contents).toBe(1);
  // Small ones go on.
  await shipFiles([2]);
  await expectThere([2]);
  expect(shippedContent(tree, 1, 0)!.size).toBe(size - 1);
  const waited = shipper.shipped(content);
  await shipper.shipSome('large');
  await waited;
  expect(shippedContent(tree, 1, 0)!.size).toBe(size);
  change();
  expect(await shipper.shipSome('background')).toBe(false);
  let isTold = false;
  shipper.onWork = () => {
    isTold = true;
  };
  now += 20 * took;
  for (const { until, wake } of sleepers) if (until <= now) wake();
  await Promise.resolve();
  expect(isTold).toBe(true);
  expect(await shipper.shipSome('background')).toBe(true);
  change();
  shipper.hurry();
  expect(await shipper.shipSome('background')).toBe(true);
  expect(shipper.isIdle).toBe(true);
});
