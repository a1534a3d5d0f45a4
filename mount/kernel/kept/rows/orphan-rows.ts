/**
 * Records of inodes that have no name any more and are still used, as far as the tree has none. A row counts while its inode
 * number is not 0, which is stored last.
 *
 * The first row is of an inode that is about to lose its name: it is there before the tree says so, and counts if the inode has
 * no name.
 */
import type { OrphanKeeper } from '../../../filesystem/types.js';
import type { GrowingMemory } from '../growing-memory.js';

const INO = 0; // f64
const LENGTH = 8; // f64
const RECORD = 16;
export const ORPHAN_BYTES = 256;
const MOST_BYTES = ORPHAN_BYTES - RECORD;
const PREPARED = 0;

export class OrphanRows implements OrphanKeeper {
  readonly #memory: GrowingMemory;
  #numbers: Float64Array;
  #bytes: Uint8Array;
  readonly #rows = new Map<number, number>();
  readonly #free: number[] = [];
  #end = PREPARED + 1;

  constructor(memory: GrowingMemory) {
    this.#memory = memory;
    this.#numbers = new Float64Array(memory.buffer, memory.start, memory.length >> 3);
    this.#bytes = new Uint8Array(memory.buffer, memory.start, memory.length);
    const rows = memory.length / ORPHAN_BYTES;
    for (let row = PREPARED + 1; row < rows; row++) if (this.#ino(row) !== 0) this.#end = row + 1;
    for (let row = PREPARED + 1; row < this.#end; row++) {
      const ino = this.#ino(row);
      if (ino === 0) this.#free.push(row);
      else this.#rows.set(ino, row);
    }
  }

  /** All that there are, by inode number, the one that was about to lose its name among them. */
  records(): Map<number, Uint8Array> {
    const records = new Map<number, Uint8Array>();
    for (const row of [PREPARED, ...this.#rows.values()]) {
      const ino = this.#ino(row);
      const length = this.#numbers[(row * ORPHAN_BYTES + LENGTH) >> 3]!;
      const start = row * ORPHAN_BYTES + RECORD;
      if (ino !== 0 && length > 0 && length <= MOST_BYTES)
        records.set(ino, this.#bytes.slice(start, start + length));
    }
    return records;
  }

  canKeep(record: Uint8Array): boolean {
    return record.length <= MOST_BYTES;
  }

  prepare(ino: number, record: Uint8Array): void {
    this.#put(PREPARED, ino, record);
  }

  keep(ino: number, record: Uint8Array): void {
    const before = this.#rows.get(ino);
    const row = this.#free.pop() ?? this.#end++;
    while ((row + 1) * ORPHAN_BYTES > this.#bytes.length) this.#grow();
    this.#rows.set(ino, row);
    this.#put(row, ino, record);
    // One of the two is whole at every moment.
    if (before !== undefined) this.#giveBack(before);
  }

  drop(ino: number): void {
    if (this.#ino(PREPARED) === ino) this.#numbers[0] = 0;
    const row = this.#rows.get(ino);
    if (row === undefined) return;
    this.#rows.delete(ino);
    this.#giveBack(row);
  }

  #giveBack(row: number): void {
    this.#numbers[(row * ORPHAN_BYTES + INO) >> 3] = 0;
    this.#free.push(row);
  }

  #ino(row: number): number {
    return this.#numbers[(row * ORPHAN_BYTES + INO) >> 3]!;
  }

  #put(row: number, ino: number, record: Uint8Array): void {
    const at = row * ORPHAN_BYTES;
    const bytes = this.#bytes;
    this.#numbers[(at + INO) >> 3] = 0;
    this.#numbers[(at + LENGTH) >> 3] = record.length;
    for (let i = 0; i < record.length; i++) bytes[at + RECORD + i] = record[i]!;
    this.#numbers[(at + INO) >> 3] = ino;
  }

  #grow(): void {
    const memory = this.#memory;
    memory.grow();
    this.#numbers = new Float64Array(memory.buffer, memory.start, memory.length >> 3);
    this.#bytes = new Uint8Array(memory.buffer, memory.start, memory.length);
  }
}
