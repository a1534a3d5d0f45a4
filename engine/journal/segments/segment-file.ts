/** Segment files by name, and making, removing and writing them. */
import type { Disk } from '../../disk/disk.js';
import { SpinneyError } from '../../errors.js';
import { encodeSegmentHeader, JOURNAL_FORMAT_VERSION } from '../records/format.js';

const NAME = /^journal-([0-9a-f]{16})\.wal$/;

export interface SegmentName {
  path: string;
  firstLsn: number;
}

export function segmentPath(directory: string, firstLsn: number): string {
  return `${directory}/journal-${firstLsn.toString(16).padStart(16, '0')}.wal`;
}

/** The segments in a directory, in the order of their LSNs. */
export function listSegments(disk: Disk, directory: string): SegmentName[] {
  const segments: SegmentName[] = [];
  for (const name of disk.list(directory)) {
    const digits = NAME.exec(name)?.[1];
    if (digits !== undefined)
      segments.push({ path: `${directory}/${name}`, firstLsn: Number.parseInt(digits, 16) });
  }
  return segments.sort((a, b) => a.firstLsn - b.firstLsn);
}

/** Bytes of all segment files in a directory, reserved space included. */
export function segmentBytes(disk: Disk, directory: string): number {
  let total = 0;
  for (const { path } of listSegments(disk, directory)) {
    try {
      const fd = disk.open(path, { write: false });
      try {
        total += disk.size(fd);
      } finally {
        disk.close(fd);
      }
    } catch (error) {
      // Another thread may have removed it meanwhile.
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  return total;
}

export function corrupt(path: string, offset: number, problem: string): SpinneyError {
  return new SpinneyError(
    'ERR_JOURNAL_CORRUPT',
    `Cannot recover the journal: ${path} at offset ${offset}: ${problem}`,
  );
}

export function unknownVersion(path: string, version: number): SpinneyError {
  return new SpinneyError(
    'ERR_FORMAT_VERSION',
    `Cannot recover the journal: ${path} has format version ${version}, this program knows ${JOURNAL_FORMAT_VERSION}`,
  );
}

export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Writes all of the buffers at `position`, in as many calls as it takes. */
export function writeFully(disk: Disk, fd: number, buffers: Uint8Array[], position: number): void {
  let left = buffers;
  let at = position;
  for (;;) {
    let remaining = 0;
    for (const buffer of left) remaining += buffer.length;
    if (remaining === 0) return;
    let written = disk.write(fd, left, at);
    if (written <= 0 || written > remaining)
      throw new Error(`write returned ${written} of ${remaining} bytes`);
    if (written === remaining) return;
    at += written;
    const rest: Uint8Array[] = [];
    for (const buffer of left) {
      if (written < buffer.length) rest.push(written > 0 ? buffer.subarray(written) : buffer);
      written = Math.max(0, written - buffer.length);
    }
    left = rest;
  }
}

const ZEROS_BYTES = 256 * 1024;

/** Clears a part of a file, which keeps its space. */
export function writeZeros(disk: Disk, fd: number, offset: number, length: number): void {
  const zeros = new Uint8Array(Math.min(length, ZEROS_BYTES));
  for (let done = 0; done < length; done += zeros.length) {
    writeFully(disk, fd, [zeros.subarray(0, length - done)], offset + done);
  }
}

/** Turns what went wrong with getting file space into a SpinneyError that names the file. */
export function spaceError(error: unknown, path: string): SpinneyError {
  if (error instanceof SpinneyError) return error;
  const code = errorCode(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new SpinneyError(
    full ? 'ERR_NO_SPACE' : 'ERR_IO',
    `Cannot reserve space for the journal: ${path}: ${errorText(error)}`,
    { cause: error },
  );
}

/**
 * Reserves `sizes[0]` bytes from `offset` on, or the next smaller size while the disk is too full.
 * @returns how many bytes were reserved; throws the last errno error where not even the smallest fits
 */
export function allocateLargest(disk: Disk, fd: number, offset: number, sizes: readonly number[]): number {
  let failure: unknown;
  for (const size of sizes) {
    try {
      disk.allocate(fd, offset, size);
      return size;
    } catch (error) {
      failure = error;
      if (errorCode(error) !== 'ENOSPC' && errorCode(error) !== 'EDQUOT') break;
    }
  }
  throw failure;
}

export interface SegmentIdentity {
  directory: string;
  uuid: Uint8Array;
  firstLsn: number;
  recordSeed: number;
}

/** Writes the header of a segment, not durably. */
export function putSegmentHeader(disk: Disk, fd: number, segment: SegmentIdentity): void {
  const { uuid, firstLsn, recordSeed } = segment;
  writeFully(disk, fd, [encodeSegmentHeader(uuid, firstLsn, recordSeed)], 0);
}

/** Makes the header of a segment, and the segment's name, durable. */
export function writeSegmentHeader(disk: Disk, fd: number, segment: SegmentIdentity): void {
  putSegmentHeader(disk, fd, segment);
  disk.fsync(fd);
  disk.syncDirectory(segment.directory);
}
