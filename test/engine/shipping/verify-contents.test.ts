/** Contents in a remote, against the rows of the tree that promise them. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { SILENT } from '../../../engine/progress.js';
import { objectName } from '../../../engine/remote/objects/names.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import { newId, type Site } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import { type ContentPart, DIGEST_BYTES, putShippedContent } from '../../../engine/shipping/contents/rows.js';
import type { RemoteContents } from '../../../engine/shipping/verify/remote-contents.js';
import { type VerifiedRemote, verifyRemote } from '../../../engine/shipping/verify/verify-remote.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import { ShippedTree } from '../../support/object/shipped-tree.js';

let bucket: MemoryObjectStore;
let site: Site;
let shipped: ShippedTree;
let writer: RemoteWriter;
let scratch: string;

beforeEach(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'spinney-verify-'));
  bucket = new MemoryObjectStore();
  site = { store: bucket, clock: { now: () => 0, sleep: () => new Promise<void>(() => {}) }, newId };
  shipped = ShippedTree.empty();
  writer = await takeOver(site, {
    holder: 'a'.repeat(32),
    leaseMs: 10_000,
    restore: async () => {},
    replay: async () => {},
  });
});

afterEach(() => rmSync(scratch, { recursive: true }));

/** Puts the content into the bucket, behind `before` other bytes, and its row into the tree. */
async function shipContent(ino: number, born: number, text: string, before = 0): Promise<string> {
  const bytes = Buffer.from(text);
  const name = writer.newName('content');
  await bucket.put(name, Buffer.concat([Buffer.alloc(before), bytes]));
  const digest = createHash('sha256').update(bytes).digest().subarray(0, DIGEST_BYTES);
  const part: ContentPart = { name, offset: before, bytes: bytes.length, crc: crc32(bytes), digest };
  const time = { seconds: 1, nanos: 0 };
  const rows: [key: Uint8Array, value: Uint8Array][] = [];
  const batch = {
    putIfAbsent: (key: Uint8Array, value: Uint8Array) => void rows.push([key, value]),
  };
  putShippedContent(
    batch as unknown as Parameters<typeof putShippedContent>[0],
    ino,
    born,
    { size: bytes.length, mtime: time, ctime: time, parts: [part] },
    undefined,
  );
  shipped.change(...rows.map(([key, value]) => ({ key, value })));
  return name;
}

async function verify(
  options: { readsContents?: boolean; inspect?: (contents: RemoteContents) => void } = {},
): Promise<{ damage: string[]; notes: string[]; result: VerifiedRemote | undefined }> {
  const { inspect, readsContents = false } = options;
  const damage: string[] = [];
  const notes: string[] = [];
  const result = await verifyRemote({
    place: 's3://photos',
    site,
    disk: new NodeDisk(),
    scratch,
    readsContents,
    cacheBytes: 8 * 1024 * 1024,
    report: ({ kind, message }) => (kind === 'damage' ? damage : notes).push(message),
    progress: SILENT,
    ...(inspect && { inspect: (_tree, contents) => inspect(contents) }),
  });
  return { damage, notes, result };
}

it('finds all that rows promise, and takes none of it for orphans', async () => {
  await shipContent(2, 0, 'one');
  await shipContent(3, 7, 'three', 100);
  await shipped.append(writer);
  let found: unknown;
  const { damage, notes, result } = await verify({
    readsContents: true,
    inspect: (contents) => {
      found = [...contents.list()].map(({ ino, born }) => [ino, born, contents.find(ino, born)]);
      expect(contents.find(9, 0)).toBe(undefined);
      expect(contents.isBeingShipped).toBe(true);
    },
  });
  expect({ damage, notes }).toEqual({ damage: [], notes: [] });
  expect(result).toMatchObject({ contents: { contents: 2, bytes: 8, objects: 2 } });
  expect(result).toMatchObject({ leftovers: { objects: 0, underWayObjects: 0 } });
  expect(found).toEqual([
    [2, 0, { bytes: 3, fault: undefined }],
    [3, 7, { bytes: 5, fault: undefined }],
  ]);
});

it('tells of parts that are missing, or too short, to whoever asks for the content', async () => {
  const first = await shipContent(2, 0, 'one');
  const second = await shipContent(3, 7, 'three', 100);
  await shipped.append(writer);
  await bucket.delete(first);
  await bucket.put(second, new Uint8Array(104));
  const faults: (string | undefined)[] = [];
  await verify({
    inspect: (contents) => {
      for (const { ino, born } of contents.list()) faults.push(contents.find(ino, born)?.fault);
    },
  });
  expect(faults).toEqual([
    `part 1 of 1 of its content is missing: there is no ${first}`,
    `part 1 of 1 of its content is missing: ${second} has 104 bytes, it should have 105`,
  ]);
});

it('finds changed bytes where it is to read them', async () => {
  const name = await shipContent(3, 7, 'three', 10);
  await shipped.append(writer);
  await bucket.put(name, Buffer.concat([Buffer.alloc(10), Buffer.from('thrEe')]));
  expect((await verify()).damage).toEqual([]);
  expect((await verify({ readsContents: true })).damage).toEqual([
    `part 1 of 1 of the content of inode 3, made after snapshot 7: Cannot fetch 5 bytes of ${name}: at byte 10 it has others than were shipped`,
  ]);
});

it('tells of a damaged row', async () => {
  const name = await shipContent(2, 0, 'one');
  const key = Buffer.concat([Buffer.from('r'), Buffer.from([0, 0, 0, 0, 0, 0, 0, 2]), Buffer.alloc(8)]);
  shipped.change({ key, value: Buffer.from('rubbish') });
  await shipped.append(writer);
  let fault: string | undefined;
  const { notes } = await verify({ inspect: (contents) => (fault = contents.find(2, 0)?.fault) });
  expect(fault).toMatch(/^Cannot tell what the remote has of content 2\.0: its row is damaged$/);
  expect(notes).toEqual([]);
  expect(name).toBe(objectName('content', 1, 1));
});

it('tells of contents that a checkpoint has, and its manifest does not keep', async () => {
  const name = await shipContent(2, 0, 'one');
  // This checkpoint is made by who knows nothing of contents.
  await shipped.ship(writer);
  const { damage } = await verify();
  expect(damage).toEqual([`${name}: files have contents in it, and the manifest does not keep it`]);
});

it('does not miss what a checkpoint that came meanwhile has deleted', async () => {
  shipped.put('a', 'b');
  await shipped.ship(writer);
  const name = await shipContent(2, 0, 'one');
  await shipped.append(writer);
  const get = bucket.get.bind(bucket);
  let isFirst = true;
  bucket.get = async (key, options) => {
    if (key.startsWith('blobs/') && isFirst) {
      isFirst = false;
      shipped.put('c', 'd');
      await shipped.ship(writer);
    }
    return get(key, options);
  };
  const list = bucket.list.bind(bucket);
  bucket.list = async (prefix, options) => {
    if (prefix === '') await bucket.delete(name);
    return list(prefix, options);
  };
  let fault: string | undefined = 'none';
  const { damage, notes } = await verify({ inspect: (contents) => (fault = contents.find(2, 0)?.fault) });
  expect({ damage, fault }).toEqual({ damage: [], fault: undefined });
  expect(notes).toContain('1 objects of contents were not checked: a checkpoint came meanwhile');
});
