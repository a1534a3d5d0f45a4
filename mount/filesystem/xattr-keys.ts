/** Where the extended attributes of an inode are. */
import type { Found } from './inodes.js';
import { concat, entryXattrPrefix, inodeXattrPrefix, isKeptByNumber } from './keys.js';
import * as record from './record.js';
import type { Place } from './types.js';

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
