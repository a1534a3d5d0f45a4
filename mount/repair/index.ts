/** What a repair of a store sees of this layer. */
export { type Repaired, type RepairOptions, repairStore } from './repair-store.js';
