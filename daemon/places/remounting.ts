/** Changing the flags of a mount of a store in place. */
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { SpinneyError } from '../../engine/errors.js';
import { findMount } from '../../mount/mountpoints/mountinfo.js';
import { remount } from '../../mount/mountpoints/remounting.js';
import { isSpinney, resolveMountpoint } from './mountpoint.js';

/** `words` are those of mount(8): ro, rw, suid, nosuid and so on. Throws ERR_MOUNT, ERR_READ_ONLY. */
export function remountAt(place: string, store: string, words: readonly string[]): void {
  const mountpoint = resolveMountpoint(place);
  const found = findMount(mountpoint);
  if (found === undefined) throw cannotRemount(mountpoint, 'nothing is mounted there');
  if (!isSpinney(found)) {
    throw cannotRemount(mountpoint, `it is not a Spinney mount (${found.source}, type ${found.type})`);
  }
  if (found.source !== realPathOf(store)) {
    throw cannotRemount(mountpoint, `the store ${found.source} is mounted there, not ${store}`);
  }
  remount(found, words);
}

function realPathOf(store: string): string {
  try {
    return realpathSync(store);
  } catch {
    // It was moved meanwhile; the mount goes on, and has the path that it was given.
    return resolve(store);
  }
}

function cannotRemount(mountpoint: string, reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot remount ${mountpoint}: ${reason}`);
}
