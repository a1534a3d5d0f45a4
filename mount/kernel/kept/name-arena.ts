/**
 * Names in one arena of bytes, in pieces of whole units that never move: so it can be a file that is whole at every moment.
 * Which pieces are in use the table tells whose names they are; the free ones are kept in lists by size.
 */
import type { GrowingMemory } from './growing-memory.js';

export const UNIT_BYTES = 8;
/** Of the longest name. */
const MOST_UNITS = 32;
export const MOST_NAME_BYTES = MOST_UNITS * UNIT_BYTES;

export class NameArena {
  readonly #memory: GrowingMemory;
  #bytes: Uint8Array;
  /** By size: where free pieces are. */
  readonly #free: number[][] = Array.from({ length: MOST_UNITS + 1 }, () => []);
  /** Units that were ever used. */
  #end = 0;

  constructor(memory: GrowingMemory) {
    this.#memory = memory;
    this.#bytes = this.#view();
  }

  get byteLength(): number {
    return this.#memory.length;
  }

  /** Copies a name of 1 to MOST_NAME_BYTES bytes in; returns the unit where it begins. */
  put(name: Uint8Array): number {
    const units = unitsOf(name.length);
    const at = this.#free[units]!.pop() ?? this.#carve(units);
    const bytes = this.#bytes;
    const start = at * UNIT_BYTES;
    for (let i = 0; i < name.length; i++) bytes[start + i] = name[i]!;
    return at;
  }

  /** The name of this length at `at` is not wanted any more. */
  free(at: number, length: number): void {
    this.#free[unitsOf(length)]!.push(at);
  }

  isAt(at: number, name: Uint8Array): boolean {
    const bytes = this.#bytes;
    const start = at * UNIT_BYTES;
    for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false;
    return true;
  }

  /** Copies a name so that it ends before `end` of `into`; returns where it begins there. */
  copyBefore(at: number, length: number, into: Uint8Array, end: number): number {
    const bytes = this.#bytes;
    const start = at * UNIT_BYTES;
    let to = end;
    for (let i = length - 1; i >= 0; i--) into[--to] = bytes[start + i]!;
    return to;
  }

  /** Whether a name may lie there. */
  holds(at: number, length: number): boolean {
    return (
      at >= 0 && length > 0 && length <= MOST_NAME_BYTES && at * UNIT_BYTES + length <= this.#bytes.length
    );
  }

  /**
   * For an arena that was used before: all pieces but those that `used` visits, which `holds` all, are free. False: two of
   * them overlap.
   */
  takeUp(used: (visit: (at: number, length: number) => void) => void): boolean {
    const isUsed = new Uint8Array(Math.floor(this.#bytes.length / UNIT_BYTES));
    let overlap = false;
    used((at, length) => {
      const end = at + unitsOf(length);
      for (let unit = at; unit < end; unit++) {
        overlap ||= isUsed[unit] === 1;
        isUsed[unit] = 1;
      }
      if (end > this.#end) this.#end = end;
    });
    let from = 0;
    for (let unit = 0; unit < this.#end; unit++) {
      if (isUsed[unit] === 0) continue;
      this.#giveBack(from, unit - from);
      from = unit + 1;
    }
    return !overlap;
  }

  #giveBack(from: number, count: number): void {
    for (let at = from, left = count; left > 0; ) {
      const units = Math.min(left, MOST_UNITS);
      this.#free[units]!.push(at);
      at += units;
      left -= units;
    }
  }

  /** A piece of a larger one, or of what was never used. */
  #carve(units: number): number {
    for (let larger = units + 1; larger <= MOST_UNITS; larger++) {
      const at = this.#free[larger]!.pop();
      if (at === undefined) continue;
      this.#free[larger - units]!.push(at + units);
      return at;
    }
    while ((this.#end + units) * UNIT_BYTES > this.#bytes.length) {
      this.#memory.grow();
      this.#bytes = this.#view();
    }
    const at = this.#end;
    this.#end += units;
    return at;
  }

  #view(): Uint8Array {
    return new Uint8Array(this.#memory.buffer, this.#memory.start, this.#memory.length);
  }
}

function unitsOf(length: number): number {
  return (length + UNIT_BYTES - 1) >>> 3;
}
