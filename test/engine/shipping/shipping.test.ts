/** Checkpoints of real trees, to an object store and back. */
import { beforeEach, expect, it } from 'vitest';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { Collector } from '../../../engine/remote/collect.js';
import { decodeHead } from '../../../engine/remote/objects/head.js';
import { readManifest } from '../../../engine/remote/objects/manifest.js';
import { HEAD } from '../../../engine/remote/objects/names.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import { newId, type Site } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import { type Catalog, catalogOf, imagesOf } from '../../../engine/shipping/checkpoints/catalog.js';
import { fetchCheckpoint, fetchImage } from '../../../engine/shipping/checkpoints/fetch-images.js';
import { shipCheckpoint } from '../../../engine/shipping/checkpoints/ship-checkpoint.js';
import { MemoryBlobStore } from '../../../engine/store/memory-blob-store.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { PutCondition } from '../../../engine/store/object/object-store.js';
import { Tree } from '../../../engine/tree/tree.js';

/** Counts the bytes of packs, and how many are on their way at a time. */
class Bucket extends MemoryObjectStore {
  packBytes = 0;
  mostAtOnce = 0;
  failing: Error | undefined;
  #underWay = 0;

  override async put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    if (!key.startsWith('blobs/')) return super.put(key, bytes, condition);
    if (this.failing !== undefined) throw this.failing;
    this.packBytes += bytes.length;
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay);
    await new Promise((resolve) => setImmediate(resolve));
    this.#underWay--;
    return super.put(key, bytes, condition);
  }
}

let bucket: Bucket;
let site: Site;
let writer: RemoteWriter;
let blobs: MemoryBlobStore;
let tree: Tree;

beforeEach(async () => {
  bucket = new Bucket();
  const clock = { now: () => 0, sleep: () => new Promise<void>(() => {}) };
  site = { store: bucket, clock, newId };
  writer = await begin();
  blobs = new MemoryBlobStore();
  tree = Tree.open({ store: blobs });
});

const nothing = async () => {};
const begin = () =>
  takeOver(site, { holder: 'a'.repeat(32), leaseMs: 10_000, restore: nothing, replay: nothing });

/** Values of ten thousand bytes and some. */
function fill(from: number, count: number, tag: string): void {
  for (let start = from; start < from + count; start += 200) {
    tree.atomic((batch) => {
      for (let i = start; i < Math.min(start + 200, from + count); i++) {
        batch.put(
          Buffer.from(`key/${String(i).padStart(6, '0')}`),
          Buffer.from(`${tag} of ${i} `.repeat(700)),
        );
      }
    });
  }
}

function ship(before: Catalog | undefined): Promise<Catalog> {
  tree.checkpoint();
  return shipCheckpoint(writer, { source: blobs, mark: blobs.readMark()!, journal: writer.end, before });
}

/** What the remote's HEAD has. */
async function published(): Promise<Catalog> {
  const { manifest } = decodeHead((await bucket.get(HEAD))!.bytes);
  return catalogOf(manifest!, await readManifest(bucket, manifest!));
}

async function fetched(): Promise<Tree> {
  const into = new MemoryBlobStore();
  await fetchCheckpoint(bucket, await published(), into);
  return Tree.open({ store: into });
}

/** All keys and values, in one text. */
function entriesOf(reads: Pick<Tree, 'range'>): string {
  const lines: string[] = [];
  for (const entry of reads.range()) {
    if (entry.type === 'key') lines.push(`${Buffer.from(entry.key)}: ${Buffer.from(entry.value)}`);
  }
  return lines.join('\n');
}

it('brings a tree there and back', async () => {
  fill(0, 300, 'first');
  const catalog = await ship(undefined);
  expect(await published()).toEqual(catalog);
  expect(catalog.tree.length).toBeGreaterThan(2);
  const restored = await fetched();
  expect(entriesOf(restored) === entriesOf(tree)).toBe(true);
  expect(entriesOf(restored).split('\n').length).toBe(300);
});

it('ships what has changed, a few packs at a time, and nothing twice', async () => {
  fill(0, 3_400, 'first');
  let catalog = await ship(undefined);
  expect(bucket.packBytes).toBe(catalog.tree.length * BLOB_SIZE);
  expect(catalog.tree.length).toBeGreaterThan(64);
  expect(bucket.mostAtOnce).toBe(4);
  bucket.packBytes = 0;
  catalog = await ship(catalog);
  expect(bucket.packBytes).toBeLessThanOrEqual(BLOB_SIZE);
  bucket.packBytes = 0;
  fill(1_500, 10, 'second');
  catalog = await ship(catalog);
  expect(bucket.packBytes).toBeGreaterThan(0);
  expect(bucket.packBytes).toBeLessThanOrEqual(3 * BLOB_SIZE);
  expect(entriesOf(await fetched()) === entriesOf(tree)).toBe(true);
});

it('brings snapshots along, under their names', async () => {
  fill(0, 300, 'first');
  tree.snapshot('monday');
  fill(100, 50, 'second');
  let catalog = await ship(undefined);
  tree.snapshot('tuesday');
  fill(0, 300, 'third');
  catalog = await ship(catalog);
  const shownBy = (of: Tree) =>
    [of, ...['monday', 'tuesday'].map((name) => of.at(name))].map((reads) => entriesOf(reads));
  const restored = await fetched();
  expect(restored.snapshots().map(({ name }) => name)).toEqual(['monday', 'tuesday']);
  expect(shownBy(restored)).toEqual(shownBy(tree));
  tree.deleteSnapshot('monday');
  const { length } = imagesOf(catalog);
  expect(imagesOf(await ship(catalog)).length).toBeLessThan(length);
});

it('packs anew what is left of packs that are mostly dead, so that these go', async () => {
  fill(0, 800, 'first');
  let catalog = await ship(undefined);
  const collector = new Collector(site, writer);
  for (let round = 0; round < 6; round++) {
    fill(0, 600, `round ${round}`);
    catalog = await ship(catalog);
    await collector.collect();
  }
  const { objects } = await bucket.list('blobs/');
  const kept = objects.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(kept).toBeLessThanOrEqual(2 * catalog.tree.length * BLOB_SIZE);
  expect(entriesOf(await fetched()) === entriesOf(tree)).toBe(true);
});

it('does so, too, where a pack dies little by little', async () => {
  fill(0, 600, 'first');
  let catalog = await ship(undefined);
  for (let from = 0; from < 600; from += 50) {
    fill(from, 50, 'second');
    catalog = await ship(catalog);
    const packed = new Map(imagesOf(catalog).map((image) => [image.pack, image.packed]));
    const kept = [...packed.values()].reduce((sum, count) => sum + count, 0);
    expect(kept).toBeLessThanOrEqual(2 * catalog.tree.length);
  }
  for (const { pack, packed } of catalog.tree) {
    expect((await bucket.get(pack))!.bytes.length).toBe(packed * BLOB_SIZE);
  }
});

it('leaves the checkpoint before where it was cut short, and the next writer goes on from that', async () => {
  fill(0, 300, 'first');
  const before = await ship(undefined);
  const expected = entriesOf(tree);
  fill(0, 300, 'second');
  const readBlob = blobs.readBlob.bind(blobs);
  blobs.readBlob = () => {
    throw new Error('the disk is gone');
  };
  await expect(ship(before)).rejects.toThrow('the disk is gone');
  blobs.readBlob = readBlob;
  expect(entriesOf(await fetched()) === expected).toBe(true);
  writer = await begin();
  await ship(await published());
  expect(entriesOf(await fetched()) === entriesOf(tree)).toBe(true);
  await new Collector(site, writer).collect();
  expect(entriesOf(await fetched()) === entriesOf(tree)).toBe(true);
});

it('tells of images that are damaged or missing', async () => {
  fill(0, 300, 'first');
  const { tree: images } = await ship(undefined);
  const [image] = images;
  const { bytes } = (await bucket.get(image!.pack))!;
  const at = image!.slot * BLOB_SIZE + 100_000;
  bytes[at]! ^= 1;
  await bucket.put(image!.pack, bytes);
  await expect(fetchImage(bucket, image!)).rejects.toMatchObject({ code: 'ERR_BLOB_CORRUPT' });
  await bucket.put(image!.pack, bytes.subarray(0, image!.slot * BLOB_SIZE + 10));
  await expect(fetchImage(bucket, image!)).rejects.toMatchObject({ code: 'ERR_BLOB_CORRUPT' });
  await bucket.delete(image!.pack);
  await expect(fetchImage(bucket, image!)).rejects.toMatchObject({ code: 'ERR_BLOB_MISSING' });
});

it('refuses a manifest that is of something else, or refers to what it has not', async () => {
  fill(0, 10, 'first');
  await ship(undefined);
  const { manifest } = decodeHead((await bucket.get(HEAD))!.bytes);
  const { references, payload } = await readManifest(bucket, manifest!);
  const wrong = expect.objectContaining({ code: 'ERR_REMOTE_CORRUPT' });
  for (let length = 0; length < payload.length; length += 7) {
    expect(() => catalogOf('m', { references, payload: payload.subarray(0, length) })).toThrow(wrong);
  }
  expect(() => catalogOf('m', { references: [], payload })).toThrow(wrong);
  expect(() => catalogOf('m', { references, payload: Buffer.from('something else') })).toThrow(wrong);
});
