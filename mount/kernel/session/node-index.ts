/** Where nodes are in their table, by number: an open-addressing index of slots. */

/** In place of a slot. */
export const NO_SLOT = -1;

export class NodeIndex {
  /** The rows of nodes, `fields` numbers each, of which the first is the node's number. */
  rows: Float64Array;
  readonly #fields: number;
  /** Slot + 1 at the place where its number hashes to, or in the next ones; 0 is empty. A power of two long. */
  #places = new Int32Array(256);
  #count = 0;

  constructor(rows: Float64Array, fields: number) {
    this.rows = rows;
    this.#fields = fields;
  }

  get byteLength(): number {
    return this.#places.byteLength;
  }

  /** NO_SLOT: there is no node with this number. */
  find(ino: number): number {
    const places = this.#places;
    const mask = places.length - 1;
    for (let at = this.#home(ino); ; at = (at + 1) & mask) {
      const slot = places[at]! - 1;
      if (slot === NO_SLOT || this.rows[slot * this.#fields] === ino) return slot;
    }
  }

  /** Room for so many nodes, of which none is there yet. */
  reserve(count: number): void {
    let { length } = this.#places;
    while (count * 2 > length) length *= 2;
    this.#places = new Int32Array(length);
  }

  /** The node in this slot, whose number is in its row, is in the table. */
  add(slot: number): void {
    if (++this.#count * 2 > this.#places.length) {
      const before = this.#places;
      this.#places = new Int32Array(before.length * 2);
      for (let at = 0; at < before.length; at++) if (before[at] !== 0) this.#put(before[at]! - 1);
    }
    this.#put(slot);
  }

  /** The same after `reserve`, where the node may be there already: false then. */
  addNew(slot: number): boolean {
    const places = this.#places;
    const { rows } = this;
    const fields = this.#fields;
    const ino = this.#ino(slot);
    const mask = places.length - 1;
    let at = this.#home(ino);
    for (; places[at] !== 0; at = (at + 1) & mask) if (rows[(places[at]! - 1) * fields] === ino) return false;
    places[at] = slot + 1;
    this.#count++;
    return true;
  }

  /** Takes a slot out and moves later ones of its run up, so that a run has no holes. Its number is in its row yet. */
  remove(slot: number): void {
    const places = this.#places;
    const mask = places.length - 1;
    this.#count--;
    let hole = this.#home(this.#ino(slot));
    while (places[hole] !== slot + 1) hole = (hole + 1) & mask;
    for (let at = (hole + 1) & mask; places[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home(this.#ino(places[at]! - 1));
      // The entry may move to the hole unless its home lies cyclically after the hole, up to where it is.
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        places[hole] = places[at]!;
        hole = at;
      }
    }
    places[hole] = 0;
  }

  #put(slot: number): void {
    const mask = this.#places.length - 1;
    let at = this.#home(this.#ino(slot));
    while (this.#places[at] !== 0) at = (at + 1) & mask;
    this.#places[at] = slot + 1;
  }

  #ino(slot: number): number {
    return this.rows[slot * this.#fields]!;
  }

  #home(ino: number): number {
    const hash = Math.imul((ino >>> 0) ^ Math.imul((ino / 0x1_0000_0000) | 0, 0x85ebca6b), 0x9e3779b1);
    return (hash ^ (hash >>> 15)) & (this.#places.length - 1);
  }
}
