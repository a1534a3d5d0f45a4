/** What options of a mount may be that can also change while it is mounted. */
export const DURABILITIES = ['buffered', 'written', 'synced'] as const;
/** Seconds. */
export const TIMEOUT_BOUNDS = { min: 0, max: 366 * 24 * 3600, integer: false } as const;
/** Days. */
export const SCRUB_BOUNDS = { min: 0, max: 366, integer: false } as const;

/** What an fsync waits for, of a store that has a remote. */
export const REMOTE_DURABILITIES = ['local', 'remote'] as const;
/** Where a bucket is told in URLs. */
export const REMOTE_ADDRESSINGS = ['path', 'virtual'] as const;
