/** What is seen of a content and of its parts before they are put. */
import { SpinneyError } from '../../errors.js';
import { CONTENT_PART_BYTES, MAX_CONTENT_ROWS, PARTS_PER_ROW } from '../../limits.js';
import type { ShippedContent } from './rows.js';

/** Whether the remote has all of it, though its row does not tell of the file as it is now. */
export function isThere(before: ShippedContent, { size, mtime, parts }: ShippedContent): boolean {
  const { seconds, nanos } = before.mtime;
  const isSameTime = seconds === mtime.seconds && nanos === mtime.nanos;
  return before.size === size && isSameTime && parts.every((part, index) => part === before.parts[index]);
}

export function isZero(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0) return false;
  // Each byte is the one before.
  return Buffer.compare(bytes.subarray(1), bytes.subarray(0, bytes.length - 1)) === 0;
}

export function tooLarge(path: string, size: number): SpinneyError {
  const most = MAX_CONTENT_ROWS * PARTS_PER_ROW * CONTENT_PART_BYTES;
  return new SpinneyError(
    'ERR_IO',
    `Cannot ship the content ${path}: it has ${size} bytes, and a remote takes ${most}; make it smaller, or keep it elsewhere`,
  );
}
