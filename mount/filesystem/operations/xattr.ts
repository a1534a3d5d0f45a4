/**
 * Extended attributes: `x` keys beside an entry, `y` keys of an inode that is kept by its number. Access control lists
 * are read and listed here, and changed in access-lists.ts; Spinney's own, which are in no list, are in own-attributes.ts.
 */

import { MAX_KEY_BYTES } from '../../../engine/limits.js';
import { E2BIG, EEXIST, EINVAL, ENAMETOOLONG, ENODATA, ENOENT, EOPNOTSUPP, ERANGE } from '../errno.js';
import { type Inodes, REMOVAL, RETRY, retry } from '../inodes/inodes.js';
import type { ReadableInodes } from '../inodes/readable.js';
import { xattrKey, xattrPrefix } from '../inodes/xattr-keys.js';
import { isAccessListName } from '../records/acl.js';
import { equalBytes, startsWith } from '../records/keys.js';
import { isOwnAttribute } from '../records/own-names.js';
import * as record from '../records/record.js';
import type { Caller, Place } from '../types.js';
import { hasAccessList } from './access-lists.js';
import { removeOwnAttribute, setOwnAttribute } from './own-attributes.js';

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;
const MAX_NAME_BYTES = 255;
const MAX_VALUE_BYTES = 65_536;
const MAX_LIST_BYTES = 65_536;
const TRUSTED = Buffer.from('trusted.');
const NAMESPACES = [Buffer.from('user.'), TRUSTED, Buffer.from('security.')];

/** `flags`: 0, XATTR_CREATE (EEXIST where it exists) or XATTR_REPLACE (ENODATA where it does not). */
export function setXattr(
  inodes: Inodes,
  caller: Caller,
  place: Place,
  name: Uint8Array,
  value: Uint8Array,
  flags: number,
): number {
  if (value.length > MAX_VALUE_BYTES) return -E2BIG;
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) return -EINVAL;
  if (isOwnAttribute(name)) return setOwnAttribute(inodes, caller, place, name, value, flags);
  const bad = checkName(name);
  if (bad !== 0) return bad;
  return retry(() => {
    const found = inodes.find(place);
    if (found === undefined) return -ENOENT;
    const key = xattrKey(place, found, name);
    if (key.length > MAX_KEY_BYTES) return -ENAMETOOLONG;
    const stored = record.hasFlag(found.record, record.XATTRS) ? inodes.tree.get(key) : undefined;
    if (stored !== undefined && (flags & XATTR_CREATE) !== 0) return -EEXIST;
    if (stored === undefined && (flags & XATTR_REPLACE) !== 0) return -ENODATA;
    // Nothing changes, the ctime included.
    if (stored !== undefined && equalBytes(stored, value)) return 0;
    inodes.clock.read();
    inodes.stamp(found.record, record.CTIME);
    record.setFlag(found.record, record.XATTRS);
    if (found.version === 0) inodes.keepOrphan(found);
    const isFirstLabel = inodes.labels.isUnknown(name);
    const done = inodes.atomic((batch) => {
      batch.put(key, value);
      batch.compareAndPut(found.key, found.version, found.record);
      if (isFirstLabel) inodes.labels.record(batch);
    });
    if (!done) return RETRY;
    if (isFirstLabel) inodes.labels.set();
    return 0;
  });
}

/** The value, or a negative errno. */
export function getXattr(inodes: ReadableInodes, place: Place, name: Uint8Array): Uint8Array | number {
  const isList = isAccessListName(name);
  const bad = isList ? 0 : checkName(name);
  if (bad !== 0) return bad;
  if (inodes.labels.isUnknown(name)) return -EOPNOTSUPP;
  const found = inodes.find(place);
  if (found === undefined) return -ENOENT;
  const mayExist = isList ? hasAccessList(found.record, name) : record.hasFlag(found.record, record.XATTRS);
  if (!mayExist) return -ENODATA;
  return inodes.tree.get(xattrKey(place, found, name)) ?? -ENODATA;
}

/** The names, each ended by a zero byte, or a negative errno. Root alone sees those in `trusted.`. */
export function listXattrs(inodes: ReadableInodes, caller: Caller, place: Place): Uint8Array | number {
  const found = inodes.find(place);
  if (found === undefined) return -ENOENT;
  if (!record.hasFlag(found.record, record.XATTRS)) return new Uint8Array(0);
  const prefix = xattrPrefix(place, found);
  const names: Uint8Array[] = [];
  let bytes = 0;
  for (const entry of inodes.tree.range({ prefix, keysOnly: true })) {
    if (entry.type !== 'key') continue;
    const name = entry.key.subarray(prefix.length);
    if (caller.uid !== 0 && startsWith(name, TRUSTED)) continue;
    bytes += name.length + 1;
    if (bytes > MAX_LIST_BYTES) return -E2BIG;
    names.push(name);
  }
  const list = new Uint8Array(bytes);
  let at = 0;
  for (const name of names) {
    list.set(name, at);
    at += name.length + 1;
  }
  return list;
}

export function removeXattr(inodes: Inodes, caller: Caller, place: Place, name: Uint8Array): number {
  if (isOwnAttribute(name)) return removeOwnAttribute(inodes, caller, place, name);
  const bad = checkName(name);
  if (bad !== 0) return bad;
  return retry(() => {
    const found = inodes.find(place);
    if (found === undefined) return -ENOENT;
    const key = xattrKey(place, found, name);
    const version = inodes.tree.getVersion(key);
    if (version === undefined) return -ENODATA;
    inodes.clock.read();
    inodes.stamp(found.record, record.CTIME);
    const done = inodes.atomic((batch) => {
      batch.deleteIfVersion(key, version);
      batch.compareAndPut(found.key, found.version, found.record);
    }, REMOVAL);
    return done ? 0 : RETRY;
  });
}

/** `system.*` but access control lists, and unknown namespaces, are not stored. */
function checkName(name: Uint8Array): number {
  if (name.length === 0 || name.length > MAX_NAME_BYTES) return -ERANGE;
  for (const namespace of NAMESPACES) {
    if (name.length < namespace.length) continue;
    if (namespace.compare(name, 0, namespace.length) !== 0) continue;
    return name.length === namespace.length || name.includes(0) ? -EINVAL : 0;
  }
  return -EOPNOTSUPP;
}
