/**
 * One buffer that holds a value of varying length again and again. `view(n)` is a view of its first n bytes,
 * made once for each length, so that a hot path hands out exact-length arrays without making any.
 * A view is valid until the next value is written.
 */
export class ReusableBytes {
  #bytes: Uint8Array;
  #views: (Uint8Array | undefined)[] = [];

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** The buffer, with room for at least `length` bytes; what it held may be lost. */
  reserve(length: number): Uint8Array {
    if (length > this.#bytes.length) {
      this.#bytes = new Uint8Array(Math.max(length, this.#bytes.length * 2));
      this.#views = [];
    }
    return this.#bytes;
  }

  /** The first `length` bytes, which must have been reserved. */
  view(length: number): Uint8Array {
    let view = this.#views[length];
    if (view === undefined) {
      view = this.#bytes.subarray(0, length);
      this.#views[length] = view;
    }
    return view;
  }
}
