/** An S3 server on the loopback, as much of one as a client of ours asks for, before an object store of the same process. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SpinneyError } from '../../../engine/errors.js';
import type { ObjectStore, PutCondition } from '../../../engine/store/object/object-store.js';

const STATUS: Readonly<Record<string, readonly [status: number, code: string]>> = {
  ERR_NOT_FOUND: [404, 'NoSuchKey'],
  ERR_CONDITION_FAILED: [412, 'PreconditionFailed'],
  ERR_INVALID_ARGUMENT: [416, 'InvalidRange'],
  ERR_REMOTE_UNAVAILABLE: [503, 'SlowDown'],
  ERR_REMOTE_REFUSED: [403, 'AccessDenied'],
};

/** What whoever asks there needs in its environment. */
export const S3_ENVIRONMENT: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: 'someone',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_REGION: 'eu-west-1',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
};

export class HttpObjectStore {
  readonly #server: Server;
  readonly #store: ObjectStore;
  readonly #bucket: string;
  /** Answers nothing but 503 while it is set. */
  isAway = false;

  /** Serves the store as this bucket; there are no others. */
  static async serve(store: ObjectStore, bucket: string): Promise<HttpObjectStore> {
    const served = new HttpObjectStore(store, bucket);
    served.#server.listen(0, '127.0.0.1');
    await once(served.#server, 'listening');
    return served;
  }

  private constructor(store: ObjectStore, bucket: string) {
    this.#store = store;
    this.#bucket = bucket;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    try {
      if (this.isAway) throw new SpinneyError('ERR_REMOTE_UNAVAILABLE', 'away');
      await this.#answer(request, Buffer.concat(chunks), response);
    } catch (error) {
      const [status, code] = STATUS[(error as SpinneyError).code] ?? [500, 'InternalError'];
      refuse(response, status, code);
    }
  }

  async #answer(request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, this.endpoint);
    const [, bucket, ...rest] = decodeURIComponent(pathname).split('/');
    if (bucket !== this.#bucket) {
      refuse(response, 404, 'NoSuchBucket');
      return;
    }
    const key = rest.join('/');
    const { headers, method } = request;
    if (key === '') await this.#list(searchParams, response);
    else if (method === 'GET') await this.#get(key, headers, response);
    else if (method === 'PUT') {
      const etag = await this.#store.put(key, body, conditionOf(headers));
      response.setHeader('ETag', `"${etag}"`).end();
    } else {
      await this.#store.delete(key);
      response.writeHead(204).end();
    }
  }

  async #get(key: string, headers: IncomingMessage['headers'], response: ServerResponse): Promise<void> {
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
    const none = headers['if-none-match'];
    const got = await this.#store.get(key, {
      ...(range && { range: { offset: Number(range[1]), length: Number(range[2]) - Number(range[1]) + 1 } }),
      ...(none !== undefined && { ifNoneMatch: none.replaceAll('"', '') }),
    });
    if (got === undefined) response.writeHead(304).end();
    else response.writeHead(range === null ? 200 : 206, { ETag: `"${got.etag}"` }).end(got.bytes);
  }

  async #list(query: URLSearchParams, response: ServerResponse): Promise<void> {
    if (query.has('uploads')) {
      const uploads = (await this.#store.listUploads(query.get('prefix') ?? '')).map(
        ({ key, upload }) => `<Upload><Key>${key}</Key><UploadId>${upload}</UploadId></Upload>`,
      );
      response.end(
        `<ListMultipartUploadsResult><Bucket>${this.#bucket}</Bucket>${uploads.join('')}<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>`,
      );
      return;
    }
    const after = query.get('start-after');
    const limit = query.get('max-keys');
    const { objects, more } = await this.#store.list(query.get('prefix') ?? '', {
      ...(after !== null && { after }),
      ...(limit !== null && { limit: Number(limit) }),
    });
    const contents = objects.map(
      ({ key, bytes, etag }) =>
        `<Contents><Key>${key}</Key><Size>${bytes}</Size><ETag>"${etag}"</ETag></Contents>`,
    );
    response.end(
      `<ListBucketResult><Name>${this.#bucket}</Name><IsTruncated>${more}</IsTruncated>${contents.join('')}</ListBucketResult>`,
    );
  }
}

function conditionOf(headers: IncomingMessage['headers']): PutCondition | undefined {
  const match = headers['if-match'];
  if (match !== undefined) return { ifMatch: match.replaceAll('"', '') };
  return headers['if-none-match'] === '*' ? { ifNoneMatch: '*' } : undefined;
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status).end(`<Error><Code>${code}</Code></Error>`);
}
