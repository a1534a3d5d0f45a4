/** What can be told before a daemon is started. */
import { existsSync, statSync } from 'node:fs';
import { SpinneyError } from '../../engine/errors.js';

/** A read-only mount needs a store that is there; any mount needs one that is a directory. */
export function requireStore({ store, readOnly }: { store: string; readOnly: boolean }): void {
  const found = statSync(store, { throwIfNoEntry: false });
  if (found === undefined && readOnly) {
    throw new SpinneyError('ERR_NO_STORE', `Cannot mount the store ${store} read-only: no such store`);
  }
  if (found !== undefined && !found.isDirectory()) {
    throw new SpinneyError('ERR_NO_STORE', `Cannot mount the store ${store}: it is not a directory`);
  }
}

export function requireDevice(): void {
  if (process.platform !== 'linux' || existsSync('/dev/fuse')) return;
  throw new SpinneyError(
    'ERR_MOUNT',
    'Cannot mount: /dev/fuse is missing; load the module (modprobe fuse) or give the container --device /dev/fuse',
  );
}
