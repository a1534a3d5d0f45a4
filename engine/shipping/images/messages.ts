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

/** Asks for all images, of the store that is open now. */
export interface FetchAllRequest {
  fetchAll: FileBlobStoreHandle;
}

export type ImageReply =
  | { type: 'ready' }
  | { type: 'progress'; done: number; total: number }
  | { type: 'done' }
  | { type: 'failed'; message: string };
