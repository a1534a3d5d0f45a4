/**
 * A content's file, as whoever ships it reads it. It is open no longer than that takes. What is small is read at once: somebody may wait for it, and
 * each turn of the event loop takes longer.
 */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, read, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { reasonOf, SpinneyError } from '../../errors.js';
import { MAX_CONTENT_IN_ROW_BYTES } from '../../limits.js';
import type { FileState, FileTime } from './rows.js';

/**
 * A write so soon after the last one may leave a file's times as they were: the kernel's clock has ticks. In nanoseconds, and longer than
 * any tick is.
 */
const TICK_NS = 20_000_000n;
const readAsync = promisify(read);
/** A time that no file has. */
const NEVER: FileTime = { seconds: 0, nanos: 0xffff_ffff };

export class ContentFile {
  readonly #path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  /** Undefined where there is none. @throws ERR_IO */
  static open(path: string): ContentFile | undefined {
    try {
      return new ContentFile(path, openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw unreadable(path, error);
    }
  }

  /**
   * What tells later whether it was written since. Where a write that comes now might not change the file's times, its change time is none: so soon
   * after another (who is patient waits until it would), and where somebody may write through a mapping. What such a one stores to a page that it has
   * written before, the file's times do not tell. Who begins to write later is told by them, so `hasWriters` is asked after they were read.
   */
  async state({
    isPatient,
    hasWriters,
  }: {
    isPatient: boolean;
    hasWriters: () => boolean;
  }): Promise<FileState> {
    try {
      for (let hasWaited = false; ; hasWaited = true) {
        const stats = fstatSync(this.#fd, { bigint: true });
        const state = stateOf(stats);
        if (hasWriters()) return { ...state, ctime: NEVER };
        if (BigInt(Date.now()) * 1_000_000n - stats.ctimeNs > TICK_NS) return state;
        if (!isPatient || hasWaited) return { ...state, ctime: NEVER };
        await sleep(2 * Number(TICK_NS / 1_000_000n));
      }
    } catch (error) {
      throw unreadable(this.#path, error);
    }
  }

  /** As many of the bytes as there are. @throws ERR_IO */
  async read(offset: number, into: Uint8Array): Promise<number> {
    try {
      let done = 0;
      while (done < into.length) {
        const count = await this.#readSome(into, done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    } catch (error) {
      throw unreadable(this.#path, error);
    }
  }

  async #readSome(into: Uint8Array, at: number, position: number): Promise<number> {
    const length = into.length - at;
    if (length <= MAX_CONTENT_IN_ROW_BYTES) return readSync(this.#fd, into, at, length, position);
    return (await readAsync(this.#fd, into, at, length, position)).bytesRead;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Whether a file can be told to be what was shipped, by its times. */
export function isTelling({ ctime }: FileState): boolean {
  return ctime.nanos !== NEVER.nanos;
}

export function stateOf({ size, mtimeNs, ctimeNs }: BigIntStats): FileState {
  return { size: Number(size), mtime: timeOf(mtimeNs), ctime: timeOf(ctimeNs) };
}

/** Whether a file that is so now is for certain what was shipped. */
export function isSame(shipped: FileState, now: FileState): boolean {
  const { size, mtime, ctime } = shipped;
  return isTelling(shipped) && size === now.size && isEqual(mtime, now.mtime) && isEqual(ctime, now.ctime);
}

function isEqual(a: FileTime, b: FileTime): boolean {
  return a.seconds === b.seconds && a.nanos === b.nanos;
}

function timeOf(ns: bigint): FileTime {
  const nanos = Number(((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  return { seconds: Number((ns - BigInt(nanos)) / 1_000_000_000n), nanos };
}

function unreadable(path: string, cause: unknown): SpinneyError {
  return new SpinneyError('ERR_IO', `Cannot ship the content ${path}: ${reasonOf(cause)}`, { cause });
}
