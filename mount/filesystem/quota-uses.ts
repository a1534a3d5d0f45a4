/** How far the limits of directories are used, for whoever watches over a mount: a part of them at a time. */
import type { Tree } from '../../engine/index.js';
import { ContentFiles } from './contents/content.js';
import { newFileStatus } from './contents/disk/content-disk.js';
import { SystemDisk } from './contents/disk/system.js';
import { usageBelow } from './inodes/usage.js';
import { pathOfKey, QUOTAS_PREFIX, showPath } from './records/keys.js';
import { readLimits } from './records/limits.js';
import * as record from './records/record.js';
import type { Attributes } from './types.js';

export interface QuotaUse {
  /** The directory, as people are told it. */
  directory: string;
  of: 'bytes' | 'files';
  limit: number;
  used: number;
}

export interface QuotaUses {
  uses: QuotaUse[];
  /** Where to go on; undefined: that was all. */
  next: Uint8Array | undefined;
}

/** Looks at the limits of up to `most` directories behind `after` (undefined: from the first on); costs what `Tree.measure` does for each. */
export function quotaUses(
  tree: Tree,
  contentDirectory: string,
  after: Uint8Array | undefined,
  most: number,
): QuotaUses {
  const content = new ContentFiles(new SystemDisk(), contentDirectory, true);
  const status = newFileStatus();
  const attributes = (inode: Uint8Array, out: Attributes): void => {
    record.readAttributes(inode, out);
    // While a file is open for writing its content tells the size.
    if (content.status(record.inoOf(inode), record.bornOf(inode), status)) out.size = status.size;
  };
  const uses: QuotaUse[] = [];
  let seen = 0;
  for (const item of tree.range({
    prefix: QUOTAS_PREFIX,
    ...(after !== undefined && { startAfter: after }),
  })) {
    const limits = item.type === 'key' ? readLimits(item.value) : undefined;
    if (item.type !== 'key' || limits === undefined) continue;
    const path = pathOfKey(item.key);
    const { files, subdirs, bytes } = usageBelow({ tree, attributes }, path);
    const used = { bytes, files: files + subdirs };
    for (const of of ['bytes', 'files'] as const) {
      if (limits[of] > 0) uses.push({ directory: showPath(path), of, limit: limits[of], used: used[of] });
    }
    if (++seen === most) return { uses, next: item.key };
  }
  return { uses, next: undefined };
}
