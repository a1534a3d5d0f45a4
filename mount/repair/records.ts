/** Reading the records of a tree that is being repaired. */
import type { Tree } from '../../engine/index.js';
import * as record from '../filesystem/records/record.js';

export interface Item {
  key: Uint8Array;
  value: Uint8Array;
  version: number;
}

const ITEMS_PER_STEP = 256;
const ALL_FLAGS = record.LIVE | record.CONTENT | record.XATTRS | record.ACL | record.DEFAULT_ACL;
/** Numbers are given out in turn. */
const MOST_PLAUSIBLE_INO = 2 ** 32;
const TYPES: ReadonlySet<number> = new Set([
  record.DIRECTORY,
  record.REGULAR,
  record.SYMLINK,
  record.FIFO,
  record.SOCKET,
  record.CHARACTER_DEVICE,
  record.BLOCK_DEVICE,
]);

/**
 * The records whose keys begin with `prefix`, in order. The tree may be changed meanwhile, also behind the present place: each
 * is given as it is when its turn comes.
 */
export function* itemsBelow(tree: Tree, prefix: Uint8Array): Generator<Item> {
  let startAfter: Uint8Array | undefined;
  for (;;) {
    const items: Item[] = [];
    for (const item of tree.range({ prefix, ...(startAfter !== undefined && { startAfter }) })) {
      if (item.type === 'key' && items.push(item) >= ITEMS_PER_STEP) break;
    }
    for (const item of items) {
      const now = tree.getVersion(item.key);
      if (now === item.version) yield item;
      else if (now !== undefined) {
        const stored = tree.getRecord(item.key);
        if (stored !== undefined) yield { key: item.key, ...stored };
      }
    }
    startAfter = items.at(-1)?.key;
    if (startAfter === undefined) return;
  }
}

/** As `isSound`, of bytes that may be anything else, too. */
export function looksLikeRecord(value: Uint8Array): boolean {
  if (!isSound(value) || value[1]! > ALL_FLAGS || record.inoOf(value) > MOST_PLAUSIBLE_INO) return false;
  if (record.isLink(value)) return true;
  const times = [record.ATIME, record.MTIME, record.CTIME, record.BTIME];
  if (times.some((time) => record.nanosOf(value, time) >= 1_000_000_000)) return false;
  return record.typeOf(value) === record.SYMLINK || value.length === record.bytesOf(value);
}

/** Whether the bytes are a record that this version knows. */
export function isSound(value: Uint8Array): boolean {
  try {
    record.isLink(value);
  } catch {
    return false;
  }
  return TYPES.has(record.typeOf(value)) && record.inoOf(value) > 0;
}
