/** `remote.json` in a store's directory: the store has a remote, and which. Its bytes are told in FORMAT.md. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { SpinneyError } from '../errors.js';
import { isId } from './objects/head.js';

export const REMOTE_FILE = 'remote.json';
const FORMAT = 'spinney-remote';
const VERSION = 1;

export interface RemoteRecord {
  /** `s3://bucket/prefix`. */
  url: string;
  /** The server, where it was told. */
  endpoint?: string;
  /** By which HEAD knows the store: 32 hex digits. A copy of the store has the same, and must not be used beside it. */
  holder: string;
  /** The store came from the remote, or went there, as a whole: what is in the directory is one. */
  isBegun: boolean;
  /** The store is a copy of what another machine writes there, made anew by each mount. */
  follows?: true;
}

/** Undefined where the store has no remote. @throws ERR_FORMAT_VERSION, ERR_IO where it is damaged */
export function readRemoteRecord(directory: string): RemoteRecord | undefined {
  const path = join(directory, REMOTE_FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  const damaged = () =>
    new SpinneyError('ERR_IO', `Cannot read ${path}: it is damaged, and tells which remote the store has`);
  let told: Record<string, unknown>;
  try {
    told = JSON.parse(text);
  } catch {
    throw damaged();
  }
  if (typeof told !== 'object' || told === null || told.format !== FORMAT) throw damaged();
  if (told.version !== VERSION) {
    throw new SpinneyError(
      'ERR_FORMAT_VERSION',
      `Cannot read ${path}: it is of version ${told.version}, this release knows ${VERSION}`,
    );
  }
  const { url, endpoint, holder, isBegun, follows } = told;
  if (typeof url !== 'string' || !isId(holder) || typeof isBegun !== 'boolean') throw damaged();
  return {
    url,
    holder,
    isBegun,
    ...(typeof endpoint === 'string' && { endpoint }),
    ...(follows === true && { follows }),
  };
}

/** Durably, in place of what there was. */
export function writeRemoteRecord(directory: string, record: RemoteRecord): void {
  const path = join(directory, REMOTE_FILE);
  rmSync(`${path}.new`, { force: true });
  const text = JSON.stringify({ format: FORMAT, version: VERSION, ...record });
  const fd = openSync(`${path}.new`, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeSync(fd, `${text}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  const held = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(held);
  } finally {
    closeSync(held);
  }
}

export function newHolder(): string {
  return randomBytes(16).toString('hex');
}
