/**
 * Copies of contents that a kill left on their way: which of them belong to records by now, and which snapshots still share a
 * file with one that may be written. Nothing is changed here: a start goes on with them (open-files/renewal.ts), and whoever
 * only reads finds contents where they are (`findContents`).
 */
import type { TreeReads } from '../../../engine/api.js';
import { bornOfKey, inoOfSplit, keptKey, SPLITS_PREFIX } from '../records/keys.js';
import { diedOf } from '../records/snapshot-ids.js';
import type { ContentCopy } from '../types.js';
import type { ContentFiles } from './content.js';
import { copiesDirectory, parseCopyName } from './content-copy.js';
import { newFileStatus } from './disk/content-disk.js';

export interface LeftCopies {
  /** Whole, and the content of a record since; and where they are. */
  moved: { copy: ContentCopy; path: string }[];
  /** Of no use. */
  garbage: string[];
  /** Contents that snapshots share with files; `hasMoved`: the record tells of the other name. */
  splits: { copy: ContentCopy; hasMoved: boolean }[];
}

export const NO_COPIES: Readonly<LeftCopies> = { moved: [], garbage: [], splits: [] };

/** `wasCut`: the machine came to an end since, so that no copy without its name is known to be whole. */
export function leftCopies(tree: TreeReads, content: ContentFiles, wasCut: boolean): LeftCopies {
  const left: LeftCopies = { moved: [], garbage: [], splits: [] };
  const { disk } = content;
  const directory = copiesDirectory(content.directory);
  const isThere = disk.nodeAt(directory) !== undefined;
  for (const { name } of isThere ? disk.list(directory) : []) {
    const path = `${directory}/${name}`;
    const copy = parseCopyName(name);
    if (copy !== undefined && !wasCut && isMoved(tree, content, copy)) left.moved.push({ copy, path });
    else left.garbage.push(path);
  }
  for (const item of tree.range({ prefix: SPLITS_PREFIX })) {
    if (item.type !== 'key' || item.value.length !== 4) continue;
    const [ino, born] = [inoOfSplit(item.key), bornOfKey(item.key)];
    const copy = { ino, born, next: Buffer.from(item.value).readUInt32LE() };
    left.splits.push({ copy, hasMoved: tree.getVersion(keptKey(ino, born)) !== undefined });
  }
  return left;
}

/** Whether the record has moved to this copy: the content that it is of is kept since, and the new one is not there. */
function isMoved(tree: TreeReads, content: ContentFiles, { ino, born, next }: ContentCopy): boolean {
  const kept = tree.get(keptKey(ino, born));
  return kept !== undefined && diedOf(kept) <= next && !content.status(ino, next, newFileStatus());
}

/** Notes where contents are that have not got their names. */
export function findContents(content: ContentFiles, left: LeftCopies): void {
  for (const { copy, path } of left.moved) content.isAt(copy.ino, copy.next, path);
  for (const { copy, hasMoved } of left.splits) {
    if (!hasMoved || content.status(copy.ino, copy.next, newFileStatus())) continue;
    content.isAt(copy.ino, copy.next, content.pathOf(copy.ino, copy.born));
  }
}
