/**
 * A process with a store that it ships, to be killed: opens the store in its directory, or takes over what the remote has, prints what it
 * found, and goes on for ever. Each line of its output is an object of JSON: {"found": [...], "contents": [...]}, {"acknowledged": n},
 * {"content": n}, or {"ended": code} at last.
 *
 * node shipping-process.mjs <bucket> <prefix> <holder> <directory> <number of its first item>
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRemote } from '../../dist/engine/remote/open-remote.js';
import { newId } from '../../dist/engine/remote/site.js';
import { fetchPart } from '../../dist/engine/shipping/contents/fetch-part.js';
import { contentOfRow, shippedContent } from '../../dist/engine/shipping/contents/rows.js';
import { mayLackImages } from '../../dist/engine/shipping/images/absent-note.js';
import { ImageHost } from '../../dist/engine/shipping/images/image-host.js';
import { Shipper } from '../../dist/engine/shipping/live/shipper.js';
import { resumeRemoteStore, takeOverStore } from '../../dist/engine/shipping/open-remote-store.js';
import { makeImageBoard } from '../../dist/engine/store/absent-images.js';
import { BOOT_CLOCK } from '../../dist/engine/store/object/clock.js';
import { RetryingObjectStore } from '../../dist/engine/store/object/retrying-object-store.js';
import { Tree } from '../../dist/engine/tree/tree.js';

const [bucket, prefix, holder, directory, first] = process.argv.slice(2);
const patienceMs = 10_000;
const dir = `${directory}/store`;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const key = (item) => `item/${String(item).padStart(12, '0')}`;
const pathOf = (ino) => `${directory}/content/${ino}`;

const remote = await openRemote({ bucket, prefix });
const store = new RetryingObjectStore(remote, { clock: BOOT_CLOCK, random: Math.random, patienceMs });
const site = { store, clock: BOOT_CLOCK, newId };
const options = { holder, leaseMs: 2_000 };
mkdirSync(`${directory}/content`, { recursive: true });

const isOwn = existsSync(`${dir}/manifest`) && !existsSync(`${dir}/repair.unfinished`);
let resumed = isOwn ? undefined : await takeOverStore(site, dir, { ...options, isLazy: true });
const board = mayLackImages(dir) ? makeImageBoard() : undefined;
const images = board && new ImageHost({ s3: { bucket, prefix }, board, directory: dir, patienceMs });
await images?.serve();
const tree = Tree.open({ dir, images: board });
images?.fetchAll(tree.share().store);
resumed ??= await resumeRemoteStore(site, tree, options);

const found = [];
const contents = [];
for (const entry of tree.range()) {
  const row = contentOfRow(entry.key);
  if (row !== undefined) {
    const { parts } = shippedContent(tree, row.ino, row.born);
    const bytes = Buffer.concat(await Promise.all(parts.map((part) => fetchPart(store, part))));
    if (bytes.toString() !== textOf(row.ino)) throw new Error(`content ${row.ino} is another`);
    contents.push(row.ino);
  } else if (Buffer.from(entry.key).toString().startsWith('item/')) {
    found.push(Number(Buffer.from(entry.key).toString().slice(5)));
  }
}
const shipper = new Shipper({
  site,
  ...resumed,
  tree,
  directory: dir,
  contents: { pathOf, contentOf: () => undefined },
});
shipper.start();
say({ found, contents });

function textOf(item) {
  return `content of ${item} `.repeat(1000);
}

/** Rewrites old records, too, so that blobs change everywhere. */
async function putForever(step) {
  for (let item = Number(first) + step; ; item += 4) {
    tree.put(key(item), Buffer.alloc(2_000, item % 256));
    if (item % 3 > 0) {
      await shipper.waitUntilShipped(tree.lastLsn());
    } else {
      writeFileSync(pathOf(item), textOf(item));
      await shipper.waitUntilShipped(tree.lastLsn(), [{ ino: item, born: 0 }]);
      say({ content: item });
    }
    say({ acknowledged: item });
    await sleep(1);
  }
}
async function checkpointForever() {
  for (;;) await shipper.checkpoint();
}
try {
  await Promise.all([...Array.from({ length: 4 }, (_, step) => putForever(step)), checkpointForever()]);
} catch (error) {
  say({ ended: error.code ?? error.message });
}
process.exit();
