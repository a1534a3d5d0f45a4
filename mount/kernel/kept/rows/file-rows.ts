/**
 * Open files by handle: of which inode, how they were opened, and how the kernel gets at their contents. A row counts while its
 * inode number is not 0, which is stored last.
 */
import type { GrowingMemory } from '../growing-memory.js';

export const FILE_BYTES = 16;
/** Open flags of open(2) that are kept: the access mode. */
const O_ACCMODE = 3;
/** Its way to the content counts among those of the inode, which all are the same. */
const HAS_WAY = 1 << 4;
/** Its release was answered, and is yet to be done. */
const IS_RELEASED = 1 << 5;

export class FileRows {
  readonly #memory: GrowingMemory;
  #inos: Float64Array;
  #words: Uint32Array;

  constructor(memory: GrowingMemory) {
    this.#memory = memory;
    this.#inos = new Float64Array(memory.buffer, memory.start, memory.length >> 3);
    this.#words = new Uint32Array(memory.buffer, memory.start, memory.length >> 2);
  }

  /** Handles are below this. */
  get end(): number {
    return this.#inos.length >> 1;
  }

  /** 0: there is no such handle. */
  ino(handle: number): number {
    return this.#inos[handle * 2] ?? 0;
  }

  /** The access mode of open(2). */
  flags(handle: number): number {
    return this.#words[handle * 4 + 2]! & O_ACCMODE;
  }

  hasWay(handle: number): boolean {
    return (this.#words[handle * 4 + 2]! & HAS_WAY) !== 0;
  }

  isReleased(handle: number): boolean {
    return (this.#words[handle * 4 + 2]! & IS_RELEASED) !== 0;
  }

  /** The backing file's number with the kernel; 0: through the daemon. */
  backing(handle: number): number {
    return this.#words[handle * 4 + 3]!;
  }

  add(handle: number, ino: number, flags: number): void {
    while (handle >= this.end) this.#grow();
    this.#words[handle * 4 + 2] = flags & O_ACCMODE;
    this.#words[handle * 4 + 3] = 0;
    this.#inos[handle * 2] = ino;
  }

  setWay(handle: number, backing: number): void {
    this.#words[handle * 4 + 3] = backing;
    this.#words[handle * 4 + 2]! |= HAS_WAY;
  }

  clearWay(handle: number): void {
    this.#words[handle * 4 + 2]! &= ~HAS_WAY;
  }

  setReleased(handle: number): void {
    this.#words[handle * 4 + 2]! |= IS_RELEASED;
  }

  remove(handle: number): void {
    if (handle < this.end) this.#inos[handle * 2] = 0;
  }

  #grow(): void {
    const memory = this.#memory;
    memory.grow();
    this.#inos = new Float64Array(memory.buffer, memory.start, memory.length >> 3);
    this.#words = new Uint32Array(memory.buffer, memory.start, memory.length >> 2);
  }
}
