/** What the command line prints, written at once: when a command returns, all of it is written or has failed. */
import { writeSync } from 'node:fs';
import { reasonOf, SpinneyError } from '../../engine/errors.js';
import { hasCode } from './failure.js';

const STDOUT = 1;
const STDERR = 2;
/** Between two attempts at a pipe that somebody made non-blocking and that is full. */
const RETRY_MS = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));

let hasReader = true;

/** Throws ERR_IO where it cannot be written. A reader that has gone (`| head`) has what it wanted: nothing more is written. */
export function writeOut(text: string): void {
  if (!hasReader) return;
  try {
    writeAll(STDOUT, text);
  } catch (error) {
    if (hasCode(error, 'EPIPE')) hasReader = false;
    else
      throw new SpinneyError('ERR_IO', `Cannot write to the standard output: ${reasonOf(error)}`, {
        cause: error,
      });
  }
}

/** Nobody could be told of a failure: the exit code is all that is left. */
export function writeError(text: string): void {
  try {
    writeAll(STDERR, text);
  } catch {}
}

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if (!hasCode(error, 'EAGAIN') && !hasCode(error, 'EINTR')) throw error;
      Atomics.wait(pause, 0, 0, RETRY_MS);
    }
  }
}
