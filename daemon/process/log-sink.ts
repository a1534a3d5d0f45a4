/**
 * Where log lines go. Writing is synchronous, so that the last lines before a crash are there, and decides nothing: a line
 * that cannot be written (a full disk, a closed pipe, a pipe that nobody empties) is dropped and counted.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { dup2 } from '../../mount/process-calls.js';
import { failureOf, hasCode } from './failure.js';
import { isStream, openLogFile } from './log-file.js';

const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;
const STDERR = 2;
const PATIENCE_MS = 50;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** Lines that could not be written, one after another up to now. */
export interface LostLines {
  count: number;
  since: Date;
  /** What kept the last one from being written. */
  cause: string;
}

export class LogSink {
  #fd: number;
  readonly #file: string | undefined;
  #lost: LostLines | undefined;
  /** The last line ends in the middle. */
  #isTorn = false;
  /** Called when lines can be written again, after the first; gets those that are missing before it. */
  onRecovered: (lost: LostLines) => void = () => {};

  private constructor(fd: number, file?: string) {
    this.#fd = fd;
    this.#file = file;
  }

  /** Appends to a file, or to the stream that it names. Throws as `openLogFile` does. */
  static toFile(file: string): LogSink {
    if (isStream(file)) return LogSink.toDescriptor(openLogFile(file));
    return new LogSink(openLogFile(file), file);
  }

  /** Writes to a descriptor that somebody else opened and may share. */
  static toDescriptor(fd: number): LogSink {
    return new LogSink(withoutWaiting(fd));
  }

  get lost(): LostLines | undefined {
    return this.#lost;
  }

  write(line: string): void {
    const bytes = Buffer.from(this.#isTorn ? `\n${line}` : line);
    let at = 0;
    try {
      while (at < bytes.length) at += this.#writeSome(bytes, at);
    } catch (error) {
      // What was torn before is so still where not even the line's end went through.
      this.#isTorn ||= at > 0;
      this.#lose(error);
      return;
    }
    this.#isTorn = false;
    const lost = this.#lost;
    this.#lost = undefined;
    if (lost !== undefined) this.onRecovered(lost);
  }

  /** Opens the file anew, after it was renamed or removed; goes on with the old one where that cannot be done. */
  reopen(): void {
    if (this.#file === undefined) return;
    const before = this.#fd;
    try {
      this.#fd = openLogFile(this.#file);
    } catch (error) {
      this.#lose(error);
      return;
    }
    // What the runtime says of its own crash goes there too.
    if (isSameFile(before, STDERR)) dup2(this.#fd, STDERR);
    closeSync(before);
    this.#isTorn = false;
  }

  #writeSome(bytes: Buffer, at: number): number {
    try {
      return writeSync(this.#fd, bytes, at);
    } catch (error) {
      if (hasCode(error, 'EINTR')) return 0;
      // A reader that is only slow gets a moment; one that has stopped reading gets it once.
      if (!hasCode(error, 'EAGAIN') || this.#lost !== undefined) throw error;
      Atomics.wait(pause, 0, 0, PATIENCE_MS);
      return writeSync(this.#fd, bytes, at);
    }
  }

  #lose(error: unknown): void {
    const { message } = failureOf(error);
    this.#lost = {
      count: (this.#lost?.count ?? 0) + 1,
      since: this.#lost?.since ?? new Date(),
      cause: message,
    };
  }
}

/** The same pipe or terminal opened anew, so that its other users do not share that nobody waits for its reader. */
function withoutWaiting(fd: number): number {
  try {
    const status = fstatSync(fd);
    if (!status.isFIFO() && !status.isCharacterDevice()) return fd;
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return fd;
  }
}

function isSameFile(one: number, other: number): boolean {
  try {
    const [a, b] = [fstatSync(one), fstatSync(other)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}
