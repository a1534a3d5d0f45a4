export { type Entry, NO_PATH, UNKNOWN } from './entry.js';
export { type Listener, MOST_PATH_BYTES, type RequestFilter, RequestLog } from './reader.js';
