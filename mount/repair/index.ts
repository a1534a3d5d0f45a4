/** What a repair of a store sees of this layer, and what the making of another store takes from it. */
export { ContentsMove, type MovedContents } from './contents-move.js';
export { fitToContent } from './file-repair.js';
export { type Repaired, type RepairOptions, repairStore } from './repair-store.js';
