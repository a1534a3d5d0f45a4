/** Counts how often somebody came for a blob, to tell which ones are worth a frame. For one thread. */

/** Places to count in, 2^13 as the hash has it. Blobs that share one are worth a frame a little early. */
const COUNTERS = 8192;

export class Looks {
  readonly #counts = new Uint8Array(COUNTERS);
  readonly #most: number;
  #counted = 0;

  /** With `most` looks (at most 255) at a blob these are many. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Notes a look; whether there were many. Once there were more than `window` looks at all blobs together, it counts anew. */
  areMany(blobId: number, window: number): boolean {
    if (++this.#counted > window) {
      this.#counts.fill(0);
      this.#counted = 1;
    }
    const at = Math.imul(blobId, 0x9e3779b1) >>> 19;
    const looks = (this.#counts[at] as number) + 1;
    this.#counts[at] = looks < this.#most ? looks : 0;
    return looks >= this.#most;
  }
}
