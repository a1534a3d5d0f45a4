import { BLOB_SIZE } from '../../../engine/limits.js';
import { type Inodes, NAME_MAX } from '../inodes/inodes.js';
import type { StatFs } from '../types.js';

/**
 * Space and inode counts are those of the filesystem that holds the contents. Less than one blob is not available: with
 * that, names cannot be added any more. What is kept for removals is allocated, so it is not in there.
 */
export function readSpace(inodes: Inodes, out: StatFs): number {
  const status = inodes.content.disk.space(inodes.content.directory);
  out.blockSize = status.bsize;
  out.blocks = status.blocks;
  out.blocksFree = status.bfree;
  out.blocksAvailable = status.bavail * status.bsize < BLOB_SIZE ? 0 : status.bavail;
  out.files = status.files;
  out.filesFree = status.ffree;
  out.nameMax = NAME_MAX;
  return 0;
}
