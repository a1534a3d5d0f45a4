import type { Batch } from '../../../engine/api.js';

/** What a remote has of a content, as the tree tells it. */
export interface RemoteContent {
  size: number;
  /** Of the file that it was. */
  mtimeSeconds: number;
  mtimeNanos: number;
  /** It comes in parts of so many bytes, but for the last. */
  partBytes: number;
}

/** The tree's rows of what the remote has. */
export interface RemoteRows {
  find(ino: number, born: number): RemoteContent | undefined;
  /** Whether the file at `path` is exactly what the remote has. */
  isShipped(ino: number, born: number, path: string): boolean;
  /** The file at `path` was made of what the remote has. */
  noteFetched(ino: number, born: number, path: string): void;
  /** The content is gone, and its file: as part of a batch. */
  remove(batch: Batch, ino: number, born: number): void;
}

/** A file in `away` that somebody reads who does not wait for all of it. */
export interface PartialContent {
  readonly ino: number;
  readonly born: number;
  readonly attempt: number;
  readonly path: string;
  readonly size: number;
  readonly partBytes: number;
  readonly here: Set<number>;
  readonly asked: Set<number>;
}
