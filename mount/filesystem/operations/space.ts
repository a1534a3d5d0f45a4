import { BLOB_SIZE } from '../../../engine/limits.js';
import { type Inodes, NAME_MAX } from '../inodes/inodes.js';
import type { Place, StatFs } from '../types.js';

/**
 * Space and inode counts are those of the filesystem that holds the contents. Less than one blob is not available: with
 * that, names cannot be added any more. What is kept for removals is allocated, so it is not in there.
 */
export function readSpace(inodes: Inodes, place: Place, out: StatFs): number {
  const status = inodes.content.disk.space(inodes.content.directory);
  out.blockSize = status.bsize;
  out.blocks = status.blocks;
  out.blocksFree = status.bfree;
  out.blocksAvailable = status.bavail * status.bsize < BLOB_SIZE ? 0 : status.bavail;
  out.files = status.files;
  out.filesFree = status.ffree;
  out.nameMax = NAME_MAX;
  if (!inodes.quotas.isEmpty && typeof place !== 'number') applyLimits(inodes, place, out);
  return 0;
}

/** Where limits hold, space is what they leave, as far as the disk has it. */
function applyLimits(inodes: Inodes, path: Uint8Array, out: StatFs): void {
  const { bytes, files } = inodes.quotas.space(path);
  if (bytes !== undefined) {
    const free = Math.floor(bytes.free / out.blockSize);
    out.blocks = Math.ceil(bytes.most / out.blockSize);
    out.blocksFree = Math.min(out.blocksFree, free);
    out.blocksAvailable = Math.min(out.blocksAvailable, free);
  }
  if (files !== undefined) {
    out.files = files.most;
    out.filesFree = Math.min(out.filesFree, files.free);
  }
}
