/** What may hang when it is looked at, one entry for each kind of look. What is given and returned is posted. */
import { accessSync, constants, existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isMarked, NodeDisk } from '../../../engine/before-open.js';
import { clientsOf } from '../../../mount/mountpoints/mount-clients.js';
import { hasCode } from '../../process/failure.js';
import { daemonsOf, type RunningDaemon, readLeft } from '../daemon-record.js';
import { daemonDirectories } from '../run-directory.js';

/** What a store tells of its daemons. */
export interface StoreLook {
  /** Whether its directory may be read. */
  access: 'granted' | 'denied' | 'missing';
  daemons: RunningDaemon[];
  /** Those that died. */
  left: RunningDaemon[];
}

export const LOOKS = {
  store: lookAtStore,
  isStore,
  clients: clientsOf,
  namedStores,
} as const;

export type LookName = keyof typeof LOOKS;
export type LookArguments<L extends LookName> = Parameters<(typeof LOOKS)[L]>;
export type LookResult<L extends LookName> = ReturnType<(typeof LOOKS)[L]>;

function lookAtStore(store: string): StoreLook {
  const access = accessTo(store);
  if (access !== 'granted') return { access, daemons: [], left: [] };
  const daemons = daemonsOf(store);
  // Whoever connects to it next does not hang.
  for (const { control = join(store, 'control.sock') } of daemons) existsSync(control);
  return { access, daemons, left: daemonDirectories(store).flatMap(readLeft) };
}

function accessTo(store: string): StoreLook['access'] {
  try {
    accessSync(store, constants.R_OK | constants.X_OK);
    return 'granted';
  } catch (error) {
    return hasCode(error, 'EACCES') ? 'denied' : 'missing';
  }
}

function isStore(directory: string): boolean {
  try {
    return isMarked(new NodeDisk(), directory);
  } catch {
    return false;
  }
}

/** Stores that command lines of these processes name, as one of `spinney mount` does. */
function namedStores(pids: readonly number[]): string[] {
  return pids.flatMap((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      const at = words.findIndex((word) => word === '--store' || word.startsWith('--store='));
      if (at < 0 || !words.includes('mount')) return [];
      const named = words[at] === '--store' ? words[at + 1] : words[at]!.slice('--store='.length);
      return [resolve(readlinkSync(`/proc/${pid}/cwd`), named ?? '')];
    } catch {
      // It has ended, or is another user's.
      return [];
    }
  });
}
