import { join, resolve } from 'node:path';
import { SpinneyError } from '../../engine/errors.js';

/** sun_path of a unix socket address without its final zero; Node cuts a longer path silently. */
export const MAX_SOCKET_PATH_BYTES = 107;

/** The absolute path of the control socket: `--control`, or `control.sock` in the store. Throws ERR_INVALID_ARGUMENT. */
export function controlSocketPath(where: { store?: string; control?: string }): string {
  if (where.control === undefined && where.store === undefined) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      'Cannot find the control socket: give --store or --control',
    );
  }
  const path = resolve(where.control ?? join(where.store!, 'control.sock'));
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
