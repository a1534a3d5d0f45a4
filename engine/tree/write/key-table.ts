/** Things by their keys, in the order in which they were added. */

/** So many are looked through; more are found by name. Making a name of a key costs as much as comparing a dozen. */
const MOST_LOOKED_THROUGH = 8;

export class KeyTable<T extends { readonly key: Uint8Array }> {
  readonly all: T[] = [];
  #byName: Map<string, T> | undefined;

  get(key: Uint8Array): T | undefined {
    if (this.#byName !== undefined) return this.#byName.get(nameOf(key));
    for (const one of this.all) if (isSame(one.key, key)) return one;
    return undefined;
  }

  /** `one`'s key is not in the table yet, and does not change. */
  add(one: T): void {
    this.all.push(one);
    if (this.#byName !== undefined) this.#byName.set(nameOf(one.key), one);
    else if (this.all.length > MOST_LOOKED_THROUGH) {
      this.#byName = new Map(this.all.map((other) => [nameOf(other.key), other]));
    }
  }
}

/** Keys that are in one batch mostly begin alike. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return false;
  return true;
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
