/** A store that was taken over without its images: they come as they are asked for. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ImageHost } from '../../../dist/engine/shipping/images/image-host.js';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { newId, type Site } from '../../../engine/remote/site.js';
import { mayLackImages } from '../../../engine/shipping/images/absent-note.js';
import { Shipper } from '../../../engine/shipping/live/shipper.js';
import { resumeRemoteStore, takeOverStore } from '../../../engine/shipping/open-remote-store.js';
import { ImageBoard, makeImageBoard } from '../../../engine/store/absent-images.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { BOOT_CLOCK } from '../../../engine/store/object/clock.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import { PATIENTLY } from '../../support/until.js';

const LEASE_MS = 500;
const KEYS = 4_000;

let directory: string;
let bucket: MemoryObjectStore;
let site: Site;
let server: Worker | undefined;
let board: SharedArrayBuffer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-lazy-'));
  bucket = new MemoryObjectStore();
  site = { store: bucket, clock: BOOT_CLOCK, newId };
  board = makeImageBoard();
  await shipOne();
});

afterEach(async () => {
  await server?.terminate();
  server = undefined;
  rmSync(directory, { recursive: true });
});

const dirOf = (name: string) => join(directory, name);
const key = (i: number) => `key/${String(i).padStart(6, '0')}`;
const valueAt = (i: number) => Buffer.from(`value of ${i} `.repeat(60));

/** A tree of several blobs, with a snapshot of what is deleted later, and records behind the checkpoint. */
async function shipOne(): Promise<void> {
  const tree = Tree.open({ dir: dirOf('one') });
  for (let i = 0; i < KEYS; i++) tree.put(key(i), valueAt(i));
  tree.snapshot('all');
  tree.deletePrefix(key(0).slice(0, -3));
  const { writer, shipped } = await resumeRemoteStore(site, tree, {
    holder: 'a'.repeat(32),
    leaseMs: LEASE_MS,
  });
  const shipper = new Shipper({ site, writer, shipped, tree, directory: dirOf('one') });
  shipper.start();
  await shipper.checkpoint();
  tree.put('later', Buffer.from('later'));
  await shipper.waitUntilShipped(tree.lastLsn());
  await shipper.stop();
  tree.close();
}

async function takeOver(): Promise<void> {
  const options = { holder: 'b'.repeat(32), leaseMs: LEASE_MS, isLazy: true };
  const { writer } = await takeOverStore(site, dirOf('two'), options);
  writer.held.endWith(Object.assign(new Error('done'), { code: 'ERR_CLOSED' }) as never);
}

async function serve(): Promise<void> {
  const objects: [string, Uint8Array][] = [];
  for (const { key: name } of (await bucket.list('')).objects)
    objects.push([name, (await bucket.get(name))!.bytes]);
  server = new Worker(new URL('../../support/shipping/image-role.mjs', import.meta.url), {
    workerData: { objects, board, directory: dirOf('two') },
  });
  await once(server, 'message');
}

async function ask(request: {
  type: string;
  [field: string]: unknown;
}): Promise<{ fetched: number; gets: number }> {
  server!.postMessage(request);
  const [answer] = await once(server!, 'message');
  return answer as { fetched: number; gets: number };
}

it('gives all that was shipped, and fetches what is read', async () => {
  await takeOver();
  await serve();
  const tree = Tree.open({ dir: dirOf('two'), images: board });
  try {
    const { blobCount } = tree.stats();
    expect(blobCount).toBeGreaterThan(5);
    expect(tree.get('later')).toEqual(new Uint8Array(Buffer.from('later')));
    expect(tree.get(key(3_999))).toEqual(new Uint8Array(valueAt(3_999)));
    const { fetched } = await ask({ type: 'count' });
    expect(fetched).toBeGreaterThan(0);
    expect(fetched).toBeLessThan(blobCount);
    expect(tree.countPrefix('key/')).toBe(KEYS - 1_000);
    const past = tree.at('all');
    expect(past.countPrefix('key/')).toBe(KEYS);
    past.close();
  } finally {
    tree.close();
  }
});

it('is whole without the remote once all is fetched', async () => {
  await takeOver();
  await serve();
  const tree = Tree.open({ dir: dirOf('two'), images: board });
  try {
    // Some are changed meanwhile, and need not come.
    for (let i = 3_000; i < 3_100; i++) tree.put(key(i), Buffer.from('new'));
    tree.checkpoint();
    expect(mayLackImages(dirOf('two'))).toBe(true);
    const { fetched: before, gets: getsBefore } = await ask({ type: 'count' });
    const { fetched, gets } = await ask({ type: 'fetch-all', handle: (tree.store as FileBlobStore).share() });
    expect(mayLackImages(dirOf('two'))).toBe(false);
    // Many come by one request.
    expect(fetched - before).toBeGreaterThan(3 * (gets - getsBefore));
    await ask({ type: 'stop' });
  } finally {
    tree.close();
  }
  const again = Tree.open({ dir: dirOf('two') });
  try {
    for (let i = 1_000; i < KEYS; i++)
      expect(
        Buffer.from(again.get(key(i))!).equals(i >= 3_000 && i < 3_100 ? Buffer.from('new') : valueAt(i)),
      ).toBe(true);
    const past = again.at('all');
    expect(past.countPrefix('key/')).toBe(KEYS);
    past.close();
  } finally {
    again.close();
  }
});

it('a scan tells what it will want next, and that is on its way when it is asked for', async () => {
  await takeOver();
  const told = new ImageBoard(board);
  const expected: number[] = [];
  const serving = told.serve(
    async () => undefined,
    ({ id }) => expected.push(id),
  );
  const store = FileBlobStore.open({ dir: dirOf('two'), disk: new NodeDisk(), images: board });
  try {
    const ids = store.listBlobs().slice(0, 3);
    store.readAhead(ids);
    await vi.waitFor(() => expect(expected).toEqual(ids), PATIENTLY);
  } finally {
    told.end();
    store.close();
    await serving;
  }
});

it('who waits for a thread that cannot serve is told why', async () => {
  const s3 = { bucket: 'none', prefix: '', endpoint: 'http://192.0.2.1' };
  const host = new ImageHost({ s3, board, directory: dirOf('two'), patienceMs: 1 });
  // Plain HTTP goes to the loopback alone.
  await expect(host.serve()).rejects.toThrow(/^Cannot fetch images of blobs: .*192\.0\.2\.1/);
  await host.stopFetching();
  await host.stop();
});

it('what the remote does not have is told, and nobody waits for a server that is gone', async () => {
  await takeOver();
  await serve();
  for (const { key: name } of (await bucket.list('blobs/')).objects) await ask({ type: 'delete', key: name });
  const lacking = () => Tree.open({ dir: dirOf('two'), images: board });
  expect(lacking).toThrow(/Cannot fetch blob \d+: there is no blobs\//);
  new ImageBoard(board).end();
  expect(lacking).toThrow(/Cannot read blob \d+ in slot/);
});
