import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** The absolute path of a file whose directory may be reached by symbolic links; itself it may be one, or be missing. */
export function resolveFile(path: string): string {
  const absolute = resolve(path);
  try {
    return join(realpathSync(dirname(absolute)), basename(absolute));
  } catch {
    // Whoever opens it says what is wrong.
    return absolute;
  }
}
