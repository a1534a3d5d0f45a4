/** What is summed up in a store's tree, for all who open one. */
export { FILESYSTEM_MEASURE } from '../filesystem/records/measure.js';
