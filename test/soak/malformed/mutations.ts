/** Changes to bytes that a reader takes from outside, from a seed. */

const EDGES = [
  0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8,
  0xffff_ffff,
];

export class Mutator {
  readonly random: () => number;

  constructor(random: () => number) {
    this.random = random;
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A copy with one to four things changed in it. */
  mutate(bytes: Uint8Array): Buffer {
    let changed: Buffer = Buffer.from(bytes);
    do changed = this.#once(changed);
    while (this.random() < 0.4);
    return changed;
  }

  /** A string with parts changed. */
  mutateText(text: string): string {
    return this.mutate(Buffer.from(text)).toString(this.random() < 0.5 ? 'latin1' : 'utf8');
  }

  #once(bytes: Buffer): Buffer {
    if (bytes.length === 0) return Buffer.alloc(this.below(100), this.below(256));
    const at = this.#place(bytes.length);
    const length = Math.min(bytes.length - at, 1 + this.below(this.of([4, 64, 1024])));
    switch (this.below(9)) {
      case 0:
        bytes[at]! ^= 1 << this.below(8);
        return bytes;
      case 1:
        bytes[at] = this.below(256);
        return bytes;
      case 2:
      case 3: {
        // A number, where numbers are.
        const word = at & ~3;
        if (word + 4 <= bytes.length)
          bytes.writeUInt32LE(this.random() < 0.7 ? this.of(EDGES) : this.below(5000), word);
        return bytes;
      }
      case 4:
        return bytes.subarray(0, at);
      case 5:
        return Buffer.concat([bytes, Buffer.alloc(1 + this.below(5000), this.of([0, 0xff]))]);
      case 6:
        bytes.fill(this.of([0, 0xff]), at, at + length);
        return bytes;
      case 7:
        bytes.copyWithin(this.#place(bytes.length), at, at + length);
        return bytes;
      default:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    }
  }

  /** Any place, but most often one of the first. */
  #place(length: number): number {
    return this.random() < 0.6 ? this.below(Math.min(length, 256)) : this.below(length);
  }
}
