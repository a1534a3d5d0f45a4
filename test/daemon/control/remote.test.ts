/** What the daemon has of a store's remote without one: the way to warm contents, what is wrong, and with which remote a store may be mounted. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { mountRemoteOf } from '../../../daemon/commands/options/mount-remote.js';
import { askDaemonForLines } from '../../../daemon/control/client.js';
import type { RemoteTarget, WarmReport } from '../../../daemon/control/reports.js';
import { startControl } from '../../../daemon/control/server.js';
import { remoteProblems } from '../../../daemon/mounting/health/remote-problems.js';
import { examineRemote, refuseRemote } from '../../../daemon/places/remote-place.js';
import { newHolder, readRemoteRecord, writeRemoteRecord } from '../../../engine/before-open.js';
import { SpinneyError } from '../../../engine/errors.js';
import type { RemoteStats } from '../../../mount/types.js';
import { ask, silentLog, stubTarget, temporaryDirectory } from '../support.js';

const report = (filesDone: number): WarmReport => ({
  files: 2,
  bytes: 20,
  filesDone,
  bytesDone: filesDone * 10,
  failures: 0,
});

async function serve(warm: RemoteTarget['warm']): Promise<string> {
  const path = join(temporaryDirectory(), 'control.sock');
  const server = await startControl({ path, target: stubTarget({ remote: { warm } }), log: silentLog });
  onTestFinished(() => server.close());
  return path;
}

describe('GET /v1/warm', () => {
  it('tells how far it is, and at last how it went', async () => {
    let asked = '';
    const path = await serve(async (bytes, progress) => {
      asked = Buffer.from(bytes).toString();
      for (const done of [0, 1]) {
        progress(report(done));
        await new Promise((resolve) => setImmediate(resolve));
      }
      return report(2);
    });
    const lines: unknown[] = [];
    await askDaemonForLines(path, `/v1/warm?path=${encodeURIComponent('/a b/')}`, (line) => lines.push(line));
    expect(asked).toBe('/a b');
    expect(lines.at(-1)).toEqual({ ...report(2), isDone: true });
    expect(lines[0]).toEqual(report(0));
  });

  it('takes bytes of names that are not UTF-8, and the root', async () => {
    const asked: string[] = [];
    const path = await serve(async (bytes) => {
      asked.push(Buffer.from(bytes).toString('hex'));
      return report(2);
    });
    const base64 = encodeURIComponent(Buffer.from([0x2f, 0xff]).toString('base64'));
    for (const query of [`pathBytes=${base64}`, 'path=/', '']) {
      expect((await ask(path, 'GET', `/v1/warm?${query}`)).status).toBe(200);
    }
    expect(asked).toEqual(['2fff', '', '']);
    expect((await ask(path, 'GET', '/v1/warm?path=a')).status).toBe(400);
  });

  it('answers with the error where it cannot begin, and gives up where nobody reads', async () => {
    const refusing = await serve(() =>
      Promise.reject(new SpinneyError('ERR_NOT_FOUND', 'Cannot fetch: nothing')),
    );
    expect(JSON.parse((await ask(refusing, 'GET', '/v1/warm?path=/a')).text).error.code).toBe(
      'ERR_NOT_FOUND',
    );
    let given: AbortSignal | undefined;
    const path = await serve((_path, progress, signal) => {
      given = signal;
      const telling = setInterval(() => progress(report(1)), 5);
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          clearInterval(telling);
          reject(signal.reason);
        }),
      );
    });
    const controller = new AbortController();
    await askDaemonForLines(path, '/v1/warm?path=/a', () => controller.abort(), {
      signal: controller.signal,
    });
    await vi.waitFor(() => expect(given?.aborted).toBe(true), { timeout: 30_000, interval: 10 });
  });

  it('is given up where the client goes away before there is anything to tell', async () => {
    const controller = new AbortController();
    const given = await new Promise<AbortSignal>((resolve, reject) => {
      const begun: RemoteTarget['warm'] = (_path, _progress, signal) => {
        resolve(signal);
        return new Promise((_, fail) => signal.addEventListener('abort', () => fail(signal.reason)));
      };
      serve(begun)
        .then((path) => askDaemonForLines(path, '/v1/warm?path=/a', () => {}, { signal: controller.signal }))
        .catch(reject);
    });
    controller.abort();
    await vi.waitFor(() => expect(given.aborted).toBe(true), { timeout: 30_000, interval: 10 });
  });
});

it('what is wrong with a remote is told by its codes', () => {
  const stats: RemoteStats = {
    epoch: 1,
    state: 'ok',
    lagSeconds: 0,
    lagRecords: 0,
    lagBytes: 0,
    contentsWaiting: 0,
    contentBytesWaiting: 0,
    shippedRecordBytes: 0,
    shippedContentBytes: 0,
    shippedImages: 0,
    journalObjects: 0,
    isFull: false,
    cache: {
      bytes: 0,
      limitBytes: 1,
      contents: 0,
      evictions: 0,
      isStuck: false,
      fetchedBytes: 0,
      fetchedParts: 0,
    },
  };
  const codes = (changed: Partial<RemoteStats>) =>
    remoteProblems('s3://b/p', { ...stats, ...changed }).map(({ code }) => code);
  expect(remoteProblems('s3://b/p', undefined)).toEqual([]);
  expect(codes({})).toEqual([]);
  expect(codes({ state: 'behind', lagSeconds: 59 })).toEqual([]);
  expect(codes({ state: 'behind', lagSeconds: 60 })).toEqual(['REMOTE_LAGGING']);
  expect(codes({ state: 'away', lagSeconds: 90 })).toEqual(['REMOTE_UNREACHABLE']);
  expect(codes({ isFull: true, state: 'away' })).toEqual(['REMOTE_FULL', 'REMOTE_UNREACHABLE']);
  expect(codes({ state: 'taken', lagSeconds: 90 })).toEqual(['REMOTE_TAKEN']);
  expect(codes({ cache: { ...stats.cache, isStuck: true } })).toEqual(['CONTENT_CACHE_FULL']);
});

describe('a store that has a remote', () => {
  it('remembers it, and is mounted with that alone', () => {
    const store = temporaryDirectory();
    const holder = newHolder();
    expect(readRemoteRecord(store)).toBeUndefined();
    expect(examineRemote(store, undefined)).toBeUndefined();
    // An attempt that came to nothing binds nobody.
    writeRemoteRecord(store, { url: 's3://bucket/a', holder, isBegun: false });
    expect(examineRemote(store, undefined)).toBeUndefined();
    expect(examineRemote(store, { url: 's3://bucket/b' })).toBeUndefined();
    expect(examineRemote(store, { url: 's3://bucket/a' })).toMatchObject({ holder });
    const record = { url: 's3://bucket/a', endpoint: 'https://s3.example.org', holder, isBegun: true };
    writeRemoteRecord(store, record);
    expect(readRemoteRecord(store)).toEqual(record);
    expect(examineRemote(store, { url: 's3://bucket/a' })).toEqual(record);
    expect(() => examineRemote(store, undefined)).toThrow('without its remote s3://bucket/a');
    expect(() => examineRemote(store, { url: 's3://bucket/b' })).toThrow('its own is s3://bucket/a');
    expect(() => refuseRemote('repair it', store, 'do that')).toThrow(
      `Cannot repair it: ${store} has the remote s3://bucket/a, and contents may be there alone; do that`,
    );
  });

  it('is refused where what it remembers is damaged, or of another version', () => {
    const store = temporaryDirectory();
    const write = (text: string) => writeFileSync(join(store, 'remote.json'), text);
    for (const text of ['', '{}', '[]', '{"format":"spinney-remote","version":1,"url":"s3://b"}']) {
      write(text);
      expect(() => readRemoteRecord(store)).toThrow('it is damaged');
    }
    write('{"format":"spinney-remote","version":2}');
    expect(() => readRemoteRecord(store)).toThrow('it is of version 2');
  });
});

describe('options of a remote', () => {
  it('are read with their units, and the URL in one way', () => {
    expect(mountRemoteOf({})).toBeUndefined();
    expect(mountRemoteOf({ remote: 's3://bucket/a/b/' })).toEqual({
      url: 's3://bucket/a/b',
      endpoint: undefined,
      addressing: undefined,
      allowPlainHttp: false,
      follows: false,
      durability: 'local',
      contentCacheBytes: 10 * 2 ** 30,
    });
    expect(mountRemoteOf({ remote: 's3://bucket', 'content-cache': '64M' })).toMatchObject({
      url: 's3://bucket',
      contentCacheBytes: 2 ** 26,
    });
    expect(mountRemoteOf({ remote: 's3://bucket', 'content-cache': '100000000' })?.contentCacheBytes).toBe(
      1e8,
    );
  });

  it.each([
    [{ remote: 'bucket/a' }, 'it must have the form s3://bucket/prefix'],
    [{ 'content-cache': '1G' }, '--content-cache goes with --remote'],
    [{ remote: 's3://bucket', 'content-cache': '1M' }, 'from 64M on'],
    [{ remote: 's3://bucket', 'content-cache': 'much' }, '--content-cache is "much"'],
    [{ remote: 's3://bucket', 'remote-durability': 'both' }, '--remote-durability'],
    [{ remote: 's3://bucket', 'remote-endpoint': 'http://example.org' }, 'use https://'],
    [{ remote: 's3://bucket', 'remote-endpoint': 'http://k:s@127.0.0.1' }, 'credentials come from'],
    [{ remote: 's3://bucket', 'read-only': true }, 'not --read-only'],
    [{ remote: 's3://bucket', driver: 'fuse-native' }, 'needs the driver kernel'],
  ])('%j is refused', (raw, reason) => {
    expect(() => mountRemoteOf(raw)).toThrow(reason);
  });
});
