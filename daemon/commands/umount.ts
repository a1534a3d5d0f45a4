import { setTimeout as sleep } from 'node:timers/promises';
import { SpinneyError } from '../../engine/errors.js';
import { unmountPath } from '../../mount/kernel/device/mounting.js';
import { findMount } from '../../mount/mountinfo.js';
import { findDaemon } from '../mounting/daemon-record.js';
import { detachMount, isSpinney } from '../mounting/mountpoint.js';
import { mountpointOf } from '../mounting/served-store.js';
import { isRunning, type ProcessIdentity } from '../process/process-identity.js';
import { requiredText } from './arguments.js';
import type { Command } from './command.js';

/** A last checkpoint of the largest cache on a slow disk takes long, but not this long. */
const DAEMON_DEADLINE_MS = 120_000;
const LOOK_AGAIN_MS = 20;

export const umount: Command = {
  usage: 'umount <mountpoint>',
  summary: 'Unmount; returns when the store is free again',
  options: (yargs) =>
    yargs
      .positional('mountpoint', {
        type: 'string',
        demandOption: true,
        describe: 'Or the store that is mounted',
      })
      .option('force', {
        type: 'boolean',
        describe: 'Detach even while busy; users of the mount get errors',
      }),
  async run(raw) {
    const mountpoint = mountpointOf(requiredText(raw, 'mountpoint'));
    const found = findMount(mountpoint);
    if (found === undefined) throw cannotUnmount(mountpoint, 'it is not mounted');
    if (!isSpinney(found)) {
      throw cannotUnmount(mountpoint, `it is not a Spinney mount (${found.source}, type ${found.type})`);
    }
    // Which process it is must be known before the mount, and then the process, is gone.
    const daemon = findDaemon(found.source, mountpoint);
    if (daemon === undefined) {
      // Its daemon was killed: nothing can be lost by detaching, and nothing is to be awaited.
      await detachMount(mountpoint);
      return 0;
    }
    if (raw.force === true) stop(daemon, mountpoint);
    else await unmountPlain(mountpoint);
    await awaitEnd(daemon, mountpoint);
    return 0;
  },
};

async function unmountPlain(mountpoint: string): Promise<void> {
  const reason = await unmountPath(mountpoint, 'plain');
  if (reason === undefined || findMount(mountpoint) === undefined) return;
  throw cannotUnmount(
    mountpoint,
    /busy/i.test(reason)
      ? 'it is busy: a process has files or its working directory there (--force detaches it)'
      : reason,
  );
}

/** The daemon knows how: it detaches, gives the users a moment, and breaks the connection. */
function stop(daemon: ProcessIdentity, mountpoint: string): void {
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

async function awaitEnd(daemon: ProcessIdentity, mountpoint: string): Promise<void> {
  const deadline = performance.now() + DAEMON_DEADLINE_MS;
  while (isRunning(daemon)) {
    if (performance.now() > deadline) {
      throw new SpinneyError(
        'ERR_MOUNT',
        `Cannot wait any longer: ${mountpoint} is unmounted, but its daemon (pid ${daemon.pid}) still has the store ` +
          `after ${DAEMON_DEADLINE_MS / 1000} s; its log tells why`,
      );
    }
    await sleep(LOOK_AGAIN_MS);
  }
}

function cannotUnmount(mountpoint: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot unmount ${mountpoint}: ${reason}`);
}
