/** What the command line prints, written at once: when a command returns, all of it is written or has failed. */
import { writeSync } from 'node:fs';
import { reasonOf, SpinneyError } from '../../engine/errors.js';
import { hasCode } from './failure.js';

const STDOUT = 1;
const STDERR = 2;
/** Between two attempts at a pipe that somebody made non-blocking and that is full. */
const RETRY_MS = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));

let isRead = true;

/** Throws ERR_IO where it cannot be written. A reader that has gone (`| head`) has what it wanted: nothing more is written. */
export function writeOut(text: string): void {
  writeBytes(Buffer.from(text));
}

/** As `writeOut`. */
export function writeBytes(bytes: Uint8Array): void {
  if (!isRead) return;
  try {
    writeAll(STDOUT, bytes);
  } catch (error) {
    if (hasCode(error, 'EPIPE')) isRead = false;
    else
      throw new SpinneyError('ERR_IO', `Cannot write to the standard output: ${reasonOf(error)}`, {
        cause: error,
      });
  }
}

/** Whether whoever reads the standard output is there, as far as the last writing told. */
export function hasReader(): boolean {
  return isRead;
}

/** Nobody could be told of a failure: the exit code is all that is left. */
export function writeError(text: string): void {
  try {
    writeAll(STDERR, Buffer.from(text));
  } catch {}
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if (!hasCode(error, 'EAGAIN') && !hasCode(error, 'EINTR')) throw error;
      Atomics.wait(pause, 0, 0, RETRY_MS);
    }
  }
}
