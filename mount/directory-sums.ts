/** Reads what a mount tells of its directories, as any program can: by their `spinney.dir.*` attributes. */
import { constants } from 'node:os';
import { SpinneyError } from '../engine/errors.js';
import { errno, errnoName, getxattr } from './libc/libc.js';

export interface DirectorySums {
  /** Of all that is below the directory: sizes of files, files, directories. */
  bytes: number;
  files: number;
  subdirs: number;
}

const { ENODATA, EOPNOTSUPP } = constants.errno;
const VALUE_BYTES = 32;

/** Undefined where the directory is in no Spinney mount. @throws ERR_IO */
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
  const failed = errno();
  if (failed === ENODATA || failed === EOPNOTSUPP) return undefined;
  throw new SpinneyError('ERR_IO', `Cannot sum up ${path}: ${errnoName(failed)}`);
}
