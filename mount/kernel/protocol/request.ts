/**
 * Reads a request. Fields of fixed structures are read at the offsets that protocol.ts tells; the operation's
 * minimum size is checked once, before its handler runs, so these reads need no check. Names and data follow
 * the structure and are read by a cursor; there short or malformed data is a value, never an exception.
 */
import { InHeader, RESENT } from './protocol.js';
import type { ReusableBytes } from './reusable-bytes.js';

const SLASH = 0x2f;
const DOT = 0x2e;
const TWO_32 = 0x1_0000_0000;

export class Request {
  /** What the kernel wrote. Its first byte is 8-byte aligned. */
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;
  /** Bytes of the request. */
  #length = 0;
  /** Where the cursor stands. */
  #position = 0;

  constructor(capacity: number) {
    const memory = new ArrayBuffer(capacity);
    this.bytes = new Uint8Array(memory);
    this.#words = new Uint32Array(memory);
  }

  /** Begins with the `length` bytes that were read. False: they are no whole request, so it has no identity either. */
  begin(length: number): boolean {
    this.#length = length;
    return length >= InHeader.SIZE;
  }

  /** Whether the header agrees with what was read, and the operation's structure of `minimum` bytes is there. */
  holds(minimum: number): boolean {
    return this.#words[InHeader.LENGTH >> 2] === this.#length && this.#length >= InHeader.SIZE + minimum;
  }

  get opcode(): number {
    return this.#words[InHeader.OPCODE >> 2]!;
  }
  get node(): number {
    return this.#header64(InHeader.NODEID);
  }
  get uniqueLow(): number {
    return this.#words[InHeader.UNIQUE >> 2]!;
  }
  get uniqueHigh(): number {
    return this.#words[(InHeader.UNIQUE >> 2) + 1]!;
  }
  get uid(): number {
    return this.#words[InHeader.UID >> 2]!;
  }
  get gid(): number {
    return this.#words[InHeader.GID >> 2]!;
  }
  get pid(): number {
    return this.#words[InHeader.PID >> 2]!;
  }

  /** Bytes after the header. */
  get argumentLength(): number {
    return this.#length - InHeader.SIZE;
  }

  /** Whether the kernel sent it before, to a daemon that did not answer. */
  get isResent(): boolean {
    return this.uniqueHigh >= RESENT;
  }

  /** Copies the first `count` words to `into` from index `at` on. */
  copyWords(into: Uint32Array, at: number, count: number): void {
    for (let i = 0; i < count; i++) into[at + i] = this.#words[i]!;
  }

  u32(offset: number): number {
    return this.#words[(InHeader.SIZE + offset) >> 2]!;
  }

  s32(offset: number): number {
    return this.u32(offset) | 0;
  }

  /** Exact below 2^53; a larger number names nothing that exists. */
  u64(offset: number): number {
    return this.#header64(InHeader.SIZE + offset);
  }

  s64(offset: number): number {
    const at = (InHeader.SIZE + offset) >> 2;
    return (this.#words[at + 1]! | 0) * TWO_32 + this.#words[at]!;
  }

  #header64(offset: number): number {
    const at = offset >> 2;
    return this.#words[at + 1]! * TWO_32 + this.#words[at]!;
  }

  /** Sets the cursor behind the operation's structure of `size` bytes. */
  skip(size: number): void {
    this.#position = InHeader.SIZE + size;
  }

  /**
   * Copies the string under the cursor (up to its NUL) into `into` and moves on; undefined when it is empty or
   * has no end.
   */
  string(into: ReusableBytes): Uint8Array | undefined {
    const end = this.bytes.indexOf(0, this.#position);
    if (end === -1 || end >= this.#length || end === this.#position) return undefined;
    const length = end - this.#position;
    const target = into.reserve(length);
    for (let i = 0; i < length; i++) target[i] = this.bytes[this.#position + i]!;
    this.#position = end + 1;
    return into.view(length);
  }

  /** As `string`, for the name of a directory entry; undefined also for `.`, `..` and what has a slash. */
  name(into: ReusableBytes): Uint8Array | undefined {
    const name = this.string(into);
    if (name === undefined || name.includes(SLASH)) return undefined;
    if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) return undefined;
    return name;
  }

  /** Offset in `bytes` of the `length` bytes under the cursor; -1 when they are not all there. */
  data(length: number): number {
    return this.#position + length <= this.#length ? this.#position : -1;
  }
}
