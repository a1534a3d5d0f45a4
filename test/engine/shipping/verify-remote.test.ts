/** Verifying a store in an object store: each kind of damage is seen and named, and all that is sound passes. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { SpinneyError } from '../../../engine/errors.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { SILENT } from '../../../engine/progress.js';
import { decodeHead, encodeHead, type Head } from '../../../engine/remote/objects/head.js';
import { encodeFence } from '../../../engine/remote/objects/journal-object.js';
import { encodeManifest, readManifest } from '../../../engine/remote/objects/manifest.js';
import { HEAD, journalName, objectName, PINS } from '../../../engine/remote/objects/names.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import { newId, type Site } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import type { Catalog } from '../../../engine/shipping/checkpoints/catalog.js';
import { type VerifiedRemote, verifyRemote } from '../../../engine/shipping/verify/verify-remote.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { PutCondition } from '../../../engine/store/object/object-store.js';
import type { Tree } from '../../../engine/tree/tree.js';
import { ShippedTree } from '../../support/object/shipped-tree.js';

class Bucket extends MemoryObjectStore {
  refusesWrites = false;
  /** Called before each answer to a GET. */
  beforeGet: ((key: string) => Promise<void>) | undefined;

  override async put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    if (this.refusesWrites) throw new SpinneyError('ERR_REMOTE_REFUSED', `Cannot put ${key}: read only`);
    return super.put(key, bytes, condition);
  }

  override async get(...given: Parameters<MemoryObjectStore['get']>) {
    await this.beforeGet?.(given[0]);
    return super.get(...given);
  }
}

let bucket: Bucket;
let site: Site;
let now: number;
let shipped: ShippedTree;
let writer: RemoteWriter;
let catalog: Catalog;
let scratch: string;

const begin = () =>
  takeOver(site, {
    holder: 'a'.repeat(32),
    leaseMs: 10_000,
    restore: async () => {},
    replay: async () => {},
  });

/**
 * Epoch 1: two objects and a checkpoint. Epoch 2: an object. Epoch 3, HEAD's: two objects. So the row is that of epoch 1 behind the
 * checkpoint (nothing), its fence, epoch 2's object and fence, and epoch 3's objects.
 */
beforeEach(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'spinney-verify-'));
  bucket = new Bucket();
  now = 0;
  site = { store: bucket, clock: { now: () => now, sleep: () => new Promise<void>(() => {}) }, newId };
  shipped = ShippedTree.empty();
  writer = await begin();
  for (let i = 0; i < 150; i++) shipped.put(`key/${String(i).padStart(4, '0')}`, `first ${i} `.repeat(800));
  await shipped.append(writer);
  shipped.tree.snapshot('monday');
  for (let i = 0; i < 30; i++) shipped.put(`key/${String(i).padStart(4, '0')}`, `second ${i} `.repeat(800));
  catalog = await shipped.ship(writer);
  writer = await begin();
  shipped.put('after/one', '1');
  await shipped.append(writer);
  writer = await begin();
  shipped.put('after/two', '2');
  await shipped.append(writer);
  shipped.delete('key/0001');
  await shipped.append(writer);
});

afterEach(() => {
  expect(readdirSync(scratch)).toEqual([]);
  rmSync(scratch, { recursive: true });
});

interface Outcome {
  damage: string[];
  notes: string[];
  result: VerifiedRemote | undefined;
}

async function verify(inspect?: (tree: Tree) => void): Promise<Outcome> {
  const damage: string[] = [];
  const notes: string[] = [];
  const result = await verifyRemote({
    place: 's3://photos/home',
    site,
    disk: new NodeDisk(),
    scratch,
    cacheBytes: 8 * 1024 * 1024,
    report: ({ kind, message }) => (kind === 'damage' ? damage : notes).push(message),
    progress: SILENT,
    ...(inspect && { inspect }),
  });
  return { damage, notes, result };
}

const journal = (epoch: number, sequence: number) => journalName({ epoch, sequence });

async function change(name: string, at: number): Promise<void> {
  const { bytes } = (await bucket.get(name))!;
  bytes[at]! ^= 1;
  await bucket.put(name, bytes);
}

async function changeHead(changes: Partial<Head>): Promise<void> {
  const head = decodeHead((await bucket.get(HEAD))!.bytes);
  await bucket.put(HEAD, encodeHead({ ...head, ...changes }));
}

describe('a store in an object store', () => {
  it('passes with all that it has, and its tree is the one that was shipped', async () => {
    let entries = '';
    const { damage, notes, result } = await verify((tree) => {
      for (const entry of tree.range()) if (entry.type === 'key') entries += `${Buffer.from(entry.key)} `;
      expect(tree.lastLsn()).toBe(shipped.tree.lastLsn());
      expect(tree.snapshots().map(({ name }) => name)).toEqual(['monday']);
    });
    expect({ damage, notes }).toEqual({ damage: [], notes: [] });
    expect(entries).toMatch(/^after\/one after\/two key\/0000 key\/0002 /);
    expect(result).toMatchObject({
      epoch: 3,
      journal: { objects: 3, records: 3, fences: 2 },
      tree: { snapshots: 1, leaves: 150, checkpointLsn: 180 },
      leftovers: { underWayObjects: 0 },
    });
    // No pin is left.
    expect((await bucket.list(PINS)).objects).toEqual([]);
  });

  it('passes before its first checkpoint', async () => {
    bucket = new Bucket();
    site = { ...site, store: bucket };
    writer = await begin();
    expect(await verify()).toMatchObject({ damage: [], notes: [], result: { epoch: 1, images: 0 } });
    shipped = ShippedTree.empty();
    shipped.put('a', 'b');
    await shipped.append(writer);
    expect(await verify()).toMatchObject({ damage: [], notes: [], result: { journal: { records: 1 } } });
  });

  it('is none where nothing is', async () => {
    site = { ...site, store: new Bucket() };
    await expect(verify()).rejects.toMatchObject({
      code: 'ERR_NO_STORE',
      message: 'Cannot check s3://photos/home: there is no store',
    });
  });

  it('is refused where its HEAD is of a later version', async () => {
    await bucket.put(HEAD, Buffer.from('{"format":"spinney-head","version":9}\n'));
    await expect(verify()).rejects.toMatchObject({ code: 'ERR_FORMAT_VERSION' });
  });

  it('is verified beside a writer that makes checkpoints all the time', async () => {
    let left = 6;
    bucket.beforeGet = async (key) => {
      if (!key.startsWith('journal/') || left-- <= 0) return;
      shipped.put('busy', String(left));
      await shipped.ship(writer);
      // What a collector does.
      for (const { key: old } of (await bucket.list('journal/0000000003/')).objects) {
        if (old < journal(3, writer.end.sequence)) await bucket.delete(old);
      }
    };
    const { damage } = await verify();
    expect(damage).toEqual([]);
    expect(left).toBeLessThan(0);
  });

  it('is verified by who may not write there, and that is told', async () => {
    bucket.refusesWrites = true;
    const { damage, notes } = await verify();
    expect(damage).toEqual([]);
    expect(notes).toEqual([
      expect.stringMatching(/^what is looked at cannot be pinned, .*: Cannot put pins\/.*: read only$/),
    ]);
  });

  it('renews its pin while it fetches, and gives up where that came too late', async () => {
    const pins = new Set<string>();
    bucket.beforeGet = async (key) => {
      if (key.startsWith('manifest/')) now += 25_000;
      for (const pin of (await bucket.list(PINS)).objects) pins.add(pin.key);
    };
    expect((await verify()).damage).toEqual([]);
    expect(pins.size).toBeGreaterThan(1);
    bucket.beforeGet = async (key) => {
      if (key.startsWith('manifest/')) now += 100_000;
    };
    await expect(verify()).rejects.toMatchObject({
      code: 'ERR_REMOTE_UNAVAILABLE',
      message: 'Cannot check the remote: it changed faster than it could be read; try again',
    });
  });
});

describe('damage', () => {
  const manifest = () => objectName('manifest', 1, catalog.tree.length > 16 ? 3 : 2);
  const kinds: readonly [what: string, make: () => Promise<void>, told: RegExp][] = [
    ['no HEAD', () => bucket.delete(HEAD), /^HEAD is missing, and other objects are there$/],
    [
      'a HEAD that is none',
      async () => void (await bucket.put(HEAD, Buffer.from('{"format"'))),
      /^Cannot read HEAD: it is not a HEAD of Spinney$/,
    ],
    [
      'a HEAD of an earlier epoch',
      () => changeHead({ epoch: 2 }),
      /^journal\/0000000003\/0{15}1 is of an epoch after HEAD's, 2: HEAD is an older one$/,
    ],
    [
      'no fence',
      () => bucket.delete(journal(1, 3)),
      /^journal\/0000000001\/0{15}3, the fence of epoch 1, is missing, and \d+ objects of the journal come after it$/,
    ],
    [
      'no fence of an epoch before',
      async () => {
        await bucket.delete(journal(1, 3));
        await changeHead({ journal: { epoch: 2, sequence: 1 } });
      },
      /^the fence of epoch 1 is missing: its writer could go on$/,
    ],
    [
      'a damaged fence of an epoch before',
      async () => {
        await changeHead({ journal: { epoch: 2, sequence: 1 } });
        await change(journal(1, 3), 20);
      },
      /^Cannot read journal\/0000000001\/0{15}3: its header is damaged$/,
    ],
    [
      'a hole in the journal',
      () => bucket.delete(journal(3, 1)),
      /^journal\/0000000003\/0{15}1 is missing, and 1 objects of the journal come after it$/,
    ],
    [
      'a damaged object of the journal',
      () => change(journal(3, 1), 80),
      /^Cannot read journal\/0000000003\/0{15}1: its records are damaged; what was acknowledged after it is lost$/,
    ],
    [
      'an object of the journal in the place of another',
      async () => void (await bucket.put(journal(3, 2), (await bucket.get(journal(3, 1)))!.bytes)),
      /^Cannot read journal\/0000000003\/0{15}2: it is of another place; /,
    ],
    [
      'a fence in the place of records',
      async () =>
        void (await bucket.put(journal(2, 1), encodeFence({ epoch: 2, sequence: 1 }, 'b'.repeat(32)))),
      /^journal\/0000000003\/0{15}1: record 181 is missing; record 182 comes in its place$/,
    ],
    ['no manifest', () => bucket.delete(manifest()), /^manifest\/\S+, which HEAD names, is missing$/],
    [
      'a damaged manifest',
      () => change(manifest(), 100),
      /^Cannot read manifest\/\S+: it is damaged, or no manifest$/,
    ],
    [
      'a manifest of something else',
      async () => {
        const { references } = await readManifest(bucket, manifest());
        await bucket.put(manifest(), encodeManifest({ references, payload: Buffer.from('other') }));
      },
      /^Cannot read manifest\/\S+: it is not of a store's checkpoint$/,
    ],
    ['no pack', () => bucket.delete(catalog.tree[0]!.pack), /^Cannot fetch blob \d+: there is no blobs\/\S+/],
    [
      'a pack that was cut off',
      async () => {
        const { pack, slot } = catalog.tree.at(-1)!;
        const { bytes } = (await bucket.get(pack))!;
        await bucket.put(pack, bytes.subarray(0, slot * BLOB_SIZE + 1000));
      },
      /^Cannot fetch blob \d+ from blobs\/\S+: it has 1000 bytes of 524288/,
    ],
    [
      'a changed byte in an image of the tree',
      () => change(catalog.tree.at(-1)!.pack, catalog.tree.at(-1)!.slot * BLOB_SIZE + 100_000),
      /^Cannot fetch blob \d+ from blobs\/\S+: the CRC is \S+, the header says \S+; its keys begin with "/,
    ],
    [
      'a changed byte in an image of a snapshot',
      () => {
        const { pack, slot } = catalog.pins[0]!.images.find((image) => !catalog.tree.includes(image))!;
        return change(pack, slot * BLOB_SIZE + 100_000);
      },
      /^Snapshot "monday": Cannot fetch blob \d+ from blobs\/\S+: the CRC is .*; the tree as it is does not need it$/,
    ],
  ];

  it.each(kinds)('is told: %s', async (_what, make, told) => {
    await make();
    const { damage } = await verify();
    expect(damage).toContainEqual(expect.stringMatching(told));
  });

  it('is told of a missing start of the row, which no HEAD explains', async () => {
    await bucket.delete(journal(2, 1));
    const { damage } = await verify();
    expect(damage).toEqual([
      expect.stringMatching(/^journal\/0000000002\/0{15}1 is missing, and \d objects/),
    ]);
  });
});

describe('what nobody needs', () => {
  it('is told as orphans of the writers before, and counted of the present one', async () => {
    await bucket.put(objectName('blobs', 2, 9), new Uint8Array(100));
    await bucket.put(objectName('content', 2, 8), new Uint8Array(50));
    await bucket.put(objectName('blobs', 3, 1), new Uint8Array(10));
    await bucket.put('probe/x/one', new Uint8Array(1));
    await bucket.put('letters/to-grandma', new Uint8Array(5));
    await bucket.beginUpload('blobs/x');
    const { damage, notes, result } = await verify();
    expect(damage).toEqual([]);
    expect(notes.map((note) => note.replace(/0{5,}/g, '0..'))).toEqual([
      'orphan: blobs/0..2/0..9 (100 bytes); nothing needs it, and the writer deletes it after a checkpoint of its own',
      'orphan: content/0..2/0..8 (50 bytes); nothing needs it, and the writer deletes it after a checkpoint of its own',
      'left over: probe/x/one (1 bytes); from trying the bucket out; it may be deleted',
      'foreign: letters/to-grandma (5 bytes); no part of a store; keep nothing else below its prefix',
      'unfinished: 1 uploads in parts, the first of blobs/x; a rule of the bucket can end them',
    ]);
    expect(result?.leftovers).toMatchObject({ underWayObjects: 1, underWayBytes: 10 });
  });

  it('is not what a follower has pinned', async () => {
    const old = catalog.tree[0]!;
    for (let i = 0; i < 150; i++) shipped.put(`key/${String(i).padStart(4, '0')}`, `third ${i} `.repeat(800));
    await bucket.put(
      `${PINS}${'c'.repeat(32)}/0000000001/${objectName('manifest', 1, 2)}/1000`,
      new Uint8Array(),
    );
    shipped.tree.deleteSnapshot('monday');
    await shipped.ship(writer);
    const { damage, notes } = await verify();
    expect(damage).toEqual([]);
    expect(notes.filter((note) => note.includes(old.pack))).toEqual([]);
  });
});
