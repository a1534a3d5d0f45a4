/** Inodes that a piece of the set is about. */
const PIECE = 4096;

/**
 * A set of inode numbers: they are given out in turn, so a bit for each is far less than a Set takes. In pieces, because a
 * damaged record may tell any number.
 */
export class InodeSet {
  readonly #pieces = new Map<number, Uint8Array>();

  /** Returns false where the number was in the set already. */
  add(ino: number): boolean {
    const which = Math.floor(ino / PIECE);
    let bits = this.#pieces.get(which);
    if (bits === undefined) {
      bits = new Uint8Array(PIECE / 8);
      this.#pieces.set(which, bits);
    }
    const byte = (ino % PIECE) >> 3;
    const bit = 1 << (ino % 8);
    if ((bits[byte]! & bit) !== 0) return false;
    bits[byte]! |= bit;
    return true;
  }

  has(ino: number): boolean {
    const bits = this.#pieces.get(Math.floor(ino / PIECE));
    return bits !== undefined && (bits[(ino % PIECE) >> 3]! & (1 << (ino % 8))) !== 0;
  }
}

/** A set of contents, by ino and born: of the second there are as many as snapshots. */
export class ContentSet {
  readonly #sets = new Map<number, InodeSet>();

  add(ino: number, born: number): void {
    let set = this.#sets.get(born);
    if (set === undefined) {
      set = new InodeSet();
      this.#sets.set(born, set);
    }
    set.add(ino);
  }

  has(ino: number, born: number): boolean {
    return this.#sets.get(born)?.has(ino) === true;
  }

  /** Whether any content of the inode is in it. */
  hasInode(ino: number): boolean {
    for (const set of this.#sets.values()) if (set.has(ino)) return true;
    return false;
  }
}
