/** Mounts a tree with the driver asked for. */
import { SpinneyError } from '../engine/errors.js';
import type { Tree } from '../engine/index.js';
import { mountDevice, takeConnection } from './kernel/device/mounting.js';
import { mountKernel } from './kernel/kernel-mount.js';
import { NoHelperError } from './mountpoints/fusermount.js';
import type { DeviceMount } from './mountpoints/unmounting.js';
import { examineSession } from './session.js';
import type { Mounted, MountLog, MountOptions } from './types.js';

export { ContentSync } from './stores/content-sync.js';
export type { DriverName, MountEnd, Mounted, MountLog, MountOptions, MountStats } from './types.js';

export interface MountedTree {
  mounted: Mounted;
  /** Why it is not the kernel driver that `auto` took. */
  fallback?: string;
}

/**
 * Mounts `tree` at `options.mountpoint`; resolves when the mount answers. `auto` takes the kernel driver, and fuse-native
 * only where that cannot mount whatever it is asked for: an option that is refused, or a right that is missing, is the
 * user's to mend, and another driver would not tell. Rejects with ERR_MOUNT and the reason.
 */
export async function mountTree(tree: Tree, options: MountOptions, log: MountLog): Promise<MountedTree> {
  if (options.attach !== undefined) return { mounted: await attachTree(tree, options, options.attach, log) };
  const asked = options.driver;
  if (asked === 'fuse-native') return { mounted: await mountFuseNative(tree, options, log) };
  let device: DeviceMount;
  try {
    if (process.platform !== 'linux') throw new NotLinuxError();
    device = mountDevice(options);
  } catch (error) {
    if (asked !== 'auto' || !(error instanceof NoHelperError || error instanceof NotLinuxError)) throw error;
    return { mounted: await fallBack(tree, options, log, error), fallback: error.message };
  }
  return { mounted: await mountKernel(device, tree, options, log) };
}

/** Goes on with the mount whose connection the descriptor is. */
async function attachTree(tree: Tree, options: MountOptions, fd: number, log: MountLog): Promise<Mounted> {
  if (options.driver === 'fuse-native' || options.sessionDirectory === undefined) {
    throw new SpinneyError(
      'ERR_MOUNT',
      'Cannot go on with a mount: only the kernel driver keeps its session',
    );
  }
  const { connection, mountpoint } = examineSession(options.sessionDirectory);
  takeConnection(fd, connection);
  return mountKernel({ fd, mountpoint, connection }, tree, options, log);
}

class NotLinuxError extends SpinneyError {
  constructor() {
    super('ERR_MOUNT', 'Cannot mount: the kernel driver is for Linux');
  }
}

async function fallBack(
  tree: Tree,
  options: MountOptions,
  log: MountLog,
  reason: SpinneyError,
): Promise<Mounted> {
  log('warn', `The kernel driver cannot mount here, trying fuse-native: ${reason.message}`);
  try {
    return await mountFuseNative(tree, options, log);
  } catch (error) {
    // What keeps both from mounting is told better by the first.
    log('warn', `fuse-native cannot mount either: ${error}`);
    throw reason;
  }
}

/** Loaded only where it is wanted: it needs a native addon that the kernel driver does without. */
async function mountFuseNative(tree: Tree, options: MountOptions, log: MountLog): Promise<Mounted> {
  const driver = await import('./fuse-native/driver.js');
  return driver.mountFuseNative(tree, options, log);
}
