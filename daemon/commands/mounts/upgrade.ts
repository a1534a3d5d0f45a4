/**
 * Another program goes on with a mount, or the same one with other options. This process is of the version that goes on: it looks
 * first whether it could, so that a daemon that serves is never given up for one that cannot.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { examineFormats } from '../../../engine/before-open.js';
import { SpinneyError } from '../../../engine/errors.js';
import { findMount, type MountEntry } from '../../../mount/mountpoints/mountinfo.js';
import { examineSession } from '../../../mount/session.js';
import { askDaemon } from '../../control/client.js';
import type { RestartsReport, UpgradeReport } from '../../control/reports.js';
import { findDaemon, isRestarting } from '../../places/daemon-record.js';
import { isSpinney } from '../../places/mountpoint.js';
import { controlSocketOf, mountpointOf } from '../../places/served-store.js';
import { failureOf } from '../../process/failure.js';
import { programLine } from '../../process/program.js';
import { version } from '../../process/version.js';
import { type RawOptions, requiredText, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { examineMount, mount } from './mount.js';

/** Options of `spinney mount` that another daemon of the same mount may have. The rest is the kernel's, as it was mounted. */
const CHANGEABLE = [
  'durability',
  'cache-size',
  'entry-timeout',
  'attr-timeout',
  'negative-timeout',
  'scrub',
  'snapshots',
  'metrics',
  'log-level',
  'log-file',
  'log-size',
  'slow-requests',
] as const;

/** The journal is played back, and the tables of the session are read. */
const DEADLINE_MS = 180_000;
const LOOK_AGAIN_MS = 10;

export const upgrade: Command = {
  name: 'upgrade',
  summary: 'Go on with a mount by this version, or with other options; nobody notices',
  argument: {
    name: 'mountpoint',
    isRequired: true,
    describe: 'Or the store that is mounted',
    values: 'mount',
  },
  options: Object.fromEntries(
    CHANGEABLE.map((name) => {
      const { default: _, here: __, ...option } = mount.options[name]!;
      return [name, { ...option, default: 'as it is' }];
    }),
  ),
  async run(raw, output) {
    const mountpoint = mountpointOf(requiredText(raw, 'mountpoint'));
    const found = findMount(mountpoint);
    if (found === undefined || !isSpinney(found)) throw cannotUpgrade(mountpoint, 'it is not mounted');
    const socket = controlSocketOf({ store: found.source, mount: found });
    const before = (await askDaemon(socket, 'GET', '/v1/upgrade')).body as UpgradeReport;
    if (before.refusal !== undefined) throw cannotUpgrade(mountpoint, before.refusal);
    const { command, changed } = prove(raw, before, mountpoint);
    await askDaemon(socket, 'POST', '/v1/upgrade', {
      body: JSON.stringify({ command, changed }),
    });
    const { restarts, now } = await nextDaemon(found, before.pid);
    const { cause = '', pauseSeconds = 0 } = restarts?.last ?? {};
    if (!before.isManaged && cause !== 'upgrade')
      throw cannotUpgrade(mountpoint, `${cause}; the log tells more`);
    const versions = before.version === now ? `with ${now}` : `from ${before.version} to ${now}`;
    output.out(`upgraded ${mountpoint} ${versions}; its users waited for ${pauseSeconds.toFixed(2)} s\n`);
    return 0;
  },
};

/** The words that start the next daemon. Throws why it could not serve. */
function prove(
  raw: RawOptions,
  before: UpgradeReport,
  mountpoint: string,
): { command: string[]; changed: string[] } {
  const changed = Object.fromEntries(
    CHANGEABLE.flatMap((name) => {
      const text = textOption(raw, name);
      return text === undefined ? [] : [[name, text]];
    }),
  );
  if (before.isManaged && Object.keys(changed).length > 0) {
    throw cannotUpgrade(
      mountpoint,
      'the service manager starts its daemon: change the options in its configuration, and upgrade without any',
    );
  }
  const { options, commandLine } = examineMount({ ...before.options, ...changed }, mountpoint);
  examineFormats(options.store);
  if (before.sessionDirectory !== undefined) examineSession(before.sessionDirectory);
  try {
    new SharedArrayBuffer(options.cacheBytes);
  } catch (cause) {
    const size = `${options.cacheBytes / 1024 / 1024} MiB`;
    throw cannotUpgrade(mountpoint, `there is no room for a cache of ${size}`, cause);
  }
  return { command: programLine(commandLine), changed: Object.keys(changed) };
}

/** Waits for the daemon that goes on, whichever it is. */
async function nextDaemon(
  mount: MountEntry,
  pidBefore: number,
): Promise<{ restarts: RestartsReport | undefined; now: string }> {
  const { mountpoint, source: store } = mount;
  const deadline = performance.now() + DEADLINE_MS;
  while (performance.now() < deadline) {
    const daemon = findDaemon(store, mountpoint);
    if (daemon !== undefined && daemon.pid !== pidBefore && daemon.state === 'serving') {
      try {
        const { body } = await askDaemon(controlSocketOf({ store, mount }), 'GET', '/v1/stats');
        const { restarts, version: now } = body as { restarts?: RestartsReport; version: string };
        return { restarts, now };
      } catch (error) {
        // It may have died since.
        if (failureOf(error).code !== 'ERR_IO') throw error;
      }
    }
    if (daemon === undefined && !isRestarting(store, mountpoint) && findMount(mountpoint)?.source !== store)
      throw cannotUpgrade(
        mountpoint,
        'neither the new daemon nor the one before came up, and the mount is gone',
      );
    await sleep(LOOK_AGAIN_MS);
  }
  throw cannotUpgrade(mountpoint, `no daemon has come up after ${DEADLINE_MS / 1000} s; the log tells more`);
}

function cannotUpgrade(mountpoint: string, reason: string, cause?: unknown): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot upgrade ${mountpoint} to ${version}: ${reason}`, { cause });
}
