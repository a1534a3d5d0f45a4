import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SpinneyError } from '../../../engine/errors.js';
import { foreignMounts, isMountedElsewhere } from '../../../mount/mountpoints/mount-users.js';
import { findMount } from '../../../mount/mountpoints/mountinfo.js';
import { unmountPath } from '../../../mount/mountpoints/unmounting.js';
import { exitNow } from '../../../mount/process-calls.js';
import { findDaemon, type RunningDaemon } from '../../places/daemon-record.js';
import { awaitEnd, leavingDaemons, refuseUsed } from '../../places/leaving.js';
import { detachMount, FILESYSTEM_TYPE, isSpinney, withStoreIdle } from '../../places/mountpoint.js';
import { awaitRestart } from '../../places/restarting.js';
import { mountpointOf } from '../../places/served-store.js';
import { settledWithin } from '../../process/deadline.js';
import { isRunning } from '../../process/process-identity.js';
import { requiredText } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { shippingProgress } from '../output/shipping.js';

/** umount(2) may wait for whoever serves the mount. */
const CALL_DEADLINE_MS = 30_000;
/** A mount that is busy for longer is in use. */
const BUSY_ATTEMPTS = 4;
const BUSY_AGAIN_MS = 50;

export const umount: Command = {
  name: 'umount',
  summary: 'Unmount; returns when the store is free again',
  argument: {
    name: 'mountpoint',
    isRequired: true,
    describe: 'Or the store that is mounted',
    values: 'mount',
  },
  options: {
    force: { describe: 'Detach even while busy; users of the mount get errors after some seconds' },
  },
  async run(raw, output) {
    const mountpoint = mountpointOf(requiredText(raw, 'mountpoint'));
    const force = raw.force === true;
    const before = findMount(mountpoint);
    if (before !== undefined && isSpinney(before)) await awaitRestart(before.source, mountpoint);
    const found = findMount(mountpoint);
    if (found === undefined && before !== undefined) return 0;
    if (found === undefined) return await freeStore(mountpoint, force);
    if (!isSpinney(found)) {
      throw cannotUnmount(mountpoint, `it is not a Spinney mount (${found.source}, type ${found.type})`);
    }
    const store = found.source;
    // Which process it is must be known before the mount, and then the process, is gone.
    const daemon = findDaemon(store, mountpoint);
    if (daemon === undefined) {
      await removeDead(mountpoint, store);
      return 0;
    }
    if (force) stop(daemon, mountpoint);
    else await unmountPlain(mountpoint);
    // What was unmounted then is a copy, and the daemon goes on with its own.
    if (!force && isMountedElsewhere(daemon.pid, found)) return 0;
    const progress = shippingProgress(output);
    try {
      await awaitEnd(store, daemon, { forced: force, shipping: progress.tell });
    } finally {
      progress.end();
    }
    return 0;
  },
};

/**
 * Nothing is mounted there. A daemon whose mount is gone from its place may go on for users in other namespaces of mounts;
 * `place` is its mountpoint or its store.
 */
async function freeStore(place: string, force: boolean): Promise<number> {
  const stores = new Set(foreignMounts(FILESYSTEM_TYPE).map(({ source }) => source));
  const [kept] = [place, ...stores].flatMap((store) =>
    leavingDaemons(store)
      .filter(({ mountpoint }) => store === place || mountpoint === place)
      .map((daemon) => ({ store, daemon })),
  );
  if (kept === undefined) throw cannotUnmount(place, 'it is not mounted');
  const { store, daemon } = kept;
  if (force) stop(daemon, daemon.mountpoint);
  else refuseUsed(store, daemon);
  await awaitEnd(store, daemon, { forced: force });
  return 0;
}

/** Its daemon was killed: nothing can be lost by detaching, and nothing is to be awaited. */
async function removeDead(mountpoint: string, store: string): Promise<void> {
  if (existsSync(store) && (await withStoreIdle(store, () => detachMount(mountpoint)))) return;
  // Somebody may have the store, here or where it was moved to, and left no word who: users of the mount must not lose it.
  await unmountPlain(mountpoint);
}

async function unmountPlain(mountpoint: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const called = unmountPath(mountpoint, 'plain');
    if (!(await settledWithin(called, CALL_DEADLINE_MS))) {
      // Node would wait for the thread that makes the call.
      process.once('exit', (code) => exitNow(code));
      throw cannotUnmount(mountpoint, 'its daemon does not answer (--force breaks the connection)');
    }
    const reason = await called;
    if (reason === undefined || findMount(mountpoint) === undefined) return;
    if (!/busy/i.test(reason)) throw cannotUnmount(mountpoint, reason);
    // Its daemon, run as a service, asks it for a sign of life now and then, and is a user of it for that moment.
    if (attempt === BUSY_ATTEMPTS) {
      const users = 'a process has files or its working directory there (--force detaches it)';
      throw cannotUnmount(mountpoint, `it is busy: ${users}`);
    }
    await sleep(BUSY_AGAIN_MS);
  }
}

/** The daemon knows how: it detaches, gives the users a moment, and breaks the connection. */
function stop(daemon: RunningDaemon, mountpoint: string): void {
  try {
    process.kill(daemon.pid, 'SIGTERM');
  } catch (cause) {
    if (!isRunning(daemon)) return;
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot unmount ${mountpoint}: its daemon (pid ${daemon.pid}) is another user's`,
      { cause },
    );
  }
}

function cannotUnmount(mountpoint: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot unmount ${mountpoint}: ${reason}`);
}
