/**
 * What may be asked before a tree is opened. A door beside `index.ts`, which would load the whole engine: commands that open no
 * tree start fast.
 */
export { defaultCacheBytes } from './cache/available-memory.js';
export type { Disk } from './disk/disk.js';
export { type DirectoryIdentity, isSameMount } from './disk/identity.js';
export { readFully } from './disk/io.js';
export { NodeDisk } from './disk/node-disk.js';
export { examineFormats } from './journal/live-formats.js';
export {
  newHolder,
  REMOTE_FILE,
  type RemoteRecord,
  readRemoteRecord,
  writeRemoteRecord,
} from './remote/remote-record.js';
export {
  type ExaminedDirectory,
  examineDirectory,
  isMarked,
  refuseForeign,
  refuseUnfinished,
} from './store/file/directory.js';
export { BACKUP_FILE, countedNames, isOwnName, UNFINISHED_FILE } from './store/file/names.js';
export { checkEndpoint, parseRemote, type S3Options } from './store/object/s3/options.js';
