/** What a backup of a store needs of this layer. */
export { type BackedUp, type BackupOptions, backUp } from './backup.js';
export type { SnapshotActions } from './source.js';
