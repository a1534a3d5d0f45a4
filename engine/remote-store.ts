/** A store in an object store: for the thread that ships to one, and whoever looks into one. Nobody else loads it. */
export { NodeDisk } from './disk/node-disk.js';
export { type BegunFollowing, beginFollowing } from './following/begin.js';
export { type FollowedTree, Following } from './following/following.js';
export { openRemote, openRemoteToRead } from './remote/open-remote.js';
export { newId, type Site } from './remote/site.js';
export { fetchPart } from './shipping/contents/fetch-part.js';
export { mayLackImages } from './shipping/images/absent-note.js';
export { ImageHost } from './shipping/images/image-host.js';
export {
  Shipper,
  type ShippingEvent,
  type ShippingLag,
  type ShippingState,
  type ShippingStats,
} from './shipping/live/shipper.js';
export {
  type RemoteStore,
  type RemoteStoreOptions,
  resumeRemoteStore,
  takeOverStore,
} from './shipping/open-remote-store.js';
export { makeImageBoard } from './store/absent-images.js';
export { BOOT_CLOCK } from './store/object/clock.js';
export { hasCode } from './store/object/errors.js';
export { RetryingObjectStore } from './store/object/retrying-object-store.js';
