/** Followers, and what is deleted under them, in situations that were thought of. */
import { beforeEach, expect, it } from 'vitest';
import { Collector } from '../../../engine/remote/collect.js';
import { RemoteFollower } from '../../../engine/remote/follower.js';
import { encodeFence } from '../../../engine/remote/objects/journal-object.js';
import { journalName, PINS } from '../../../engine/remote/objects/names.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import type { Site } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';

const LEASE_MS = 10_000;

let bucket: MemoryObjectStore;
let now: number;
let site: Site;
let writer: RemoteWriter;
let lastId: number;

beforeEach(async () => {
  bucket = new MemoryObjectStore();
  now = 0;
  lastId = 0;
  // Nobody sleeps here: leases are not renewed, and time passes as it is told.
  const clock = { now: () => now, sleep: () => new Promise<void>(() => {}) };
  site = { store: bucket, clock, newId: () => String(++lastId).padStart(32, '0') };
  writer = await begin();
});

const nothing = async () => {};
const begin = () =>
  takeOver(site, { holder: 'a'.repeat(32), leaseMs: LEASE_MS, restore: nothing, replay: nothing });
const append = (text: string) => writer.append(Buffer.from(text));

async function checkpoint(references: string[]): Promise<void> {
  await writer.publish({ references, payload: Buffer.alloc(0) }, writer.end, writer.mark());
}

async function putBlobs(): Promise<string> {
  const name = writer.newName('blobs');
  await bucket.put(name, Buffer.from(name));
  return name;
}

async function keysOf(prefix: string): Promise<string[]> {
  return (await bucket.list(prefix)).objects.map(({ key }) => key);
}

async function followed(follower: RemoteFollower): Promise<string[]> {
  const seen: string[] = [];
  for (;;) {
    const next = await follower.next();
    if (typeof next === 'string') return [...seen, next];
    expect(await follower.next()).toEqual(next);
    seen.push(Buffer.from(next.body).toString());
    follower.pass(next.place);
  }
}

it('follows the journal from its beginning where there is no checkpoint', async () => {
  await append('one');
  const follower = new RemoteFollower(site, LEASE_MS);
  expect((await follower.adopt()).manifest).toBeUndefined();
  expect(await followed(follower)).toEqual(['one', 'end']);
  await append('two');
  expect(await followed(follower)).toEqual(['two', 'end']);
});

it('follows from one writer to the next', async () => {
  await append('one');
  const follower = new RemoteFollower(site, LEASE_MS);
  await follower.adopt();
  writer = await begin();
  await append('two');
  writer = await begin();
  writer = await begin();
  await append('three');
  expect(await followed(follower)).toEqual(['one', 'two', 'three', 'end']);
});

it('has nothing to follow where there is no store', async () => {
  const empty = { ...site, store: new MemoryObjectStore() };
  await expect(new RemoteFollower(empty, LEASE_MS).adopt()).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
});

it('is behind when the journal was deleted before it, and goes on from the checkpoint', async () => {
  await append('one');
  const follower = new RemoteFollower(site, LEASE_MS);
  await follower.adopt();
  await append('two');
  await checkpoint([]);
  await new Collector(site, writer).collect();
  await append('three');
  expect(await followed(follower)).toEqual(['behind']);
  expect((await follower.adopt()).manifest).toBe((await keysOf('manifest/'))[0]);
  expect(await followed(follower)).toEqual(['three', 'end']);
});

it('takes no fence that comes late, to the place of deleted records, for the end of an epoch', async () => {
  await append('one');
  const follower = new RemoteFollower(site, LEASE_MS);
  await follower.adopt();
  writer = await begin();
  await checkpoint([]);
  await new Collector(site, writer).collect();
  await append('two');
  const place = { epoch: 1, sequence: 1 };
  await bucket.put(journalName(place), encodeFence(place, 'b'.repeat(32)), { ifNoneMatch: '*' });
  expect(await followed(follower)).toEqual(['behind']);
});

it('keeps what it has pinned, until it lets go', async () => {
  const [first, second] = [await putBlobs(), await putBlobs()];
  await checkpoint([first]);
  expect(await keysOf('blobs/')).toEqual([first, second]);
  const follower = new RemoteFollower(site, LEASE_MS);
  const { manifest, unpin } = await follower.adopt();
  await checkpoint([second]);
  const collector = new Collector(site, writer);
  await collector.collect();
  expect(await keysOf('blobs/')).toEqual([first, second]);
  expect(await keysOf('manifest/')).toContain(manifest);
  await unpin();
  await collector.collect();
  expect(await keysOf('blobs/')).toEqual([second]);
  expect(await keysOf('manifest/')).not.toContain(manifest);
});

it('keeps it while it renews in time, and no longer', async () => {
  const first = await putBlobs();
  await checkpoint([first]);
  const follower = new RemoteFollower(site, LEASE_MS);
  await follower.adopt();
  await checkpoint([]);
  const collector = new Collector(site, writer);
  for (let round = 0; round < 5; round++) {
    await collector.collect();
    now += LEASE_MS * 0.9;
    expect(await follower.renew()).toBe(true);
  }
  await collector.collect();
  expect(await keysOf('blobs/')).toEqual([first]);
  now += LEASE_MS * 1.1;
  expect(follower.isPinned()).toBe(false);
  expect(await follower.renew()).toBe(false);
  await collector.collect();
  expect([await keysOf('blobs/'), await keysOf(PINS)]).toEqual([[], []]);
});

it('deletes no fence, nothing of a checkpoint under way, and nothing of a later writer', async () => {
  const first = await putBlobs();
  await append('one');
  await checkpoint([first]);
  writer = await begin();
  await append('two');
  const old = writer;
  const garbage = await putBlobs();
  await checkpoint([first]);
  const underWay = await putBlobs();
  // A later writer has begun, and the one before does not know yet.
  writer = await begin();
  const later = await putBlobs();
  await append('three');
  await new Collector(site, old).collect();
  expect(await keysOf('blobs/')).toEqual([first, underWay, later]);
  expect(await keysOf('blobs/')).not.toContain(garbage);
  // The fences of epochs 1 and 2, and what the later writer has appended.
  const journal = (await bucket.list('journal/')).objects;
  expect(journal.map(({ bytes }) => bytes)).toEqual([64, 64, 69]);
});

it('deletes nothing before a checkpoint of its own', async () => {
  const garbage = await putBlobs();
  await checkpoint([]);
  writer = await begin();
  expect(await new Collector(site, writer).collect()).toBe(0);
  expect(await keysOf('blobs/')).toEqual([garbage]);
  await checkpoint([]);
  expect(await new Collector(site, writer).collect()).toBe(2);
  expect(await keysOf('blobs/')).toEqual([]);
});
