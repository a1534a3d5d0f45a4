/** What a check of a store sees of this layer. */
export { type CheckedNamespace, checkNamespace } from './namespace.js';
