/** What passes between the thread that serves images and whoever started it. */
import type { FileBlobStoreHandle } from '../../store/file/file-blob-store.js';
import type { S3Options } from '../../store/object/s3/options.js';

export interface ImageWorkerData {
  s3: S3Options;
  board: SharedArrayBuffer;
  directory: string;
  /** Readers are told of an object store that is away after so many milliseconds. */
  patienceMs: number;
}

export type ImageRequest =
  /** The directory is a store, and tells of what it lacks. */
  | { type: 'serve' }
  /** All images are wanted, of the store that is open now. */
  | { type: 'fetch-all'; handle: FileBlobStoreHandle }
  /** That store is going to be closed. */
  | { type: 'stop-fetching' };

export type ImageReply =
  | { type: 'serving' }
  | { type: 'progress'; done: number; total: number }
  | { type: 'done' }
  | { type: 'stopped-fetching' }
  | { type: 'failed'; message: string };
