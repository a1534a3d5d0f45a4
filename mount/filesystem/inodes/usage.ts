/** What is below a directory, without a walk: the sums of its records, and what open files have come to since. */
import type { TreeReads } from '../../../engine/api.js';
import { newAttributes } from '../arguments.js';
import { childrenPrefix, INODES_PREFIX } from '../records/keys.js';
import { TEBIBYTE } from '../records/measure.js';
import * as record from '../records/record.js';
import type { Attributes } from '../types.js';

/** What `usageBelow` reads: records, and the attributes of live ones, which only their backing files tell. */
export interface Records {
  readonly tree: TreeReads;
  attributes(inode: Uint8Array, out: Attributes): void;
}

export interface Usage {
  /** All but directories; a file counts once for each of its names. */
  files: number;
  subdirs: number;
  /** Sizes of regular files and symbolic links. One with several names, or that once had, counts below the root only. */
  bytes: number;
}

const attributes = newAttributes();

export function usageBelow(records: Records, path: Uint8Array): Usage {
  const prefix = childrenPrefix(path);
  const sums = records.tree.measure(prefix);
  let bytes = bytesOf(records, prefix, sums);
  if (path.length === 0) {
    bytes += bytesOf(records, INODES_PREFIX, records.tree.measure(INODES_PREFIX));
  }
  return { files: sums.files!, subdirs: sums.subdirs!, bytes };
}

/** What an entry, whose record is given, comes to with all that is below it: as what is added to a directory. */
export function usageOf(
  records: Records,
  path: Uint8Array,
  entry: Uint8Array,
): { files: number; bytes: number } {
  if (record.isLink(entry)) return { files: 1, bytes: 0 };
  if (record.typeOf(entry) === record.DIRECTORY) {
    const { files, subdirs, bytes } = usageBelow(records, path);
    return { files: files + subdirs + 1, bytes };
  }
  records.attributes(entry, attributes);
  return { files: 1, bytes: attributes.size };
}

/** Only the caller's thread changes the tree, so what is looked at one after the other is of one moment. */
function bytesOf(records: Records, prefix: Uint8Array, sums: Record<string, number>): number {
  let bytes = sums.bytes! + sums.tebibytes! * TEBIBYTE;
  if (sums.live === 0) return bytes;
  for (const inode of records.tree.valuesCounted(prefix, 'live')) {
    records.attributes(inode, attributes);
    bytes += attributes.size;
  }
  return bytes;
}
