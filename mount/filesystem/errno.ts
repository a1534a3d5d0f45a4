/**
 * Error numbers, and the one place where errors become numbers. The platform's own values, since the numbers
 * differ between systems.
 */
import { constants } from 'node:os';
import { SpinneyError } from '../../engine/errors.js';

const numbers = constants.errno;

export const EPERM = numbers.EPERM;
export const ENOENT = numbers.ENOENT;
export const EIO = numbers.EIO;
export const ENXIO = numbers.ENXIO;
export const E2BIG = numbers.E2BIG;
export const EBADF = numbers.EBADF;
export const EAGAIN = numbers.EAGAIN;
export const EACCES = numbers.EACCES;
export const EEXIST = numbers.EEXIST;
export const EXDEV = numbers.EXDEV;
export const ENOTDIR = numbers.ENOTDIR;
export const EISDIR = numbers.EISDIR;
export const EINVAL = numbers.EINVAL;
export const EFBIG = numbers.EFBIG;
export const ENFILE = numbers.ENFILE;
export const EMFILE = numbers.EMFILE;
export const ENOSPC = numbers.ENOSPC;
export const EDQUOT = numbers.EDQUOT;
export const EROFS = numbers.EROFS;
export const ELOOP = numbers.ELOOP;
export const EMLINK = numbers.EMLINK;
export const ERANGE = numbers.ERANGE;
export const ENAMETOOLONG = numbers.ENAMETOOLONG;
export const ENOTEMPTY = numbers.ENOTEMPTY;
export const ENODATA = numbers.ENODATA;
export const EOPNOTSUPP = numbers.EOPNOTSUPP;
export const ESTALE = numbers.ESTALE;

/** A backing file's failure: carries the errno that the system call gave. */
export class BackingError extends Error {
  override readonly name = 'BackingError';
  /** Negative, as Node's own errors have it. */
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.errno = -errno;
  }
}

/** What was asked must wait for a content, which is being copied or fetched; the driver asks again when it is there. */
export class ContentAwaited extends Error {
  override readonly name = 'ContentAwaited';

  constructor() {
    super('A content is being copied or fetched');
  }
}

/** Whether something failed because the process, or the system, can have no more descriptors. */
export function isOutOfDescriptors(error: unknown): boolean {
  const { errno } = error as NodeJS.ErrnoException;
  return errno === -EMFILE || errno === -ENFILE;
}

/**
 * The negative errno that answers a request which failed with `error`. What no caller can foresee (damage, a
 * bug) is thrown again, for the driver to log.
 */
export function errnoOf(error: unknown): number {
  if (error instanceof SpinneyError) {
    switch (error.code) {
      case 'ERR_NO_SPACE':
        return -ENOSPC;
      case 'ERR_READ_ONLY':
        return -EROFS;
      case 'ERR_KEY_TOO_LARGE':
        return -ENAMETOOLONG;
      case 'ERR_VALUE_TOO_LARGE':
        return -E2BIG;
      case 'ERR_BATCH_TOO_LARGE':
        return -EXDEV;
      case 'ERR_EXISTS':
        return -EEXIST;
      case 'ERR_SNAPSHOT_DELETED':
        return -ESTALE;
      case 'ERR_TOO_MANY_SNAPSHOTS':
        return -EMLINK;
      case 'ERR_NO_SNAPSHOTS':
        return -EOPNOTSUPP;
      case 'ERR_JOURNAL_FAILED':
      case 'ERR_IO':
        return -EIO;
      default:
        throw error;
    }
  }
  return systemErrnoOf(error) ?? raise(error);
}

/** The negative errno of a system call that failed with `error`, as a caller is told it; undefined for another error. */
export function systemErrnoOf(error: unknown): number | undefined {
  if (!(error instanceof Error && 'errno' in error) || typeof error.errno !== 'number' || error.errno >= 0)
    return undefined;
  // The limit that was reached is not the caller's own.
  return error.errno === -EMFILE ? -ENFILE : error.errno;
}

function raise(error: unknown): never {
  throw error;
}
