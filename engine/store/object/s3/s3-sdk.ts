/**
 * An object store by the AWS SDK, for the worker that has it to itself (s3-worker.ts).
 *
 * The SDK tries each request once: RetryingObjectStore asks again, for all stores alike.
 */
import type { GetObjectCommandOutput, PutObjectCommandOutput } from '@aws-sdk/client-s3';
import { SpinneyError } from '../../../errors.js';
import type {
  ETag,
  GetOptions,
  ListOptions,
  ObjectBytes,
  ObjectInfo,
  ObjectStore,
  OpenUpload,
  PutCondition,
  UploadedPart,
} from '../object-store.js';
import { isNotModified } from './failures.js';
import type { S3Options } from './options.js';
import { type Request, type Sdk, SdkClient } from './sdk-client.js';

/** @throws ERR_REMOTE_REFUSED where the SDK is not installed, and as `SdkClient.open` */
export async function openSdkStore(options: S3Options): Promise<ObjectStore> {
  const sdk = await loadSdk();
  return new SdkStore(sdk, options, await SdkClient.open(sdk, options));
}

async function loadSdk(): Promise<Sdk> {
  try {
    return await import('@aws-sdk/client-s3');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new SpinneyError(
      'ERR_REMOTE_REFUSED',
      'Cannot use an object store: the package @aws-sdk/client-s3 is not installed beside Spinney',
    );
  }
}

class SdkStore implements ObjectStore {
  readonly #sdk: Sdk;
  readonly #options: S3Options;
  readonly #client: SdkClient;

  constructor(sdk: Sdk, options: S3Options, client: SdkClient) {
    this.#sdk = sdk;
    this.#options = options;
    this.#client = client;
  }

  async get(key: string, options: GetOptions = {}): Promise<ObjectBytes | undefined> {
    const { range, ifNoneMatch } = options;
    const command = new this.#sdk.GetObjectCommand({
      ...this.#named(key),
      ...(range && { Range: `bytes=${range.offset}-${range.offset + range.length - 1}` }),
      ...(ifNoneMatch !== undefined && { IfNoneMatch: quoted(ifNoneMatch) }),
    });
    return this.#ask(`get ${this.#url(key)}`, async (client, abortSignal) => {
      try {
        const answer = await client.send(command, { abortSignal });
        return { bytes: await bodyOf(answer, abortSignal), etag: tagOf(answer) };
      } catch (error) {
        if (isNotModified(error)) return undefined;
        throw error;
      }
    });
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<ETag> {
    const command = new this.#sdk.PutObjectCommand({
      ...this.#named(key),
      Body: bytes,
      ContentLength: bytes.length,
      ...this.#headersOf(condition),
    });
    return this.#ask(`put ${this.#url(key)}`, async (client, abortSignal) =>
      tagOf(await client.send(command, { abortSignal })),
    );
  }

  async delete(key: string): Promise<void> {
    const command = new this.#sdk.DeleteObjectCommand(this.#named(key));
    await this.#ask(`delete ${this.#url(key)}`, (client, abortSignal) =>
      client.send(command, { abortSignal }),
    );
  }

  async list(prefix: string, options: ListOptions = {}): Promise<{ objects: ObjectInfo[]; more: boolean }> {
    const { bucket, prefix: base } = this.#options;
    const command = new this.#sdk.ListObjectsV2Command({
      Bucket: bucket,
      Prefix: base + prefix,
      ...(options.after !== undefined && { StartAfter: base + options.after }),
      ...(options.limit !== undefined && { MaxKeys: options.limit }),
    });
    const answer = await this.#ask(`list ${this.#url(prefix)}`, async (client, abortSignal) => {
      const list = await client.send(command, { abortSignal });
      if (list.Name === undefined) throw notOfS3(list.$metadata);
      return list;
    });
    const objects = (answer.Contents ?? []).map(({ Key = '', Size = 0, ETag }) => ({
      key: Key.slice(base.length),
      bytes: Size,
      etag: unquoted(ETag),
    }));
    return { objects, more: answer.IsTruncated === true };
  }

  async beginUpload(key: string): Promise<string> {
    const command = new this.#sdk.CreateMultipartUploadCommand(this.#named(key));
    const answer = await this.#ask(`begin an upload of ${this.#url(key)}`, (client, abortSignal) =>
      client.send(command, { abortSignal }),
    );
    return answer.UploadId ?? '';
  }

  async putPart(key: string, upload: string, number: number, bytes: Uint8Array): Promise<ETag> {
    const command = new this.#sdk.UploadPartCommand({
      ...this.#named(key),
      UploadId: upload,
      PartNumber: number,
      Body: bytes,
      ContentLength: bytes.length,
    });
    return this.#ask(`put part ${number} of ${this.#url(key)}`, async (client, abortSignal) =>
      tagOf(await client.send(command, { abortSignal })),
    );
  }

  async completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<ETag> {
    const command = new this.#sdk.CompleteMultipartUploadCommand({
      ...this.#named(key),
      UploadId: upload,
      MultipartUpload: {
        Parts: parts.map(({ number, etag }) => ({ PartNumber: number, ETag: quoted(etag) })),
      },
    });
    return this.#ask(`complete the upload of ${this.#url(key)}`, async (client, abortSignal) =>
      tagOf(await client.send(command, { abortSignal })),
    );
  }

  async abortUpload(key: string, upload: string): Promise<void> {
    const command = new this.#sdk.AbortMultipartUploadCommand({ ...this.#named(key), UploadId: upload });
    try {
      await this.#ask(`abort the upload of ${this.#url(key)}`, (client, abortSignal) =>
        client.send(command, { abortSignal }),
      );
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_NOT_FOUND') throw error;
    }
  }

  async listUploads(prefix: string): Promise<OpenUpload[]> {
    const { bucket, prefix: base } = this.#options;
    const found: OpenUpload[] = [];
    let from: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (from !== undefined) {
      const command: InstanceType<Sdk['ListMultipartUploadsCommand']> =
        new this.#sdk.ListMultipartUploadsCommand({
          Bucket: bucket,
          Prefix: base + prefix,
          ...from,
        });
      const answer = await this.#ask(`list uploads of ${this.#url(prefix)}`, (client, abortSignal) =>
        client.send(command, { abortSignal }),
      );
      for (const { Key = '', UploadId = '' } of answer.Uploads ?? []) {
        found.push({ key: Key.slice(base.length), upload: UploadId });
      }
      const { NextKeyMarker, NextUploadIdMarker } = answer;
      from =
        answer.IsTruncated === true && NextKeyMarker !== undefined
          ? { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker && { UploadIdMarker: NextUploadIdMarker }) }
          : undefined;
    }
    return found;
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #ask<T>(what: string, request: Request<T>): Promise<T> {
    return this.#client.ask(what, request);
  }

  #headersOf(condition: PutCondition | undefined): { IfMatch?: string; IfNoneMatch?: string } {
    if (condition === undefined) return {};
    if ('ifNoneMatch' in condition) return { IfNoneMatch: condition.ifNoneMatch };
    return { IfMatch: this.#options.bareTags ? condition.ifMatch : quoted(condition.ifMatch) };
  }

  #named(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#options.bucket, Key: this.#options.prefix + key };
  }

  #url(key: string): string {
    return `s3://${this.#options.bucket}/${this.#options.prefix}${key}`;
  }
}

async function bodyOf(answer: GetObjectCommandOutput, signal: AbortSignal): Promise<Uint8Array> {
  const { Body: body, ContentLength: length } = answer;
  if (body === undefined) return new Uint8Array();
  // A signal ends a request that waits for its answer, but not one whose body stops coming.
  const stop = () => (body as unknown as { destroy(error: Error): void }).destroy(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    const bytes = await body.transformToByteArray();
    if (length === undefined || bytes.length === length) return bytes;
    throw Object.assign(new Error('the answer was cut short'), { code: 'ECONNRESET' });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function quoted(etag: ETag): string {
  return `"${etag}"`;
}

function tagOf({ ETag, $metadata }: Pick<PutObjectCommandOutput, 'ETag' | '$metadata'>): ETag {
  if (ETag === undefined) throw notOfS3($metadata);
  return unquoted(ETag);
}

/** Of an answer that lacks what each of S3's has: a portal that wants a password, say, welcomes every request. */
function notOfS3($metadata: PutObjectCommandOutput['$metadata']): Error {
  return Object.assign(new Error('it is no answer of S3'), { name: 'NotOfS3', $metadata });
}

function unquoted(etag: string | undefined): ETag {
  return (etag ?? '').replaceAll('"', '');
}
