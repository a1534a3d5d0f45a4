/** The store that a command's argument means, and the daemon that serves it. Never touches a mount, which may be dead. */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { SpinneyError } from '../../engine/errors.js';
import type { MountEntry } from '../../mount/mountpoints/mountinfo.js';
import { controlSocketPath } from '../control/socket-path.js';
import { daemonsOf, isOf, type RunningDaemon } from './daemon-record.js';
import { knownMounts } from './known-mounts.js';
import { findPlace, isStoreWithin } from './place.js';

/** `mount`: it was told by one of its mounts, and means that one. */
export interface ServedStore {
  store: string;
  mount?: MountEntry;
}

/**
 * What `given` means: a mountpoint or anything else in a mount, or a store. Throws ERR_MOUNT for a store that is in a mount, which might
 * mean either; with `meansStore` it is the store.
 */
export async function findServed(given: string, { meansStore = false } = {}): Promise<ServedStore> {
  const place = findPlace(given);
  const { path, mount } = place;
  if (mount === undefined) return { store: path };
  if (path === mount.mountpoint) return { store: mount.source, mount };
  const [served] = knownMounts().filter(({ entry }) => entry.source === path);
  if (served === undefined && !(await isStoreWithin(place))) return { store: mount.source, mount };
  if (meansStore) return { store: path };
  const store =
    served === undefined ? `--store ${path}` : `${served.entry.mountpoint}, where that is mounted`;
  throw new SpinneyError(
    'ERR_MOUNT',
    `Cannot choose between a mount and a store: ${path} lies in the mount ${mount.mountpoint}, and is a store itself; ` +
      `give ${mount.mountpoint}, or ${store}`,
  );
}

/**
 * The control socket of the daemon that serves it: where its record says, else where a daemon has it by default. Throws
 * ERR_NO_STORE where there is no store, ERR_MOUNT where several daemons read it.
 */
export function controlSocketOf({ store, mount }: ServedStore): string {
  if (mount === undefined) refuseNoDirectory(store);
  const daemons = daemonsOf(store).filter((daemon) => mount === undefined || isOf(daemon, mount));
  const sockets = new Set(daemons.map(({ control }) => control));
  if (sockets.size > 1) {
    const mountpoints = daemons.map(({ mountpoint }) => mountpoint).join(', ');
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot choose a daemon of the store ${store}: it is mounted at ${mountpoints}; give one of these`,
    );
  }
  const [control] = sockets;
  return control ?? controlSocketPath({ store });
}

/** The daemon that serves it, where that is one alone. */
export function daemonOf({ store, mount }: ServedStore): RunningDaemon | undefined {
  const daemons = daemonsOf(store).filter((daemon) => mount === undefined || isOf(daemon, mount));
  return daemons.length === 1 ? daemons[0] : undefined;
}

function refuseNoDirectory(path: string): void {
  if (!existsSync(path)) {
    throw new SpinneyError('ERR_NO_STORE', `Cannot find the daemon of ${path}: no such store or mountpoint`);
  }
  if (statSync(path).isDirectory()) return;
  throw new SpinneyError(
    'ERR_NO_STORE',
    `Cannot find the daemon of ${path}: it is neither a store nor a mountpoint`,
  );
}

/** For commands about stores that are not mounted: the store that `place` is, or that is mounted there. Never throws. */
export function storeOf(place: string): string {
  try {
    const { path, mount } = findPlace(place);
    return mount?.mountpoint === path ? mount.source : path;
  } catch {
    // Whoever opens it says what is wrong.
    return resolve(place);
  }
}

/**
 * The mountpoint that `place` names, itself or by the store that is mounted there; `place` without links where it is
 * neither. Throws ERR_MOUNT for a store that is mounted at several places, and for what is only something in a mount.
 */
export function mountpointOf(place: string): string {
  const { path, mount } = findPlace(place);
  if (mount?.mountpoint === path) return path;
  const mounts = knownMounts().filter(({ entry, pid }) => entry.source === path && pid === undefined);
  const mountpoints = mounts.flatMap(({ entry, copies }) => [entry.mountpoint, ...copies]);
  if (mountpoints.length > 1) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot unmount the store ${path}: it is mounted at ${mountpoints.join(', ')}; give one of these`,
    );
  }
  const [mountpoint] = mountpoints;
  if (mountpoint === undefined && mount !== undefined) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot unmount ${path}: nothing is mounted there, it lies in the mount ${mount.mountpoint}`,
    );
  }
  return mountpoint ?? path;
}
