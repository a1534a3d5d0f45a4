/** What the thread that speaks with a store's remote uses of a mount's threads. */

export { Announcements } from './device/announcements.js';
export { MountState } from './device/mount-state.js';
export { SharedQueue } from './device/shared-queue.js';
export { type FromRemote, SyncAnswers, type ToRemote } from './workers/remote-link.js';
