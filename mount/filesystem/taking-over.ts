/**
 * What a driver brings along that goes on with another process's session: nameless inodes that are used, and handles. To be
 * called between `start` and all else.
 */
import type { OpenDirectories } from './directories/open-directories.js';
import { ENOENT, errnoOf } from './errno.js';
import type { Inodes } from './inodes/inodes.js';
import type { OpenFiles } from './open-files/open-files.js';
import * as record from './records/record.js';
import type { KeptDirectory, KeptFile, Place, TakingOver } from './types.js';

export function takingOver(inodes: Inodes, files: OpenFiles, directories: OpenDirectories): TakingOver {
  return {
    orphan: (ino: number, inode: Uint8Array) => {
      if (!inodes.orphans.has(ino)) inodes.orphans.set(ino, inode);
    },
    left: (ino: number, place: Place) => answer(() => putLeftBack(inodes, ino, place)) === 0,
    file: (file: KeptFile) => answer(() => files.putBack(file)),
    directory: (directory: KeptDirectory) => answer(() => directories.putBack(directory)),
  };
}

function answer(operation: () => number): number {
  try {
    return operation();
  } catch (error) {
    return errnoOf(error);
  }
}

function putLeftBack(inodes: Inodes, ino: number, place: Place): number {
  const found = inodes.find(place);
  if (found === undefined || !record.hasFlag(found.record, record.LIVE)) return -ENOENT;
  // What its backing file's time was set to is not known: any other than the record's is taken for a write.
  inodes.left.set(ino, { alignedSeconds: Number.NaN, alignedNanos: 0, key: found.key });
  return 0;
}
