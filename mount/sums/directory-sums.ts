/** Reads what a mount tells of its directories, as any program can: by their `spinney.dir.*` attributes. */
import { errno, errnoName, getxattr } from '../libc/libc.js';

export interface DirectorySums {
  /** Of all that is below the directory: sizes of files, files, directories. */
  bytes: number;
  files: number;
  subdirs: number;
}

/** It is in no Spinney mount, or has gone. */
const NONE = new Set(['ENODATA', 'ENOENT', 'ENOTDIR', 'EOPNOTSUPP']);
const VALUE_BYTES = 32;

/** Undefined where there is no such directory in a Spinney mount. @throws an error with the errno's name as its code */
export function directorySums(path: Buffer): DirectorySums | undefined {
  const bytes = read(path, 'rbytes');
  const files = bytes === undefined ? undefined : read(path, 'rfiles');
  const subdirs = files === undefined ? undefined : read(path, 'rsubdirs');
  if (bytes === undefined || files === undefined || subdirs === undefined) return undefined;
  return { bytes, files, subdirs };
}

function read(path: Buffer, sum: string): number | undefined {
  const into = Buffer.alloc(VALUE_BYTES);
  const length = getxattr(Buffer.concat([path, Buffer.of(0)]), `spinney.dir.${sum}`, into, into.length);
  if (length >= 0) return Number(into.toString('latin1', 0, length));
  const code = errnoName(errno());
  if (NONE.has(code)) return undefined;
  throw Object.assign(new Error(code), { code });
}
