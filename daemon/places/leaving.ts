/** Waiting for a daemon that is on its way out of its store. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SpinneyError } from '../../engine/errors.js';
import { describeUsers, isConnected, isMountedFor, mountUsers } from '../../mount/mountpoints/mount-users.js';
import { isRunning } from '../process/process-identity.js';
import { daemonsOf, findDaemon, type RunningDaemon } from './daemon-record.js';

/** A last checkpoint of the largest cache on a slow disk takes long, but not this long. */
const DAEMON_DEADLINE_MS = 120_000;
/** A daemon has noticed by then that its mount is gone, if it is. */
const NOTICE_DEADLINE_MS = 10_000;
const LOOK_AGAIN_MS = 20;
const LOOK_AT_SHIPPING_MS = 250;
/** Somebody who waits for so long wants to know what for. */
const LONG_MS = 1_000;

/** The store's daemons that end, or whose mount was taken from its place: nobody can come to it any more. */
export function leavingDaemons(store: string): RunningDaemon[] {
  return daemonsOf(store).filter(
    ({ pid, state, device }) =>
      state === 'ending' || (state === 'serving' && device !== undefined && !isMountedFor(pid, device)),
  );
}

export interface WaitOptions {
  /** The daemon was told to end, whoever uses its mount. */
  forced?: boolean;
  /** Told once when it takes a while. */
  notice?: (text: string) => void;
  /** Told what the daemon has to ship to the store's remote yet. While it gets on with that, nothing takes too long. */
  shipping?: (left: NonNullable<RunningDaemon['shipping']>) => void;
  /** Ends the waiting, with ERR_MOUNT. */
  signal?: AbortSignal | undefined;
}

/**
 * Resolves when the daemon has ended, and with it its lock on the store. Throws ERR_MOUNT when that takes too long, and
 * soon where its mount, though gone from its place, is still used.
 */
export async function awaitEnd(
  store: string,
  daemon: RunningDaemon,
  { forced = false, notice, shipping, signal }: WaitOptions = {},
): Promise<void> {
  let since = performance.now();
  let wasTold = false;
  let lookedAt = since;
  let left = '';
  while (isRunning(daemon)) {
    if (performance.now() - lookedAt > LOOK_AT_SHIPPING_MS) {
      lookedAt = performance.now();
      const now = findDaemon(store, daemon.mountpoint)?.shipping;
      if (now !== undefined && JSON.stringify(now) !== left) {
        left = JSON.stringify(now);
        since = lookedAt;
        shipping?.(now);
      }
    }
    const waited = performance.now() - since;
    if (signal?.aborted === true) {
      throw new SpinneyError('ERR_MOUNT', `Cannot wait for the store ${store}: told to stop`);
    }
    if (waited > LONG_MS && !wasTold) {
      notice?.(`waiting for the daemon of the last mount (pid ${daemon.pid}) to leave the store ${store}`);
      wasTold = true;
    }
    if (waited > DAEMON_DEADLINE_MS) {
      throw new SpinneyError(
        'ERR_MOUNT',
        `Cannot wait any longer: ${daemon.mountpoint} is unmounted, but its daemon (pid ${daemon.pid}) still has the ` +
          `store ${store} after ${DAEMON_DEADLINE_MS / 1000} s; its log tells why`,
      );
    }
    if (!forced && waited > NOTICE_DEADLINE_MS) refuseUsed(store, daemon);
    await sleep(LOOK_AGAIN_MS);
  }
}

/** Throws ERR_MOUNT, naming the users, if the daemon goes on serving a mount that is gone from its place. */
export function refuseUsed(store: string, { mountpoint, pid }: RunningDaemon): void {
  const now = findDaemon(store, mountpoint);
  if (now?.pid !== pid || now.state !== 'serving' || now.device === undefined) return;
  const users = mountUsers(now.device);
  const isUsed = isConnected(now.device) ?? users.mountpoints.length + users.processes.length > 0;
  if (!isUsed) return;
  throw new SpinneyError(
    'ERR_MOUNT',
    `Cannot free the store ${store}: it is no longer mounted at ${mountpoint}, but still in use: ${describeUsers(users)}; ` +
      `its daemon (pid ${pid}) serves them until they end, and spinney umount --force ${mountpoint} breaks their connection`,
  );
}
