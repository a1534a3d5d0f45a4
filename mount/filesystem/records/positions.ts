/**
 * Where a directory is: the inode number of the one that it is in (8 bytes, big-endian), then its name there. Entries are found
 * by path; this leads the other way, so that a directory is found in a snapshot by its number, whatever it, or one above
 * it, is called by now. Renaming a directory changes its own position alone.
 *
 * Every directory but the root has one, put and deleted in the batch that makes, moves or removes it. A store that an older
 * version wrote gets those that are missing before its first snapshot.
 */
import type { TreeOperations, TreeReads } from '../../../engine/api.js';
import { ROOT_INO } from './inode-numbers.js';
import {
  ENTRIES_PREFIX,
  entryKey,
  equalBytes,
  POSITIONS_KEY,
  pathOfKey,
  positionKey,
  SLASH,
} from './keys.js';
import * as record from './record.js';

const INO_BYTES = 8;
/** No path has as many; the positions of a damaged store could lead in a circle. */
const MOST_NAMES = 65_536;
const DIRECTORIES_PER_BATCH = 1_000;

export function newPosition(parentIno: number, name: Uint8Array): Uint8Array {
  const position = Buffer.allocUnsafe(INO_BYTES + name.length);
  position.writeUInt32BE(Math.floor(parentIno / 0x1_0000_0000), 0);
  position.writeUInt32BE(parentIno % 0x1_0000_0000, 4);
  position.set(name, INO_BYTES);
  return position;
}

/** The number of the directory that this position is in. */
export function parentOf(position: Uint8Array): number {
  const bytes = Buffer.from(position.buffer, position.byteOffset, position.byteLength);
  return bytes.readUInt32BE(0) * 0x1_0000_0000 + bytes.readUInt32BE(4);
}

/** The name there: a view of the position. */
export function nameOf(position: Uint8Array): Uint8Array {
  return position.subarray(INO_BYTES);
}

/** The path of a directory by its number; undefined where the tree has no such directory. One look-up for each name. */
export function pathOfDirectory(tree: TreeReads, ino: number): Uint8Array | undefined {
  const names: Uint8Array[] = [];
  let length = 0;
  for (let at = ino; at !== ROOT_INO; ) {
    const position = tree.get(positionKey(at));
    if (position === undefined || position.length <= INO_BYTES || names.length > MOST_NAMES) return undefined;
    const name = nameOf(position);
    length += 1 + name.length;
    names.push(name);
    at = parentOf(position);
  }
  const path = new Uint8Array(length);
  let at = 0;
  for (const name of names.reverse()) {
    path[at] = SLASH;
    path.set(name, at + 1);
    at += 1 + name.length;
  }
  const found = tree.get(entryKey(path));
  return found !== undefined && record.inoOf(found) === ino ? path : undefined;
}

/** Puts the positions that are missing. The only change of names meanwhile is the caller's. */
export function completePositions(tree: TreeOperations): void {
  if (tree.getVersion(POSITIONS_KEY) !== undefined) return;
  let parent: Uint8Array | undefined;
  let parentIno = 0;
  let missing: [key: Uint8Array, position: Uint8Array][] = [];
  const put = (): void => {
    tree.atomic((batch) => {
      for (const [key, position] of missing) batch.put(key, position);
    });
    missing = [];
  };
  for (const entry of tree.range({ prefix: ENTRIES_PREFIX })) {
    if (entry.type !== 'key' || record.typeOf(entry.value) !== record.DIRECTORY) continue;
    const path = pathOfKey(entry.key);
    if (path.length === 0) continue;
    const slash = path.lastIndexOf(SLASH);
    if (parent === undefined || !equalBytes(parent, path.subarray(0, slash))) {
      parent = path.slice(0, slash);
      const above = tree.get(entryKey(parent));
      parentIno = above === undefined ? 0 : record.inoOf(above);
    }
    const position = newPosition(parentIno, path.subarray(slash + 1));
    missing.push([positionKey(record.inoOf(entry.value)), position]);
    if (missing.length === DIRECTORIES_PER_BATCH) put();
  }
  put();
  tree.put(POSITIONS_KEY, new Uint8Array(0));
}
