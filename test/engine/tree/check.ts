/**
 * The invariants of a tree's blobs, checked on the images that a checkpoint left in a store. Meant to be called
 * when nothing is staged or pending: every blob in the store must then be part of the tree.
 */
import type { BlobStore } from '../../../engine/store/blob-store.js';
import { type VerifiedBlobs, verifyBlobs } from '../../../engine/tree/verify/verify.js';

/** Throws an Error that names the blob and what is wrong with it. */
export function checkStore(store: BlobStore): VerifiedBlobs {
  return verifyBlobs(store, (message) => {
    throw new Error(message);
  });
}
