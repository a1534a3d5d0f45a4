/**
 * What is asked of an object store: objects of any bytes by name, whole or by range, and writes under a condition, which are
 * the only arbiter between machines.
 *
 * Every call may fail with one of these, besides those that are told at it:
 * - ERR_REMOTE_UNAVAILABLE: no answer, or "later". What was asked may have been done, or may be done yet.
 * - ERR_REMOTE_REFUSED: it will not, and asking again does not help: no such bucket, no permission, no credentials.
 * - ERR_CLOSED
 *
 * Once an answer has come, every later call of anybody sees what it tells of: names that are listed, too.
 */

/** Names one version of an object, as the store has it. Equal bytes may have equal tags. */
export type ETag = string;

/** Of a write: only in place of exactly this version; or only where no object is. */
export type PutCondition = { readonly ifMatch: ETag } | { readonly ifNoneMatch: '*' };

export interface ObjectInfo {
  key: string;
  bytes: number;
  etag: ETag;
}

export interface GetOptions {
  /** Only these bytes: `length` from `offset` on, or fewer where the object ends. */
  range?: { offset: number; length: number };
  /** Undefined is the answer where the object still is this version. */
  ifNoneMatch?: ETag;
}

export interface ObjectBytes {
  bytes: Uint8Array;
  etag: ETag;
}

export interface ListOptions {
  /** Only keys after this one. */
  after?: string;
  /** At most so many, from 1 to 1000. */
  limit?: number;
}

export interface UploadedPart {
  number: number;
  etag: ETag;
}

/** An upload in parts that was begun, and neither completed nor aborted. */
export interface OpenUpload {
  key: string;
  upload: string;
}

export interface ObjectStore {
  /** @throws ERR_NOT_FOUND; ERR_INVALID_ARGUMENT where the range begins behind the object's end */
  get(key: string, options?: GetOptions): Promise<ObjectBytes | undefined>;
  /**
   * The object is there whole, or not at all.
   * @throws ERR_CONDITION_FAILED, and ERR_NOT_FOUND where `ifMatch` finds no object, though some stores say the former of that, too
   */
  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<ETag>;
  /** Whether it was there or not. */
  delete(key: string): Promise<void>;
  /** Keys that begin with `prefix`, in ascending order of their UTF-8; `more`: there are others behind them. */
  list(prefix: string, options?: ListOptions): Promise<{ objects: ObjectInfo[]; more: boolean }>;

  // Parts, for what is too large for one request. Not all stores take conditions here, so there are none.

  beginUpload(key: string): Promise<string>;
  /** Numbers are from 1 to 10,000. All but the last part have at least MIN_PART_BYTES. @throws ERR_NOT_FOUND without the upload */
  putPart(key: string, upload: string, number: number, bytes: Uint8Array): Promise<ETag>;
  /** Makes the object of these parts, by ascending number. @throws ERR_NOT_FOUND without the upload, ERR_INVALID_ARGUMENT without such parts */
  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<ETag>;
  /** Whether it was there or not. */
  abortUpload(key: string, upload: string): Promise<void>;
  listUploads(prefix: string): Promise<OpenUpload[]>;

  close(): Promise<void>;
}
