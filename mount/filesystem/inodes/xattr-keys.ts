/** Where the extended attributes of an inode are, and how they move from there. */
import type { Batch, TreeOperations } from '../../../engine/api.js';
import { MAX_KEY_BYTES } from '../../../engine/limits.js';
import { concat, entryXattrPrefix, inodeXattrPrefix, isKeptByNumber } from '../records/keys.js';
import * as record from '../records/record.js';
import type { Place } from '../types.js';
import type { Found } from './inodes.js';

/** So many are moved one by one. A graft costs as much as moving three, however many it moves. */
const MOST_MOVED_SINGLY = 2;

/** Prefix of the keys of the attributes of the inode found at `place`. */
export function xattrPrefix(place: Place, found: Found): Uint8Array {
  if (typeof place === 'number' || isKeptByNumber(found.key))
    return inodeXattrPrefix(record.inoOf(found.record));
  return entryXattrPrefix(place);
}

/** Key of one attribute of the inode found at `place`. */
export function xattrKey(place: Place, found: Found, name: Uint8Array): Uint8Array {
  return concat(xattrPrefix(place, found), name);
}

/**
 * Records the move of all attributes from one prefix to another, under which there are none by then. Keys that are, or
 * would be, longer than what can be put by itself (a directory above them was moved) are moved all the same.
 */
export function moveXattrs(tree: TreeOperations, batch: Batch, from: Uint8Array, to: Uint8Array): void {
  const keys: Uint8Array[] = [];
  const mostBytes = MAX_KEY_BYTES - Math.max(0, to.length - from.length);
  for (const entry of tree.range({ prefix: from, keysOnly: true })) {
    if (entry.type !== 'key') continue;
    if (keys.push(entry.key) <= MOST_MOVED_SINGLY && entry.key.length <= mostBytes) continue;
    batch.renamePrefix(from, to);
    return;
  }
  for (const key of keys) batch.rename(key, concat(to, key.subarray(from.length)));
}
