/** What every store asks of its arguments, and the copying that keeps a store's state its own. */
import { SpinneyError } from '../errors.js';
import { BLOB_SIZE } from '../limits.js';
import type { BlobId, CheckpointMark } from './blob-store.js';

const MAX_BLOB_ID = 0xffff_ffff;

/** Throws ERR_INVALID_ARGUMENT unless `id` is a blob id: an integer from 1 to 2^32 - 1. */
export function assertBlobId(id: BlobId): void {
  if (Number.isInteger(id) && id >= 1 && id <= MAX_BLOB_ID) return;
  throw new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot use blob id ${id}: ids are 1 to ${MAX_BLOB_ID}`);
}

export function assertImageSize(image: Uint8Array): void {
  if (image.length === BLOB_SIZE) return;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot use a buffer of ${image.length} bytes as a blob image: it must have ${BLOB_SIZE}`,
  );
}

export function copyMark(mark: CheckpointMark): CheckpointMark {
  return { ...mark, pendingDeletes: [...mark.pendingDeletes] };
}

export function assertPendingDeletes(mark: CheckpointMark, limit: number): void {
  const count = mark.pendingDeletes.length;
  if (count <= limit) return;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot flush: the mark has ${count} pending deletes, the limit is ${limit}`,
  );
}
