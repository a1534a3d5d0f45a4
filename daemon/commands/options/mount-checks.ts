/** What can be told before a daemon is started. */
import { existsSync } from 'node:fs';
import { SpinneyError } from '../../../engine/errors.js';

export function requireDevice(): void {
  if (process.platform !== 'linux' || existsSync('/dev/fuse')) return;
  throw new SpinneyError(
    'ERR_MOUNT',
    'Cannot mount: /dev/fuse is missing; load the module (modprobe fuse) or give the container --device /dev/fuse',
  );
}
