/** What goes between an S3ObjectStore and its worker. */
import type { ErrorCode } from '../../../errors.js';
import type { ObjectStore } from '../object-store.js';

export type Method = keyof ObjectStore;

export interface Request {
  id: number;
  method: Method;
  given: readonly unknown[];
}

/** Its `id` is 0 where it tells that the worker is there, or why it is not. */
export interface Reply {
  id: number;
  value?: unknown;
  failure?: { code: ErrorCode; message: string };
}
