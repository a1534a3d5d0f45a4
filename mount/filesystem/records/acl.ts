/**
 * POSIX access control lists in the form that they have in an extended attribute: a version (4 bytes), then entries
 * of tag (2), permissions (2), uid or gid (4), little-endian, sorted by tag.
 */
import { equalBytes } from './keys.js';

/** Names of the attributes: the list of an inode, and the one that what is made in a directory inherits. */
export const ACCESS_LIST: Uint8Array = Buffer.from('system.posix_acl_access');
export const DEFAULT_LIST: Uint8Array = Buffer.from('system.posix_acl_default');

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;

const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;
const ALL = 0o7;

export function isAccessListName(name: Uint8Array): boolean {
  return equalBytes(name, ACCESS_LIST) || equalBytes(name, DEFAULT_LIST);
}

/** Whether the list is one that Linux takes: all that must be there, once, in order, named ones only with a mask. */
export function isValidAcl(acl: Uint8Array): boolean {
  const entries = (acl.length - HEADER_BYTES) / ENTRY_BYTES;
  if (entries < 3 || !Number.isInteger(entries)) return false;
  const view = new DataView(acl.buffer, acl.byteOffset, acl.length);
  if (view.getUint32(0, true) !== VERSION) return false;
  let seen = 0;
  for (let at = HEADER_BYTES; at < acl.length; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    if (view.getUint16(at + 2, true) > ALL) return false;
    const isKnown = (tag & (USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER)) === tag && isOneBit(tag);
    const isRepeatable = tag === USER || tag === GROUP;
    if (!isKnown || seen >= tag << 1 || (seen >= tag && !isRepeatable)) return false;
    seen |= tag;
  }
  const needed =
    (seen & (USER | GROUP)) !== 0 ? USER_OBJ | GROUP_OBJ | OTHER | MASK : USER_OBJ | GROUP_OBJ | OTHER;
  return (seen & needed) === needed;
}

function isOneBit(number: number): boolean {
  return number !== 0 && (number & (number - 1)) === 0;
}

/** Whether the list says no more than permission bits can. */
export function isMinimalAcl(acl: Uint8Array): boolean {
  for (let at = HEADER_BYTES; at < acl.length; at += ENTRY_BYTES) {
    if ((acl[at]! & (USER | GROUP | MASK)) !== 0) return false;
  }
  return true;
}

/** The nine permission bits of a file with this list: where there is a mask, it stands for the group's. */
export function permissionsOf(acl: Uint8Array): number {
  let bits = 0;
  for (let at = HEADER_BYTES; at < acl.length; at += ENTRY_BYTES) {
    const permissions = acl[at + 2]!;
    switch (acl[at]) {
      case USER_OBJ:
        bits |= permissions << 6;
        break;
      case GROUP_OBJ:
        bits |= permissions << 3;
        break;
      case MASK:
        // After GROUP_OBJ, whose bits it replaces.
        bits = (bits & ~(ALL << 3)) | (permissions << 3);
        break;
      case OTHER:
        bits |= permissions;
        break;
    }
  }
  return bits;
}

/** The list after a chmod to these permission bits. */
export function withPermissions(acl: Uint8Array, bits: number): Uint8Array {
  const changed = new Uint8Array(acl);
  const group = groupEntry(acl);
  for (let at = HEADER_BYTES; at < acl.length; at += ENTRY_BYTES) {
    if (acl[at] === USER_OBJ) changed[at + 2] = (bits >>> 6) & ALL;
    else if (at === group) changed[at + 2] = (bits >>> 3) & ALL;
    else if (acl[at] === OTHER) changed[at + 2] = bits & ALL;
  }
  return changed;
}

/** The list of what is made with these permission bits in a directory with this default list; its bits are the file's. */
export function inheritedAcl(defaults: Uint8Array, bits: number): Uint8Array {
  return withPermissions(defaults, permissionsOf(defaults) & bits);
}

/** Offset of the entry that the group's permission bits show. */
function groupEntry(acl: Uint8Array): number {
  let found = 0;
  for (let at = HEADER_BYTES; at < acl.length; at += ENTRY_BYTES) {
    if (acl[at] === GROUP_OBJ || acl[at] === MASK) found = at;
  }
  return found;
}
