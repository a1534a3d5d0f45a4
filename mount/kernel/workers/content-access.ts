import { ContentFiles, contentPath } from '../../filesystem/contents/content.js';
import { CopyInProgress, placeCopy } from '../../filesystem/contents/content-copy.js';
import { type ContentDisk, newFileStatus } from '../../filesystem/contents/disk/content-disk.js';
import { NO_SPARE, nameSpare, sparePath } from '../../filesystem/contents/spares/spare-files.js';
import { BackingError, EIO, isOutOfDescriptors } from '../../filesystem/errno.js';
import type { FileIdentity } from '../../filesystem/types.js';
import type { ContentAccess } from './io-service.js';

/** What stat counts in. */
const BLOCK_BYTES = 512;

/**
 * The content files in `directory` of a disk, as the I/O service uses them. One descriptor is open at a time, and one of
 * the directory until `close`: by that all is synced where the process can have no other.
 */
export function contentAccess(disk: ContentDisk, directory: string): ContentAccess & { close(): void } {
  const files = new ContentFiles(disk, directory, true);
  const status = newFileStatus();
  let held = -1;
  try {
    // By the time of the first sync there may be no descriptor to be had.
    hold();
  } catch {
    // Whoever needs it is told.
  }

  function hold(): void {
    if (held < 0) held = disk.openDirectory(directory);
  }

  /** What `look` finds at one of the names that the content may have, which goes from the first to the second. */
  function atName<T>(ino: number, born: number, spare: number, missing: T, look: (path: string) => T): T {
    const found = spare === NO_SPARE ? missing : look(sparePath(directory, spare));
    return found === missing ? look(contentPath(directory, ino, born)) : found;
  }

  /** A spare is removed when its inode is released unwritten: then nobody waits any more. */
  function missingIs(ino: number, spare: number): undefined {
    if (spare !== NO_SPARE) return undefined;
    throw new BackingError(EIO, `Cannot find the content of inode ${ino}: it was removed`);
  }

  function assertIs(identity: FileIdentity, ino: number): void {
    if (disk.lastWas(identity)) return;
    throw new BackingError(EIO, `Cannot find the content of inode ${ino}: another file is in its place`);
  }

  function nameIt(ino: number, born: number, spare: number): void {
    if (spare !== NO_SPARE) nameSpare(files, spare, ino, born);
  }

  function syncOne(
    ino: number,
    born: number,
    spare: number,
    identity: FileIdentity,
    names: boolean,
    ready: () => void,
  ): boolean | undefined {
    const fd = atName(ino, born, spare, -1, (path) => disk.open(path, 'read'));
    if (fd < 0) return missingIs(ino, spare);
    try {
      disk.status(fd, status);
      assertIs(identity, ino);
      files.sync(ino, fd);
      // Without content there is nothing to find after a power cut. It may have been written just now.
      disk.status(fd, status);
    } finally {
      disk.close(fd);
    }
    const isNamed = names && (spare === NO_SPARE || status.size > 0);
    if (isNamed) nameIt(ino, born, spare);
    ready();
    if (isNamed) files.syncName(ino);
    return isNamed;
  }

  function syncWithAll(
    ino: number,
    born: number,
    spare: number,
    identity: FileIdentity,
    names: boolean,
    ready: () => void,
  ): boolean | undefined {
    if (!atName(ino, born, spare, false, (path) => disk.statusAt(path, status))) return missingIs(ino, spare);
    assertIs(identity, ino);
    const isNamed = names && (spare === NO_SPARE || status.size > 0);
    if (isNamed) nameIt(ino, born, spare);
    files.syncAll(held);
    ready();
    return isNamed;
  }

  return {
    // A crash may have come between an earlier removal and its record.
    remove: (ino, born) => files.remove(ino, born),
    usedBytes: (ino, born) => (files.status(ino, born, status) ? status.blocks * BLOCK_BYTES : 0),
    space: () => {
      const { bsize, bavail, blocks } = disk.space(directory);
      return { free: bavail * bsize, all: blocks * bsize };
    },
    sync: (ino, born, spare, identity, names, ready = () => {}) => {
      hold();
      try {
        return syncOne(ino, born, spare, identity, names, ready);
      } catch (error) {
        if (!isOutOfDescriptors(error)) throw error;
        return syncWithAll(ino, born, spare, identity, names, ready);
      }
    },
    syncAll: () => {
      hold();
      files.syncAll(held);
    },
    copy: (copy) => new CopyInProgress(files, copy),
    place: (copy) => placeCopy(files, copy),
    close: () => {
      if (held >= 0) disk.close(held);
      held = -1;
    },
  };
}
