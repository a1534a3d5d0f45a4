/** From a remote back: a part of a file's content. */
import { crc32 } from 'node:zlib';
import { SpinneyError } from '../../errors.js';
import { hasCode } from '../../store/object/errors.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import type { ContentPart } from './rows.js';

/** @throws ERR_REMOTE_CORRUPT where it is not there, or not what was shipped; and as `get` */
export async function fetchPart(store: ObjectStore, part: ContentPart): Promise<Uint8Array> {
  const { name, offset, bytes: length, crc } = part;
  if (name === undefined) return new Uint8Array(length);
  const corrupt = (why: string, cause?: unknown) =>
    new SpinneyError('ERR_REMOTE_CORRUPT', `Cannot fetch ${length} bytes of ${name}: ${why}`, { cause });
  if (part.inRow !== undefined) {
    if (part.inRow.length !== length || crc32(part.inRow) !== crc)
      throw corrupt('it has others than were shipped');
    return part.inRow;
  }
  let bytes: Uint8Array;
  try {
    bytes = (await store.get(name, { range: { offset, length } }))!.bytes;
  } catch (error) {
    if (hasCode(error, 'ERR_NOT_FOUND')) throw corrupt('there is no such object', error);
    if (hasCode(error, 'ERR_INVALID_ARGUMENT')) throw corrupt(`it ends before byte ${offset}`, error);
    throw error;
  }
  if (bytes.length !== length) throw corrupt(`it has ${bytes.length} of them at byte ${offset}`);
  if (crc32(bytes) !== crc) throw corrupt(`at byte ${offset} it has others than were shipped`);
  return bytes;
}
