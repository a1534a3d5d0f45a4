/**
 * What may be asked before a tree is opened. A door beside `index.ts`, which would load the whole engine: commands that open no
 * tree start fast.
 */
export { defaultCacheBytes } from './cache/available-memory.js';
export { NodeDisk } from './disk/node-disk.js';
export {
  type ExaminedDirectory,
  examineDirectory,
  isMarked,
  refuseForeign,
  refuseUnfinished,
} from './store/file/directory.js';
export { BACKUP_FILE, countedNames, isOwnName, UNFINISHED_FILE } from './store/file/names.js';
