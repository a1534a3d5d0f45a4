/** What the protocol stands on, given once to all of its parts. */
import { randomBytes } from 'node:crypto';
import { SpinneyError } from '../errors.js';
import type { Clock } from '../store/object/clock.js';
import { hasCode } from '../store/object/errors.js';
import type { ETag, ObjectStore } from '../store/object/object-store.js';
import { decodeHead, type Head } from './objects/head.js';
import { HEAD } from './objects/names.js';

export interface Site {
  /** One that asks again by itself (RetryingObjectStore). */
  store: ObjectStore;
  clock: Clock;
  /** 32 hex digits that nobody ever had. */
  newId: () => string;
}

export function newId(): string {
  return randomBytes(16).toString('hex');
}

/** Undefined where there is none. @throws as `decodeHead` and `get` */
export async function readHead(site: Site): Promise<{ head: Head; etag: ETag } | undefined> {
  try {
    const { bytes, etag } = (await site.store.get(HEAD))!;
    return { head: decodeHead(bytes), etag };
  } catch (error) {
    if (hasCode(error, 'ERR_NOT_FOUND')) return undefined;
    throw error;
  }
}

/** What a writer is told once HEAD is not his. */
export function taken(why: string): SpinneyError {
  return new SpinneyError('ERR_REMOTE_TAKEN', `Cannot write to the remote: ${why}`);
}
