/**
 * Renaming: one batch, with the removal of what was at the new name, and the move of all that is below, whose cost
 * does not grow with what that is.
 */
import { EEXIST, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY } from './errno.js';
import { checkNewName, type Found, type Inodes, NAME_MAX, RETRY, retry } from './inodes.js';
import {
  childKey,
  childrenPrefix,
  childrenXattrPrefix,
  concat,
  entryKey,
  entryXattrPrefix,
  equalBytes,
  isKeptByNumber,
  pathOfKey,
  startsWith,
} from './keys.js';
import * as record from './record.js';
import { Removal } from './removal.js';
import { closeBacking, startWriteback } from './system.js';
import type { Place, RemovalResult } from './types.js';

export const RENAME_NOREPLACE = 1;

/** Told when a directory, and with it all paths below, has moved. */
export type DirectoryMoved = (from: Uint8Array, to: Uint8Array) => void;

export function rename(
  inodes: Inodes,
  oldParent: Place,
  oldName: Uint8Array,
  newParent: Place,
  newName: Uint8Array,
  flags: number,
  result: RemovalResult,
  moved: DirectoryMoved,
): number {
  if ((flags & ~RENAME_NOREPLACE) !== 0) return -EINVAL;
  if (typeof oldParent === 'number' || typeof newParent === 'number') return -ENOENT;
  if (oldName.length > NAME_MAX) return -ENAMETOOLONG;
  const bad = checkNewName(newParent, newName);
  if (bad !== 0) return bad;
  const from = childKey(oldParent, oldName);
  const to = childKey(newParent, newName);
  return retry(() => renameOnce(inodes, from, to, oldParent, newParent, flags, result, moved));
}

function renameOnce(
  inodes: Inodes,
  from: Uint8Array,
  to: Uint8Array,
  oldParent: Uint8Array,
  newParent: Uint8Array,
  flags: number,
  result: RemovalResult,
  moved: DirectoryMoved,
): number {
  const { tree } = inodes;
  const entry = tree.getRecord(from);
  const above = tree.getRecord(entryKey(oldParent));
  const crosses = !equalBytes(oldParent, newParent);
  const newAbove = crosses ? tree.getRecord(entryKey(newParent)) : above;
  if (entry === undefined || above === undefined || newAbove === undefined) return -ENOENT;
  if (record.typeOf(newAbove.value) !== record.DIRECTORY) return -ENOTDIR;
  const isDirectory = record.typeOf(entry.value) === record.DIRECTORY;
  const oldPath = pathOfKey(from);
  const newPath = pathOfKey(to);
  if (isDirectory && startsWith(to, childrenPrefix(oldPath))) return -EINVAL;

  result.removedIno = 0;
  result.removedLinks = 0;
  result.movedIno = 0;
  const target = tree.getRecord(to);
  if (target !== undefined) {
    if ((flags & RENAME_NOREPLACE) !== 0) return -EEXIST;
    if (record.inoOf(target.value) === record.inoOf(entry.value)) return 0;
    const replacesDirectory = record.typeOf(target.value) === record.DIRECTORY;
    if (isDirectory && !replacesDirectory) return -ENOTDIR;
    if (!isDirectory && replacesDirectory) return -EISDIR;
    if (replacesDirectory && !tree.isPrefixEmpty(childrenPrefix(newPath))) return -ENOTEMPTY;
  }

  const isLink = record.isLink(entry.value);
  const source: Found | undefined = isLink
    ? inodes.findByKey(from)
    : { key: from, record: entry.value, version: entry.version };
  const replaced = target === undefined ? undefined : inodes.findByKey(to);
  if (source === undefined || (target !== undefined && replaced === undefined)) return RETRY;

  inodes.clock.read();
  inodes.stamp(source.record, record.CTIME);
  inodes.stampDirectory(above.value);
  if (crosses) inodes.stampDirectory(newAbove.value);
  if (isDirectory) {
    record.setLinks(above.value, record.linksOf(above.value) - 1);
    record.setLinks(newAbove.value, record.linksOf(newAbove.value) + (target === undefined ? 1 : 0));
  }
  const removal = replaced === undefined ? undefined : new Removal(inodes, to, replaced);
  const hasXattrs = !isLink && record.hasFlag(source.record, record.XATTRS);
  if (removal !== undefined) writeBackFirst(inodes, source);

  const done = tree.atomic((batch) => {
    if (isDirectory) batch.assertPrefixEmpty(childrenPrefix(newPath));
    removal?.record(batch);
    batch.deleteIfVersion(from, entry.version);
    if (target === undefined) batch.putIfAbsent(to, entry.value);
    else batch.compareAndPut(to, target.version, entry.value);
    if (isLink) batch.compareAndPut(source.key, source.version, source.record);
    if (hasXattrs) batch.renamePrefix(entryXattrPrefix(oldPath), entryXattrPrefix(newPath));
    if (isDirectory) {
      batch.renamePrefix(childrenPrefix(oldPath), childrenPrefix(newPath));
      batch.renamePrefix(childrenXattrPrefix(oldPath), childrenXattrPrefix(newPath));
    }
    batch.compareAndPut(entryKey(oldParent), above.version, above.value);
    if (crosses) batch.compareAndPut(entryKey(newParent), newAbove.version, newAbove.value);
  });
  if (!done) return RETRY;

  removal?.settle();
  const ino = record.inoOf(entry.value);
  const open = inodes.opens.get(ino);
  if (open !== undefined && !isKeptByNumber(open.key)) open.key = to;
  result.removedIno = removal?.ino ?? 0;
  result.removedLinks = removal?.links ?? 0;
  result.movedIno = ino;
  if (isDirectory) {
    moveOpenInodes(inodes, childrenPrefix(oldPath), childrenPrefix(newPath));
    moved(oldPath, newPath);
  }
  return 0;
}

/** So that "write a new file, rename it over the old one" does not leave an empty file after a power cut. */
function writeBackFirst(inodes: Inodes, source: Found): void {
  if (!record.hasFlag(source.record, record.CONTENT)) return;
  const ino = record.inoOf(source.record);
  const shared = inodes.opens.get(ino)?.fd ?? -1;
  const fd = shared >= 0 ? shared : inodes.content.open(ino);
  if (fd < 0) return;
  try {
    startWriteback(fd);
  } finally {
    if (fd !== shared) closeBacking(fd);
  }
}

function moveOpenInodes(inodes: Inodes, from: Uint8Array, to: Uint8Array): void {
  for (const open of inodes.opens.values()) {
    if (startsWith(open.key, from)) open.key = concat(to, open.key.subarray(from.length));
  }
}
