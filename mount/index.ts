/** Mounts a tree with the driver asked for. */
import { SpinneyError } from '../engine/errors.js';
import type { Tree } from '../engine/index.js';
import { type DeviceMount, mountDevice } from './kernel/device/mounting.js';
import { mountKernel } from './kernel/kernel-mount.js';
import type { Mounted, MountLog, MountOptions } from './types.js';

export type { DriverName, MountEnd, Mounted, MountLog, MountOptions, MountStats } from './types.js';

/**
 * Mounts `tree` at `options.mountpoint`; resolves when the mount answers. `auto` takes the kernel driver where
 * /dev/fuse can be opened and mounted, else fuse-native. Rejects with ERR_MOUNT and the reason.
 */
export async function mountTree(tree: Tree, options: MountOptions, log: MountLog): Promise<Mounted> {
  let reason: unknown;
  if (options.driver !== 'fuse-native') {
    const handle = tree.share();
    const device = deviceOrReason(options);
    if (!(device instanceof Error)) return mountKernel(device, handle, options, log);
    if (options.driver === 'kernel') throw device;
    log('warn', `The kernel driver cannot mount here, trying fuse-native: ${device.message}`);
    reason = device;
  }
  // Loaded only where it is wanted: it needs a native addon that the kernel driver does without.
  const { mountFuseNative } = await import('./fuse-native/driver.js');
  try {
    return await mountFuseNative(tree, options, log);
  } catch (error) {
    if (reason === undefined) throw error;
    // What keeps both from mounting is told better by the first.
    log('warn', `fuse-native cannot mount either: ${error}`);
    throw reason;
  }
}

/** What the kernel driver serves, or why it cannot be had. */
function deviceOrReason(options: MountOptions): DeviceMount | Error {
  if (process.platform !== 'linux') {
    return new SpinneyError('ERR_MOUNT', 'Cannot mount: the kernel driver is for Linux');
  }
  try {
    return mountDevice(options);
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}
