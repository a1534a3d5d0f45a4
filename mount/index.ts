/** Mounts a tree with the driver asked for. */
import type { Tree } from '../engine/index.js';
import { mountKernel } from './kernel/kernel-mount.js';
import { type DeviceMount, mountDevice } from './kernel/mounting.js';
import type { Mounted, MountLog, MountOptions } from './types.js';

export type { DriverName, MountEnd, Mounted, MountLog, MountOptions, MountStats } from './types.js';

/**
 * Mounts `tree` at `options.mountpoint`; resolves when the mount answers. `auto` takes the kernel driver where
 * /dev/fuse can be opened and mounted, else fuse-native. Rejects with ERR_MOUNT and the reason.
 */
export async function mountTree(tree: Tree, options: MountOptions, log: MountLog): Promise<Mounted> {
  if (options.driver !== 'fuse-native') {
    const handle = tree.share();
    const device = mountedDevice(options, log);
    if (device !== undefined) return mountKernel(device, handle, options, log);
  }
  // Loaded only where it is wanted: it needs a native addon that the kernel driver does without.
  const { mountFuseNative } = await import('./fuse-native/driver.js');
  return mountFuseNative(tree, options, log);
}

/** What the kernel driver serves; undefined where it cannot be had and another driver may do. */
function mountedDevice(options: MountOptions, log: MountLog): DeviceMount | undefined {
  if (options.driver === 'kernel') return mountDevice(options);
  if (process.platform !== 'linux') return undefined;
  try {
    return mountDevice(options);
  } catch (error) {
    log('warn', `The kernel driver cannot mount here, trying fuse-native: ${error}`);
    return undefined;
  }
}
