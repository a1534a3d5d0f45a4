/** What a command's argument means that may be a mountpoint or a store. Never touches a mount, which may be dead. */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { SpinneyError } from '../../engine/errors.js';
import { findMount, readMountinfo } from '../../mount/mountinfo.js';
import { controlSocketPath } from '../control/socket-path.js';
import { daemonsOf } from './daemon-record.js';
import { isSpinney, resolveMountpoint } from './mountpoint.js';

/**
 * The control socket of the daemon that serves `place`, a mountpoint or a store: where its record says, else where a
 * daemon has it by default. Throws ERR_NO_STORE where there is neither, ERR_MOUNT where several
 * daemons read the store.
 */
export function controlSocketOf(place: string): string {
  const path = resolveMountpoint(place);
  const mount = findMount(path);
  const isMount = mount !== undefined && isSpinney(mount);
  if (!isMount && !existsSync(path)) {
    throw new SpinneyError('ERR_NO_STORE', `Cannot find the daemon of ${path}: no such store or mountpoint`);
  }
  const store = isMount ? mount.source : path;
  if (!isMount && !statSync(path).isDirectory()) {
    throw new SpinneyError(
      'ERR_NO_STORE',
      `Cannot find the daemon of ${path}: it is neither a store nor a mountpoint`,
    );
  }
  const daemons = daemonsOf(store).filter(({ mountpoint }) => !isMount || mountpoint === path);
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

/** The store that `place` is, or that is mounted there. */
export function storeOf(place: string): string {
  const path = resolve(place);
  const mount = findMount(path);
  return mount !== undefined && isSpinney(mount) ? mount.source : path;
}

/**
 * The mountpoint that `place` names, itself or by the store that is mounted there; `place` without links where it is
 * neither. Throws ERR_MOUNT for a store that is mounted at several places.
 */
export function mountpointOf(place: string): string {
  const path = resolveMountpoint(place);
  const mount = findMount(path);
  if (mount !== undefined && isSpinney(mount)) return path;
  const mounts = readMountinfo().filter((entry) => isSpinney(entry) && entry.source === path);
  const mountpoints = [...new Set(mounts.map(({ mountpoint }) => mountpoint))];
  if (mountpoints.length > 1) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot unmount the store ${path}: it is mounted at ${mountpoints.join(', ')}; give one of these`,
    );
  }
  return mountpoints[0] ?? path;
}
