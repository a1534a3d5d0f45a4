/** Whom the client trusts. The certificates are made by openssl, for a CA that nobody knows. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { ObjectStore } from '../../../../dist/engine/store/object/object-store.js';
import type { S3Options } from '../../../../dist/engine/store/object/s3/options.js';
import { openSdkStore } from '../../../../dist/engine/store/object/s3/s3-sdk.js';
import { PlayedServer } from '../../../support/object/played-server.js';

const STORE_MODULE = new URL('../../../../dist/engine/store/object/s3/s3-object-store.js', import.meta.url)
  .href;
const ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: 'ALPHA',
  AWS_SECRET_ACCESS_KEY: 'secret-of-alpha',
  AWS_REGION: 'eu-west-1',
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
};
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

interface Identity {
  key: string;
  cert: string;
}

const before = process.env;
let directory: string;
let ca: string;
let good: Identity;
let expired: Identity;
let server: PlayedServer;
let store: ObjectStore | undefined;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-tls-'));
  ca = join(directory, 'ca.pem');
  openssl([
    'req',
    '-x509',
    ...KEY,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=nobody',
    '-days',
    '2',
  ]);
  good = identity('good', 2);
  expired = identity('expired', -1);
});
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(() => {
  const bare = Object.entries(before).filter(([name]) => !name.startsWith('AWS_'));
  process.env = { ...Object.fromEntries(bare), ...ENVIRONMENT };
});
afterEach(async () => {
  await store?.close();
  store = undefined;
  await server.stop();
  process.env = before;
});

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
}

function identity(name: string, days: number): Identity {
  const [key, request, cert] = [`${name}.key`, `${name}.csr`, `${name}.pem`];
  writeFileSync(join(directory, 'names'), 'subjectAltName=DNS:s3.localhost,DNS:*.s3.localhost\n');
  openssl(['req', ...KEY, '-keyout', key, '-out', request, '-subj', '/CN=server']);
  const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names'];
  openssl(['x509', '-req', '-in', request, '-out', cert, ...signed, '-days', String(days)]);
  return {
    key: readFileSync(join(directory, key), 'utf8'),
    cert: readFileSync(join(directory, cert), 'utf8'),
  };
}

async function open(endpoint: string, options: Partial<S3Options> = {}): Promise<ObjectStore> {
  store = await openSdkStore({ bucket: 'photos', prefix: '', endpoint, ...options });
  return store;
}

async function refusal(endpoint: string): Promise<string> {
  const error = await (await open(endpoint)).get('a').catch((failure) => failure);
  expect(error).toMatchObject({ code: 'ERR_REMOTE_REFUSED' });
  expect(server.asked).toEqual([]);
  return error.message.replace('Cannot get s3://photos/a: ', '').replaceAll(String(server.port), 'PORT');
}

it('trusts nobody whom it does not know', async () => {
  server = await PlayedServer.start(good);
  expect(await refusal(server.url('s3.localhost'))).toBe(
    'the certificate of https://s3.localhost:PORT is not trusted (UNABLE_TO_VERIFY_LEAF_SIGNATURE); name the file of its CA in AWS_CA_BUNDLE',
  );
});

it('trusts whom AWS_CA_BUNDLE has, with the bucket in the path and in the host', async () => {
  server = await PlayedServer.start(good);
  process.env.AWS_CA_BUNDLE = ca;
  await (await open(server.url('s3.localhost'))).put('a', Buffer.from('one'));
  await store!.close();
  await (await open(server.url('s3.localhost'), { addressing: 'virtual' })).put('a', Buffer.from('one'));
  expect(server.asked.map(({ url, headers }) => [url, headers.host])).toEqual([
    ['/photos/a?x-id=PutObject', `s3.localhost:${server.port}`],
    ['/a?x-id=PutObject', `photos.s3.localhost:${server.port}`],
  ]);
});

it('trusts whom NODE_EXTRA_CA_CERTS has, and nobody for NODE_TLS_REJECT_UNAUTHORIZED', async () => {
  server = await PlayedServer.start(good);
  const options = JSON.stringify({ bucket: 'photos', prefix: '', endpoint: server.url('s3.localhost') });
  const script = `const { S3ObjectStore } = await import('${STORE_MODULE}');
    const store = await S3ObjectStore.open(${options});
    console.log(await store.put('a', Buffer.from('one')).catch((error) => error.code));
    await store.close();`;
  const run = async (more: Record<string, string>) => {
    const env = { ...process.env, ...more };
    const node = ['--input-type=module', '-e', script];
    return (await promisify(execFile)(process.execPath, node, { env })).stdout.trim();
  };
  expect(await run({ NODE_EXTRA_CA_CERTS: ca })).toBe('abc');
  expect(await run({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toBe('ERR_REMOTE_REFUSED');
  expect(server.asked.length).toBe(1);
});

it('tells a certificate for another name, and one that is out of date', async () => {
  server = await PlayedServer.start(good);
  process.env.AWS_CA_BUNDLE = ca;
  expect(await refusal(server.url())).toBe(
    'the certificate of https://127.0.0.1:PORT is for another name (ERR_TLS_CERT_ALTNAME_INVALID); look at the endpoint',
  );
  await server.stop();
  await store!.close();
  server = await PlayedServer.start(expired);
  expect(await refusal(server.url('s3.localhost'))).toBe(
    "the certificate of https://s3.localhost:PORT is not valid today (CERT_HAS_EXPIRED); look at it and at this machine's clock",
  );
});

it('tells a server without TLS', async () => {
  server = await PlayedServer.start();
  expect(await refusal(server.url().replace('http:', 'https:'))).toMatch(
    /^https:\/\/127\.0\.0\.1:PORT does not speak TLS \(\w+\); look at the endpoint$/,
  );
});

it('tells a bundle that is none', async () => {
  server = await PlayedServer.start(good);
  process.env.AWS_CA_BUNDLE = '/nowhere/ca.pem';
  await expect(open(server.url('s3.localhost'))).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
    message: expect.stringContaining(
      'Cannot use the certificates in /nowhere/ca.pem, which AWS_CA_BUNDLE names: ',
    ),
  });
  process.env.AWS_CA_BUNDLE = join(directory, 'names');
  await expect(open(server.url('s3.localhost'))).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
});
