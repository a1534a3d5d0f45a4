/** What contents that only snapshots have take on the disk, found by looking at each: a part at a time. */
import type { Tree } from '../../engine/index.js';
import { ContentFiles } from '../filesystem/contents/content.js';
import { newFileStatus } from '../filesystem/contents/disk/content-disk.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { bornOfKey, inoOfKey, KEPT_PREFIX } from '../filesystem/records/keys.js';
import { diedOf } from '../filesystem/records/snapshot-ids.js';

/** What stat counts in. */
const BLOCK_BYTES = 512;

export interface KeptContents {
  /** Of contents that no file has any more. Those that share extents with others count in full. */
  bytes: number;
  /** By snapshot id: of those that no other snapshot has. */
  own: Map<number, number>;
  /** Where to go on; undefined: that was all. */
  next: Uint8Array | undefined;
}

/** `ids`: of the snapshots that there are. Looks at up to `most` kept contents behind `after` (undefined: from the first on). */
export function measureKeptContents(
  tree: Tree,
  contentDirectory: string,
  ids: readonly number[],
  after: Uint8Array | undefined,
  most: number,
): KeptContents {
  const content = new ContentFiles(new SystemDisk(), contentDirectory, true);
  const status = newFileStatus();
  const own = new Map<number, number>();
  let bytes = 0;
  let seen = 0;
  for (const item of tree.range({ prefix: KEPT_PREFIX, ...(after !== undefined && { startAfter: after }) })) {
    if (item.type !== 'key') continue;
    const born = bornOfKey(item.key);
    const died = diedOf(item.value);
    const having = ids.filter((id) => id > born && id <= died);
    if (having.length > 0 && content.status(inoOfKey(item.key), born, status)) {
      const taken = status.blocks * BLOCK_BYTES;
      bytes += taken;
      const [only, another] = having;
      if (another === undefined) own.set(only!, (own.get(only!) ?? 0) + taken);
    }
    if (++seen === most) return { bytes, own, next: item.key };
  }
  return { bytes, own, next: undefined };
}
