/** What a filesystem has in all, by the sums that its store keeps: no walk, and nothing of the disk below but blobs. */
import type { TreeReads } from '../../engine/api.js';
import { childrenPrefix, INODES_PREFIX } from '../filesystem/records/keys.js';
import { TEBIBYTE } from '../filesystem/records/measure.js';

export interface ContentTotals {
  /** All but directories; one with several names counts once for each. */
  files: number;
  /** Those below the root. */
  directories: number;
  /** Sizes of regular files and symbolic links. */
  bytes: number;
  /** Files that are open for writing, or were at a crash: their bytes are not counted. */
  unsized: number;
}

const ROOT = new Uint8Array(0);

/** @throws ERR_MEASURE where the store has no sums */
export function contentTotals(tree: Pick<TreeReads, 'measure'>): ContentTotals {
  const names = tree.measure(childrenPrefix(ROOT));
  // Of files with several names.
  const inodes = tree.measure(INODES_PREFIX);
  const bytes = names.bytes! + inodes.bytes! + (names.tebibytes! + inodes.tebibytes!) * TEBIBYTE;
  return {
    files: names.files!,
    directories: names.subdirs!,
    bytes,
    unsized: names.live! + inodes.live!,
  };
}
