/**
 * Nameless inodes that somebody still uses: the record, or null where it is at its `o` key. The records that are only here
 * may be kept for another process, too.
 */
import type { OrphanKeeper } from '../types.js';

export class OrphanTable {
  readonly #records = new Map<number, Uint8Array | null>();
  readonly #keeper: OrphanKeeper | undefined;

  constructor(keeper: OrphanKeeper | undefined) {
    this.#keeper = keeper;
  }

  get size(): number {
    return this.#records.size;
  }

  get(ino: number): Uint8Array | null | undefined {
    return this.#records.get(ino);
  }

  has(ino: number): boolean {
    return this.#records.has(ino);
  }

  /** Whether the record may be here alone. */
  canKeep(record: Uint8Array): boolean {
    return this.#keeper === undefined || this.#keeper.canKeep(record);
  }

  /** To be called before the tree loses the last name of the inode, whose record is then to be here alone. */
  prepare(ino: number, record: Uint8Array): void {
    this.#keeper?.prepare(ino, record);
  }

  set(ino: number, record: Uint8Array | null): void {
    if (record === null) this.#keeper?.drop(ino);
    else this.#keeper?.keep(ino, record);
    this.#records.set(ino, record);
  }

  delete(ino: number): void {
    this.#keeper?.drop(ino);
    this.#records.delete(ino);
  }
}
