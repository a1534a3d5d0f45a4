/**
 * Access control lists of inodes. They are kept as the extended attributes that Linux shows them as, together with
 * the permission bits that follow from them: whatever changes one changes the other in the same batch. Access is
 * decided by the kernel.
 *
 * Invariant: a record has ACL (DEFAULT_ACL) exactly if the attribute exists. An access list says more than permission
 * bits can; one that does not is not kept.
 */

import { EACCES, EINVAL, ENOENT, EOPNOTSUPP } from '../errno.js';
import { type Found, type Inodes, REMOVAL, RETRY, retry } from '../inodes/inodes.js';
import { xattrKey } from '../inodes/xattr-keys.js';
import {
  ACCESS_LIST,
  DEFAULT_LIST,
  inheritedAcl,
  isMinimalAcl,
  isValidAcl,
  permissionsOf,
  withPermissions,
} from '../records/acl.js';
import { concat, entryXattrPrefix, equalBytes } from '../records/keys.js';
import * as record from '../records/record.js';
import type { Place } from '../types.js';

const PERMISSIONS = 0o777;

/** Whether the record has the list that is kept under this name. */
export function hasAccessList(inode: Uint8Array, name: Uint8Array): boolean {
  return record.hasFlag(inode, equalBytes(name, DEFAULT_LIST) ? record.DEFAULT_ACL : record.ACL);
}

/** Sets a list, by its attribute's name. `killsSetgid`: the caller has no right to keep the file's setgid bit. */
export function setAccessList(
  inodes: Inodes,
  place: Place,
  name: Uint8Array,
  list: Uint8Array,
  killsSetgid: boolean,
): number {
  if (!isValidAcl(list)) return -EINVAL;
  const isDefault = equalBytes(name, DEFAULT_LIST);
  return retry(() => {
    const found = inodes.find(place);
    if (found === undefined) return -ENOENT;
    const inode = found.record;
    const mode = record.modeOf(inode);
    if (record.typeOf(inode) === record.SYMLINK) return -EOPNOTSUPP;
    if (isDefault && record.typeOf(inode) !== record.DIRECTORY) return -EACCES;
    inodes.clock.read();
    inodes.stamp(inode, record.CTIME);
    if (!isDefault) {
      const kept = killsSetgid ? mode & ~record.SETGID : mode;
      record.setMode(inode, (kept & ~PERMISSIONS) | permissionsOf(list));
      if (isMinimalAcl(list)) return put(inodes, place, found, name, undefined, record.ACL);
    }
    return put(inodes, place, found, name, list, isDefault ? record.DEFAULT_ACL : record.ACL);
  });
}

/** Removes a list, by its attribute's name; one that is not there too, as Linux does. The permission bits stay. */
export function removeAccessList(inodes: Inodes, place: Place, name: Uint8Array): number {
  const flag = equalBytes(name, DEFAULT_LIST) ? record.DEFAULT_ACL : record.ACL;
  return retry(() => {
    const found = inodes.find(place);
    if (found === undefined) return -ENOENT;
    if (!record.hasFlag(found.record, flag)) return 0;
    inodes.clock.read();
    inodes.stamp(found.record, record.CTIME);
    return put(inodes, place, found, name, undefined, flag);
  });
}

/** Puts the changed record, and its list beside it or (undefined) no list. */
function put(
  inodes: Inodes,
  place: Place,
  found: Found,
  name: Uint8Array,
  list: Uint8Array | undefined,
  flag: number,
): number {
  const key = xattrKey(place, found, name);
  if (list === undefined) record.clearFlag(found.record, flag);
  else record.setFlag(found.record, flag | record.XATTRS);
  if (found.version === 0) {
    if (list === undefined) return inodes.replace(found) ? 0 : RETRY;
    inodes.keepOrphan(found);
  }
  const done = inodes.atomic(
    (batch) => {
      if (list === undefined) batch.delete(key);
      else batch.put(key, list);
      batch.compareAndPut(found.key, found.version, found.record);
    },
    list === undefined ? REMOVAL : {},
  );
  return done ? 0 : RETRY;
}

/** After a chmod, which has been applied to the record: key and value of its access list, where it has one. */
export function listAfterChmod(
  inodes: Inodes,
  place: Place,
  found: Found,
): { key: Uint8Array; value: Uint8Array } | undefined {
  if (!record.hasFlag(found.record, record.ACL)) return undefined;
  const key = xattrKey(place, found, ACCESS_LIST);
  const list = inodes.tree.get(key);
  if (list === undefined) return undefined;
  return { key, value: withPermissions(list, record.modeOf(found.record)) };
}

/** What a new inode gets: permission bits, and lists to be kept beside its record. */
export interface Inheritance {
  bits: number;
  access: Uint8Array | undefined;
  defaults: Uint8Array | undefined;
}

/**
 * Permissions of what is made with mode `bits` in the directory `parent`: a default list there takes the umask's
 * place, and goes down to directories.
 */
export function inherit(
  inodes: Inodes,
  parent: Uint8Array,
  directory: Uint8Array,
  type: number,
  bits: number,
  umask: number,
): Inheritance {
  if (type === record.SYMLINK) return { bits, access: undefined, defaults: undefined };
  const defaults = record.hasFlag(directory, record.DEFAULT_ACL)
    ? inodes.tree.get(concat(entryXattrPrefix(parent), DEFAULT_LIST))
    : undefined;
  if (defaults === undefined) return { bits: bits & ~umask, access: undefined, defaults: undefined };
  const access = inheritedAcl(defaults, bits);
  return {
    bits: (bits & ~PERMISSIONS) | permissionsOf(access),
    access: isMinimalAcl(access) ? undefined : access,
    defaults: type === record.DIRECTORY ? defaults : undefined,
  };
}
