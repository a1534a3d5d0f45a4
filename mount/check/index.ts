/** What a check of a store sees of this layer. */
export { type CheckedNamespace, checkNamespace, checkShippedNamespace } from './namespace.js';
export type { ShippedContents } from './shipped-contents.js';
