/** What every store asks of its arguments, and the copying that keeps a store's state its own. */
import { SpinneyError } from '../errors.js';
import { BLOB_SIZE, MAX_SNAPSHOT_NAME_BYTES, MAX_SNAPSHOTS } from '../limits.js';
import type { BlobId, CheckpointMark, PinChanges, Pins } from './blob-store.js';

const MAX_BLOB_ID = 0xffff_ffff;
const MAX_PIN_ID = 0xffff_ffff;

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

/** Throws ERR_INVALID_ARGUMENT where a pin's id or name is not what Pin says; ERR_TOO_MANY_SNAPSHOTS. */
export function assertPinChanges({ add, remove = [] }: PinChanges, pins: Pins): void {
  if (add === undefined) return;
  const { id, name, lsn, generation, createdAt } = add;
  const fail = (what: string): never => {
    throw new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot add pin ${id}: ${what}`);
  };
  if (!Number.isInteger(id) || id <= pins.lastId() || id > MAX_PIN_ID)
    fail(`ids are whole numbers from ${pins.lastId() + 1} to ${MAX_PIN_ID}`);
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > MAX_SNAPSHOT_NAME_BYTES)
    fail(`its name has ${bytes} bytes, the limits are 1 and ${MAX_SNAPSHOT_NAME_BYTES}`);
  for (const number of [lsn, generation, createdAt])
    if (!Number.isFinite(number)) fail(`${number} is no number`);
  const staying = pins.list().filter((pin) => !remove.includes(pin.id));
  const other = staying.find((pin) => pin.name === name);
  if (other !== undefined) fail(`pin ${other.id} has the name ${JSON.stringify(name)}`);
  if (staying.some((pin) => pin.generation > generation))
    fail(`generation ${generation} is before that of another`);
  if (staying.length >= MAX_SNAPSHOTS) {
    throw new SpinneyError(
      'ERR_TOO_MANY_SNAPSHOTS',
      `Cannot add pin ${id}: there are ${staying.length}, the limit is ${MAX_SNAPSHOTS}`,
    );
  }
}

export function noSuchPin(pin: number, place: string): SpinneyError {
  return new SpinneyError('ERR_NOT_FOUND', `Cannot read pin ${pin}: it is not in ${place}`);
}
