import * as record from '../../records/record.js';

/** In place of a size: there is no such file. */
export const NO_FILE = -1;

/**
 * What is wrong with an inode's content, whose backing file has `bytes` (NO_FILE: it is missing); undefined where nothing
 * is. While a record is LIVE the backing file tells its size; no one else's word is taken for it.
 */
export function faultOf(inode: Uint8Array, bytes: number): string | undefined {
  const size = record.sizeOf(inode);
  if (record.hasFlag(inode, record.LIVE)) {
    return bytes === NO_FILE ? 'its content is missing, and it was open for writing' : undefined;
  }
  if (bytes === size || (bytes === NO_FILE && size === 0)) return undefined;
  if (bytes === NO_FILE) return `its ${size} bytes are missing`;
  return bytes < size
    ? `of its ${size} bytes ${bytes} are there`
    : `its content has ${bytes} bytes, it should have ${size}`;
}
