/**
 * `journal.spare`: disk space for one more segment, so that removals can be journalled on a full disk until a checkpoint
 * has given back the segments before. What it holds does not count.
 *
 * Invariant: there is a spare, or a segment that is as large and becomes the spare as soon as a checkpoint covers it: an
 * older one, or the current one. So whoever may use the spare finds one after a checkpoint at the latest, whatever the
 * disk has left. No segment gives its space to the disk before there is a spare, not in recovery either.
 */
import type { Disk } from '../../disk/disk.js';
import { encodeSegmentHeader } from '../records/format.js';
import { writeFully, writeZeros } from '../segments/segment-file.js';

function sparePath(directory: string): string {
  return `${directory}/journal.spare`;
}

/** Gives the spare `bytes` of disk space, and makes it where it is missing; returns its size. Throws errno errors. */
export function reserveSpare(disk: Disk, directory: string, bytes: number): number {
  const fd = disk.open(sparePath(directory), { write: true, create: true });
  try {
    disk.allocate(fd, 0, bytes);
    return disk.size(fd);
  } finally {
    disk.close(fd);
  }
}

/** Makes a segment that a checkpoint covers the spare, with at most `bytes` of its space; returns its size. Throws errno errors. */
export function keepAsSpare(disk: Disk, directory: string, segment: string, bytes: number): number {
  disk.rename(segment, sparePath(directory));
  disk.syncDirectory(directory);
  const fd = disk.open(sparePath(directory), { write: true });
  try {
    const size = disk.size(fd);
    if (size <= bytes) return size;
    disk.truncate(fd, bytes);
    return bytes;
  } finally {
    disk.close(fd);
  }
}

/**
 * Clears the spare and makes it a segment with a durable header, but for its name; returns its descriptor. Nothing of
 * what it held must be taken for groups of the new segment. Throws errno errors.
 */
export function openSpare(
  disk: Disk,
  size: number,
  segment: { directory: string; uuid: Uint8Array; firstLsn: number; recordSeed: number },
): number {
  const fd = disk.open(sparePath(segment.directory), { write: true });
  try {
    writeZeros(disk, fd, 0, size);
    writeFully(disk, fd, [encodeSegmentHeader(segment.uuid, segment.firstLsn, segment.recordSeed)], 0);
    disk.fsync(fd);
    return fd;
  } catch (error) {
    disk.close(fd);
    throw error;
  }
}

/** Gives the spare the name of a segment, durably. */
export function nameSpare(disk: Disk, directory: string, path: string): void {
  disk.rename(sparePath(directory), path);
  disk.syncDirectory(directory);
}
