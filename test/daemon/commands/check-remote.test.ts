/** `spinney check s3://...` as people and programs see it. As built, because the client of S3 has a worker. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../../dist/daemon/run.js';
import { HEAD } from '../../../engine/remote/objects/names.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import { newId } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import { shipCheckpoint } from '../../../engine/shipping/checkpoints/ship-checkpoint.js';
import { MemoryBlobStore } from '../../../engine/store/memory-blob-store.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import { FILESYSTEM_MEASURE } from '../../../mount/sums/filesystem-measure.js';
import { Fixture } from '../../filesystem/fixture.js';
import { HttpObjectStore, S3_ENVIRONMENT } from '../../support/object/http-object-store.js';

const before = { ...process.env };
let bucket: MemoryObjectStore;
let server: HttpObjectStore;
let writer: RemoteWriter;

beforeAll(() => Object.assign(process.env, S3_ENVIRONMENT));
afterAll(() => {
  for (const name of Object.keys(S3_ENVIRONMENT)) delete process.env[name];
  Object.assign(process.env, before);
});

beforeEach(async () => {
  bucket = new MemoryObjectStore();
  server = await HttpObjectStore.serve(bucket, 'photos');
});
afterEach(() => server.close());

/** Ships a small filesystem to `s3://photos/home`. */
async function shipFiles(): Promise<void> {
  const blobs = new MemoryBlobStore();
  const tree = Tree.open({ store: blobs, flushOnWrite: false, measure: FILESYSTEM_MEASURE });
  const files = new Fixture(tree);
  for (let i = 0; i < 40; i++) files.mkdir(`/directory ${i}`);
  files.write('/text', 'some text');
  files.fs.close();
  const atHome = {
    get: (key: string, options?: Parameters<MemoryObjectStore['get']>[1]) =>
      bucket.get(`home/${key}`, options),
    put: (key: string, bytes: Uint8Array, condition?: Parameters<MemoryObjectStore['put']>[2]) =>
      bucket.put(`home/${key}`, bytes, condition),
  } as MemoryObjectStore;
  const clock = { now: () => 0, sleep: () => new Promise<void>(() => {}) };
  writer = await takeOver(
    { store: atHome, clock, newId },
    { holder: 'a'.repeat(32), leaseMs: 10_000, restore: async () => {}, replay: async () => {} },
  );
  tree.checkpoint();
  await shipCheckpoint(writer, {
    source: blobs,
    mark: blobs.readMark()!,
    journal: writer.end,
    before: undefined,
  });
  files.cleanUp();
}

async function check(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const told = { out: '', err: '' };
  const code = await run(['check', ...args], {
    out: (text) => {
      told.out += text;
    },
    err: (text) => {
      told.err += text;
    },
  });
  return { code, ...told };
}

const checkHome = (...args: string[]) =>
  check('s3://photos/home', '--remote-endpoint', server.endpoint, ...args);

describe('check s3://...', () => {
  it('finds a sound store clean, and tells what is not there yet', async () => {
    await shipFiles();
    const { code, out } = await checkHome();
    expect(code).toBe(0);
    expect(out).toMatch(/^status +clean\nstore +s3:\/\/photos\/home\ndamage +0\n/);
    const json = await checkHome('--json', '--contents');
    expect(JSON.parse(json.out)).toMatchObject({
      status: 'clean',
      store: 's3://photos/home',
      damage: 0,
      notes: 0,
      epoch: 1,
      namespace: { directories: 41, unshipped: { files: 1, bytes: 9 } },
      findings: [],
    });
    expect(json.out).not.toContain('notChecked');
  });

  it('tells damage with exit code 1', async () => {
    await shipFiles();
    const [pack] = (await bucket.list('home/blobs/')).objects;
    const { bytes } = (await bucket.get(pack!.key))!;
    bytes[5_000]! ^= 1;
    await bucket.put(pack!.key, bytes);
    const { code, out } = await checkHome();
    expect(code).toBe(1);
    expect(out).toMatch(/^damage: Cannot fetch blob \d+ from blobs\/\S+: the CRC is .*\nstatus +damaged\n/);
    expect(JSON.parse((await checkHome('--json')).out)).toMatchObject({ status: 'damaged', damage: 1 });
  });

  it('tells names of objects so that no terminal obeys them', async () => {
    await shipFiles();
    await bucket.put('home/letter\u202e', new Uint8Array(1));
    expect((await checkHome()).out).toMatch(/^note: foreign: letter\\u202e \(1 bytes\)/);
  });

  it('has one clear message for each thing that keeps it from looking', async () => {
    const outcomes: [args: string[], message: string | RegExp][] = [
      [['s3://photos/home'], 'Cannot check s3://photos/home: there is no store'],
      [
        ['s3://pictures/home'],
        'Cannot get s3://pictures/home/HEAD: there is no such bucket; make it, or look at its name and the endpoint',
      ],
      [['s3://Photos'], /^Cannot use the remote: 'Photos' is no name of a bucket/],
      [['s3:photos'], 'Cannot use the remote: it must have the form s3://bucket/prefix'],
      [
        ['s3://key:secret@photos/home'],
        'Cannot use the remote: credentials come from the environment, a profile or the instance, never from the remote',
      ],
    ];
    for (const [args, message] of outcomes) {
      const { code, out, err } = await check(...args, '--remote-endpoint', server.endpoint);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      // A slow machine is told how far it is, too.
      expect(err.replace(/^reading HEAD\n/, '')).toMatch(/^spinney: .*\n$/);
      expect(err.slice(err.indexOf('spinney: ') + 'spinney: '.length, -1)).toEqual(
        typeof message === 'string' ? message : expect.stringMatching(message),
      );
    }
    const { code, out } = await check('s3://photos/home', '--remote-endpoint', server.endpoint, '--json');
    expect(code).toBe(2);
    expect(JSON.parse(out)).toEqual({
      status: 'unknown',
      error: { code: 'ERR_NO_STORE', message: 'Cannot check s3://photos/home: there is no store' },
    });
  });

  it('says how credentials are given where there are none', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) delete process.env[name];
    try {
      const { code, err } = await checkHome();
      expect(code).toBe(2);
      expect(err).toContain(
        'spinney: Cannot get s3://photos/home/HEAD: no credentials are found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role\n',
      );
    } finally {
      Object.assign(process.env, S3_ENVIRONMENT);
    }
  });

  it('refuses options that are of the other kind of store', async () => {
    const endpoint = await check('/tmp', '--remote-endpoint', server.endpoint);
    expect(endpoint.err).toContain('--remote-endpoint is for s3://bucket/prefix, and a directory was given');
    const contents = await check('/tmp', '--contents');
    expect(contents.err).toContain('--contents is for s3://bucket/prefix');
  });

  it('refuses a HEAD that is none, and says that nothing else can be told', async () => {
    await shipFiles();
    await bucket.put(`home/${HEAD}`, Buffer.from('rubbish'));
    const { code, out } = await checkHome();
    expect(code).toBe(1);
    expect(out).toMatch(/^damage: Cannot read HEAD: it is not a HEAD of Spinney\nstatus +damaged\n/);
  });
});
