/** What commands see of dumps. */
export { type DumpStoreOptions, dumpStore } from './dump-store.js';
export type { LoadedNamespace } from './load.js';
export { type LoadedStore, type LoadStoreOptions, loadStore } from './load-store.js';
