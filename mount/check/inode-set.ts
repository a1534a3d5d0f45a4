/** A set of inode numbers: they are given out in turn, so a bit for each is far less than a Set takes. */
export class InodeSet {
  #bits = new Uint8Array(1024);

  /** Returns false where the number was in the set already. */
  add(ino: number): boolean {
    const byte = Math.floor(ino / 8);
    if (byte >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(byte + 1, this.#bits.length * 2));
      larger.set(this.#bits);
      this.#bits = larger;
    }
    const bit = 1 << (ino % 8);
    if ((this.#bits[byte]! & bit) !== 0) return false;
    this.#bits[byte]! |= bit;
    return true;
  }

  has(ino: number): boolean {
    return ((this.#bits[Math.floor(ino / 8)] ?? 0) & (1 << (ino % 8))) !== 0;
  }
}
