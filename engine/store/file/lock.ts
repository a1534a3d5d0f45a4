/**
 * The lock of a store: a flock on blobs.dat, exclusive for the writer and shared for readers, held by the open
 * file until it is closed. The text file `lock` beside it only tells people who the writer is.
 */
import type { Disk } from '../../disk/disk.js';
import { diskError, hasErrno, readFully, writeFully } from '../../disk/io.js';
import { SpinneyError } from '../../errors.js';
import { DATA_FILE, LOCK_FILE } from './names.js';

/** How often a data file that was replaced between opening and locking is looked for anew. */
const MAX_TRIES = 100;
const PID_BYTES = 32;

/**
 * Opens and locks the data file of a store.
 * @returns the descriptor, or undefined if there is no such file and `create` is not set.
 * @throws ERR_STORE_LOCKED, ERR_IO
 */
export function openLocked(
  disk: Disk,
  directory: string,
  options: { write: boolean; create: boolean },
): number | undefined {
  const path = `${directory}/${DATA_FILE}`;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const fd = openData(disk, path, options);
    if (fd === undefined) return undefined;
    try {
      if (!disk.lock(fd, options.write ? 'exclusive' : 'shared')) throw lockedError(disk, directory, fd);
      // The lock counts only if it is on the file that others will open.
      if (disk.isSameFile(fd, path)) return fd;
    } catch (error) {
      disk.close(fd);
      throw diskError(`lock ${path}`, error);
    }
    disk.close(fd);
  }
  throw new SpinneyError('ERR_STORE_LOCKED', `Cannot lock ${path}: the file keeps being replaced`);
}

function openData(
  disk: Disk,
  path: string,
  options: { write: boolean; create: boolean },
): number | undefined {
  try {
    return disk.open(path, options);
  } catch (error) {
    if (hasErrno(error, 'ENOENT') && !options.create) return undefined;
    throw diskError(`open ${path}`, error);
  }
}

function lockedError(disk: Disk, directory: string, fd: number): SpinneyError {
  // A shared lock is to be had while only readers hold the store; the pid in the text is then an old one.
  const pid = disk.lock(fd, 'shared') ? undefined : readPid(disk, directory);
  const holder = pid === undefined ? 'another open of it' : `process ${pid}`;
  return new SpinneyError(
    'ERR_STORE_LOCKED',
    `Cannot open the store ${directory}: it is in use by ${holder}`,
  );
}

function readPid(disk: Disk, directory: string): string | undefined {
  try {
    const fd = disk.open(`${directory}/${LOCK_FILE}`, { write: false });
    try {
      const bytes = new Uint8Array(PID_BYTES);
      const text = Buffer.from(bytes.buffer, 0, readFully(disk, fd, bytes, 0, PID_BYTES, 0)).toString(
        'latin1',
      );
      return /^(\d+)\n/.exec(text)?.[1];
    } finally {
      disk.close(fd);
    }
  } catch {
    return undefined;
  }
}

/** To be called by the writer, with the lock held. */
export function writePid(disk: Disk, directory: string): void {
  try {
    const fd = disk.open(`${directory}/${LOCK_FILE}`, { write: true, create: true });
    try {
      disk.truncate(fd, 0);
      writeFully(disk, fd, Buffer.from(`${process.pid}\n`), 0);
    } finally {
      disk.close(fd);
    }
  } catch {
    // Advice for people; the flock is what counts.
  }
}
