/**
 * Renaming: one batch, with the removal of what was at the new name, and the move of all that is below, whose cost
 * does not grow with what that is.
 */
import type { Batch } from '../../../engine/api.js';
import { EEXIST, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM } from '../errno.js';
import { checkNewName, type Found, type Inodes, NAME_MAX, RETRY, retry } from '../inodes/inodes.js';
import type { Addition } from '../inodes/quotas.js';
import { Removal } from '../inodes/removal.js';
import { usageOf } from '../inodes/usage.js';
import { moveXattrs } from '../inodes/xattr-keys.js';
import {
  childKey,
  childrenPrefix,
  childrenXattrPrefix,
  concat,
  EXCHANGE_PREFIX,
  entryKey,
  entryXattrPrefix,
  equalBytes,
  isKeptByNumber,
  pathOfKey,
  positionKey,
  startsWith,
} from '../records/keys.js';
import { newPosition } from '../records/positions.js';
import * as record from '../records/record.js';
import {
  type Caller,
  type Place,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  type RemovalResult,
} from '../types.js';
import type { LossListener } from './links.js';

export interface MoveListener {
  /** A directory, and with it all paths below, has moved. */
  moved(from: Uint8Array, to: Uint8Array): void;
  /** What is at two paths has changed places. */
  exchanged(one: Uint8Array, other: Uint8Array): void;
  lost: LossListener;
}

export function rename(
  inodes: Inodes,
  caller: Caller,
  oldParent: Place,
  oldName: Uint8Array,
  newParent: Place,
  newName: Uint8Array,
  flags: number,
  result: RemovalResult,
  listener: MoveListener,
): number {
  if (!areValid(flags)) return -EINVAL;
  if (typeof oldParent === 'number' || typeof newParent === 'number') return -ENOENT;
  if (oldName.length > NAME_MAX) return -ENAMETOOLONG;
  const bad = checkNewName(newParent, newName);
  if (bad !== 0) return bad;
  if (inodes.isHidden(newName)) return -EEXIST;
  const from = childKey(oldParent, oldName);
  if (inodes.isHidden(oldName) && inodes.tree.getVersion(from) === undefined) return -EPERM;
  const to = childKey(newParent, newName);
  if ((flags & RENAME_EXCHANGE) !== 0) {
    return retry(() => exchangeOnce(inodes, from, to, oldParent, newParent, result, listener));
  }
  return retry(() => renameOnce(inodes, caller, from, to, oldParent, newParent, flags, result, listener));
}

const NOTHING: Addition = { files: 0, bytes: 0 };

/** Takes room in a directory for what comes from another, where `leaving` makes way for it; 0, or -EDQUOT. */
function takeMoved(
  inodes: Inodes,
  from: Uint8Array,
  to: Uint8Array,
  coming: Addition,
  leaving: Addition,
): number {
  const files = Math.max(0, coming.files - leaving.files);
  const bytes = Math.max(0, coming.bytes - leaving.bytes);
  return inodes.quotas.take(to, { files, bytes }, from);
}

function areValid(flags: number): boolean {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) return false;
  return (flags & RENAME_EXCHANGE) === 0 || flags === RENAME_EXCHANGE;
}

function renameOnce(
  inodes: Inodes,
  caller: Caller,
  from: Uint8Array,
  to: Uint8Array,
  oldParent: Uint8Array,
  newParent: Uint8Array,
  flags: number,
  result: RemovalResult,
  listener: MoveListener,
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

  clear(result);
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

  if (crosses && !inodes.quotas.isEmpty) {
    const leaving = target === undefined ? NOTHING : usageOf(inodes, newPath, target.value);
    const refused = takeMoved(inodes, oldParent, newParent, usageOf(inodes, oldPath, entry.value), leaving);
    if (refused !== 0) return refused;
  }
  const moves: [Uint8Array, Uint8Array][] = isDirectory ? [[oldPath, newPath]] : [];

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
  const whiteout = (flags & RENAME_WHITEOUT) !== 0 ? newWhiteout(inodes, caller, above.value) : undefined;

  const done = inodes.atomic((batch) => {
    if (isDirectory) {
      batch.assertPrefixEmpty(childrenPrefix(newPath));
      inodes.quotas.recordRemoval(batch, newPath);
      inodes.quotas.recordMoves(batch, moves);
    }
    removal?.record(batch);
    if (whiteout === undefined) batch.deleteIfVersion(from, entry.version);
    else batch.compareAndPut(from, entry.version, whiteout);
    if (target === undefined) batch.putIfAbsent(to, entry.value);
    else batch.compareAndPut(to, target.version, entry.value);
    if (isLink) batch.compareAndPut(source.key, source.version, source.record);
    if (hasXattrs) moveXattrs(tree, batch, entryXattrPrefix(oldPath), entryXattrPrefix(newPath));
    if (isDirectory) {
      batch.renamePrefix(childrenPrefix(oldPath), childrenPrefix(newPath));
      batch.renamePrefix(childrenXattrPrefix(oldPath), childrenXattrPrefix(newPath));
      putPosition(batch, entry.value, newAbove.value, newParent, newPath);
    }
    batch.compareAndPut(entryKey(oldParent), above.version, above.value);
    if (crosses) batch.compareAndPut(entryKey(newParent), newAbove.version, newAbove.value);
  });
  if (!done) return RETRY;

  removal?.settle();
  if (isDirectory && !inodes.quotas.isEmpty) {
    inodes.quotas.settleRemoval(newPath);
    inodes.quotas.settleMoves(moves);
  }
  const ino = record.inoOf(entry.value);
  moveOpen(inodes, ino, to);
  result.removedIno = removal?.ino ?? 0;
  result.removedLinks = removal?.links ?? 0;
  result.movedIno = ino;
  if (whiteout === undefined) listener.lost(record.inoOf(above.value), from.subarray(oldParent.length + 2));
  if (isDirectory) {
    moveOpenInodes(inodes, childrenPrefix(oldPath), childrenPrefix(newPath));
    listener.moved(oldPath, newPath);
  }
  return 0;
}

/** Two entries of any types change places. */
function exchangeOnce(
  inodes: Inodes,
  from: Uint8Array,
  to: Uint8Array,
  oldParent: Uint8Array,
  newParent: Uint8Array,
  result: RemovalResult,
  listener: MoveListener,
): number {
  const { tree } = inodes;
  const one = findEntry(inodes, from);
  const other = findEntry(inodes, to);
  const above = tree.getRecord(entryKey(oldParent));
  const crosses = !equalBytes(oldParent, newParent);
  const newAbove = crosses ? tree.getRecord(entryKey(newParent)) : above;
  if (one === undefined || other === undefined || above === undefined || newAbove === undefined)
    return -ENOENT;
  const onePath = pathOfKey(from);
  const otherPath = pathOfKey(to);
  if (startsWith(to, childrenPrefix(onePath)) || startsWith(from, childrenPrefix(otherPath))) return -EINVAL;
  clear(result);
  if (one.ino === other.ino) return 0;
  if (crosses && !inodes.quotas.isEmpty) {
    const [weight, otherWeight] = [
      usageOf(inodes, onePath, one.entry),
      usageOf(inodes, otherPath, other.entry),
    ];
    const refused =
      takeMoved(inodes, oldParent, newParent, weight, otherWeight) ||
      takeMoved(inodes, newParent, oldParent, otherWeight, weight);
    if (refused !== 0) return refused;
  }
  const moves: [Uint8Array, Uint8Array][] = [
    [onePath, otherPath],
    [otherPath, onePath],
  ];

  inodes.clock.read();
  inodes.stamp(one.inode.record, record.CTIME);
  inodes.stamp(other.inode.record, record.CTIME);
  inodes.stampDirectory(above.value);
  if (crosses) {
    inodes.stampDirectory(newAbove.value);
    const moved = Number(one.isDirectory) - Number(other.isDirectory);
    record.setLinks(above.value, record.linksOf(above.value) - moved);
    record.setLinks(newAbove.value, record.linksOf(newAbove.value) + moved);
  }
  const done = inodes.atomic((batch) => {
    batch.compareAndPut(from, one.version, other.entry);
    batch.compareAndPut(to, other.version, one.entry);
    for (const { isLink, inode } of [one, other]) {
      if (isLink) batch.compareAndPut(inode.key, inode.version, inode.record);
    }
    if (one.hasXattrs || other.hasXattrs) {
      exchangePrefixes(batch, entryXattrPrefix(onePath), entryXattrPrefix(otherPath));
    }
    if (one.isDirectory || other.isDirectory) {
      exchangePrefixes(batch, childrenPrefix(onePath), childrenPrefix(otherPath));
      exchangePrefixes(batch, childrenXattrPrefix(onePath), childrenXattrPrefix(otherPath));
      inodes.quotas.recordMoves(batch, moves);
    }
    if (one.isDirectory) putPosition(batch, one.entry, newAbove.value, newParent, otherPath);
    if (other.isDirectory) putPosition(batch, other.entry, above.value, oldParent, onePath);
    batch.compareAndPut(entryKey(oldParent), above.version, above.value);
    if (crosses) batch.compareAndPut(entryKey(newParent), newAbove.version, newAbove.value);
  });
  if (!done) return RETRY;

  if (!inodes.quotas.isEmpty) inodes.quotas.settleMoves(moves);
  moveOpen(inodes, one.ino, to);
  moveOpen(inodes, other.ino, from);
  result.movedIno = one.ino;
  if (one.isDirectory || other.isDirectory) {
    exchangeOpenInodes(inodes, childrenPrefix(onePath), childrenPrefix(otherPath));
    listener.exchanged(onePath, otherPath);
  }
  return 0;
}

/** An entry, and the inode that it stands for: the same bytes unless it is a link. */
interface Entry {
  entry: Uint8Array;
  version: number;
  inode: Found;
  ino: number;
  isLink: boolean;
  isDirectory: boolean;
  hasXattrs: boolean;
}

function findEntry(inodes: Inodes, key: Uint8Array): Entry | undefined {
  const stored = inodes.tree.getRecord(key);
  if (stored === undefined) return undefined;
  const { value: entry, version } = stored;
  const isLink = record.isLink(entry);
  const inode = isLink ? inodes.findByKey(key) : { key, record: entry, version };
  if (inode === undefined) return undefined;
  return {
    entry,
    version,
    inode,
    ino: record.inoOf(entry),
    isLink,
    isDirectory: record.typeOf(entry) === record.DIRECTORY,
    hasXattrs: !isLink && record.hasFlag(entry, record.XATTRS),
  };
}

function exchangePrefixes(batch: Batch, one: Uint8Array, other: Uint8Array): void {
  batch.renamePrefix(one, EXCHANGE_PREFIX);
  batch.renamePrefix(other, one);
  batch.renamePrefix(EXCHANGE_PREFIX, other);
}

/** A directory is at `path` now, in the directory `parent`, whose record is `above`. */
function putPosition(
  batch: Batch,
  directory: Uint8Array,
  above: Uint8Array,
  parent: Uint8Array,
  path: Uint8Array,
): void {
  const name = path.subarray(parent.length + 1);
  batch.put(positionKey(record.inoOf(directory)), newPosition(record.inoOf(above), name));
}

function clear(result: RemovalResult): void {
  result.removedIno = 0;
  result.removedLinks = 0;
  result.movedIno = 0;
}

function newWhiteout(inodes: Inodes, caller: Caller, directory: Uint8Array): Uint8Array {
  const whiteout = record.newRecord(inodes.numbers.take(), record.CHARACTER_DEVICE);
  const inheritsGroup = (record.modeOf(directory) & record.SETGID) !== 0;
  record.setOwner(whiteout, caller.uid, inheritsGroup ? record.gidOf(directory) : caller.gid);
  inodes.stamp(whiteout, record.ATIME, record.MTIME, record.CTIME, record.BTIME);
  return whiteout;
}

/** So that "write a new file, rename it over the old one" does not leave an empty file after a power cut. */
function writeBackFirst(inodes: Inodes, source: Found): void {
  if (!record.hasFlag(source.record, record.CONTENT)) return;
  const { disk } = inodes.content;
  const ino = record.inoOf(source.record);
  const open = inodes.opens.get(ino);
  // After a power cut what has no name is gone.
  if (open?.spare !== undefined && inodes.descriptors.isWritten(open)) inodes.nameContent(open);
  if (open?.hasContent === true && open.partial === undefined) {
    disk.startWriteback(inodes.descriptors.use(open));
    return;
  }
  // What a remote has, and is not here, no power cut takes away.
  if (inodes.away !== undefined && !inodes.content.isHere(ino, record.bornOf(source.record))) return;
  const fd = inodes.content.open(ino, record.bornOf(source.record));
  if (fd < 0) return;
  try {
    disk.startWriteback(fd);
  } finally {
    disk.close(fd);
  }
}

/** The inode's entry has this key now. */
function moveOpen(inodes: Inodes, ino: number, key: Uint8Array): void {
  const known = inodes.opens.get(ino) ?? inodes.left.get(ino);
  if (known !== undefined && !isKeptByNumber(known.key)) inodes.keyMoved(ino, key);
}

function exchangeOpenInodes(inodes: Inodes, one: Uint8Array, other: Uint8Array): void {
  for (const open of inodes.known()) {
    if (startsWith(open.key, one)) open.key = concat(other, open.key.subarray(one.length));
    else if (startsWith(open.key, other)) open.key = concat(one, open.key.subarray(other.length));
  }
}

function moveOpenInodes(inodes: Inodes, from: Uint8Array, to: Uint8Array): void {
  for (const open of inodes.known()) {
    if (startsWith(open.key, from)) open.key = concat(to, open.key.subarray(from.length));
  }
}
