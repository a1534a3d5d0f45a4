/**
 * An object store that speaks S3, by a worker of its own: signatures, TLS and XML cost its callers no time, and the SDK is in no other
 * thread. Any number of requests may be under way. For threads with an event loop; one that only waits in shared memory asks one that has.
 */
import { Worker } from 'node:worker_threads';
import { reasonOf, SpinneyError } from '../../../errors.js';
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
import type { Method, Reply, Request } from './messages.js';
import type { S3Options } from './options.js';

interface Waiter {
  resolve: (value: unknown) => void;
  reject: (error: SpinneyError) => void;
}

export class S3ObjectStore implements ObjectStore {
  readonly #worker: Worker;
  readonly #waiters = new Map<number, Waiter>();
  /** That of the greeting, at first. */
  #lastId = 0;
  #end: SpinneyError | undefined;

  /**
   * Starts the worker; asks the server for nothing yet.
   * @throws ERR_INVALID_ARGUMENT for an endpoint that must not be used, or certificates that cannot be read; ERR_REMOTE_REFUSED without the SDK
   */
  static async open(options: S3Options): Promise<S3ObjectStore> {
    const store = new S3ObjectStore(options);
    try {
      await store.#answerTo(0);
    } catch (error) {
      await store.close();
      throw error;
    }
    return store;
  }

  private constructor(workerData: S3Options) {
    this.#worker = new Worker(new URL('./s3-worker.js', import.meta.url), {
      workerData,
      execArgv: [],
      // The SDK tells on stderr which versions of Node.js its next releases will want.
      env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
    });
    this.#worker.on('message', (reply: Reply) => this.#receive(reply));
    this.#worker.on('error', (error) => this.#endWith(`its thread has died (${reasonOf(error)})`));
    this.#worker.on('exit', () => this.#endWith('its thread has ended'));
  }

  get(key: string, options?: GetOptions): Promise<ObjectBytes | undefined> {
    return this.#ask('get', key, options);
  }

  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<ETag> {
    return this.#ask('put', key, bytes, condition);
  }

  delete(key: string): Promise<void> {
    return this.#ask('delete', key);
  }

  list(prefix: string, options?: ListOptions): Promise<{ objects: ObjectInfo[]; more: boolean }> {
    return this.#ask('list', prefix, options);
  }

  beginUpload(key: string): Promise<string> {
    return this.#ask('beginUpload', key);
  }

  putPart(key: string, upload: string, number: number, bytes: Uint8Array): Promise<ETag> {
    return this.#ask('putPart', key, upload, number, bytes);
  }

  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<ETag> {
    return this.#ask('completeUpload', key, upload, parts);
  }

  abortUpload(key: string, upload: string): Promise<void> {
    return this.#ask('abortUpload', key, upload);
  }

  listUploads(prefix: string): Promise<OpenUpload[]> {
    return this.#ask('listUploads', prefix);
  }

  /** What is under way fails with ERR_CLOSED; whether it is done, nobody knows. */
  async close(): Promise<void> {
    this.#endWith('it is closed');
    await this.#worker.terminate();
  }

  #ask<T>(method: Method, ...given: readonly unknown[]): Promise<T> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const id = ++this.#lastId;
    const answer = this.#answerTo<T>(id);
    const request: Request = { id, method, given };
    this.#worker.postMessage(request);
    return answer;
  }

  #answerTo<T>(id: number): Promise<T> {
    // A program that waits for nothing else may end.
    this.#worker.ref();
    return new Promise<T>((resolve, reject) => {
      this.#waiters.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
  }

  #receive({ id, value, failure }: Reply): void {
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    if (this.#waiters.size === 0) this.#worker.unref();
    if (failure === undefined) waiter?.resolve(value);
    else waiter?.reject(new SpinneyError(failure.code, failure.message));
  }

  #endWith(why: string): void {
    this.#end ??= new SpinneyError('ERR_CLOSED', `Cannot use the object store: ${why}`);
    for (const { reject } of this.#waiters.values()) reject(this.#end);
    this.#waiters.clear();
  }
}
