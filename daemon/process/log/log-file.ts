/**
 * Opens the file that a daemon logs to. Whoever can write to its directory may have put something else in its place, so
 * only a plain file of the caller's is appended to, and no link is followed that somebody else made.
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import { dirname } from 'node:path';
import { reasonOf, SpinneyError } from '../../../engine/errors.js';
import { hasCode } from '../failure.js';

/** The process's own streams, which may be anything. */
const STREAMS: ReadonlyMap<string, number> = new Map([
  ['/dev/stdout', 1],
  ['/dev/stderr', 2],
]);
const LAST_STREAM = 2;
/** Device number of /dev/null. */
const NULL_DEVICE = 0x103;

const { O_APPEND, O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY, W_OK } = constants;
const FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

/** Whether the log goes to a stream that the process was started with. */
export function isStream(file: string): boolean {
  return streamOf(file) !== undefined;
}

/** The descriptor of the stream that `file` names; undefined where it names none. */
export function streamOf(file: string): number | undefined {
  return STREAMS.get(file);
}

/**
 * A descriptor that appends to `file`, which is made (mode 0600) where it is missing, but not its directory. For
 * `closeLogFile`. Throws ERR_IO where it cannot be opened, ERR_UNSAFE where it is not a plain file of the caller's.
 */
export function openLogFile(file: string): number {
  const stream = streamOf(file);
  if (stream !== undefined) return stream;
  let fd: number | undefined;
  try {
    const target = targetOf(file);
    fd = openSync(target, FLAGS, 0o600);
    refuse(file, problemOf(fstatSync(fd)));
    return fd;
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    throw asRefusal(file, error);
  }
}

function asRefusal(file: string, cause: unknown): SpinneyError {
  if (cause instanceof SpinneyError) return cause;
  return new SpinneyError('ERR_IO', `Cannot open the log file ${file}: ${whyNot(file, cause)}`, { cause });
}

/** Refuses what `openLogFile` would refuse, as far as that can be told without making anything. */
export function examineLogFile(file: string): void {
  if (isStream(file)) return;
  try {
    const target = targetOf(file);
    const isThere = lstatSync(target, { throwIfNoEntry: false }) !== undefined;
    // The dot asks for a directory.
    accessSync(isThere ? target : `${dirname(target)}/.`, W_OK);
  } catch (error) {
    throw asRefusal(file, error);
  }
}

/** Closes what `openLogFile` gave. The process's own streams stay open. */
export function closeLogFile(fd: number): void {
  if (fd > LAST_STREAM) closeSync(fd);
}

/** Where the name leads: a link is followed only if the caller or root made it. Looks before a FIFO could be opened. */
function targetOf(file: string): string {
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (found === undefined) return file;
  if (!found.isSymbolicLink()) {
    refuse(file, problemOf(found));
    return file;
  }
  if (found.uid !== 0 && found.uid !== process.geteuid?.()) {
    refuse(file, `it is a symbolic link that uid ${found.uid} made`);
  }
  const target = realpathSync(file);
  refuse(file, problemOf(lstatSync(target)));
  return target;
}

function problemOf(status: Stats): string | undefined {
  if (status.isCharacterDevice() && status.rdev === NULL_DEVICE) return undefined;
  if (status.isDirectory()) return 'it is a directory';
  if (!status.isFile()) return 'it is not a plain file';
  if (status.uid !== process.geteuid?.()) {
    return `it belongs to uid ${status.uid}, and this process runs as uid ${process.geteuid?.()}`;
  }
  return status.nlink > 1
    ? 'it has a second name (a hard link), by which another file may be meant'
    : undefined;
}

function refuse(file: string, problem: string | undefined): void {
  if (problem === undefined) return;
  throw new SpinneyError('ERR_UNSAFE', `Cannot log to ${file}: ${problem}; give another --log-file`);
}

function whyNot(file: string, error: unknown): string {
  const directory = dirname(file);
  if (hasCode(error, 'ENOENT')) {
    if (existsSync(directory) && lstatSync(file, { throwIfNoEntry: false }) === undefined) {
      return `no file can be made in ${directory}; give another --log-file`;
    }
    return lstatSync(file, { throwIfNoEntry: false }) === undefined
      ? `its directory ${directory} does not exist; make it first, or give another --log-file`
      : 'it is a symbolic link that leads nowhere';
  }
  return `${reasonOf(error)}; give another --log-file`;
}
