/** Mounts a tree with the driver asked for. */
import type { Tree } from '../engine/index.js';
import { mountKernel } from './kernel/kernel-mount.js';
import type { Mounted, MountLog, MountOptions } from './types.js';

export type { DriverName, MountEnd, Mounted, MountLog, MountOptions, MountStats } from './types.js';

/**
 * Mounts `tree` at `options.mountpoint`; resolves when the mount answers. `auto` takes the kernel driver where
 * /dev/fuse can be opened and mounted, else fuse-native. Rejects with ERR_MOUNT and the reason.
 */
export async function mountTree(tree: Tree, options: MountOptions, log: MountLog): Promise<Mounted> {
  if (options.driver === 'kernel') return mountKernel(tree.share(), options, log);
  if (options.driver === 'auto' && process.platform === 'linux') {
    try {
      return await mountKernel(tree.share(), options, log);
    } catch (error) {
      log('warn', `The kernel driver cannot mount here, trying fuse-native: ${error}`);
    }
  }
  // Loaded only where it is wanted: it needs a native addon that the kernel driver does without.
  const { mountFuseNative } = await import('./fuse-native/driver.js');
  return mountFuseNative(tree, options, log);
}
