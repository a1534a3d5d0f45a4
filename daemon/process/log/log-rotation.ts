/**
 * Numbers the files of a log, so that a new one can begin: `log` becomes `log.1`, `log.1` becomes `log.2`, and the oldest goes. A
 * rotation that was cut short leaves a number free, and the next one fills it.
 */
import { lstatSync, renameSync } from 'node:fs';
import { SpinneyError } from '../../../engine/errors.js';

/** Files beside the one that is written. */
export const KEPT_FILES = 4;

/** Throws ERR_UNSAFE, and renames nothing, where one of the names stands for what is no log of the caller's. */
export function rotate(file: string): void {
  const names = [file, ...Array.from({ length: KEPT_FILES }, (_, at) => `${file}.${at + 1}`)];
  for (const name of names) refuseForeign(name);
  for (let at = KEPT_FILES; at > 0; at--) {
    if (exists(names[at - 1]!)) renameSync(names[at - 1]!, names[at]!);
  }
}

function refuseForeign(name: string): void {
  const status = lstatSync(name, { throwIfNoEntry: false });
  if (status === undefined || (status.isFile() && status.uid === process.geteuid?.())) return;
  throw new SpinneyError(
    'ERR_UNSAFE',
    `Cannot rotate the log: ${name} is no plain file of this user's; move it away`,
  );
}

function exists(name: string): boolean {
  return lstatSync(name, { throwIfNoEntry: false }) !== undefined;
}
