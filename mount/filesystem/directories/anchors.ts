/**
 * Where some of the entries are that a listing went by: every entry of a small directory, so that any seek lands at
 * once, and one for each `stride` entries of a large one, from where the others are found by looking.
 *
 * Invariant: anchors are in the order of names, and their ordinals ascend. Names are copies, because what the tree
 * returns keeps 8 KiB alive.
 */

const MAX_ANCHORS = 8_192;
const NO_NAME: Uint8Array = new Uint8Array(0);

/** A place in a listing: after the entry `name`, the `ordinal`-th. No name, ordinal 0: at the beginning. */
export interface Position {
  readonly name: Uint8Array;
  readonly ordinal: number;
}

/** An entry of a listing, and the offset after it. */
export interface Given extends Position {
  readonly offset: number;
}

export const BEGINNING: Position = { name: NO_NAME, ordinal: 0 };

export class Anchors {
  #anchors: Given[] = [];
  #stride = 1;
  /** Entries gone by since the last anchor. */
  #since = 0;
  #frontier = NO_NAME;

  clear(): void {
    this.#anchors = [];
    this.#stride = 1;
    this.#since = 0;
    this.#frontier = NO_NAME;
  }

  get count(): number {
    return this.#anchors.length;
  }

  at(index: number): Given {
    return this.#anchors[index]!;
  }

  /** The furthest name that the listing went by; empty: none. */
  get frontier(): Uint8Array {
    return this.#frontier;
  }

  /** The listing goes by an entry beyond its frontier. */
  passed({ name, ordinal, offset }: Given): void {
    this.#frontier = name;
    if (++this.#since < this.#stride) return;
    this.#since = 0;
    const least = (this.#anchors.at(-1)?.ordinal ?? 0) + 1;
    this.#anchors.push({ name: new Uint8Array(name), ordinal: Math.max(ordinal, least), offset });
    if (this.#anchors.length < MAX_ANCHORS) return;
    this.#anchors = this.#anchors.filter((_, i) => i % 2 === 1);
    this.#stride *= 2;
  }

  /** Index of the last anchor whose ordinal is not above this; -1: none. */
  lastUpTo(ordinal: number): number {
    let low = 0;
    let high = this.#anchors.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#anchors[middle]!.ordinal <= ordinal) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The anchor that this offset follows, if its ordinal is one from `first` to `last`. */
  find(offset: number, first: number, last: number): Given | undefined {
    for (let i = this.lastUpTo(first - 1) + 1; i < this.#anchors.length; i++) {
      const anchor = this.#anchors[i]!;
      if (anchor.ordinal > last) return undefined;
      if (anchor.offset === offset) return anchor;
    }
    return undefined;
  }
}
