/** A live tree whose records and checkpoints are shipped while it is used, and what another directory is made of them. */
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SpinneyError } from '../../../engine/errors.js';
import { PACK_IMAGES } from '../../../engine/limits.js';
import { newId, readHead, type Site } from '../../../engine/remote/site.js';
import { Shipper, type ShipperOptions, type ShippingEvent } from '../../../engine/shipping/live/shipper.js';
import {
  FULL,
  LOST,
  makeShippingBoard,
  ShippingBoard,
  WELCOME,
} from '../../../engine/shipping/live/shipping-board.js';
import { resumeRemoteStore, takeOverStore } from '../../../engine/shipping/open-remote-store.js';
import { BOOT_CLOCK } from '../../../engine/store/object/clock.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { PutCondition } from '../../../engine/store/object/object-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import { PATIENTLY } from '../../support/until.js';

/** Notes what is put, and fails what it is told to. */
class Bucket extends MemoryObjectStore {
  readonly puts: string[] = [];
  before: (key: string) => Promise<void> = async () => {};

  override async put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    await this.before(key);
    const etag = await super.put(key, bytes, condition);
    this.puts.push(key);
    return etag;
  }
}

const HOLDER = 'a'.repeat(32);
const OTHER = 'b'.repeat(32);
const LEASE_MS = 300;

let directory: string;
let bucket: Bucket;
let site: Site;
const open: { close: () => unknown }[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-ship-'));
  bucket = new Bucket();
  site = { store: bucket, clock: BOOT_CLOCK, newId };
});

afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
  rmSync(directory, { recursive: true });
});

function openTree(name: string): Tree {
  const tree = Tree.open({ dir: join(directory, name), checkpoint: { autoMerge: false } });
  open.push({ close: () => tree.close() });
  return tree;
}

async function ship(tree: Tree, name: string, options: Partial<ShipperOptions> = {}): Promise<Shipper> {
  const resumed = await resumeRemoteStore(site, tree, { holder: HOLDER, leaseMs: LEASE_MS });
  return begin(tree, name, resumed, options);
}

function begin(
  tree: Tree,
  name: string,
  { writer, shipped }: Pick<ShipperOptions, 'writer' | 'shipped'>,
  options: Partial<ShipperOptions> = {},
): Shipper {
  const shipper = new Shipper({ site, writer, shipped, tree, directory: join(directory, name), ...options });
  shipper.start();
  open.push({ close: () => shipper.stop() });
  return shipper;
}

const takeOver = (name: string, holder: string) =>
  takeOverStore(site, join(directory, name), { holder, leaseMs: LEASE_MS });

function contentOf(tree: Tree): Record<string, string> {
  const all: Record<string, string> = {};
  for (const entry of tree.range()) {
    if (entry.type === 'key') all[Buffer.from(entry.key).toString()] = Buffer.from(entry.value).toString();
  }
  return all;
}

function fill(tree: Tree, from: number, to: number): void {
  for (let i = from; i < to; i++) tree.put(`key/${String(i).padStart(6, '0')}`, Buffer.from(`value of ${i}`));
}

it('another directory becomes the store as it was when it was shipped', async () => {
  const tree = openTree('one');
  fill(tree, 0, 500);
  const shipper = await ship(tree, 'one');
  fill(tree, 500, 1000);
  tree.delete('key/000003');
  tree.renamePrefix('key/0009', 'moved/');
  await shipper.waitUntilShipped(tree.lastLsn());
  await shipper.checkpoint();
  fill(tree, 2000, 2100);
  await shipper.waitUntilShipped(tree.lastLsn());
  const expected = contentOf(tree);
  const lsn = tree.lastLsn();
  await shipper.stop();

  const resumed = await takeOver('two', OTHER);
  expect(resumed.shipped.isRestored).toBe(true);
  const taken = openTree('two');
  expect(contentOf(taken)).toEqual(expected);
  expect(taken.lastLsn()).toBe(lsn);
  expect(taken.recovery?.replayed).toBe(100);
  // It goes on from there.
  const next = begin(taken, 'two', resumed);
  fill(taken, 3000, 3100);
  await next.waitUntilShipped(taken.lastLsn());
  await next.finish();
  await takeOver('three', 'c'.repeat(32));
  expect(contentOf(openTree('three'))).toEqual(contentOf(taken));
});

/** Values that fill some blobs. */
function fillBlobs(tree: Tree, count: number, tag: string): void {
  for (let i = 0; i < count; i++)
    tree.put(`large/${String(i).padStart(4, '0')}`, Buffer.from(`${tag} ${i} `.repeat(8_000)));
}

const putsOf = (kind: string) => bucket.puts.filter((key) => key.startsWith(`${kind}/`));

it('a first checkpoint that was cut short goes on where it was', async () => {
  const tree = openTree('one');
  fillBlobs(tree, 100, 'first');
  let packs = 0;
  bucket.before = async (key) => {
    if (key.startsWith('blobs/') && ++packs > 1) await new Promise(() => {});
  };
  const first = await ship(tree, 'one');
  await vi.waitFor(() => expect(packs).toBeGreaterThan(1), PATIENTLY);
  await vi.waitFor(() => expect(existsSync(join(directory, 'one', 'shipped-packs'))).toBe(true), PATIENTLY);
  // Nobody sees what is kept for it.
  expect(tree.snapshots()).toEqual([]);
  expect(tree.stats().snapshots.count).toBe(0);
  const kept = tree.keptForShipping!.pin;
  // What is written meanwhile is in the journal, which goes on.
  fillBlobs(tree, 20, 'second');
  await first.waitUntilShipped(tree.lastLsn());
  await first.stop();
  bucket.before = async () => {};
  const before = putsOf('blobs').length;
  const events: ShippingEvent[] = [];
  const second = await ship(tree, 'one', { onEvent: (event) => events.push(event) });
  await second.waitUntilShipped(tree.lastLsn());
  await vi.waitFor(() => expect(events.find(({ type }) => type === 'checkpoint')).toBeDefined(), PATIENTLY);
  const done = events.find((event) => event.type === 'checkpoint')!;
  expect(done).toMatchObject({ lsn: kept.lsn });
  const { newImages, images } = done as Extract<ShippingEvent, { type: 'checkpoint' }>;
  expect(newImages).toBe(images - before * PACK_IMAGES);
  expect(existsSync(join(directory, 'one', 'shipped-packs'))).toBe(false);
  const expected = contentOf(tree);
  await second.stop();
  await takeOver('two', OTHER);
  expect(contentOf(openTree('two'))).toEqual(expected);
});

it('keeps the journal for a remote that is away, and goes on without a gap', async () => {
  const tree = openTree('one');
  const shipper = await ship(tree, 'one');
  await shipper.checkpoint();
  const manifests = putsOf('manifest').length;
  let isAway = true;
  const failure = new SpinneyError('ERR_REMOTE_UNAVAILABLE', 'Cannot reach the store: it is away');
  bucket.before = async () => {
    if (isAway) throw failure;
  };
  for (let round = 0; round < 3; round++) {
    fill(tree, round * 100, round * 100 + 100);
    tree.journal!.rotate();
    tree.checkpoint();
  }
  await vi.waitFor(
    () => expect(shipper.stats()).toMatchObject({ state: 'away', failure: failure.message }),
    PATIENTLY,
  );
  expect(shipper.lag().records).toBeGreaterThan(0);
  expect(shipper.lag().bytes).toBeGreaterThan(0);
  isAway = false;
  await shipper.waitUntilShipped(tree.lastLsn());
  await vi.waitFor(() => expect(shipper.stats().state).toBe('ok'), PATIENTLY);
  expect(shipper.lag()).toMatchObject({ records: 0, bytes: 0, seconds: 0 });
  expect(putsOf('manifest')).toHaveLength(manifests);
  const expected = contentOf(tree);
  await shipper.stop();
  await takeOver('two', OTHER);
  expect(contentOf(openTree('two'))).toEqual(expected);
});

it('what was cut off before it was shipped is in a checkpoint that is', async () => {
  const tree = openTree('one');
  const first = await ship(tree, 'one');
  await first.checkpoint();
  await first.stop();
  // As for a disk that is full, or a remote that is away for very long.
  tree.journal!.tail(1).holdAfter(Number.POSITIVE_INFINITY);
  fill(tree, 0, 100);
  tree.journal!.rotate();
  tree.checkpoint();
  fill(tree, 100, 200);
  const second = await ship(tree, 'one');
  await second.waitUntilShipped(tree.lastLsn());
  fill(tree, 200, 300);
  await second.waitUntilShipped(tree.lastLsn());
  const expected = contentOf(tree);
  await second.stop();
  await takeOver('two', OTHER);
  expect(contentOf(openTree('two'))).toEqual(expected);
});

it('a checkpoint passes over no record that waits for the lease', async () => {
  const tree = openTree('one');
  const shipper = await ship(tree, 'one');
  fill(tree, 0, 10);
  await shipper.checkpoint();
  const keep = tree.keepForShipping.bind(tree);
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const [manifests, records] = [putsOf('manifest').length, putsOf('journal').length];
  vi.spyOn(tree, 'keepForShipping').mockImplementationOnce(async () => {
    bucket.before = (key) => (key === 'HEAD' ? held : Promise.resolve());
    await vi.waitFor(() => expect(shipper.stats().state).toBe('away'), PATIENTLY);
    const kept = await keep();
    fill(tree, 10, 20);
    await vi.waitFor(() => expect(putsOf('journal').length).toBeGreaterThan(records), PATIENTLY);
    return kept;
  });
  const shipped = shipper.checkpoint();
  await vi.waitFor(() => expect(putsOf('manifest').length).toBeGreaterThan(manifests), PATIENTLY);
  release();
  await shipped;
  await shipper.waitUntilShipped(tree.lastLsn());
  const expected = contentOf(tree);
  await shipper.stop();
  await takeOver('two', OTHER);
  expect(contentOf(openTree('two'))).toEqual(expected);
});

it('whoever lost the remote acknowledges nothing, and says so', async () => {
  const tree = openTree('one');
  const board = makeShippingBoard();
  const events: ShippingEvent[] = [];
  const shipper = await ship(tree, 'one', { board, onEvent: (event) => events.push(event) });
  fill(tree, 0, 10);
  await shipper.waitUntilShipped(tree.lastLsn());
  // Its machine stands still, and so does all that it sent.
  let wake: () => void = () => {};
  const asleep = new Promise<void>((resolve) => {
    wake = resolve;
  });
  bucket.before = () => asleep;
  fill(tree, 10, 20);
  const waiting = shipper.waitUntilShipped(tree.lastLsn());
  const other = {
    ...site,
    store: new Proxy(bucket, {
      get: (target, name) =>
        name === 'put'
          ? (...given: Parameters<Bucket['put']>) => MemoryObjectStore.prototype.put.apply(target, given)
          : Reflect.get(target, name, target).bind?.(target),
    }),
  };
  await takeOverStore(other, join(directory, 'two'), { holder: OTHER, leaseMs: LEASE_MS });
  wake();
  await expect(waiting).rejects.toMatchObject({ code: 'ERR_REMOTE_TAKEN' });
  expect(shipper.ended).toMatchObject({ code: 'ERR_REMOTE_TAKEN' });
  await expect(shipper.waitUntilShipped(1)).rejects.toMatchObject({ code: 'ERR_REMOTE_TAKEN' });
  expect(new ShippingBoard(board).refusal).toBe(LOST);
  expect(new ShippingBoard(board).waitUntilShipped(tree.lastLsn())).toBe('lost');
  expect(events).toContainEqual(expect.objectContaining({ type: 'state', to: 'lost' }));
  expect(Object.keys(contentOf(openTree('two')))).toHaveLength(10);
  // It cannot go on as if nothing had been.
  await expect(ship(tree, 'one')).rejects.toMatchObject({ code: 'ERR_REMOTE_TAKEN' });
});

it('a thread without an event loop waits in shared memory', async () => {
  const tree = openTree('one');
  const board = makeShippingBoard();
  const shipper = await ship(tree, 'one', { board });
  fill(tree, 0, 100);
  const worker = new Worker(new URL('../../support/shipping/waiting-role.mjs', import.meta.url), {
    workerData: { board, lsn: tree.lastLsn() },
  });
  const [outcome] = await once(worker, 'message');
  expect(outcome).toBe('shipped');
  expect(shipper.lag().shippedLsn).toBeGreaterThanOrEqual(tree.lastLsn());
});

it('refuses changes once too much is not shipped, until that is less again', async () => {
  const tree = openTree('one');
  const buffer = makeShippingBoard();
  const board = new ShippingBoard(buffer);
  const shipper = await ship(tree, 'one', { board: buffer, maxUnshippedBytes: 10_000 });
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  bucket.before = (key) => (key === 'HEAD' ? Promise.resolve() : held);
  expect(board.refusal).toBe(WELCOME);
  fill(tree, 0, 1_000);
  await vi.waitFor(() => expect(board.refusal).toBe(FULL), PATIENTLY);
  release();
  await vi.waitFor(() => expect(board.refusal).toBe(WELCOME), PATIENTLY);
  await shipper.waitUntilShipped(tree.lastLsn());
});

it('a take-over that failed half-way is begun anew; nothing else that is there is touched', async () => {
  const tree = openTree('one');
  fillBlobs(tree, 30, 'first');
  const shipper = await ship(tree, 'one');
  await shipper.finish();
  const { get } = bucket;
  bucket.get = async (key, options) => {
    if (key.startsWith('blobs/')) throw new SpinneyError('ERR_REMOTE_REFUSED', 'Cannot get it: no');
    return get.call(bucket, key, options);
  };
  await expect(takeOver('two', OTHER)).rejects.toMatchObject({ code: 'ERR_REMOTE_REFUSED' });
  bucket.get = get;
  // Another store may not begin there, and what is a store is not written over.
  await expect(takeOver('one', OTHER)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
  await takeOver('two', OTHER);
  expect(contentOf(openTree('two'))).toEqual(contentOf(tree));
});

it('waits for another lease only as long as it is wanted', async () => {
  const tree = openTree('one');
  await ship(tree, 'one');
  const end = new AbortController();
  const taking = takeOverStore(site, join(directory, 'two'), {
    holder: OTHER,
    leaseMs: LEASE_MS,
    signal: end.signal,
  });
  end.abort(new Error('not wanted any more'));
  await expect(taking).rejects.toThrow('not wanted any more');
  expect((await readHead(site))!.head.holder).toBe(HOLDER);
});

it('a store that was put back to what it was earlier is refused', async () => {
  const tree = openTree('one');
  fill(tree, 0, 10);
  cpSync(join(directory, 'one'), join(directory, 'copy'), { recursive: true });
  const shipper = await ship(tree, 'one');
  fill(tree, 10, 20);
  await shipper.waitUntilShipped(tree.lastLsn());
  await shipper.stop();
  await expect(ship(openTree('copy'), 'copy')).rejects.toMatchObject({ code: 'ERR_REMOTE_CORRUPT' });
});
