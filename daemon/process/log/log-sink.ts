/**
 * A descriptor that log lines go to. Writing is synchronous, so that the last lines before a crash are there, and decides
 * nothing: a line that cannot be written (a full disk, a closed pipe, a pipe that nobody empties) is dropped and counted.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { dup2 } from '../../../mount/process-calls.js';
import { failureOf, hasCode } from '../failure.js';
import { isStream, openLogFile } from './log-file.js';
import { LogLosses } from './log-losses.js';
import { rotate } from './log-rotation.js';

const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;
const STDERR = 2;
const PATIENCE_MS = 50;
const pause = new Int32Array(new SharedArrayBuffer(4));

export class LogSink {
  #fd: number;
  readonly #file: string | undefined;
  readonly losses = new LogLosses();
  /** The last line ends in the middle. */
  #isTorn = false;
  /** Of the file: its name in its directory, its bytes, and the size at which a new one begins. */
  #name = '';
  #size = 0;
  #rotateAt = Number.POSITIVE_INFINITY;
  readonly #mostBytes: number;
  #rotationProblem: string | undefined;

  private constructor(fd: number, file?: string, mostBytes = Number.POSITIVE_INFINITY) {
    this.#fd = fd;
    this.#file = file;
    this.#mostBytes = mostBytes;
    this.#measure();
  }

  /**
   * Appends to a file, or to the stream that it names. A plain file that would grow beyond `mostBytes` is rotated. Throws as
   * `openLogFile` does.
   */
  static toFile(file: string, mostBytes?: number): LogSink {
    if (isStream(file)) return LogSink.toDescriptor(openLogFile(file));
    return new LogSink(openLogFile(file), file, mostBytes);
  }

  /** Writes to a descriptor that somebody else opened and may share. */
  static toDescriptor(fd: number): LogSink {
    return new LogSink(withoutWaiting(fd));
  }

  /** Why the file grows beyond its size. */
  get rotationProblem(): string | undefined {
    return this.#rotationProblem;
  }

  write(line: string): void {
    if (this.#size > 0 && this.#size + line.length > this.#rotateAt) this.#rotate();
    const bytes = Buffer.from(this.#isTorn ? `\n${line}` : line);
    let at = 0;
    try {
      while (at < bytes.length) at += this.#writeSome(bytes, at);
      this.#size += at;
    } catch (error) {
      // What was torn before is so still where not even the line's end went through.
      this.#isTorn ||= at > 0;
      this.losses.add(failureOf(error).message);
      return;
    }
    this.#isTorn = false;
    this.losses.end();
  }

  /** Opens the file anew, after it was renamed or removed; goes on with the old one where that cannot be done. */
  reopen(): void {
    if (this.#file !== undefined) this.#openAnew(this.#file);
  }

  #openAnew(file: string): void {
    const before = this.#fd;
    try {
      this.#fd = openLogFile(file);
    } catch (error) {
      this.losses.add(failureOf(error).message);
      return;
    }
    // What the runtime says of its own crash goes there too.
    if (isSameFile(before, STDERR)) dup2(this.#fd, STDERR);
    closeSync(before);
    this.#isTorn = false;
    this.#measure();
  }

  /** Where the file cannot be renamed, lines go on into it: that is tried again when it has grown as much once more. */
  #rotate(): void {
    this.#rotateAt = this.#size + this.#mostBytes;
    try {
      // Where it is now: its directory may have been moved, as a store that is mounted may.
      const path = pathOf(this.#fd);
      if (basename(path) === this.#name && isSameFile(this.#fd, path)) {
        rotate(path);
        this.#openAnew(path);
      } else {
        // Somebody else has rotated it.
        this.reopen();
      }
    } catch (error) {
      this.#rotationProblem = failureOf(error).message;
    }
  }

  #measure(): void {
    if (this.#file === undefined) return;
    const status = fstatSync(this.#fd);
    this.#name = basename(pathOf(this.#fd));
    this.#size = status.size;
    this.#rotateAt = status.isFile() ? this.#mostBytes : Number.POSITIVE_INFINITY;
    this.#rotationProblem = undefined;
  }

  #writeSome(bytes: Buffer, at: number): number {
    try {
      return writeSync(this.#fd, bytes, at);
    } catch (error) {
      if (hasCode(error, 'EINTR')) return 0;
      // A reader that is only slow gets a moment; one that has stopped reading gets it once.
      if (!hasCode(error, 'EAGAIN') || this.losses.current !== undefined) throw error;
      Atomics.wait(pause, 0, 0, PATIENCE_MS);
      return writeSync(this.#fd, bytes, at);
    }
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

function pathOf(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

function isSameFile(fd: number, other: number | string): boolean {
  try {
    const [a, b] = [fstatSync(fd), typeof other === 'string' ? lstatSync(other) : fstatSync(other)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}
