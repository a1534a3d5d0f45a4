import { SpinneyError } from '../../engine/errors.js';
import type { MountOptions } from '../types.js';

/** The binding copies all options, with its own, into a buffer of 1,024 bytes. */
const MAX_OPTION_BYTES = 900;

/**
 * What goes to libfuse as `fsname=`: the source, and after commas the options that the binding has no name for,
 * or drops (a time-out of 0). Throws ERR_MOUNT for a source that libfuse would split, or one too long.
 */
export function mountOptionString(options: MountOptions): string {
  const { source } = options;
  if (/[,\\]/.test(source)) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot mount the store ${source} with fuse-native: its path has a comma or a backslash`,
    );
  }
  const text = [
    source,
    'big_writes',
    'use_ino',
    // Not atomic_o_trunc: with it the kernel leaves taking the set-id bits to a daemon that knows the caller.
    `entry_timeout=${options.entryTimeout}`,
    // Every hard link is an inode of its own to the kernel here, so what it keeps would be stale.
    'attr_timeout=0',
    `negative_timeout=${options.negativeTimeout}`,
    ...(options.readOnly ? ['ro'] : []),
    // Later ones win.
    'nosuid',
    'nodev',
    ...options.options,
  ].join(',');
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_OPTION_BYTES) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot mount the store ${source} with fuse-native: its options have ${bytes} bytes, the limit is ${MAX_OPTION_BYTES}`,
    );
  }
  return text;
}
