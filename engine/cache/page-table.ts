/**
 * Which frame holds a blob: a hash table in shared memory, by linear probing without tombstones. Entries are pairs of
 * blob id and frame, id 0 for none.
 *
 * Rule: changed under the tree lock only. Without the lock `find` is a hint, and reads plainly: it may miss an entry that
 * moves, or tell a frame that has just been given to another blob.
 */
export class PageTable {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #mask: number;

  /** `buffer` is the table of another thread. `blobs`: how many it must hold. */
  constructor(blobs: number, buffer?: SharedArrayBuffer) {
    let entries = 64;
    while (entries < blobs * 4) entries *= 2;
    this.buffer = buffer ?? new SharedArrayBuffer(entries * 8);
    this.#words = new Int32Array(this.buffer);
    this.#mask = this.#words.length / 2 - 1;
  }

  /** The blob's frame, or -1. */
  find(blobId: number): number {
    const words = this.#words;
    const mask = this.#mask;
    let at = hash(blobId) & mask;
    for (let step = 0; step <= mask; step++) {
      const id = words[at * 2];
      if (id === blobId) return words[at * 2 + 1] as number;
      if (id === 0) return -1;
      at = (at + 1) & mask;
    }
    return -1;
  }

  add(blobId: number, index: number): void {
    const words = this.#words;
    const mask = this.#mask;
    let at = hash(blobId) & mask;
    while (words[at * 2] !== 0) at = (at + 1) & mask;
    Atomics.store(words, at * 2 + 1, index);
    Atomics.store(words, at * 2, blobId);
  }

  /** Later entries of the run move back over the hole. REQUIRES that the blob is there. */
  remove(blobId: number): void {
    const words = this.#words;
    const mask = this.#mask;
    let at = hash(blobId) & mask;
    while (words[at * 2] !== blobId) at = (at + 1) & mask;
    let hole = at;
    for (;;) {
      at = (at + 1) & mask;
      const id = words[at * 2] as number;
      if (id === 0) break;
      const home = hash(id) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      Atomics.store(words, hole * 2 + 1, words[at * 2 + 1] as number);
      Atomics.store(words, hole * 2, id);
      hole = at;
    }
    Atomics.store(words, hole * 2, 0);
  }
}

function hash(blobId: number): number {
  return Math.imul(blobId, 0x9e3779b1) >>> 7;
}
