/** An object store in memory: exactly what S3 answers, without a network's delays and faults. For tests. */
import { createHash } from 'node:crypto';
import { SpinneyError } from '../../errors.js';
import { MAX_PARTS, MIN_PART_BYTES } from '../../limits.js';
import { conditionFailed, notFound } from './errors.js';
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
} from './object-store.js';

const MAX_LISTED = 1000;

interface Upload {
  key: string;
  parts: Map<number, ObjectBytes>;
}

export class MemoryObjectStore implements ObjectStore {
  readonly #objects = new Map<string, ObjectBytes>();
  readonly #uploads = new Map<string, Upload>();
  #lastUpload = 0;

  async get(key: string, options: GetOptions = {}): Promise<ObjectBytes | undefined> {
    const object = this.#objects.get(key);
    if (object === undefined) throw notFound(`get ${key}`);
    const { bytes, etag } = object;
    if (options.ifNoneMatch === etag) return undefined;
    const { offset, length } = options.range ?? { offset: 0, length: bytes.length };
    if (options.range !== undefined && offset >= bytes.length) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot get ${key} from byte ${offset} on: it has ${bytes.length}`,
      );
    }
    return { bytes: bytes.slice(offset, offset + length), etag };
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<ETag> {
    const object = this.#objects.get(key);
    if (condition !== undefined) {
      if ('ifMatch' in condition) {
        if (object === undefined) throw notFound(`replace ${key}`);
        if (object.etag !== condition.ifMatch) throw conditionFailed(`replace ${key}`);
      } else if (object !== undefined) throw conditionFailed(`create ${key}`);
    }
    return this.#keep(key, new Uint8Array(bytes), etagOf([bytes]));
  }

  async delete(key: string): Promise<void> {
    this.#objects.delete(key);
  }

  async list(prefix: string, options: ListOptions = {}): Promise<{ objects: ObjectInfo[]; more: boolean }> {
    const { after, limit = MAX_LISTED } = options;
    const bytesOf = (key: string) => Buffer.from(key);
    const keys = [...this.#objects.keys()]
      .filter((key) => key.startsWith(prefix))
      .filter((key) => after === undefined || Buffer.compare(bytesOf(key), bytesOf(after)) > 0)
      .sort((a, b) => Buffer.compare(bytesOf(a), bytesOf(b)));
    const objects = keys.slice(0, limit).map((key) => {
      const { bytes, etag } = this.#objects.get(key)!;
      return { key, bytes: bytes.length, etag };
    });
    return { objects, more: keys.length > limit };
  }

  async beginUpload(key: string): Promise<string> {
    const upload = `upload-${++this.#lastUpload}`;
    this.#uploads.set(upload, { key, parts: new Map() });
    return upload;
  }

  async putPart(key: string, upload: string, number: number, bytes: Uint8Array): Promise<ETag> {
    if (!(number >= 1 && number <= MAX_PARTS)) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot put part ${number} of ${key}: parts are 1 to ${MAX_PARTS}`,
      );
    }
    const etag = etagOf([bytes]);
    this.#upload(key, upload).parts.set(number, { bytes: new Uint8Array(bytes), etag });
    return etag;
  }

  async completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<ETag> {
    const { parts: held } = this.#upload(key, upload);
    const bytes = parts.map(({ number, etag }, index) => {
      const part = held.get(number);
      const isInOrder = index === 0 || parts[index - 1]!.number < number;
      if (part === undefined || part.etag !== etag || !isInOrder) throw wrongParts(key, number);
      if (index < parts.length - 1 && part.bytes.length < MIN_PART_BYTES) throw wrongParts(key, number);
      return part.bytes;
    });
    this.#uploads.delete(upload);
    return this.#keep(key, new Uint8Array(Buffer.concat(bytes)), `${etagOf(bytes)}-${parts.length}`);
  }

  async abortUpload(_key: string, upload: string): Promise<void> {
    this.#uploads.delete(upload);
  }

  async listUploads(prefix: string): Promise<OpenUpload[]> {
    return Array.from(this.#uploads, ([upload, { key }]) => ({ key, upload })).filter(({ key }) =>
      key.startsWith(prefix),
    );
  }

  async close(): Promise<void> {}

  #keep(key: string, bytes: Uint8Array, etag: ETag): ETag {
    this.#objects.set(key, { bytes, etag });
    return etag;
  }

  #upload(key: string, upload: string): Upload {
    const found = this.#uploads.get(upload);
    if (found?.key !== key) {
      throw new SpinneyError(
        'ERR_NOT_FOUND',
        `Cannot go on with the upload of ${key}: there is no such upload`,
      );
    }
    return found;
  }
}

function etagOf(parts: readonly Uint8Array[]): ETag {
  const hash = createHash('md5');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

function wrongParts(key: string, number: number): SpinneyError {
  return new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot complete the upload of ${key}: part ${number} is not as it was told, or too small`,
  );
}
