/**
 * Where a system is in a workload: a directory below, for its contents, and a mountpoint.
 *
 * Places are far from each other, and so is what is made in each round: ext4 without a journal goes through all inodes that
 * were removed in the last minute near a directory before it makes a file there, and takes ten times as long. Its
 * directories that are marked as the top of a hierarchy put each child where its name's hash says.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Bytes in a small file. */
export const FILE_BYTES = 2048;

/** A name that nothing had before. */
export function spread(name) {
  return `${name}-${randomBytes(4).toString('hex')}`;
}

/** Has what is made in the directory be far from each other, where the filesystem can. */
export function markAsTop(directory) {
  spawnSync('chattr', ['+T', directory], { stdio: 'ignore' });
}

/**
 * Makes a place. `attributes`: whether extended ones are used; `warmUp`: what the server is to do before it is measured, with
 * files of which size; `hasWarmUp`: whether these files are there.
 */
export function makePlace(
  base,
  system,
  { attributes = false, contents = false },
  { warmUpLong, warmUpShort },
) {
  const own = join(base, spread(system.name));
  const below = join(own, 'below');
  const mountpoint = join(own, 'mnt');
  mkdirSync(below, { recursive: true });
  mkdirSync(mountpoint);
  markAsTop(below);
  const size = contents ? FILE_BYTES : 0;
  const warmUp = { ...(system.isCompiledLate ? warmUpLong : warmUpShort), size };
  return { directory: own, below, mountpoint, attributes, warmUp, hasWarmUp: false };
}
