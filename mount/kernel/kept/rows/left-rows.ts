/** Inodes that somebody may write to though no handle is open: a number each, in rows of which 0 is free. */
import type { LeftKeeper } from '../../../filesystem/types.js';
import type { GrowingMemory } from '../growing-memory.js';

export const LEFT_BYTES = 8;

export class LeftRows implements LeftKeeper {
  readonly #memory: GrowingMemory;
  #inos: Float64Array;
  readonly #rows = new Map<number, number>();
  readonly #free: number[] = [];

  constructor(memory: GrowingMemory) {
    this.#memory = memory;
    this.#inos = new Float64Array(memory.buffer, memory.start, memory.length >> 3);
    this.#noteFrom(0);
    for (const [row, ino] of this.#inos.entries()) if (ino !== 0) this.#rows.set(ino, row);
  }

  get inos(): number[] {
    return [...this.#rows.keys()];
  }

  keep(ino: number): void {
    if (this.#rows.has(ino)) return;
    const row = this.#free.pop() ?? this.#grow();
    this.#rows.set(ino, row);
    this.#inos[row] = ino;
  }

  drop(ino: number): void {
    const row = this.#rows.get(ino);
    if (row === undefined) return;
    this.#inos[row] = 0;
    this.#rows.delete(ino);
    this.#free.push(row);
  }

  /** Rows from this one on are free where nothing is in them. */
  #noteFrom(first: number): void {
    for (let row = this.#inos.length - 1; row >= first; row--)
      if (this.#inos[row] === 0) this.#free.push(row);
  }

  /** Returns a free row. */
  #grow(): number {
    const first = this.#inos.length;
    this.#memory.grow();
    this.#inos = new Float64Array(this.#memory.buffer, this.#memory.start, this.#memory.length >> 3);
    this.#noteFrom(first);
    return this.#free.pop()!;
  }
}
