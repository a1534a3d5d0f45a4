/** What the client says to a server, and what it makes of the answers: before a server that is only played. As built, because it has a worker. */
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../../../dist/engine/store/object/object-store.js';
import type { S3Options } from '../../../../dist/engine/store/object/s3/options.js';
import { S3ObjectStore } from '../../../../dist/engine/store/object/s3/s3-object-store.js';
import { openSdkStore } from '../../../../dist/engine/store/object/s3/s3-sdk.js';
import { errorAnswer, PlayedServer } from '../../../support/object/played-server.js';

const SECRETS = {
  AWS_ACCESS_KEY_ID: 'AKIAQUITEKNOWN',
  AWS_SECRET_ACCESS_KEY: 'averylongandsecretsecret',
  AWS_SESSION_TOKEN: 'sessionsessionsession',
};
const ENVIRONMENT: Readonly<Record<string, string>> = {
  ...SECRETS,
  AWS_REGION: 'eu-west-1',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
};

const before = process.env;
let server: PlayedServer;
let endpoint: string;
let store: ObjectStore | undefined;

beforeEach(async () => {
  process.env = { ...before, ...ENVIRONMENT };
  server = await PlayedServer.start();
  endpoint = server.url();
});
afterEach(async () => {
  await store?.close();
  store = undefined;
  await server.stop();
  process.env = before;
});

async function open(options: Partial<S3Options> = {}): Promise<ObjectStore> {
  store = await openSdkStore({ bucket: 'photos', prefix: 'home/', endpoint, ...options });
  return store;
}

async function openInWorker(): Promise<ObjectStore> {
  store = await S3ObjectStore.open({ bucket: 'photos', prefix: 'home/', endpoint });
  return store;
}

describe('requests', () => {
  it('name the bucket in the path where an endpoint is told, and in the host where that is wanted', async () => {
    await (await open()).put('a', Buffer.from('one'));
    expect(server.asked[0]).toMatchObject({ method: 'PUT', url: '/photos/home/a?x-id=PutObject' });
    await store!.close();
    const { port } = new URL(endpoint);
    await (await open({ endpoint: `http://s3.localhost:${port}`, addressing: 'virtual' })).put(
      'a',
      Buffer.from('one'),
    );
    expect(server.asked[1]).toMatchObject({
      url: '/home/a?x-id=PutObject',
      headers: { host: `photos.s3.localhost:${port}` },
    });
  });

  it('go where the environment says, if no endpoint is told', async () => {
    process.env.AWS_ENDPOINT_URL_S3 = endpoint;
    store = await openSdkStore({ bucket: 'photos', prefix: '' });
    await store.put('a', Buffer.from('one'));
    expect(server.asked[0]!.url).toBe('/photos/a?x-id=PutObject');
  });

  it('have conditions, with tags as the server wants them', async () => {
    await open();
    expect(await store!.put('a', Buffer.from('one'), { ifNoneMatch: '*' })).toBe('abc');
    await store!.put('a', Buffer.from('one'), { ifMatch: 'abc' });
    await store!.get('a', { ifNoneMatch: 'abc', range: { offset: 5, length: 10 } });
    await store!.close();
    await (await open({ bareTags: true })).put('a', Buffer.from('one'), { ifMatch: 'abc' });
    expect(
      server.asked.map(({ headers }) => [headers['if-none-match'], headers['if-match'], headers.range]),
    ).toEqual([
      ['*', undefined, undefined],
      [undefined, '"abc"', undefined],
      ['"abc"', undefined, 'bytes=5-14'],
      [undefined, 'abc', undefined],
    ]);
  });

  it('are signed, and ask once', async () => {
    server.answer = errorAnswer(503, 'SlowDown');
    await expect((await open()).get('a')).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
    expect(server.asked.length).toBe(1);
    expect(server.asked[0]!.headers.authorization).toContain(`Credential=${SECRETS.AWS_ACCESS_KEY_ID}/`);
    expect(server.asked[0]!.headers['x-amz-security-token']).toBe(SECRETS.AWS_SESSION_TOKEN);
    expect(JSON.stringify(server.asked)).not.toContain(SECRETS.AWS_SECRET_ACCESS_KEY);
  });

  it('do not go to other machines in plain HTTP, whoever told the endpoint', async () => {
    const refused = {
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('http:// to 192.0.2.1 can be read'),
    };
    await expect(open({ endpoint: 'http://192.0.2.1' })).rejects.toMatchObject(refused);
    process.env.AWS_ENDPOINT_URL_S3 = 'http://192.0.2.1';
    await expect(S3ObjectStore.open({ bucket: 'photos', prefix: '' })).rejects.toMatchObject(refused);
  });

  it('have no credentials from a URL, whoever told it, and do not repeat them', async () => {
    process.env.AWS_ENDPOINT_URL_S3 = endpoint.replace('http://', 'http://key:wordofpass@');
    const error = await S3ObjectStore.open({ bucket: 'photos', prefix: '' }).catch((failure) => failure);
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(error.message).toContain('credentials come from the environment');
    expect(inspect(error)).not.toContain('wordofpass');
  });
});

describe('answers', () => {
  const MEANINGS: [number, string, string][] = [
    [400, 'RequestTimeout', 'ERR_REMOTE_UNAVAILABLE'],
    [400, 'InvalidRequest', 'ERR_REMOTE_REFUSED'],
    [403, 'AccessDenied', 'ERR_REMOTE_REFUSED'],
    [404, 'NoSuchBucket', 'ERR_REMOTE_REFUSED'],
    [404, 'NoSuchKey', 'ERR_NOT_FOUND'],
    // Of something between, whose server has gone for a moment. If it were believed, HEAD would be gone.
    [404, '', 'ERR_REMOTE_UNAVAILABLE'],
    [200, 'InternalError', 'ERR_REMOTE_UNAVAILABLE'],
    [307, 'TemporaryRedirect', 'ERR_REMOTE_UNAVAILABLE'],
    [409, 'ConditionalRequestConflict', 'ERR_REMOTE_UNAVAILABLE'],
    [412, 'PreconditionFailed', 'ERR_CONDITION_FAILED'],
    [429, '', 'ERR_REMOTE_UNAVAILABLE'],
    [500, 'UnknownError', 'ERR_REMOTE_UNAVAILABLE'],
    [501, 'NotImplemented', 'ERR_REMOTE_REFUSED'],
    [503, 'SlowDown', 'ERR_REMOTE_UNAVAILABLE'],
  ];

  it('are errors by their status and code', async () => {
    await open();
    for (const [status, name, code] of MEANINGS) {
      server.answer = errorAnswer(status, name);
      const error = await store!.put('a', Buffer.from('one'), { ifMatch: 'abc' }).catch((failure) => failure);
      expect(error, `${status} ${name}`).toMatchObject({ name: 'SpinneyError', code });
      expect(error.message).toMatch(/^Cannot put s3:\/\/photos\/home\/a: /);
    }
    server.answer = errorAnswer(304);
    expect(await store!.get('a', { ifNoneMatch: 'abc' })).toBeUndefined();
  });

  it('tell each kind of refusal in a word, and what to do', async () => {
    await open();
    const told = async (...[status, name, more]: Parameters<typeof errorAnswer>) => {
      server.answer = errorAnswer(status, name, more);
      const error: Error = await store!.get('a').catch((failure) => failure);
      return error.message.replace('Cannot get s3://photos/home/a: ', '');
    };
    expect(await told(404, 'NoSuchBucket')).toBe(
      'there is no such bucket; make it, or look at its name and the endpoint',
    );
    for (const name of ['AccessDenied', 'AllAccessDisabled', '']) {
      expect(await told(403, name)).toMatch(/^these credentials may not do it; they need s3:GetObject, /);
    }
    expect(await told(403, 'InvalidAccessKeyId')).toBe('the access key is not known there');
    expect(await told(403, 'SignatureDoesNotMatch')).toBe("the secret key is not the access key's");
    expect(await told(400, 'ExpiredToken')).toBe('the session token has expired');
    const region = '<Region>ap-south-2</Region>';
    expect(await told(400, 'AuthorizationHeaderMalformed', region)).toBe(
      'the bucket is in the region ap-south-2; set AWS_REGION=ap-south-2',
    );
    expect(await told(301, 'PermanentRedirect')).toBe('the bucket is in another region; set AWS_REGION');
    server.answer = (_, response) =>
      response
        .writeHead(301, { 'x-amz-bucket-region': 'ap-south-2' })
        .end('<Error><Code>PermanentRedirect</Code></Error>');
    await expect(store!.get('a')).rejects.toThrow('set AWS_REGION=ap-south-2');
  });

  it('are missed where nobody listens, with the place', async () => {
    const { port } = new URL(endpoint);
    await server.stop();
    await expect((await open()).get('a')).rejects.toMatchObject({
      code: 'ERR_REMOTE_UNAVAILABLE',
      message: `Cannot get s3://photos/home/a: no answer from http://127.0.0.1:${port} (ECONNREFUSED); look at the endpoint and the network`,
    });
    server = await PlayedServer.start();
  });

  it('to a write without a tag are none: a portal that wants a password says yes to everything', async () => {
    server.answer = (_, response) => response.end('<html>Your room number?</html>');
    await expect((await open()).put('a', Buffer.from('one'))).rejects.toMatchObject({
      code: 'ERR_REMOTE_UNAVAILABLE',
    });
    await expect(store!.list('')).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
  });

  it('that do not come, or not whole, are missed in time', async () => {
    await open({ timeoutMs: 300 });
    server.answer = () => {};
    await expect(store!.get('a')).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
    server.answer = (_, response) => response.writeHead(200, { 'Content-Length': 10 }).write('half ');
    await expect(store!.get('a')).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
    server.answer = (_, response) => response.destroy();
    await expect(store!.get('a')).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
    server.answer = (_, response) => {
      response.writeHead(200, { 'Content-Length': 10 }).write('half ');
      response.destroy();
    };
    await expect(store!.get('a')).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
  });

  it('tell nothing of credentials', async () => {
    server.answer = errorAnswer(403, 'SignatureDoesNotMatch');
    await openInWorker();
    for (const ask of [
      () => store!.get('a'),
      () => store!.list(''),
      () => store!.put('a', Buffer.from('one')),
    ]) {
      const error = await ask().catch((failure: unknown) => failure);
      expect(error).toMatchObject({ code: 'ERR_REMOTE_REFUSED' });
      const told = inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true });
      for (const secret of [...Object.values(SECRETS), 'Signature=', 'AWS4'])
        expect(told).not.toContain(secret);
    }
  });
});

it('fails what is under way when it is closed', async () => {
  server.answer = () => {};
  await openInWorker();
  const pending = expect(store!.get('a')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  await store!.close();
  await pending;
  await expect(store!.get('a')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
});
