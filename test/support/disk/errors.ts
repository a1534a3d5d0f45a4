import { constants } from 'node:os';

const numbers = constants.errno as Record<string, number>;

/** An error like those that Node's fs throws. */
export function errnoError(code: string, syscall: string, path: string): NodeJS.ErrnoException {
  const errno = numbers[code] ?? 0;
  return Object.assign(new Error(`${code}: ${syscall} '${path}'`), { code, errno: -errno, syscall, path });
}

/** The negative errno of an error that has one. */
export function errnoOf(error: unknown): number {
  const errno = (error as NodeJS.ErrnoException | undefined)?.errno;
  if (errno === undefined) throw error;
  return errno;
}
