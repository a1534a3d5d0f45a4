/**
 * What device-recorder.mjs has recorded of a disk, and the disk as a power cut at any moment may have left it.
 *
 * What was written before the last flush that was done is there; of what was written since, any part may be, in any order. A
 * piece of 4 KiB is written whole or not at all, as disks do and filesystems rely on.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';

const HEAD_BYTES = 16;
const PIECE_BYTES = 4096;
const KINDS = ['', 'write', 'flush', 'mark'] as const;
/** How much of what was not flushed is there after a cut. */
const CHANCES = [0, 0.15, 0.5, 0.85, 1];

interface Recorded {
  kind: (typeof KINDS)[number];
  position: number;
  length: number;
  /** Where its bytes are in the log. */
  at: number;
}

export class RecordedDisk {
  readonly entries: readonly Recorded[];
  readonly #base: string;
  readonly #log: number;

  /** `base`: what was on the disk before the first entry. */
  constructor(base: string, log: string) {
    this.#base = base;
    this.#log = openSync(log, 'r');
    this.entries = entriesOf(this.#log);
  }

  close(): void {
    closeSync(this.#log);
  }

  /** What was written to `marks` before the entry, in order. */
  marksBefore(index: number): string[] {
    const marks = this.entries.slice(0, index).filter(({ kind }) => kind === 'mark');
    return marks.map((mark) => this.#bytesOf(mark).toString().trim());
  }

  /** Makes `target` the disk after a cut just before the entry. Returns how many writes were lost. */
  cut(index: number, target: string, random: () => number): number {
    execFileSync('cp', ['--sparse=always', this.#base, target]);
    const before = this.entries.slice(0, index);
    const flushed = before.findLastIndex(({ kind }) => kind === 'flush');
    const chance = CHANCES[Math.floor(random() * CHANCES.length)]!;
    const survives = (at: number): boolean => at < flushed || random() < chance;
    const writes = before.map(({ kind }, at) => (kind === 'write' ? at : -1)).filter((at) => at >= 0);
    const kept = writes.filter(survives);
    const last = kept.at(-1);
    const fd = openSync(target, 'r+');
    try {
      for (const at of kept) {
        const entry = this.entries[at]!;
        if (at === last && at > flushed && random() < 0.5) this.#writeTorn(fd, entry, random);
        else this.#write(fd, this.#bytesOf(entry), entry.position);
      }
    } finally {
      closeSync(fd);
    }
    return writes.length - kept.length;
  }

  #bytesOf({ at, length }: Recorded): Buffer {
    const bytes = Buffer.alloc(length);
    if (readSync(this.#log, bytes, 0, length, at) !== length) throw new Error('The log is cut');
    return bytes;
  }

  #write(fd: number, bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length; )
      done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }

  #writeTorn(fd: number, entry: Recorded, random: () => number): void {
    const bytes = this.#bytesOf(entry);
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + PIECE_BYTES - ((entry.position + at) % PIECE_BYTES));
      if (random() < 0.5) this.#write(fd, bytes.subarray(at, end), entry.position + at);
      at = end;
    }
  }
}

function entriesOf(log: number): Recorded[] {
  const entries: Recorded[] = [];
  const { size } = fstatSync(log);
  const head = Buffer.alloc(HEAD_BYTES);
  for (let at = 0; at + HEAD_BYTES <= size; ) {
    readSync(log, head, 0, HEAD_BYTES, at);
    const length = head.readUInt32LE(4);
    at += HEAD_BYTES;
    entries.push({ kind: KINDS[head.readUInt32LE(0)]!, position: head.readDoubleLE(8), length, at });
    at += length;
  }
  return entries;
}
