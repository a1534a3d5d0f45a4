/** Following a store in an object store: only states that were, in their order, and what keeps the remote for it. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { SpinneyError } from '../../../engine/errors.js';
import { beginFollowing } from '../../../engine/following/begin.js';
import { Following } from '../../../engine/following/following.js';
import { MIN_CACHE_BYTES } from '../../../engine/limits.js';
import { Collector } from '../../../engine/remote/collect.js';
import { encodeRecords } from '../../../engine/remote/objects/journal-object.js';
import { journalName, PINS } from '../../../engine/remote/objects/names.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import { newId, type Site } from '../../../engine/remote/site.js';
import { recordsOf } from '../../../engine/shipping/records.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import { ShippedTree } from '../../support/object/shipped-tree.js';

describe('following', () => {
  let bucket: MemoryObjectStore;
  let site: Site;
  let now: number;
  let shipped: ShippedTree;
  let writer: RemoteWriter;
  let collector: Collector;
  let directory: string;
  let tree: Tree;
  let plays: number;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'spinney-following-'));
    bucket = new MemoryObjectStore();
    now = 0;
    site = { store: bucket, clock: { now: () => now, sleep: () => new Promise<void>(() => {}) }, newId };
    ({ shipped, writer } = await ShippedTree.takeOver(site, 'a'.repeat(32)));
    collector = new Collector(site, writer);
    plays = 0;
  });
  afterEach(() => {
    tree?.close();
    rmSync(directory, { recursive: true });
  });

  async function begin(): Promise<Following> {
    const store = join(directory, 'store');
    const begun = await beginFollowing(site, store);
    tree = Tree.open({ dir: store, cacheBytes: MIN_CACHE_BYTES });
    const play = async (bodies: readonly Uint8Array[]) => {
      plays++;
      for (const body of bodies) for (const { changes } of recordsOf(body)) tree.apply(changes);
    };
    return new Following({
      ...begun,
      tree: { reads: tree, play },
      disk: new NodeDisk(),
      scratch: directory,
    });
  }

  const append = async (key: string) => {
    shipped.put(key, key);
    await shipped.append(writer);
  };
  const checkpoint = async () => {
    await shipped.ship(writer);
    await collector.collect();
  };
  const keys = () => {
    const found: string[] = [];
    for (const entry of tree.range()) if (entry.type === 'key') found.push(Buffer.from(entry.key).toString());
    return found;
  };
  const pinned = async () =>
    (await bucket.list(PINS)).objects.map(({ key }) => key.split('/').slice(3, 6).join('/'));

  it('begins with the checkpoint, and goes on with the journal, object by object', async () => {
    await append('one');
    await shipped.ship(writer);
    await append('two');
    const following = await begin();
    expect([keys(), following.state.lsn]).toEqual([['one'], 1]);
    expect(await following.step()).toBe(true);
    expect([keys(), following.state.lsn]).toEqual([['one', 'two'], 2]);
    expect(await following.step()).toBe(false);
    await append('three');
    await following.catchUp();
    expect(keys()).toEqual(['one', 'three', 'two']);
    expect(following.state).toMatchObject({ lsn: 3, epoch: 1, sequence: 4, adoptions: 0, writer: 'active' });
    expect(plays).toBe(2);
    await following.end();
    expect(await pinned()).toEqual([]);
    // Nothing that was fetched is left beside the store.
    expect(readdirSync(directory)).toEqual(['store']);
  });

  it('begins where there is no checkpoint yet, and is refused where there is no store', async () => {
    await append('one');
    const following = await begin();
    await following.catchUp();
    expect(keys()).toEqual(['one']);
    site = { ...site, store: new MemoryObjectStore() };
    await expect(beginFollowing(site, join(directory, 'other'))).rejects.toMatchObject({
      code: 'ERR_NO_STORE',
      message: 'Cannot follow the remote: there is no store',
    });
  });

  it('goes on with the journal over a checkpoint, and pins that in place of the one before', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    const [first] = await pinned();
    await append('two');
    await checkpoint();
    await following.catchUp();
    const [second, ...others] = await pinned();
    expect(second).not.toBe(first);
    expect(others).toEqual([]);
    expect(following.state.adoptions).toBe(0);
  });

  it('adopts a checkpoint, as one moment, where the journal was deleted meanwhile', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    for (let i = 0; i < 40; i++) await append(`more ${i}`);
    await checkpoint();
    shipped.delete('one');
    await checkpoint();
    await append('last');
    plays = 0;
    await following.catchUp();
    expect(plays).toBe(1);
    expect(following.state.adoptions).toBe(1);
    expect(keys().length).toBe(41);
    expect(following.state.lsn).toBe(shipped.tree.lastLsn());
  });

  it('looks at a checkpoint again where it could not be read, and tells until then that it is behind', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    await following.catchUp();
    // Of an outage: the journal has it not.
    shipped.put('two', 'two');
    await shipped.ship(writer, true);
    const get = bucket.get.bind(bucket);
    bucket.get = async (key, ...more) => {
      if (key.includes('manifest')) throw new SpinneyError('ERR_REMOTE_UNAVAILABLE', 'no answer');
      return get(key, ...more);
    };
    now += 1_000;
    for (let i = 0; i < 3; i++)
      await expect(following.step()).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
    expect(following.state.lagMs).toBe(1_000);
    bucket.get = get;
    await following.catchUp();
    expect(keys()).toEqual(['one', 'two']);
    expect(following.state).toMatchObject({ adoptions: 1, lagMs: 0 });
  });

  it('adopts a checkpoint that has more than the journal', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    shipped.put('two', 'two');
    await shipped.ship(writer, true);
    await following.catchUp();
    expect([keys(), following.state.lsn, following.state.adoptions]).toEqual([['one', 'two'], 2, 1]);
    await append('three');
    await following.catchUp();
    expect([keys(), following.state.adoptions]).toEqual([['one', 'three', 'two'], 1]);
  });

  /** The bucket, where the first request that `matches` is preceded, or refused, by what `does`. */
  const once = (method: 'get' | 'put' | 'delete', matches: RegExp, does: () => void | Promise<void>) => {
    const real = bucket[method].bind(bucket) as (key: string, ...given: unknown[]) => Promise<never>;
    let isDone = false;
    bucket[method] = async (key: string, ...given: unknown[]) => {
      if (!isDone && matches.test(key)) {
        isDone = true;
        await does();
      }
      return real(key, ...given);
    };
  };
  const fail = () => {
    throw new SpinneyError('ERR_REMOTE_UNAVAILABLE', 'no answer');
  };

  it.each([
    ['cannot be read', 'get', /^manifest/],
    ['cannot be pinned at once', 'put', /^pins/],
  ] as const)('passes over no checkpoint that has more than the journal and %s', async (_, method, key) => {
    await append('one');
    await checkpoint();
    const following = await begin();
    await following.catchUp();
    shipped.put('two', 'two');
    await shipped.ship(writer, true);
    now += 7_000;
    once(method, key, fail);
    await expect(following.catchUp()).rejects.toThrow('no answer');
    // It does not claim to have what it could not look at.
    expect(following.state).toMatchObject({ lsn: 1, lagMs: 7_000 });
    await following.catchUp();
    expect([keys(), following.state.lsn, following.state.lagMs]).toEqual([['one', 'two'], 2, 0]);
    await following.end();
    expect(await pinned()).toEqual([]);
  });

  it('goes on where it cannot give up its pin of the checkpoint before', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    shipped.put('two', 'two');
    await shipped.ship(writer, true);
    once('delete', /^pins/, fail);
    await following.catchUp();
    expect([keys(), following.state.lagMs]).toEqual([['one', 'two'], 0]);
  });

  it('passes over no checkpoint that comes while it pins the one before', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    await following.catchUp();
    await append('two');
    await checkpoint();
    once('put', /^pins/, async () => {
      shipped.put('three', 'three');
      await shipped.ship(writer, true);
      await collector.collect();
    });
    await following.catchUp();
    expect(keys()).toEqual(['one', 'three', 'two']);
  });

  it('waits at an object that is damaged, does not pass it over, and goes on with a checkpoint beyond', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    await following.catchUp();
    await append('two');
    const { epoch, sequence } = following.state;
    const name = journalName({ epoch, sequence });
    const { bytes } = (await bucket.get(name))!;
    for (const damaged of [
      bytes.slice(0, -1),
      encodeRecords({ epoch, sequence }, newId(), Buffer.from('?')),
    ]) {
      await bucket.delete(name);
      await bucket.put(name, damaged);
      now += 5_000;
      for (let tries = 0; tries < 3; tries++) {
        await expect(following.step()).rejects.toMatchObject({ code: 'ERR_REMOTE_CORRUPT' });
      }
      // Nothing more comes; that does not make it up to date.
      expect(following.state.lagMs).toBeGreaterThanOrEqual(5_000);
      expect(keys()).toEqual(['one']);
    }
    await checkpoint();
    await following.catchUp();
    expect([keys(), following.state.lagMs]).toEqual([['one', 'two'], 0]);
  });

  it('keeps what it shows while what comes next cannot be adopted, by one pin more', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    await following.catchUp();
    const [own] = await pinned();
    shipped.put('two', 'two');
    await shipped.ship(writer, true);
    const real = bucket.get.bind(bucket);
    bucket.get = async (key, ...given) => (/^blobs/.test(key) ? fail() : real(key, ...given));
    for (let tries = 0; tries < 10; tries++) {
      await expect(following.step()).rejects.toThrow('no answer');
      now += 25_000;
      await collector.collect();
      const manifests = await pinned();
      expect(manifests).toContain(own);
      expect(manifests.length).toBeLessThanOrEqual(2);
    }
    bucket.get = real;
    await following.catchUp();
    expect(keys()).toEqual(['one', 'two']);
    expect(await pinned()).not.toContain(own);
    expect((await pinned()).length).toBe(1);
  });

  it('renews its pin in time, and adopts anew where it could not', async () => {
    await append('one');
    await checkpoint();
    const following = await begin();
    for (let i = 0; i < 10; i++) {
      now += 25_000;
      await following.catchUp();
      await collector.collect();
      expect((await pinned()).length).toBe(1);
    }
    expect(following.state.adoptions).toBe(0);
    now += 200_000;
    await expect(following.step()).rejects.toThrow('its objects were not kept in time');
    await following.catchUp();
    expect(following.state.adoptions).toBe(1);
    expect(keys()).toEqual(['one']);
  });

  it('follows from one writer to the next', async () => {
    await append('one');
    const following = await begin();
    await following.catchUp();
    ({ shipped, writer } = await ShippedTree.takeOver(site, 'a'.repeat(32)));
    await append('two');
    await following.catchUp();
    expect(keys()).toEqual(['one', 'two']);
    expect(following.state).toMatchObject({ epoch: 2, lsn: 2 });
  });

  it('tells how far behind it is, and what became of the writer', async () => {
    await append('one');
    const following = await begin();
    await following.catchUp();
    expect(following.state).toMatchObject({ lagMs: 0, writer: 'active' });
    now += 3_000;
    expect(following.state).toMatchObject({ lagMs: 3_000, writer: 'active', writerSeenMs: 3_000 });
    now += 20_000;
    // It has not looked: it cannot say that.
    expect(following.state).toMatchObject({ lagMs: 23_000, writer: 'active' });
    await following.catchUp();
    expect(following.state).toMatchObject({ lagMs: 0, writer: 'gone', writerSeenMs: 23_000 });
    expect(keys()).toEqual(['one']);
    await writer.release();
    await following.catchUp();
    expect(following.state.writer).toBe('released');
  });

  it('tells what keeps it from following, and goes on', async () => {
    await append('one');
    const following = await begin();
    let isAway = true;
    const get = bucket.get.bind(bucket);
    bucket.get = async (...given) => {
      if (isAway) throw new Error('away');
      return get(...given);
    };
    let sleeps = 0;
    let told: string | undefined;
    site.clock.sleep = async () => {
      told ??= following.state.failure;
      isAway = false;
      if (++sleeps === 3) await following.end();
    };
    await following.run();
    expect(told).toBe('away');
    expect(following.state.failure).toBe(undefined);
    expect(keys()).toEqual(['one']);
  });
});
