/** What changed between two snapshots, or a snapshot and now. */
export { type NamespaceChange, namespaceChanges } from './namespace-changes.js';
