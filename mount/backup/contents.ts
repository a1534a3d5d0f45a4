/** Which contents the trees of a backup and of its source tell of, and which nobody does any more. */
import { diffImages, type Images, type TreeChange } from '../../engine/index.js';
import { ContentFiles } from '../filesystem/contents/content.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { ContentSet } from '../filesystem/records/inode-set.js';
import { ENTRIES_PREFIX, INODES_PREFIX, showKey } from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';

export interface ChangedContent {
  ino: number;
  born: number;
  /** As the record tells it. */
  size: number;
  isLive: boolean;
  /** How people call the file. */
  where: string;
}

/** Contents of files whose records differ, what was and what is. Blobs that both have are not looked at. */
export function* changedContents(
  before: Images | undefined,
  after: Images,
): Generator<{ before: ChangedContent | undefined; after: ChangedContent | undefined }, void, undefined> {
  for (const prefix of [ENTRIES_PREFIX, INODES_PREFIX]) {
    for (const change of diffImages(before, after, prefix)) {
      const [was, is] = [contentOf(change, change.before), contentOf(change, change.after)];
      if (was !== undefined || is !== undefined) yield { before: was, after: is };
    }
  }
}

/** Undefined where the record is of nothing that has a content. */
function contentOf({ key }: TreeChange, found: TreeChange['after']): ChangedContent | undefined {
  if (found === undefined) return undefined;
  const inode = found.value;
  if (record.isLink(inode) || record.typeOf(inode) !== record.REGULAR) return undefined;
  if (!record.hasFlag(inode, record.CONTENT)) return undefined;
  return {
    ino: record.inoOf(inode),
    born: record.bornOf(inode),
    size: record.sizeOf(inode),
    isLive: record.hasFlag(inode, record.LIVE),
    where: showKey(key),
  };
}

/** Removes all contents that no record tells of. Returns how many. */
export function sweep(images: Images, directory: string): number {
  const told = contentsTold(images);
  const files = new ContentFiles(new SystemDisk(), directory, false);
  let removed = 0;
  for (const { ino, born } of files.list()) {
    if (told.has(ino, born)) continue;
    files.remove(ino, born);
    removed++;
  }
  return removed;
}

function contentsTold(images: Images): ContentSet {
  const told = new ContentSet();
  for (const { after } of changedContents(undefined, images)) {
    if (after !== undefined) told.add(after.ino, after.born);
  }
  return told;
}
