/** setattr: mode, owner, times, size; and the loss of privileges by a change of content. */

import { EFBIG, EINVAL, ENOENT } from '../errno.js';
import { type Found, type Inodes, REMOVAL, RETRY, retry } from '../inodes/inodes.js';
import { xattrKey } from '../inodes/xattr-keys.js';
import type { OpenFiles } from '../open-files/open-files.js';
import * as record from '../records/record.js';
import * as types from '../types.js';
import { listAfterChmod } from './access-lists.js';

const PERMISSIONS = 0o7777;
const GROUP_EXECUTE = 0o010;
const CAPABILITY = Buffer.from('security.capability');
const CONTENT_TIMES = types.CHANGE_MTIME | types.CHANGE_MTIME_NOW | types.CHANGE_SIZE;

/** Applies a change. Whether the caller may make it has been decided by the kernel. */
export function setAttributes(
  inodes: Inodes,
  files: OpenFiles,
  place: types.Place,
  change: types.AttributeChange,
  out: types.Attributes,
): number {
  const resizes = (change.valid & types.CHANGE_SIZE) !== 0;
  if (resizes) {
    if (change.size < 0) return -EINVAL;
    if (change.size > Number.MAX_SAFE_INTEGER) return -EFBIG;
    const failed = files.truncate(place, change.size);
    if (failed !== 0) return failed;
  }
  return retry(() => {
    const found = inodes.find(place);
    if (found === undefined) return -ENOENT;
    const inode = found.record;
    const kills = (change.valid & types.CHANGE_KILL_PRIVILEGES) !== 0;
    const capability = kills ? capabilityOf(inodes, place, found) : undefined;
    const killedMode = kills ? withoutPrivileges(record.modeOf(inode)) : record.modeOf(inode);
    const changes = (change.valid & ~types.CHANGE_KILL_PRIVILEGES) !== 0;
    if (!changes && capability === undefined && killedMode === record.modeOf(inode)) {
      inodes.attributes(inode, out);
      return 0;
    }
    record.setMode(inode, killedMode);
    inodes.clock.read();
    const open = inodes.opens.get(record.inoOf(inode));
    if (inodes.isLeftLive(inode)) inodes.settle(inode);
    const isWrittenElsewhere = open === undefined && record.hasFlag(inode, record.LIVE);
    // What the truncation left live is settled, unless a writer has the file open.
    if (resizes && open?.live === true && open.writers === 0 && !open.mayBeMapped) {
      inodes.settle(inode);
      open.live = false;
      open.written = false;
    }
    applyChange(inodes, inode, change);
    if (open?.live === true && (change.valid & CONTENT_TIMES) !== 0) {
      open.written = false;
      inodes.alignContent(open, inode);
    } else if (isWrittenElsewhere && (change.valid & CONTENT_TIMES) !== 0) {
      inodes.setLeftTime(found);
    }
    // Without its mode nothing of an access list changes.
    const list = (change.valid & types.CHANGE_MODE) !== 0 ? listAfterChmod(inodes, place, found) : undefined;
    if (!replaceWith(inodes, found, list, capability)) return RETRY;
    inodes.attributes(inode, out);
    return 0;
  });
}

function applyChange(inodes: Inodes, inode: Uint8Array, change: types.AttributeChange): void {
  const { valid } = change;
  if ((valid & types.CHANGE_MODE) !== 0) {
    record.setMode(inode, record.typeOf(inode) | (change.mode & PERMISSIONS));
  }
  if ((valid & types.CHANGE_UID) !== 0) record.setUid(inode, change.uid);
  if ((valid & types.CHANGE_GID) !== 0) record.setGid(inode, change.gid);
  if ((valid & types.CHANGE_ATIME_NOW) !== 0) inodes.stamp(inode, record.ATIME);
  else if ((valid & types.CHANGE_ATIME) !== 0) {
    record.setTime(inode, record.ATIME, change.atimeSeconds, change.atimeNanos);
  }
  if ((valid & types.CHANGE_MTIME_NOW) !== 0) inodes.stamp(inode, record.MTIME);
  else if ((valid & types.CHANGE_MTIME) !== 0) {
    record.setTime(inode, record.MTIME, change.mtimeSeconds, change.mtimeNanos);
  } else if ((valid & types.CHANGE_SIZE) !== 0) inodes.stamp(inode, record.MTIME);
  if ((valid & types.CHANGE_CTIME) !== 0) {
    record.setTime(inode, record.CTIME, change.ctimeSeconds, change.ctimeNanos);
  } else inodes.stamp(inode, record.CTIME);
}

/** As Linux does on a write or chown: setuid goes, and setgid where it is not a mark for locking. */
function withoutPrivileges(mode: number): number {
  if ((mode & record.TYPE_MASK) === record.DIRECTORY) return mode;
  const kept = mode & ~record.SETUID;
  return (kept & GROUP_EXECUTE) !== 0 ? kept & ~record.SETGID : kept;
}

/** Key of the file's capabilities, where it has any. */
function capabilityOf(inodes: Inodes, place: types.Place, found: Found): Uint8Array | undefined {
  if (!record.hasFlag(found.record, record.XATTRS)) return undefined;
  const key = xattrKey(place, found, CAPABILITY);
  return inodes.tree.getVersion(key) === undefined ? undefined : key;
}

/** Replaces the record, and with it its access list, and takes its capabilities away. */
function replaceWith(
  inodes: Inodes,
  found: Found,
  list: { key: Uint8Array; value: Uint8Array } | undefined,
  capability: Uint8Array | undefined,
): boolean {
  if (list === undefined && capability === undefined) return inodes.replace(found);
  return inodes.atomic((batch) => {
    if (list !== undefined) batch.put(list.key, list.value);
    if (capability !== undefined) batch.delete(capability);
    batch.compareAndPut(found.key, found.version, found.record);
  }, REMOVAL);
}
