/** What main and the thread that speaks with a remote say to each other. */
import type { S3Options } from '../../engine/before-open.js';
import type { ErrorCode } from '../../engine/errors.js';
import type { MountLog, RemoteEnd, RemoteStats, WarmProgress } from '../types.js';

/** What the thread is started with. */
export interface RemoteThreadData {
  s3: S3Options;
  /** Of the store, 32 hex digits. */
  holder: string;
  /** The store's, and its contents'. */
  directory: string;
  contentDirectory: string;
  /** Bytes of contents that there should be here at most. */
  contentCacheBytes: number;
}

/** What main asks for; each is answered. */
export type RemoteRequest = { id: number } & (
  | { kind: 'take-over' }
  | { kind: 'resume'; tree: unknown }
  /** Makes a store that follows in the directory, which is empty. */
  | { kind: 'follow' }
  /** That store is open: it becomes what the remote has by now. */
  | { kind: 'catch-up'; tree: unknown }
  | { kind: 'serve'; tree: unknown; end: RemoteEnd; board: SharedArrayBuffer }
  | { kind: 'warm'; path: Uint8Array }
  /** A warm that nobody waits for any more. */
  | { kind: 'cancel'; of: number }
  | { kind: 'finish' }
  /** How it is now. */
  | { kind: 'stats' }
  | { kind: 'stop' }
);

export type RemoteAsked = RemoteRequest extends infer Each
  ? Each extends { id: number }
    ? Omit<Each, 'id'>
    : never
  : never;

export type RemoteMessage =
  | { kind: 'answer'; id: number; value: unknown }
  | { kind: 'failure'; id: number; code: ErrorCode | undefined; message: string }
  | { kind: 'progress'; id: number; progress: WarmProgress | FinishProgress }
  | { kind: 'notice'; text: string }
  | { kind: 'stats'; stats: RemoteStats }
  | {
      kind: 'log';
      level: Parameters<MountLog>[0];
      message: string;
      fields?: Record<string, unknown> | undefined;
    };

/** What the remote has not yet. */
export interface FinishProgress {
  records: number;
  contents: number;
  bytes: number;
}
