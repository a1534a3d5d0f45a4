/** Whether the mount is at its place still. */
import { describeUsers, isMountedAt, mountUsers } from '../../../mount/mountpoints/mount-users.js';
import type { MountEntry } from '../../../mount/mountpoints/mountinfo.js';
import type { Problem } from '../../health/codes.js';

/** After an unmount the kernel takes a while to forget a million inodes: what is over by then the log is not told of. */
const TOLD_AFTER_MS = 5_000;

/** What keeps a mount going that is not at its place any more. */
export function displacedMount(entry: MountEntry): Problem | undefined {
  if (isMountedAt(entry.mountpoint, entry)) return undefined;
  const reason = `the mount is no longer at ${entry.mountpoint}, but still in use: ${describeUsers(mountUsers(entry))}`;
  return { code: 'MOUNT_DISPLACED', reason, tellAfterMs: TOLD_AFTER_MS };
}
