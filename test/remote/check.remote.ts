/** `spinney check s3://...` before a real server: scripts/test-remote tells where. As built, because the client has a worker. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { run } from '../../dist/daemon/run.js';
import { openRemote } from '../../dist/engine/remote/open-remote.js';
import { newId } from '../../dist/engine/remote/site.js';
import { takeOver } from '../../dist/engine/remote/take-over.js';
import { shipCheckpoint } from '../../dist/engine/shipping/checkpoints/ship-checkpoint.js';
import { MemoryBlobStore } from '../../dist/engine/store/memory-blob-store.js';
import { BOOT_CLOCK } from '../../dist/engine/store/object/clock.js';
import { Tree } from '../../dist/engine/tree/tree.js';
import { FileSystem } from '../../dist/mount/filesystem/file-system.js';

const bucket = `spinney-${randomBytes(6).toString('hex')}`;
const remote = `s3://${bucket}/some/prefix`;

beforeAll(async () => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  const client = new S3Client({ forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
});

async function check(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const told = { out: '', err: '' };
  const code = await run(['check', ...args], {
    out: (text: string) => {
      told.out += text;
    },
    err: (text: string) => {
      told.err += text;
    },
  });
  return { code, ...told };
}

it('finds a store there clean, beside its writer, and then what is missing', async () => {
  const empty = await check(remote);
  expect(empty.code).toBe(2);
  expect(empty.err).toContain(`spinney: Cannot check ${remote}: there is no store\n`);
  const none = `s3://${bucket}-none`;
  expect((await check(none)).err).toContain(`spinney: Cannot get ${none}/HEAD: there is no such bucket;`);
  const store = await openRemote({ bucket, prefix: 'some/prefix/' });
  const writer = await takeOver(
    { store, clock: BOOT_CLOCK, newId },
    { holder: newId(), leaseMs: 60_000, restore: async () => {}, replay: async () => {} },
  );
  const blobs = new MemoryBlobStore();
  const tree = Tree.open({ store: blobs, flushOnWrite: false });
  const contentDirectory = mkdtempSync(join(tmpdir(), 'spinney-check-remote-'));
  onTestFinished(() => rmSync(contentDirectory, { recursive: true }));
  const reclaimer = { schedule: () => {} };
  const files = new FileSystem(tree, {
    contentDirectory,
    readOnly: false,
    keepsNodes: false,
    rests: false,
    reclaimer,
  });
  files.start();
  // Facts, as many as fill some blobs.
  for (let i = 0; i < 300; i++) tree.put(`s${i}`, Buffer.from(`value ${i} `.repeat(700)));
  files.close();
  tree.checkpoint();
  const catalog = await shipCheckpoint(writer, {
    source: blobs,
    mark: blobs.readMark()!,
    journal: writer.end,
    before: undefined,
  });
  const sound = await check(remote, '--json');
  expect(JSON.parse(sound.out)).toMatchObject({ damage: 0, epoch: 1, images: catalog.tree.length });
  // Its pin is gone.
  expect((await store.list('pins/')).objects).toEqual([]);
  await store.delete(catalog.tree[0]!.pack);
  const damaged = await check(remote);
  expect(damaged.code).toBe(1);
  expect(damaged.out).toMatch(/^damage: Cannot fetch blob \d+: there is no blobs\//m);
  await writer.release();
  await store.close();
});
