/**
 * Where copies for callers, and of what they pass in, come from. A typed array of its own costs an allocation outside the heap from 65 bytes on,
 * ten times what a view costs; so copies are views of slabs, as small Buffers are in Node, and what a caller keeps
 * keeps at most one slab.
 */
const SLAB_BYTES = 8192;
/** What is larger gets memory of its own. */
const MOST_SHARED_BYTES = SLAB_BYTES / 4;
const EMPTY = new Uint8Array(0);

export class Slab {
  #buffer = new ArrayBuffer(SLAB_BYTES);
  #words = new Uint32Array(this.#buffer);
  #at = 0;

  /** A copy of `bytes`. */
  keep(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (length > MOST_SHARED_BYTES) return new Uint8Array(bytes);
    const at = this.#take((length + 3) & ~3);
    const copy = new Uint8Array(this.#buffer, at, length);
    copy.set(bytes);
    return copy;
  }

  /**
   * A copy of the `length` bytes at byte `start` of `from`. Copied word by word, so the copy stands at the same offset
   * modulo 4 as its source. What lies beyond the end of `from` is read as zero.
   */
  copy(from: Uint32Array, start: number, length: number): Uint8Array {
    if (length === 0) return EMPTY;
    if (length > MOST_SHARED_BYTES) {
      const bytes = new Uint8Array(from.buffer, from.byteOffset, from.byteLength);
      return bytes.slice(start, start + length);
    }
    const skew = start & 3;
    const taken = (skew + length + 3) & ~3;
    const at = this.#take(taken);
    const words = this.#words;
    const end = (at + taken) >> 2;
    let source = start >> 2;
    let word = at >> 2;
    // Four at a time: the loop itself costs as much as a word.
    for (const last = end - 3; word < last; word += 4, source += 4) {
      words[word] = from[source]!;
      words[word + 1] = from[source + 1]!;
      words[word + 2] = from[source + 2]!;
      words[word + 3] = from[source + 3]!;
    }
    for (; word < end; word++) words[word] = from[source++]!;
    return new Uint8Array(this.#buffer, at + skew, length);
  }

  /** Takes so many bytes of the slab, a multiple of 4, or of a fresh one; returns where they are in it. */
  #take(bytes: number): number {
    let at = this.#at;
    if (at + bytes > SLAB_BYTES) {
      this.#buffer = new ArrayBuffer(SLAB_BYTES);
      this.#words = new Uint32Array(this.#buffer);
      at = 0;
    }
    this.#at = at + bytes;
    return at;
  }
}
