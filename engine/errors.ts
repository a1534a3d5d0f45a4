/** Stable error codes. docs/MANUAL.md lists when each occurs and what to do. */
export type ErrorCode =
  // Programmer errors: the call is wrong, nothing was changed.
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_KEY_TOO_LARGE'
  | 'ERR_VALUE_TOO_LARGE'
  | 'ERR_BATCH_TOO_LARGE'
  | 'ERR_NOT_SHAREABLE'
  | 'ERR_NO_SNAPSHOTS'
  | 'ERR_CLOSED'
  // Outcomes of an operation on the tree.
  | 'ERR_NOT_FOUND'
  | 'ERR_EXISTS'
  | 'ERR_PREFIX_NOT_EMPTY'
  | 'ERR_VIEW_EXPIRED'
  | 'ERR_SNAPSHOT_DELETED'
  | 'ERR_TOO_MANY_SNAPSHOTS'
  // Opening a store.
  | 'ERR_NO_STORE'
  | 'ERR_UNSAFE'
  | 'ERR_STORE_LOCKED'
  | 'ERR_NEEDS_RECOVERY'
  | 'ERR_FORMAT_VERSION'
  | 'ERR_MEASURE'
  // Damage found in persisted bytes.
  | 'ERR_BLOB_CORRUPT'
  | 'ERR_BLOB_MISSING'
  | 'ERR_JOURNAL_CORRUPT'
  | 'ERR_MANIFEST_CORRUPT'
  // The machine under us.
  | 'ERR_NO_SPACE'
  | 'ERR_IO'
  | 'ERR_READ_ONLY'
  | 'ERR_JOURNAL_FAILED'
  | 'ERR_POISONED'
  // An object store.
  | 'ERR_CONDITION_FAILED'
  | 'ERR_REMOTE_UNAVAILABLE'
  | 'ERR_REMOTE_REFUSED'
  | 'ERR_REMOTE_UNFIT'
  | 'ERR_REMOTE_TAKEN'
  | 'ERR_REMOTE_CORRUPT'
  // The mount and the daemon.
  | 'ERR_MOUNT'
  | 'ERR_TOO_MANY_LISTENERS';

/**
 * Every error that Spinney itself raises. `code` is stable and meant for programs; `message` is meant for
 * people, has the form "Cannot X: Y", and names the file, blob or key and the limit.
 */
export class SpinneyError extends Error {
  override readonly name = 'SpinneyError';
  readonly code: ErrorCode;
  /** The change that it is about was made all the same, and is seen; only whether it will last is not known. */
  isMade = false;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/**
 * A blob could not be read: it is damaged, missing, or the disk fails there. The code is ERR_BLOB_CORRUPT, ERR_BLOB_MISSING
 * or ERR_IO. What lies in other blobs is not concerned.
 */
export class UnreadableBlobError extends SpinneyError {
  readonly blobId: number;
  /**
   * All keys that this error stands for begin with these bytes, and no other key is concerned; undefined where they are
   * not known.
   */
  prefix: Uint8Array | undefined;

  constructor(blobId: number, cause: SpinneyError) {
    super(cause.code, cause.message, { cause });
    this.blobId = blobId;
  }

  /** The error to throw where reading the blob failed with `cause`. */
  static of(blobId: number, cause: unknown): unknown {
    if (!(cause instanceof SpinneyError) || cause instanceof UnreadableBlobError) return cause;
    const isKnown =
      cause.code === 'ERR_BLOB_CORRUPT' || cause.code === 'ERR_BLOB_MISSING' || cause.code === 'ERR_IO';
    return isKnown ? new UnreadableBlobError(blobId, cause) : cause;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'its filesystem is read-only',
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of its path is not a directory',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links lead to it',
  ENAMETOOLONG: 'its name is too long',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  ENOTCONN: 'it is the mount of a daemon that is gone',
  EMFILE: 'this process has too many files open',
  ENFILE: 'the machine has too many files open',
};

/** Why a system call failed, in words and one line; the error's own message where there are none. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return (REASONS[code] ?? error.message).replace(/\s*\n\s*/g, ' ');
}
