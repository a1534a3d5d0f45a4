/** Names given to and taken from existing inodes: link, unlink, rmdir. */
import { EEXIST, EISDIR, EMLINK, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM } from '../errno.js';
import { checkNewName, type Found, type Inodes, NAME_MAX, REMOVAL, RETRY, retry } from '../inodes/inodes.js';
import { Removal } from '../inodes/removal.js';
import { usageOf } from '../inodes/usage.js';
import { moveXattrs } from '../inodes/xattr-keys.js';
import {
  childKey,
  childrenPrefix,
  entryKey,
  entryXattrPrefix,
  inodeKey,
  inodeXattrPrefix,
  isKeptByNumber,
  parentOf,
  pathOfKey,
} from '../records/keys.js';
import * as record from '../records/record.js';
import type { Attributes, Place, RemovalResult } from '../types.js';

const MAX_LINKS = 0x7fff_ffff;

/**
 * Gives the inode at `place` another name. When it has two, its record and xattrs move to its number; an orphan's
 * become the entry's.
 */
export function link(
  inodes: Inodes,
  place: Place,
  newParent: Place,
  newName: Uint8Array,
  out: Attributes,
): number {
  if (typeof newParent === 'number') return -ENOENT;
  const bad = checkNewName(newParent, newName);
  if (bad !== 0) return bad;
  if (inodes.isHidden(newName)) return -EEXIST;
  const newKey = childKey(newParent, newName);
  if (typeof place === 'number') return nameOrphan(inodes, place, newParent, newKey, out);
  const parentKey = entryKey(newParent);
  return retry(() => {
    const found = inodes.find(place);
    const parent = inodes.tree.getRecord(parentKey);
    if (found === undefined || parent === undefined) return -ENOENT;
    if (record.typeOf(found.record) === record.DIRECTORY) return -EPERM;
    if (record.typeOf(parent.value) !== record.DIRECTORY) return -ENOTDIR;
    const links = record.linksOf(found.record);
    if (links >= MAX_LINKS) return -EMLINK;
    // Its bytes count below the root from then on.
    const refused = inodes.quotas.take(newParent, { files: 1, bytes: 0 });
    if (refused !== 0) return inodes.tree.getVersion(newKey) === undefined ? refused : -EEXIST;
    const ino = record.inoOf(found.record);
    const isFirst = !isKeptByNumber(found.key);
    const movesXattrs = isFirst && record.hasFlag(found.record, record.XATTRS);
    inodes.clock.read();
    record.setLinks(found.record, links + 1);
    inodes.stamp(found.record, record.CTIME);
    inodes.stampDirectory(parent.value);
    const name = record.newLink(ino, record.modeOf(found.record));
    const done = inodes.atomic((batch) => {
      batch.putIfAbsent(newKey, name);
      if (isFirst) {
        batch.compareAndPut(found.key, found.version, name);
        batch.putIfAbsent(inodeKey(ino), found.record);
        if (movesXattrs) moveXattrs(inodes.tree, batch, entryXattrPrefix(place), inodeXattrPrefix(ino));
      } else {
        batch.compareAndPut(found.key, found.version, found.record);
      }
      batch.compareAndPut(parentKey, parent.version, parent.value);
    });
    if (!done) return inodes.tree.getVersion(newKey) === undefined ? RETRY : -EEXIST;
    inodes.keyMoved(ino, inodeKey(ino));
    inodes.attributes(found.record, out);
    return 0;
  });
}

/** The orphan gets a name: its record and xattrs move from its number to the entry. */
function nameOrphan(
  inodes: Inodes,
  ino: number,
  parent: Uint8Array,
  key: Uint8Array,
  out: Attributes,
): number {
  const parentKey = entryKey(parent);
  return retry(() => {
    const found = inodes.find(ino);
    const above = inodes.tree.getRecord(parentKey);
    if (found === undefined || above === undefined) return -ENOENT;
    if (record.typeOf(found.record) === record.DIRECTORY) return -EPERM;
    if (record.typeOf(above.value) !== record.DIRECTORY) return -ENOTDIR;
    if (!inodes.quotas.isEmpty) {
      const refused = inodes.quotas.take(
        parentOf(pathOfKey(key)),
        usageOf(inodes, pathOfKey(key), found.record),
      );
      if (refused !== 0) return inodes.tree.getVersion(key) === undefined ? refused : -EEXIST;
    }
    inodes.clock.read();
    record.setLinks(found.record, 1);
    inodes.stamp(found.record, record.CTIME);
    inodes.stampDirectory(above.value);
    const hasXattrs = record.hasFlag(found.record, record.XATTRS);
    const done = inodes.atomic((batch) => {
      batch.putIfAbsent(key, found.record);
      if (found.version !== 0) batch.deleteIfVersion(found.key, found.version);
      if (hasXattrs) moveXattrs(inodes.tree, batch, inodeXattrPrefix(ino), entryXattrPrefix(pathOfKey(key)));
      batch.compareAndPut(parentKey, above.version, above.value);
    });
    if (!done) return inodes.tree.getVersion(key) === undefined ? RETRY : -EEXIST;
    inodes.orphans.delete(ino);
    inodes.keyMoved(ino, key);
    inodes.attributes(found.record, out);
    return 0;
  });
}

/** Told when the directory with number `ino` has lost the entry `name`. */
export type LossListener = (ino: number, name: Uint8Array) => void;

/** Removes a name: `directory` says of which kind. */
export function removeEntry(
  inodes: Inodes,
  parent: Place,
  name: Uint8Array,
  directory: boolean,
  result: RemovalResult,
  lost: LossListener,
): number {
  if (typeof parent === 'number') return -ENOENT;
  if (name.length > NAME_MAX) return -ENAMETOOLONG;
  const key = childKey(parent, name);
  const path = pathOfKey(key);
  const parentKey = entryKey(parent);
  return retry(() => {
    const entry = inodes.tree.getRecord(key);
    const above = inodes.tree.getRecord(parentKey);
    if (entry === undefined && inodes.isHidden(name)) return directory ? -EPERM : -EISDIR;
    if (entry === undefined || above === undefined) return -ENOENT;
    const isDirectory = record.typeOf(entry.value) === record.DIRECTORY;
    if (directory && !isDirectory) return -ENOTDIR;
    if (!directory && isDirectory) return -EISDIR;
    if (isDirectory && !inodes.tree.isPrefixEmpty(childrenPrefix(path))) return -ENOTEMPTY;
    const inode: Found | undefined = record.isLink(entry.value)
      ? inodes.findByKey(key)
      : { key, record: entry.value, version: entry.version };
    if (inode === undefined) return RETRY;
    inodes.clock.read();
    const removal = new Removal(inodes, key, inode);
    inodes.stampDirectory(above.value);
    if (isDirectory) record.setLinks(above.value, record.linksOf(above.value) - 1);
    const done = inodes.atomic((batch) => {
      batch.deleteIfVersion(key, entry.version);
      if (isDirectory) {
        batch.assertPrefixEmpty(childrenPrefix(path));
        inodes.quotas.recordRemoval(batch, path);
      }
      removal.record(batch);
      batch.compareAndPut(parentKey, above.version, above.value);
    }, REMOVAL);
    if (!done) return RETRY;
    removal.settle();
    if (isDirectory) inodes.quotas.settleRemoval(path);
    result.removedIno = removal.ino;
    result.removedLinks = removal.links;
    result.movedIno = 0;
    lost(record.inoOf(above.value), name);
    return 0;
  });
}
