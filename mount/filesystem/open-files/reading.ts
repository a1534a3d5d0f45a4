import type { OpenInode } from '../contents/open-inode.js';
import { EIO } from '../errno.js';
import type { Inodes } from '../inodes/inodes.js';
import { showKey } from '../records/keys.js';

/** What is wrong with a content that the disk does not give. */
export const UNREAD = 'the disk fails to read it (EIO)';
/** No disk reads less than this, or across its bounds. */
const SECTOR_BYTES = 512;

/** Reads the backing file that the inode has, to its end if need be. Where the disk fails the file is told as damaged. */
export function readContent(
  inodes: Inodes,
  inode: OpenInode,
  into: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  const { disk } = inodes.content;
  if (inode.partial !== undefined && inodes.away?.assertRead(inode, position, length) === false) return 0;
  const fd = inodes.descriptors.use(inode);
  try {
    let done = disk.read(fd, into, offset, length, position);
    // Who asked takes a short read for the end of the file. It may be one that an error or a signal cut off: at the end
    // of a sector, and then the rest is there, or the error.
    while (done > 0 && done < length && (position + done) % SECTOR_BYTES === 0) {
      const more = disk.read(fd, into, offset + done, length - done, position + done);
      if (more === 0) break;
      done += more;
    }
    return done;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === -EIO)
      inodes.troubles.note(inode.ino, showKey(inode.key), UNREAD);
    throw error;
  }
}
