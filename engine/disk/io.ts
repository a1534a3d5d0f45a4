/** What callers of a Disk share: whole reads and writes, and errors that name the file. */
import { reasonOf, SpinneyError } from '../errors.js';
import type { Disk } from './disk.js';

/** Reads until `length` bytes are in `into` at `offset`, or the file ends; returns how many there are. */
export function readFully(
  disk: Disk,
  fd: number,
  into: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  let done = 0;
  while (done < length) {
    const count = disk.read(fd, into, offset + done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Writes all of the bytes at `position`. When it throws, any part of them may have been written. */
export function writeFully(disk: Disk, fd: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    const count = disk.write(fd, [done === 0 ? bytes : bytes.subarray(done)], position + done);
    if (count === 0) throw new Error(`write took no bytes at offset ${position + done}`);
    done += count;
  }
}

export function hasErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

/** Whether a system call failed because the disk or the quota is full. */
export function isNoSpace(error: unknown): boolean {
  return hasErrno(error, 'ENOSPC') || hasErrno(error, 'EDQUOT');
}

/**
 * Turns a failed system call into a SpinneyError "Cannot <action>: <why>": ERR_NO_SPACE for ENOSPC and EDQUOT,
 * else ERR_IO. A SpinneyError passes unchanged.
 */
export function diskError(action: string, cause: unknown): SpinneyError {
  if (cause instanceof SpinneyError) return cause;
  return new SpinneyError(
    isNoSpace(cause) ? 'ERR_NO_SPACE' : 'ERR_IO',
    `Cannot ${action}: ${reasonOf(cause)}`,
    {
      cause,
    },
  );
}
