/** Stable error codes. The README lists when each occurs and what to do. */
export type ErrorCode =
  // Programmer errors: the call is wrong, nothing was changed.
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_KEY_TOO_LARGE'
  | 'ERR_VALUE_TOO_LARGE'
  | 'ERR_BATCH_TOO_LARGE'
  | 'ERR_NOT_SHAREABLE'
  | 'ERR_CLOSED'
  // Outcomes of an operation on the tree.
  | 'ERR_NOT_FOUND'
  | 'ERR_EXISTS'
  | 'ERR_PREFIX_NOT_EMPTY'
  | 'ERR_VIEW_EXPIRED'
  // Opening a store.
  | 'ERR_NO_STORE'
  | 'ERR_STORE_LOCKED'
  | 'ERR_NEEDS_RECOVERY'
  | 'ERR_FORMAT_VERSION'
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
  // The mount and the daemon.
  | 'ERR_MOUNT';

/**
 * Every error that Spinney itself raises. `code` is stable and meant for programs; `message` is meant for
 * people, has the form "Cannot X: Y", and names the file, blob or key and the limit.
 */
export class SpinneyError extends Error {
  override readonly name = 'SpinneyError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
