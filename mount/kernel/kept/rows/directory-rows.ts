/**
 * Open directories by handle: which inode, the version that its record had, and the names that the last two replies to a listing
 * ended with, at which the next one goes on, whatever has become of them by then. A row counts while its inode number
 * is not 0, a name while its length is not, which are stored last.
 */
import type { GrowingMemory } from '../growing-memory.js';
import { MOST_NAME_BYTES } from '../name-arena.js';

const INO = 0; // f64
const VERSION = 8; // f64
const PLACES = 16;
/** f64 offset, f64 length, the name. */
const PLACE_BYTES = 16 + MOST_NAME_BYTES;
export const DIRECTORY_BYTES = PLACES + 2 * PLACE_BYTES;

/** Where a listing goes on: behind `name`, at the offset that the kernel has. */
export interface ListedPlace {
  name: Uint8Array;
  offset: number;
}

export class DirectoryRows {
  readonly #memory: GrowingMemory;
  #numbers: Float64Array;
  #bytes: Uint8Array;

  constructor(memory: GrowingMemory) {
    this.#memory = memory;
    this.#numbers = new Float64Array(memory.buffer, memory.start, memory.length >> 3);
    this.#bytes = new Uint8Array(memory.buffer, memory.start, memory.length);
  }

  /** Handles are below this. */
  get end(): number {
    return Math.floor(this.#bytes.length / DIRECTORY_BYTES);
  }

  /** 0: there is no such handle. */
  ino(handle: number): number {
    return handle < this.end ? this.#numbers[(handle * DIRECTORY_BYTES + INO) >> 3]! : 0;
  }

  version(handle: number): number {
    return this.#numbers[(handle * DIRECTORY_BYTES + VERSION) >> 3]!;
  }

  places(handle: number): ListedPlace[] {
    const found: ListedPlace[] = [];
    for (const at of [0, 1].map((which) => handle * DIRECTORY_BYTES + PLACES + which * PLACE_BYTES)) {
      const length = this.#numbers[(at + 8) >> 3]!;
      if (!(length > 0 && length <= MOST_NAME_BYTES)) continue;
      found.push({ offset: this.#numbers[at >> 3]!, name: this.#bytes.slice(at + 16, at + 16 + length) });
    }
    return found;
  }

  add(handle: number, ino: number, version: number): void {
    while (handle >= this.end) this.#grow();
    const at = handle * DIRECTORY_BYTES;
    for (const which of [0, 1]) this.#numbers[(at + PLACES + which * PLACE_BYTES + 8) >> 3] = 0;
    this.#numbers[(at + VERSION) >> 3] = version;
    this.#numbers[(at + INO) >> 3] = ino;
  }

  /** The reply to a listing from `from` on ends with this name, and the offset after it. */
  listed(handle: number, from: number, name: Uint8Array, offset: number): void {
    if (handle >= this.end || name.length > MOST_NAME_BYTES) return;
    const first = handle * DIRECTORY_BYTES + PLACES;
    // The place that this reply began at may be asked for again.
    const at = this.#numbers[first >> 3] === from ? first + PLACE_BYTES : first;
    this.#numbers[(at + 8) >> 3] = 0;
    this.#numbers[at >> 3] = offset;
    this.#bytes.set(name, at + 16);
    this.#numbers[(at + 8) >> 3] = name.length;
  }

  remove(handle: number): void {
    if (handle < this.end) this.#numbers[(handle * DIRECTORY_BYTES + INO) >> 3] = 0;
  }

  #grow(): void {
    const memory = this.#memory;
    memory.grow();
    this.#numbers = new Float64Array(memory.buffer, memory.start, memory.length >> 3);
    this.#bytes = new Uint8Array(memory.buffer, memory.start, memory.length);
  }
}
