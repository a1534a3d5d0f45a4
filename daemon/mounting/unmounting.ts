/**
 * Ends a mount within a deadline, whoever uses it and wherever: takes it from its place, gives its users a moment, then
 * breaks the connection, after which every request of theirs fails.
 */
import { type Device, describeUsers, isConnected, mountUsers } from '../../mount/mountpoints/mount-users.js';
import type { Mounted } from '../../mount/types.js';
import { settledWithin } from '../process/deadline.js';
import type { Logger } from '../process/log/log.js';

/** A call that takes the mount away may wait for whoever serves it. */
const CALL_DEADLINE_MS = 2_000;
/** How long users of a mount that is gone from its place may go on. */
const USERS_DEADLINE_MS = 4_000;
/** How long the driver has to come to its end after that, syncs under way included. */
const DRIVER_DEADLINE_MS = 20_000;

/** Returns whether the mount has ended. `device` is what it shows as st_dev. */
export async function endMount(mount: Mounted, device: Device | undefined, log: Logger): Promise<boolean> {
  if (!(await unmountWithin(mount, 'plain', log))) {
    log.warn('the mount is busy: detaching it');
    await unmountWithin(mount, 'detach', log);
  }
  if (await settledWithin(mount.ended, USERS_DEADLINE_MS)) return true;
  // Nobody uses it any more: the driver is still at work.
  if (device !== undefined && isConnected(device) === false) return hasEnded(mount, log);
  const users = device === undefined ? '' : `: ${describeUsers(mountUsers(device))}`;
  log.warn(`the mount is still in use${users}; breaking its connection`);
  return breakMount(mount, log);
}

/** Breaks the connection at once. Returns whether the mount has ended. */
export async function breakMount(mount: Mounted, log: Logger): Promise<boolean> {
  await unmountWithin(mount, 'abort', log);
  return hasEnded(mount, log);
}

async function hasEnded(mount: Mounted, log: Logger): Promise<boolean> {
  if (await settledWithin(mount.ended, DRIVER_DEADLINE_MS)) return true;
  log.error('the driver does not end although nobody can reach the mount any more: going on without it');
  return false;
}

/** Whether the mount is gone from its place; false also where that cannot be told in time. */
export async function unmountWithin(
  mount: Mounted,
  how: 'plain' | 'detach' | 'abort',
  log: Logger,
): Promise<boolean> {
  let gone = false;
  const work = mount.unmount(how).then(
    (done) => {
      gone = done;
    },
    (error: unknown) => log.error({ err: error, how }, 'could not unmount'),
  );
  await settledWithin(work, CALL_DEADLINE_MS);
  return gone;
}
