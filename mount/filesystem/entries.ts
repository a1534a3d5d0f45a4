/** Making new entries: files, directories, special files and symbolic links. */
import { MAX_VALUE_BYTES } from '../../engine/limits.js';
import { EEXIST, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR } from './errno.js';
import { checkNewName, type Inodes, RETRY, retry } from './inodes.js';
import { childKey, entryKey } from './keys.js';
import * as record from './record.js';
import type { Attributes, Caller, Place } from './types.js';

/** Longest target of a symbolic link: one less than PATH_MAX, as in Linux. */
const MAX_TARGET_BYTES = 4_095;
const MODE_BITS = 0o7777;

/**
 * Makes an entry of any type but a link; `mode` has the type bits. The group, and for a directory the setgid bit,
 * come from a parent with setgid. The umask is the driver's business.
 */
export function makeEntry(
  inodes: Inodes,
  caller: Caller,
  parent: Place,
  name: Uint8Array,
  mode: number,
  rdev: number,
  target: Uint8Array | undefined,
  out: Attributes,
): number {
  if (typeof parent === 'number') return -ENOENT;
  const bad = checkNewName(parent, name);
  if (bad !== 0) return bad;
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
    const inherits = (record.modeOf(directory.value) & record.SETGID) !== 0;
    let bits = mode & MODE_BITS;
    if (type === record.DIRECTORY && inherits) bits |= record.SETGID;
    const inode = record.newRecord(inodes.numbers.take(), type | bits, target);
    record.setOwner(inode, caller.uid, inherits ? record.gidOf(directory.value) : caller.gid);
    record.setDevice(inode, type === record.CHARACTER_DEVICE || type === record.BLOCK_DEVICE ? rdev : 0);
    inodes.clock.read();
    inodes.stamp(inode, record.ATIME, record.MTIME, record.CTIME, record.BTIME);
    inodes.stampDirectory(directory.value);
    if (type === record.DIRECTORY) {
      record.setLinks(inode, 2);
      record.setLinks(directory.value, record.linksOf(directory.value) + 1);
    }
    const done = inodes.tree.atomic((batch) => {
      batch.putIfAbsent(key, inode);
      batch.compareAndPut(parentKey, directory.version, directory.value);
    });
    if (!done) return inodes.tree.getVersion(key) === undefined ? RETRY : -EEXIST;
    record.readAttributes(inode, out);
    return 0;
  });
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
