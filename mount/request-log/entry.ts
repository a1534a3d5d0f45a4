/**
 * A request as the log has it: what whoever answers it fills in, and the bytes of that in shared memory.
 *
 * An entry is ENTRY_BYTES long: numbers, then the bytes of its path and, right after these, of its second path. Of paths for which
 * that is no room the beginnings are kept, and their whole lengths.
 */

import { PARTS } from '../../engine/stopwatch.js';

export const ENTRY_BYTES = 512;
// Offsets in bytes; the parts have four each.
const BEGUN = 0;
const MICROSECONDS = 8;
const INO = 16;
const OPERATION = 24;
const RESULT = 28;
const UID = 32;
const PID = 36;
const PATH_LENGTH = 40;
const TO_LENGTH = 44;
const PARTS_AT = 48;
const PATHS_AT = 72;

/** Bytes that an entry has for its paths. */
export const PATHS_BYTES = ENTRY_BYTES - PATHS_AT;
/** In place of a length: there is no such path. */
export const NO_PATH = 0xffff_ffff;
/** In place of a uid or pid: the driver does not tell. */
export const UNKNOWN = 0xffff_ffff;
const MOST_U32 = 0xffff_ffff;

export class Entry {
  /** When it was taken up: milliseconds of a clock that nobody sets and that is the same for all threads. */
  begun = 0;
  /** From then to its answer. */
  microseconds = 0;
  /** Of the node that it names; 0: it names none. */
  ino = 0;
  /** The driver's number for it. */
  operation = 0;
  /** 0 or an errno, above 0. */
  result = 0;
  uid = UNKNOWN;
  pid = UNKNOWN;
  /** Whole length in bytes, or NO_PATH; the root's is 0. */
  pathLength = NO_PATH;
  toLength = NO_PATH;
  /** Microseconds that went to each part, as a stopwatch has them. */
  readonly parts = new Float64Array(PARTS);
  /** The beginnings of both paths, each in room of its own. */
  readonly path = Buffer.alloc(PATHS_BYTES);
  readonly to = Buffer.alloc(PATHS_BYTES);

  /** It is answered `now`, on that clock; `times`: milliseconds of each part, as a stopwatch has them. */
  setTimes(times: Float64Array, now: number): void {
    let milliseconds = 0;
    for (let part = 0; part < PARTS; part++) {
      milliseconds += times[part]!;
      this.parts[part] = times[part]! * 1000;
    }
    this.microseconds = milliseconds * 1000;
    this.begun = now - milliseconds;
  }

  /** Bytes of `path` that are kept: the second path may have up to half of the room. Never beyond it, whatever the lengths. */
  get pathKept(): number {
    return Math.min(
      present(this.pathLength),
      PATHS_BYTES - Math.min(present(this.toLength), PATHS_BYTES / 2),
    );
  }

  get toKept(): number {
    return Math.min(present(this.toLength), PATHS_BYTES - this.pathKept);
  }
}

function present(length: number): number {
  return length === NO_PATH ? 0 : length;
}

/** Entries one after another in shared memory. Who may read and write which, and when, is for whoever has the table. */
export class EntryTable {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #numbers: Float64Array;

  /** At `offset` of `memory`, a multiple of 8. */
  constructor(memory: SharedArrayBuffer, offset: number, entries: number) {
    const bytes = entries * ENTRY_BYTES;
    this.#bytes = new Uint8Array(memory, offset, bytes);
    this.#words = new Uint32Array(memory, offset, bytes / 4);
    this.#numbers = new Float64Array(memory, offset, bytes / 8);
  }

  write(index: number, entry: Entry): void {
    const at = index * ENTRY_BYTES;
    const word = at >>> 2;
    const number = at >>> 3;
    const words = this.#words;
    const { pathKept, toKept } = entry;
    this.#numbers[number + (BEGUN >>> 3)] = entry.begun;
    this.#numbers[number + (MICROSECONDS >>> 3)] = entry.microseconds;
    this.#numbers[number + (INO >>> 3)] = entry.ino;
    words[word + (OPERATION >>> 2)] = entry.operation;
    words[word + (RESULT >>> 2)] = entry.result;
    words[word + (UID >>> 2)] = entry.uid;
    words[word + (PID >>> 2)] = entry.pid;
    words[word + (PATH_LENGTH >>> 2)] = entry.pathLength;
    words[word + (TO_LENGTH >>> 2)] = entry.toLength;
    for (let part = 0; part < PARTS; part++) {
      words[word + (PARTS_AT >>> 2) + part] = Math.min(Math.round(entry.parts[part]!), MOST_U32);
    }
    const bytes = this.#bytes;
    const paths = at + PATHS_AT;
    for (let i = 0; i < pathKept; i++) bytes[paths + i] = entry.path[i]!;
    for (let i = 0; i < toKept; i++) bytes[paths + pathKept + i] = entry.to[i]!;
  }

  /** Of an entry that is written meanwhile it may read anything, but nothing beyond it. */
  read(index: number, into: Entry): void {
    const at = index * ENTRY_BYTES;
    const word = at >>> 2;
    const number = at >>> 3;
    const words = this.#words;
    into.begun = this.#numbers[number + (BEGUN >>> 3)]!;
    into.microseconds = this.#numbers[number + (MICROSECONDS >>> 3)]!;
    into.ino = this.#numbers[number + (INO >>> 3)]!;
    into.operation = words[word + (OPERATION >>> 2)]!;
    into.result = words[word + (RESULT >>> 2)]!;
    into.uid = words[word + (UID >>> 2)]!;
    into.pid = words[word + (PID >>> 2)]!;
    into.pathLength = words[word + (PATH_LENGTH >>> 2)]!;
    into.toLength = words[word + (TO_LENGTH >>> 2)]!;
    for (let part = 0; part < PARTS; part++) {
      into.parts[part] = words[word + (PARTS_AT >>> 2) + part]!;
    }
    const bytes = this.#bytes;
    const paths = at + PATHS_AT;
    const { pathKept, toKept } = into;
    for (let i = 0; i < pathKept; i++) into.path[i] = bytes[paths + i]!;
    for (let i = 0; i < toKept; i++) into.to[i] = bytes[paths + pathKept + i]!;
  }
}
