/** The real client, before a real server: scripts/test-remote tells where. As built, because it has a worker. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openRemote } from '../../dist/engine/remote/open-remote.js';
import { probe } from '../../dist/engine/remote/probe.js';
import { newId } from '../../dist/engine/remote/site.js';
import { takeOver } from '../../dist/engine/remote/take-over.js';
import { fetchCheckpoint } from '../../dist/engine/shipping/checkpoints/fetch-images.js';
import { shipCheckpoint } from '../../dist/engine/shipping/checkpoints/ship-checkpoint.js';
import { MemoryBlobStore } from '../../dist/engine/store/memory-blob-store.js';
import { BOOT_CLOCK } from '../../dist/engine/store/object/clock.js';
import { RetryingObjectStore } from '../../dist/engine/store/object/retrying-object-store.js';
import { S3ObjectStore } from '../../dist/engine/store/object/s3/s3-object-store.js';
import { Tree } from '../../dist/engine/tree/tree.js';
import { describeObjectStore } from '../engine/store/object/contract.js';

const endpoint = process.env.AWS_ENDPOINT_URL_S3!;
const bucket = `spinney-${randomBytes(6).toString('hex')}`;
const options = { bucket, prefix: 'some/prefix/' };

beforeAll(async () => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  const client = new S3Client({ forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
});

describeObjectStore('an S3 server, with the bucket in the path,', () => openRemote(options));

describeObjectStore("an S3 server, with the bucket in the host's name,", () =>
  openRemote({
    ...options,
    prefix: 'virtual/',
    addressing: 'virtual',
    endpoint: endpoint.replace('127.0.0.1', 's3.localhost'),
  }),
);

describe('the probe', () => {
  it('finds how the server names versions, and leaves nothing', async () => {
    const store = await openRemote({ ...options, prefix: 'probed/' });
    expect(await store.list('')).toEqual({ objects: [], more: false });
    await store.close();
  });

  it('refuses the bucket with quoted tags, if it is of an older radosgw, with the reason', async () => {
    const store = await S3ObjectStore.open({ ...options, prefix: 'quoted/' });
    const outcome = await probe(store, newId).catch((error) => error);
    if (outcome !== undefined) {
      expect(outcome).toMatchObject({
        code: 'ERR_REMOTE_UNFIT',
        message: 'Cannot use this bucket: it does not replace an object with If-Match of its current version',
      });
    }
    await store.close();
  });
});

describe('writers', () => {
  it('take over from one another, and lose nothing', async () => {
    const remote = await openRemote({ ...options, prefix: 'writers/' });
    const store = new RetryingObjectStore(remote, {
      clock: BOOT_CLOCK,
      random: Math.random,
      patienceMs: 10_000,
    });
    const site = { store, clock: BOOT_CLOCK, newId };
    const begin = async (holder: string) => {
      const replayed: string[] = [];
      const writer = await takeOver(site, {
        holder,
        leaseMs: 1_000,
        restore: async () => {},
        replay: async (body) => void replayed.push(Buffer.from(body).toString()),
      });
      return { writer, replayed };
    };
    const holder = newId();
    const first = await begin(holder);
    expect(first.replayed).toEqual([]);
    for (const text of ['one', 'two']) await first.writer.append(Buffer.from(text));
    // The same store again, as after a kill: it need not wait, and the first one finds out.
    const second = await begin(holder);
    expect(second.replayed).toEqual(['one', 'two']);
    expect(second.writer.epoch).toBe(2);
    await expect(first.writer.append(Buffer.from('lost'))).rejects.toMatchObject({
      code: 'ERR_REMOTE_TAKEN',
    });
    expect(first.writer.held.isServing()).toBe(false);
    await second.writer.append(Buffer.from('three'));
    await second.writer.release();
    // Another store, after it was released.
    const third = await begin(newId());
    expect(third.replayed).toEqual(['one', 'two', 'three']);
    await third.writer.release();
    await store.close();
  });
});

describe('a checkpoint', () => {
  it('goes there and back, with its snapshot', async () => {
    const remote = await openRemote({ ...options, prefix: 'shipped/' });
    const store = new RetryingObjectStore(remote, {
      clock: BOOT_CLOCK,
      random: Math.random,
      patienceMs: 10_000,
    });
    const nothing = async () => {};
    const writer = await takeOver(
      { store, clock: BOOT_CLOCK, newId },
      { holder: newId(), leaseMs: 30_000, restore: nothing, replay: nothing },
    );
    const source = new MemoryBlobStore();
    const tree = Tree.open({ store: source });
    const put = (tag: string) =>
      tree.atomic((batch) => {
        for (let i = 0; i < 200; i++) batch.put(Buffer.from(`key ${i}`), Buffer.from(tag.repeat(10_000)));
      });
    put('a');
    tree.snapshot('monday');
    put('b');
    const shipping = { source, mark: source.readMark()!, journal: writer.end, before: undefined };
    const catalog = await shipCheckpoint(writer, shipping);
    const into = new MemoryBlobStore();
    await fetchCheckpoint(store, catalog, into);
    const fetched = Tree.open({ store: into });
    expect(fetched.countPrefix(new Uint8Array())).toBe(200);
    expect(Buffer.from(fetched.get(Buffer.from('key 7'))!).toString()).toBe('b'.repeat(10_000));
    const monday = fetched.at('monday');
    expect(Buffer.from(monday.get(Buffer.from('key 7'))!).toString()).toBe('a'.repeat(10_000));
    await writer.release();
    await store.close();
  });
});

describe('what is refused', () => {
  const before = process.env;
  afterEach(() => {
    process.env = before;
  });

  async function told(more: NodeJS.ProcessEnv, where = options): Promise<string> {
    process.env = { ...before, ...more };
    const store = await S3ObjectStore.open(where);
    const error = await store.put('a', Buffer.from('b')).catch((failure) => failure);
    await store.close();
    expect(error).toMatchObject({ code: 'ERR_REMOTE_REFUSED' });
    return error.message.replace(/^Cannot put s3:\S+: /, '');
  }

  it('is told by its kind', async () => {
    expect(await told({}, { ...options, bucket: `${bucket}-none` })).toMatch(/^there is no such bucket; /);
    expect(await told({ AWS_SECRET_ACCESS_KEY: 'another' })).toBe("the secret key is not the access key's");
    expect(await told({ AWS_ACCESS_KEY_ID: 'NOBODY' })).toBe('the access key is not known there');
    const { SPINNEY_RADOSGW: place } = before;
    const newcomer = ['user', 'create', '--uid=newcomer', '--display-name=Newcomer'];
    const keys = ['--access-key=NEWCOMER', '--secret-key=secret-of-newcomer'];
    execFileSync('radosgw-admin', ['-c', `${place}/ceph.conf`, ...newcomer, ...keys], { stdio: 'pipe' });
    const its = { AWS_ACCESS_KEY_ID: 'NEWCOMER', AWS_SECRET_ACCESS_KEY: 'secret-of-newcomer' };
    expect(await told(its)).toMatch(/^these credentials may not do it; they need s3:GetObject/);
  });
});

describe('credentials', () => {
  const secrets = {
    AWS_ACCESS_KEY_ID: 'AKIDNOBODYKNOWS',
    AWS_SECRET_ACCESS_KEY: 'verysecretverysecret',
    AWS_SESSION_TOKEN: 'atokenatokenatoken',
  };
  let before: NodeJS.ProcessEnv;
  beforeAll(() => {
    before = { ...process.env };
  });
  afterAll(() => {
    process.env = before;
  });

  it('are told in no error', async () => {
    Object.assign(process.env, secrets);
    const errors: unknown[] = [];
    const store = await S3ObjectStore.open(options);
    for (const ask of [
      () => store.get('a'),
      () => store.put('a', Buffer.from('b'), { ifNoneMatch: '*' }),
      () => store.list(''),
      () => store.beginUpload('a'),
    ]) {
      await ask().catch((error: unknown) => errors.push(error));
    }
    await store.close();
    expect(errors.length).toBe(4);
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'ERR_REMOTE_REFUSED' });
      const told = inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true });
      for (const secret of Object.values(secrets)) expect(told).not.toContain(secret);
      expect(told).not.toContain('Signature=');
    }
  });
});
