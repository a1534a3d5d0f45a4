/** Making new inodes: files, directories, special files and symbolic links; and files without a name. */

import type { Batch } from '../../../engine/api.js';
import { MAX_VALUE_BYTES } from '../../../engine/limits.js';
import { EEXIST, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR } from '../errno.js';
import { checkNewName, type Inodes, RETRY, retry } from '../inodes/inodes.js';
import { ACCESS_LIST, DEFAULT_LIST } from '../records/acl.js';
import {
  childKey,
  concat,
  entryKey,
  entryXattrPrefix,
  inodeXattrPrefix,
  orphanKey,
  pathOfKey,
  positionKey,
} from '../records/keys.js';
import { newPosition } from '../records/positions.js';
import * as record from '../records/record.js';
import type { Attributes, Caller, Place } from '../types.js';
import { type Inheritance, inherit } from './access-lists.js';

/** Longest target of a symbolic link: one less than PATH_MAX, as in Linux. */
const MAX_TARGET_BYTES = 4_095;
const MODE_BITS = 0o7777;

/**
 * Makes an entry of any type but a link; `mode` has the type bits. The group, and for a directory the setgid bit,
 * come from a parent with setgid; a parent's default access list takes the place of the caller's umask. `isLive`: the file
 * is about to be opened by somebody whose writes are not seen.
 */
export function makeEntry(
  inodes: Inodes,
  caller: Caller,
  parent: Place,
  name: Uint8Array,
  mode: number,
  rdev: number,
  target: Uint8Array | undefined,
  isLive: boolean,
  out: Attributes,
): number {
  if (typeof parent === 'number') return -ENOENT;
  const bad = checkNewName(parent, name);
  if (bad !== 0) return bad;
  if (inodes.isHidden(name)) return -EEXIST;
  if (target !== undefined) {
    if (target.length === 0) return -ENOENT;
    if (target.length > MAX_TARGET_BYTES || target.length > MAX_VALUE_BYTES) return -ENAMETOOLONG;
  }
  const type = mode & record.TYPE_MASK;
  if (!isKnownType(type)) return -EINVAL;
  const parentKey = entryKey(parent);
  const key = childKey(parent, name);
  return retry(() => {
    const directory = inodes.tree.getRecord(parentKey);
    if (directory === undefined) return -ENOENT;
    if (record.typeOf(directory.value) !== record.DIRECTORY) return -ENOTDIR;
    if (!inodes.quotas.isEmpty) {
      const refused = inodes.quotas.take(parent, { files: 1, bytes: target?.length ?? 0 });
      if (refused !== 0) return inodes.tree.getVersion(key) === undefined ? refused : -EEXIST;
    }
    const inherited = inherit(inodes, parent, directory.value, type, mode & MODE_BITS, caller.umask);
    inodes.clock.read();
    const inode = newInode(
      inodes,
      caller,
      directory.value,
      type,
      inherited,
      target,
      isLive ? inodes.snapshots.last : 0,
    );
    record.setDevice(inode, type === record.CHARACTER_DEVICE || type === record.BLOCK_DEVICE ? rdev : 0);
    if (isLive) {
      record.setFlag(inode, record.LIVE | record.CONTENT);
      inodes.descriptors.promiseSpare(record.inoOf(inode), record.bornOf(inode));
    }
    inodes.stampDirectory(directory.value);
    if (type === record.DIRECTORY) {
      record.setLinks(inode, 2);
      record.setLinks(directory.value, record.linksOf(directory.value) + 1);
    }
    const done = inodes.atomic((batch) => {
      batch.putIfAbsent(key, inode);
      putLists(batch, entryXattrPrefix(pathOfKey(key)), inherited);
      if (type === record.DIRECTORY) {
        batch.put(positionKey(record.inoOf(inode)), newPosition(record.inoOf(directory.value), name));
      }
      batch.compareAndPut(parentKey, directory.version, directory.value);
    });
    if (!done) return inodes.tree.getVersion(key) === undefined ? RETRY : -EEXIST;
    record.readAttributes(inode, out);
    return 0;
  });
}

/**
 * Makes a regular file without a name in the directory `parent`: an orphan, to which `link` may give one. Returns
 * its number, or a negative errno.
 */
export function makeNameless(
  inodes: Inodes,
  caller: Caller,
  parent: Place,
  mode: number,
  out: Attributes,
): number {
  if (typeof parent === 'number') return -ENOENT;
  const directory = inodes.tree.get(entryKey(parent));
  if (directory === undefined) return -ENOENT;
  if (record.typeOf(directory) !== record.DIRECTORY) return -ENOTDIR;
  const inherited = inherit(inodes, parent, directory, record.REGULAR, mode & MODE_BITS, caller.umask);
  inodes.clock.read();
  const inode = newInode(inodes, caller, directory, record.REGULAR, inherited, undefined, 0);
  record.setLinks(inode, 0);
  const ino = record.inoOf(inode);
  // Without a list or content there is nothing to reclaim after a crash.
  if (inherited.access !== undefined) {
    inodes.atomic((batch) => {
      batch.put(orphanKey(ino), inode);
      putLists(batch, inodeXattrPrefix(ino), inherited);
    });
  }
  inodes.orphans.set(ino, inherited.access === undefined ? inode : null);
  record.readAttributes(inode, out);
  return ino;
}

/** A record with the present time, of the caller's; the clock has been read. */
function newInode(
  inodes: Inodes,
  caller: Caller,
  directory: Uint8Array,
  type: number,
  inherited: Inheritance,
  target: Uint8Array | undefined,
  born: number,
): Uint8Array {
  const inheritsGroup = (record.modeOf(directory) & record.SETGID) !== 0;
  const bits = type === record.DIRECTORY && inheritsGroup ? inherited.bits | record.SETGID : inherited.bits;
  const inode = record.newRecord(inodes.numbers.take(), type | bits, target, born);
  record.setOwner(inode, caller.uid, inheritsGroup ? record.gidOf(directory) : caller.gid);
  inodes.stamp(inode, record.ATIME, record.MTIME, record.CTIME, record.BTIME);
  if (inherited.access !== undefined) record.setFlag(inode, record.ACL | record.XATTRS);
  if (inherited.defaults !== undefined) record.setFlag(inode, record.DEFAULT_ACL | record.XATTRS);
  return inode;
}

function putLists(batch: Batch, prefix: Uint8Array, inherited: Inheritance): void {
  if (inherited.access !== undefined) batch.put(concat(prefix, ACCESS_LIST), inherited.access);
  if (inherited.defaults !== undefined) batch.put(concat(prefix, DEFAULT_LIST), inherited.defaults);
}

function isKnownType(type: number): boolean {
  switch (type) {
    case record.REGULAR:
    case record.DIRECTORY:
    case record.SYMLINK:
    case record.FIFO:
    case record.SOCKET:
    case record.CHARACTER_DEVICE:
    case record.BLOCK_DEVICE:
      return true;
    default:
      return false;
  }
}
