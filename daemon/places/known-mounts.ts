/** All mounts of ours that this process can know of, found in the tables of mounts: none is touched. */

import { deviceText } from '../../mount/mountpoints/mount-clients.js';
import { foreignMounts } from '../../mount/mountpoints/mount-users.js';
import { type MountEntry, readMountinfo } from '../../mount/mountpoints/mountinfo.js';
import { FILESYSTEM_TYPE, isSpinney } from './mountpoint.js';

export interface KnownMount {
  /** The first of its places. */
  entry: MountEntry;
  /** Where else the same is mounted here (bind mounts). */
  copies: string[];
  /** Of one that is only in other namespaces of mounts: a process there. */
  pid: number | undefined;
}

export function knownMounts(): KnownMount[] {
  const found = new Map<string, KnownMount>();
  const own = readMountinfo().filter(isSpinney);
  for (const entry of own) add(found, entry, undefined);
  const here = new Set(found.keys());
  for (const { pid, ...entry } of foreignMounts(FILESYSTEM_TYPE)) {
    if (!here.has(deviceText(entry))) add(found, entry, pid);
  }
  return [...found.values()];
}

function add(found: Map<string, KnownMount>, entry: MountEntry, pid: number | undefined): void {
  const known = found.get(deviceText(entry));
  if (known === undefined) found.set(deviceText(entry), { entry, copies: [], pid });
  else if (entry.mountpoint !== known.entry.mountpoint) known.copies.push(entry.mountpoint);
}
