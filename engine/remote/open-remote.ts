/** From the name of a bucket to a store that the protocol can stand on. */
import { BOOT_CLOCK } from '../store/object/clock.js';
import { hasCode } from '../store/object/errors.js';
import type { ObjectStore } from '../store/object/object-store.js';
import { RetryingObjectStore } from '../store/object/retrying-object-store.js';
import type { S3Options } from '../store/object/s3/options.js';
import { S3ObjectStore } from '../store/object/s3/s3-object-store.js';
import { probe } from './probe.js';
import { newId, type Site } from './site.js';

/**
 * Opens the bucket and probes it, for a writer. Ceph's radosgw before version 18 knows versions in If-Match only without quotation marks: a
 * bucket that refuses the usual form is probed once more with these, from the beginning.
 * @throws ERR_REMOTE_UNFIT, and as `S3ObjectStore.open` and `probe`
 */
export async function openRemote(options: S3Options): Promise<ObjectStore> {
  try {
    return await openProbed(options);
  } catch (error) {
    if (!hasCode(error, 'ERR_REMOTE_UNFIT')) throw error;
    try {
      return await openProbed({ ...options, bareTags: true });
    } catch {
      throw error;
    }
  }
}

/** Opens the bucket for whoever only reads it, and asks again for so many milliseconds. @throws as `S3ObjectStore.open` */
export async function openRemoteToRead(options: S3Options, patienceMs: number): Promise<Site> {
  const store = await S3ObjectStore.open(options);
  const retrying = { clock: BOOT_CLOCK, random: Math.random, patienceMs };
  return { store: new RetryingObjectStore(store, retrying), clock: BOOT_CLOCK, newId };
}

async function openProbed(options: S3Options): Promise<ObjectStore> {
  const store = await S3ObjectStore.open(options);
  try {
    await probe(store, newId);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}
