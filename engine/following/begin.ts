/** From a remote and an empty directory to a store that follows it. */
import { SpinneyError } from '../errors.js';
import { RemoteFollower } from '../remote/follower.js';
import { decodeManifest } from '../remote/objects/manifest.js';
import type { Site } from '../remote/site.js';
import { catalogOf } from '../shipping/checkpoints/catalog.js';
import type { FetchProgress } from '../shipping/checkpoints/fetch-images.js';
import { RestoredStore } from '../shipping/restore.js';
import { hasCode } from '../store/object/errors.js';
import type { FollowingOptions } from './following.js';

/** What `Following` goes on from. */
export type BegunFollowing = Pick<FollowingOptions, 'site' | 'follower' | 'unpin' | 'lsn'>;

/** Whoever has not renewed its pin for so long follows no more: what it kept may go. */
const LEASE_MS = 60_000;

/**
 * Makes a store of the remote's last checkpoint in the directory, without its snapshots, and keeps what that needs in the remote.
 * @throws ERR_NO_STORE where nothing is to be followed; ERR_EXISTS, ERR_NO_SPACE, ERR_IO of the directory; and as the object store
 */
export async function beginFollowing(
  site: Site,
  directory: string,
  onProgress?: FetchProgress,
): Promise<BegunFollowing> {
  const follower = new RemoteFollower(site, LEASE_MS);
  const { manifest, unpin } = await follower.adopt().catch((error: unknown) => {
    if (!hasCode(error, 'ERR_NOT_FOUND')) throw error;
    throw new SpinneyError('ERR_NO_STORE', 'Cannot follow the remote: there is no store', { cause: error });
  });
  const restored = new RestoredStore(directory);
  try {
    const checkpoint = manifest === undefined ? undefined : await checkpointOf(site, manifest);
    await renewing(site, follower, restored.restore(site.store, checkpoint, false, onProgress));
    restored.finish();
    return { site, follower, unpin, lsn: restored.lastLsn };
  } catch (error) {
    await unpin().catch(() => {});
    throw error;
  } finally {
    restored.close();
  }
}

/** Without its snapshots. */
async function checkpointOf(site: Site, name: string) {
  const { bytes } = (await site.store.get(name))!;
  return { name, bytes, catalog: { ...catalogOf(name, decodeManifest(name, bytes)), pins: [] } };
}

/** Keeps the pin until the work is done. */
async function renewing(site: Site, follower: RemoteFollower, work: Promise<void>): Promise<void> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  for (;;) {
    await Promise.race([done, site.clock.sleep(follower.renewalMs)]);
    if (isDone) return done;
    if (follower.pinned !== undefined) await follower.renew();
  }
}
