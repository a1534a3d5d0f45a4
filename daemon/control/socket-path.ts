/** Where the control socket is, and what may be in its place. */
import { accessSync, constants, lstatSync, type Stats, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { reasonOf, SpinneyError } from '../../engine/errors.js';
import { hasCode } from '../process/failure.js';

/** sun_path of a unix socket address without its final zero; Node cuts a longer path silently. */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Bits that let others than the owner in. */
const OTHERS = 0o077;

/** The absolute path of the control socket: `--control`, or `control.sock` in the store. Throws ERR_INVALID_ARGUMENT. */
export function controlSocketPath(
  where: { store: string; control?: string | undefined } | { control: string },
): string {
  const path = resolve(
    'store' in where ? (where.control ?? join(where.store, 'control.sock')) : where.control,
  );
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot use the control socket ${path}: its path has ${bytes} bytes, a unix socket takes ` +
        `${MAX_SOCKET_PATH_BYTES}; give a shorter one with --control`,
    );
  }
  return path;
}

/**
 * Whether a dead daemon's socket is there, which the next one may remove: one of the caller's that nobody listens on and
 * that only the caller could reach, as daemons make them. False: nothing is there. Changes nothing. Throws ERR_EXISTS for
 * everything else that is there, ERR_IO where there is no directory for it.
 */
export async function refuseOccupied(path: string): Promise<boolean> {
  const found = lookAt(path);
  if (found === undefined) {
    refuseWithoutDirectory(path);
    return false;
  }
  if (!found.isSocket()) throw occupied(path, 'something else is in its place');
  if (await isAlive(path)) throw occupied(path, 'another daemon does');
  const isPrivate = (found.mode & OTHERS) === 0 || (statSync(dirname(path)).mode & OTHERS) === 0;
  if (found.uid === process.geteuid?.() && isPrivate) return true;
  throw occupied(path, 'a socket is there that no daemon of this user made');
}

function refuseWithoutDirectory(path: string): void {
  try {
    // The dot asks for a directory.
    accessSync(`${dirname(path)}/.`, constants.W_OK);
  } catch (error) {
    throw cannotListen(path, error);
  }
}

function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw cannotListen(path, error);
  }
}

/** What kept a socket from being made. Its directory is never made for it. */
export function cannotListen(path: string, cause: unknown): SpinneyError {
  return new SpinneyError('ERR_IO', `Cannot listen on the control socket ${path}: ${whyNot(path, cause)}`, {
    cause,
  });
}

function whyNot(path: string, error: unknown): string {
  const directory = dirname(path);
  if (hasCode(error, 'ENOENT')) {
    return `its directory ${directory} does not exist; make it first, or give another path with --control`;
  }
  return `${reasonOf(error)}; give another path with --control`;
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error) => resolve(!hasCode(error, 'ECONNREFUSED') && !hasCode(error, 'ENOENT')));
  });
}

function occupied(path: string, why: string): SpinneyError {
  return new SpinneyError(
    'ERR_EXISTS',
    `Cannot listen on the control socket ${path}: ${why}; give another path with --control`,
  );
}
