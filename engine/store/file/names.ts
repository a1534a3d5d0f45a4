/** The files of a store. */
export const DATA_FILE = 'blobs.dat';
export const MANIFEST_FILE = 'manifest';
export const LOG_FILE = 'manifest.log';
/** The next snapshot is written here, in space reserved beforehand, and renamed over the manifest. */
export const SPARE_FILE = 'manifest.spare';
/** Process id of the writer, as text; the lock itself is a flock on the data file. */
export const LOCK_FILE = 'lock';
