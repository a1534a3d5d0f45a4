/**
 * A store that is being made by a command. Until all is done and durable it has a file that marks it as unfinished, and nobody
 * mounts it; a run that was cut short is begun again by the next.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { UNFINISHED_FILE } from '../engine/before-open.js';
import { SpinneyError } from '../engine/errors.js';

export const CONTENT_DIRECTORY = 'content';

/** What is being done, for messages: "repair /a to /b". */
interface Doing {
  what: string;
}

/** @throws ERR_INVALID_ARGUMENT where one of the directories lies in the other */
export function refuseNested({ what }: Doing, from: string, to: string): void {
  for (const [inner, outer] of [
    [from, to],
    [to, from],
  ] as const) {
    if (relative(resolve(outer), resolve(inner)).startsWith('..')) continue;
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot ${what}: one lies in the other; give another place`,
    );
  }
}

/** @throws ERR_EXISTS where something is at `target` but an empty directory or what an earlier run left */
export function refuseTaken({ what }: Doing, target: string): void {
  const status = lstatSync(target, { throwIfNoEntry: false });
  if (status === undefined) return;
  const names = status.isDirectory() ? readdirSync(target) : undefined;
  if (names === undefined || (names.length > 0 && !names.includes(UNFINISHED_FILE))) {
    throw new SpinneyError(
      'ERR_EXISTS',
      `Cannot ${what}: something is there; nothing is written over: remove it, or give another place`,
    );
  }
}

/** Makes the directory, marked as unfinished; of an earlier run nothing stays but contents, if they are `kept`. */
export function beginStore(target: string, command: string, kept: 'contents' | 'nothing'): void {
  mkdirSync(target, { recursive: true, mode: 0o700 });
  writeFileSync(
    join(target, UNFINISHED_FILE),
    `spinney ${command} has not finished this store: run it again\n`,
    {
      mode: 0o600,
      flush: true,
    },
  );
  for (const name of readdirSync(target)) {
    if (name === UNFINISHED_FILE || (kept === 'contents' && name === CONTENT_DIRECTORY)) continue;
    rmSync(join(target, name), { recursive: true });
  }
  syncDirectory(target);
  syncDirectory(dirname(resolve(target)));
}

/** All else is durable: from here on it is a store. */
export function finishStore(target: string): void {
  const mark = join(target, UNFINISHED_FILE);
  if (existsSync(mark)) unlinkSync(mark);
  syncDirectory(target);
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
