/** Where credentials come from, as AWS's users know it. Each source has a key of its own, which the server sees in what was signed. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../../../dist/engine/store/object/object-store.js';
import type { S3Options } from '../../../../dist/engine/store/object/s3/options.js';
import { openSdkStore } from '../../../../dist/engine/store/object/s3/s3-sdk.js';
import { type Asked, errorAnswer, PlayedServer, STORED } from '../../../support/object/played-server.js';

const STORE_MODULE = new URL('../../../../dist/engine/store/object/s3/s3-object-store.js', import.meta.url)
  .href;
const HOUR_MS = 3_600_000;
const before = process.env;
let directory: string;
let server: PlayedServer;
let store: ObjectStore | undefined;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-credentials-'));
  server = await PlayedServer.start();
  const bare = Object.entries(before).filter(([name]) => !name.startsWith('AWS_'));
  process.env = {
    ...Object.fromEntries(bare),
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    AWS_SHARED_CREDENTIALS_FILE: join(directory, 'credentials'),
    AWS_CONFIG_FILE: join(directory, 'config'),
  };
});
afterEach(async () => {
  await store?.close();
  store = undefined;
  await server.stop();
  process.env = before;
  rmSync(directory, { recursive: true });
});

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

function keys(id: string, token?: string): string {
  const last = token === undefined ? '' : `aws_session_token = ${token}\n`;
  return `aws_access_key_id = ${id}\naws_secret_access_key = secret-of-${id}\n${last}`;
}

async function open(options: Partial<S3Options> = {}): Promise<ObjectStore> {
  store = await openSdkStore({ bucket: 'photos', prefix: '', endpoint: server.url(), ...options });
  return store;
}

/** What of a request is signed with. */
const keyOf = ({ headers }: Asked) => /Credential=([^/]+)/.exec(headers.authorization ?? '')?.[1];
const regionOf = ({ headers }: Asked) => /Credential=[^/]+\/\d+\/([^/]+)/.exec(headers.authorization!)?.[1];
const tokenOf = ({ headers }: Asked) => headers['x-amz-security-token'];
const ofBucket = () => server.asked.filter(({ url }) => url.startsWith('/photos/'));

async function putOnce(options?: Partial<S3Options>): Promise<Asked> {
  await (await open(options)).put('a', Buffer.from('one'));
  return ofBucket().at(-1)!;
}

function withCredentials(id: string): string {
  const Expiration = new Date(Date.now() + HOUR_MS).toISOString();
  return JSON.stringify({
    Code: 'Success',
    AccessKeyId: id,
    SecretAccessKey: `secret-of-${id}`,
    Token: `token-of-${id}`,
    Expiration,
  });
}

describe('credentials are found', () => {
  it('in the default profile, with the session token', async () => {
    file('credentials', `[default]\n${keys('ALPHA', 'session-of-alpha')}[other]\n${keys('BETA')}`);
    const asked = await putOnce();
    expect([keyOf(asked), tokenOf(asked), regionOf(asked)]).toEqual([
      'ALPHA',
      'session-of-alpha',
      'us-east-1',
    ]);
  });

  it('in the profile that AWS_PROFILE names, with its region and its endpoint', async () => {
    process.env.AWS_PROFILE = 'other';
    file('credentials', `[default]\n${keys('ALPHA')}[other]\n${keys('BETA')}`);
    file('config', `[profile other]\nregion = eu-north-1\nendpoint_url = ${server.url('s3.localhost')}\n`);
    store = await openSdkStore({ bucket: 'photos', prefix: '' });
    await store.put('a', Buffer.from('one'));
    const [asked] = ofBucket();
    expect([keyOf(asked!), tokenOf(asked!), regionOf(asked!)]).toEqual(['BETA', undefined, 'eu-north-1']);
  });

  it('in the environment, before all profiles; the region by both of its names', async () => {
    file('credentials', `[default]\n${keys('ALPHA')}`);
    file('config', '[default]\nregion = eu-north-1\n');
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'GAMMA', AWS_SECRET_ACCESS_KEY: 'secret-of-gamma' });
    process.env.AWS_DEFAULT_REGION = 'eu-west-3';
    const asked = await putOnce();
    expect([keyOf(asked), regionOf(asked)]).toEqual(['GAMMA', 'eu-west-3']);
    await store!.close();
    process.env.AWS_REGION = 'eu-west-2';
    expect(regionOf(await putOnce())).toBe('eu-west-2');
  });

  it('by a program that a profile names', async () => {
    const told = file('told.json', JSON.stringify({ Version: 1, ...JSON.parse(withCredentials('DELTA')) }));
    file('config', `[default]\ncredential_process = cat ${told}\n`);
    expect(keyOf(await putOnce())).toBe('DELTA');
  });

  it('of an instance, by its role', async () => {
    const metadata = await PlayedServer.start();
    metadata.answer = ({ url }, response) => {
      if (url === '/latest/api/token') response.end('a-token');
      else if (url.endsWith('/placement/region')) response.end('eu-south-1');
      else if (url.endsWith('/security-credentials/')) response.end('the-role');
      else response.end(withCredentials('EPSILON'));
    };
    delete process.env.AWS_EC2_METADATA_DISABLED;
    process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = metadata.url();
    const asked = await putOnce();
    expect([keyOf(asked), tokenOf(asked), regionOf(asked)]).toEqual([
      'EPSILON',
      'token-of-EPSILON',
      'eu-south-1',
    ]);
    const tokens = metadata.asked.map(({ headers }) => headers['x-aws-ec2-metadata-token']);
    expect(tokens.slice(-2)).toEqual(['a-token', 'a-token']);
    await metadata.stop();
  });

  it('of a container, by its endpoint', async () => {
    const container = await PlayedServer.start();
    container.answer = (_, response) => response.end(withCredentials('ZETA'));
    process.env.AWS_CONTAINER_CREDENTIALS_FULL_URI = `${container.url()}/role`;
    process.env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = file('token', 'a-bearer');
    expect(keyOf(await putOnce())).toBe('ZETA');
    expect(container.asked[0]!.headers.authorization).toBe('a-bearer');
    await container.stop();
  });

  it('by a web identity, of the service of tokens', async () => {
    const tokens = await PlayedServer.start();
    const { AccessKeyId, SecretAccessKey, Token, Expiration } = JSON.parse(withCredentials('ETA'));
    tokens.answer = (_, response) =>
      response.end(`<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
        <AccessKeyId>${AccessKeyId}</AccessKeyId><SecretAccessKey>${SecretAccessKey}</SecretAccessKey>
        <SessionToken>${Token}</SessionToken><Expiration>${Expiration}</Expiration>
        </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`);
    process.env.AWS_ENDPOINT_URL_STS = tokens.url();
    process.env.AWS_WEB_IDENTITY_TOKEN_FILE = file('web-token', 'who-i-am');
    process.env.AWS_ROLE_ARN = 'arn:aws:iam::123456789012:role/photos';
    expect(keyOf(await putOnce())).toBe('ETA');
    expect(tokens.asked[0]!.body).toContain('who-i-am');

    // What the service of tokens says is not taken for a word of the bucket's: there might be no HEAD then.
    await store!.close();
    tokens.answer = errorAnswer(404, 'NoSuchKey');
    await expect((await open()).get('a')).rejects.toMatchObject({
      code: 'ERR_REMOTE_REFUSED',
      message: expect.stringMatching(
        /^Cannot get s3:\/\/photos\/a: the credentials are refused to us \(\w+\)$/,
      ),
    });
    await tokens.stop();
  });
});

describe('credentials that were replaced in their file', () => {
  it('are found there, and nobody is told of the refusal', async () => {
    file('credentials', `[default]\n${keys('OLD', 'session-of-old')}`);
    await putOnce();
    server.answer = (asked, response) =>
      (keyOf(asked) === 'OLD' ? errorAnswer(400, 'ExpiredToken') : STORED)(asked, response);
    file('credentials', `[default]\n${keys('NEW', 'session-of-new')}`);
    await store!.put('b', Buffer.from('two'));
    await store!.put('c', Buffer.from('three'));
    expect(ofBucket().map(keyOf)).toEqual(['OLD', 'OLD', 'NEW', 'NEW']);
  });

  it('are asked with once where they are the same', async () => {
    file('credentials', `[default]\n${keys('OLD')}`);
    server.answer = errorAnswer(403, 'InvalidAccessKeyId');
    await expect(putOnce()).rejects.toMatchObject({ code: 'ERR_REMOTE_REFUSED' });
    expect(ofBucket().length).toBe(1);
  });

  it('and are gone: whoever had some is asked to come later', async () => {
    file('credentials', `[default]\n${keys('OLD')}`);
    await putOnce();
    server.answer = errorAnswer(400, 'ExpiredToken');
    file('credentials', '');
    await expect(store!.get('a')).rejects.toMatchObject({
      code: 'ERR_REMOTE_UNAVAILABLE',
      message: 'Cannot get s3://photos/a: the credentials cannot be renewed (CredentialsProviderError)',
    });
  });
});

describe('without credentials', () => {
  it('that is said, with what to do, and nothing is asked', async () => {
    await expect((await open()).get('a')).rejects.toMatchObject({
      code: 'ERR_REMOTE_REFUSED',
      message:
        'Cannot get s3://photos/a: no credentials are found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ' +
        'AWS_PROFILE, or give the machine a role',
    });
    expect(server.asked).toEqual([]);
  });

  it('in the profile that is named, its name is told', async () => {
    process.env.AWS_PROFILE = 'nobody';
    await expect((await open()).get('a')).rejects.toThrow(
      "Cannot get s3://photos/a: no credentials are found by the profile 'nobody'; look at it, or log in",
    );
  });

  it('in time, because a program hangs, the request ends all the same', async () => {
    file('config', '[default]\ncredential_process = sleep 20\n');
    await expect((await open({ timeoutMs: 300 })).get('a')).rejects.toMatchObject({
      code: 'ERR_REMOTE_UNAVAILABLE',
      message: 'Cannot get s3://photos/a: nobody told the credentials in time',
    });
  });
});

it('the SDK tells its opinions to nobody', async () => {
  file('credentials', `[default]\n${keys('ALPHA')}[other]\n${keys('BETA')}`);
  Object.assign(process.env, {
    AWS_PROFILE: 'other',
    AWS_ACCESS_KEY_ID: 'GAMMA',
    AWS_SECRET_ACCESS_KEY: 'secret-of-gamma',
  });
  const options = JSON.stringify({ bucket: 'photos', prefix: '', endpoint: server.url() });
  const script = `const { S3ObjectStore } = await import('${STORE_MODULE}');
    const store = await S3ObjectStore.open(${options});
    await store.put('a', Buffer.from('one'));
    await store.close();`;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    script,
  ]);
  expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
  expect(ofBucket().map(keyOf)).toEqual(['BETA']);
});
