/** What reading names and attributes needs, whether of the tree as it is or as a snapshot has it. */
import type { TreeReads } from '../../../engine/api.js';
import { SpinneyError } from '../../../engine/errors.js';
import { inodeKey } from '../records/keys.js';
import type { Labels } from '../records/labels.js';
import * as record from '../records/record.js';
import type { Attributes, Place } from '../types.js';

/** A record, and where it was found. `version` 0: only in `orphans`. */
export interface Found {
  key: Uint8Array;
  record: Uint8Array;
  version: number;
}

export interface ReadableInodes {
  readonly tree: TreeReads;
  readonly labels: Labels;
  /** The inode record at a place (never a link). */
  read(place: Place): Uint8Array | undefined;
  /** As `read`, with where the record is. Undefined: nothing is there. */
  find(place: Place): Found | undefined;
  /** The inode record that an entry's record stands for. */
  follow(entry: Uint8Array | undefined): Uint8Array | undefined;
  /** Decodes a record, and asks the backing file what only it knows. */
  attributes(inode: Uint8Array, out: Attributes): void;
}

export function followEntry(tree: TreeReads, entry: Uint8Array | undefined): Uint8Array | undefined {
  if (entry === undefined || !record.isLink(entry)) return entry;
  const ino = record.inoOf(entry);
  return tree.get(inodeKey(ino)) ?? missingInode(ino);
}

export function findByKey(tree: TreeReads, key: Uint8Array): Found | undefined {
  const stored = tree.getRecord(key);
  if (stored === undefined) return undefined;
  if (!record.isLink(stored.value)) return { key, record: stored.value, version: stored.version };
  const ino = record.inoOf(stored.value);
  const target = inodeKey(ino);
  const inode = tree.getRecord(target) ?? missingInode(ino);
  return { key: target, record: inode.value, version: inode.version };
}

function missingInode(ino: number): never {
  throw new SpinneyError(
    'ERR_NOT_FOUND',
    `Cannot read inode ${ino}: an entry names it, but its record is missing`,
  );
}
