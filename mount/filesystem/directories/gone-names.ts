/**
 * Names that a directory lost while it was open, by their hash: so that an offset after such a name is still a place.
 * The newest ones are kept, at least LEAST_KEPT: more than any client reads before it begins to remove. That takes at
 * most twice their length and 8 bytes for each.
 */
import { hashOf } from './directory-offsets.js';

const LEAST_KEPT = 131_072;
const LEAST_BYTES = 1_024;
const LEAST_PLACES = 64;

export class GoneNames {
  #newer = new Generation();
  #older: Generation | undefined;

  add(name: Uint8Array): void {
    if (this.#newer.count === LEAST_KEPT) {
      this.#older = this.#newer;
      this.#newer = new Generation();
    }
    this.#newer.add(name);
  }

  /** The name with this hash; undefined where it is not known. */
  find(hash: number): Uint8Array | undefined {
    return this.#newer.find(hash) ?? this.#older?.find(hash);
  }
}

/** Names in one piece of memory, each after its length, and an open-addressing index of them, at most half full. */
class Generation {
  #bytes = new Uint8Array(LEAST_BYTES);
  #end = 0;
  /** Where a name begins, and 1, at the place that its hash leads to or in the next ones; 0 is empty. */
  #index = new Int32Array(LEAST_PLACES);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(name: Uint8Array): void {
    const hash = hashOf(name);
    const place = this.#place(hash);
    if (this.#index[place] !== 0) return;
    const start = this.#end;
    this.#end += 1 + name.length;
    if (this.#end > this.#bytes.length) {
      const longer = new Uint8Array(Math.max(this.#end, this.#bytes.length * 2));
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    this.#bytes[start] = name.length;
    this.#bytes.set(name, start + 1);
    this.#index[place] = start + 1;
    if (++this.#count * 2 > this.#index.length) this.#growIndex();
  }

  find(hash: number): Uint8Array | undefined {
    const start = this.#index[this.#place(hash)]!;
    return start === 0 ? undefined : new Uint8Array(this.#name(start - 1));
  }

  #name(start: number): Uint8Array {
    return this.#bytes.subarray(start + 1, start + 1 + this.#bytes[start]!);
  }

  /** Where in the index the name with this hash is, or would be. */
  #place(hash: number): number {
    const mask = this.#index.length - 1;
    let place = hash & mask;
    for (; this.#index[place] !== 0; place = (place + 1) & mask) {
      if (hashOf(this.#name(this.#index[place]! - 1)) === hash) break;
    }
    return place;
  }

  #growIndex(): void {
    this.#index = new Int32Array(this.#index.length * 2);
    for (let start = 0; start < this.#end; start += 1 + this.#bytes[start]!) {
      this.#index[this.#place(hashOf(this.#name(start)))] = start + 1;
    }
  }
}
