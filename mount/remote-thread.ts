export { ImageHost, makeImageBoard, mayLackImages } from '../engine/remote-store.js';
export type { FinishProgress } from './remote/messages.js';
export { RemoteThread, type Starting } from './remote/remote-thread.js';
