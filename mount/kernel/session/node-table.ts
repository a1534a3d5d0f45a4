/**
 * The inodes that the kernel holds, and under which names it knows them.
 *
 * A nodeid is an inode number; the root is 1. A node has a lookup count and a list of aliases, each a (parent
 * node, name). Paths are not stored: they are built by walking up, so renaming a directory touches one node.
 *
 * Invariants:
 * - A node is in the table while its lookup count is above 0 or an alias has it as parent, because FORGETs may
 *   come parent first; the root always is.
 * - Aliases of directories form a tree: the filesystem refuses to move a directory below itself.
 * - An alias has a name of 1 to 65,535 bytes; length 0 marks a free one.
 *
 * Compact, because the kernel may hold millions: columns in typed arrays, names in one byte arena that is
 * compacted when half of it is dead, and an open-addressing index. Used by one thread.
 */
import type { Place } from '../../filesystem/types.js';
import { ROOT_NODE } from '../protocol/protocol.js';
import type { ReusableBytes } from '../protocol/reusable-bytes.js';

const NONE = -1;
const ROOT_SLOT = 0;
const SLASH = 0x2f;

export class NodeTable {
  // Columns of nodes, by slot.
  #ino = new Float64Array(64);
  #lookups = new Float64Array(64);
  /** First alias, or NONE; in a free slot the next free slot. */
  #firstAlias = new Int32Array(64);
  /** Aliases that have this node as parent. */
  #children = new Uint32Array(64);
  #slotsUsed = 0;
  #freeSlot = NONE;
  #size = 0;

  // Columns of aliases.
  #aliasParent = new Int32Array(64);
  /** Next alias of the same node, or the next free one. */
  #aliasNext = new Int32Array(64);
  #nameStart = new Uint32Array(64);
  #nameLength = new Uint16Array(64);
  #aliasesUsed = 0;
  #freeAlias = NONE;

  #names = new Uint8Array(1024);
  #namesEnd = 0;
  #namesDead = 0;

  /** Slot + 1 at the place where its ino hashes to, or in the next ones; 0 is empty. A power of two long. */
  #index = new Int32Array(256);

  /** Slots to look at after a removal; kept to spare its making. */
  readonly #unused: number[] = [];

  constructor() {
    this.#addNode(ROOT_NODE);
  }

  /** Nodes in the table, the root included. */
  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    return (
      this.#ino.byteLength * 2 +
      this.#firstAlias.byteLength * 2 +
      this.#aliasParent.byteLength * 3 +
      this.#nameLength.byteLength +
      this.#names.byteLength +
      this.#index.byteLength
    );
  }

  has(ino: number): boolean {
    return this.#find(ino) !== NONE;
  }

  /** Lookups of the node that the kernel has not given back; 0 for an unknown one. */
  lookups(ino: number): number {
    const slot = this.#find(ino);
    return slot === NONE ? 0 : this.#lookups[slot]!;
  }

  /**
   * Where the node is: its path, written into `into`; its number when it has no name any more; undefined for
   * a node that the table does not hold.
   */
  place(ino: number, into: ReusableBytes): Place | undefined {
    const start = this.#find(ino);
    if (start === NONE) return undefined;
    let length = 0;
    let steps = 0;
    for (let slot = start; slot !== ROOT_SLOT; ) {
      const alias = this.#firstAlias[slot]!;
      if (alias === NONE) return ino;
      if (++steps > this.#size)
        throw new Error(`Cannot build the path of node ${ino}: its parents form a circle`);
      length += 1 + this.#nameLength[alias]!;
      slot = this.#aliasParent[alias]!;
    }
    const bytes = into.reserve(length);
    let end = length;
    for (let slot = start; slot !== ROOT_SLOT; ) {
      const alias = this.#firstAlias[slot]!;
      const nameStart = this.#nameStart[alias]!;
      for (let i = this.#nameLength[alias]! - 1; i >= 0; i--) bytes[--end] = this.#names[nameStart + i]!;
      bytes[--end] = SLASH;
      slot = this.#aliasParent[alias]!;
    }
    return into.view(length);
  }

  /** The kernel was told that `name` in the node `parent`, which must be known, is `ino`: counts one lookup. */
  lookedUp(parent: number, name: Uint8Array, ino: number): void {
    if (ino === ROOT_NODE) return;
    let slot = this.#find(ino);
    if (slot === NONE) slot = this.#addNode(ino);
    this.#lookups[slot]! += 1;
    const parentSlot = this.#find(parent);
    if (this.#findAlias(slot, parentSlot, name) === NONE) this.#addAlias(slot, parentSlot, name);
  }

  /** The kernel was told of `ino`, which has no name: counts one lookup. */
  heldNameless(ino: number): void {
    const known = this.#find(ino);
    const slot = known === NONE ? this.#addNode(ino) : known;
    this.#lookups[slot]! += 1;
  }

  /** The kernel gives `count` lookups back. Returns true when it has none left, so knows the node no more. */
  forget(ino: number, count: number): boolean {
    const slot = this.#find(ino);
    if (slot === NONE || slot === ROOT_SLOT) return false;
    const before = this.#lookups[slot]!;
    if (before === 0) return false;
    this.#lookups[slot] = Math.max(0, before - count);
    if (this.#lookups[slot]! > 0) return false;
    this.#unused.push(slot);
    this.#removeUnused();
    return true;
  }

  /** `name` in `parent` was `ino` and is gone. */
  nameRemoved(parent: number, name: Uint8Array, ino: number): void {
    const slot = this.#find(ino);
    const parentSlot = this.#find(parent);
    if (slot === NONE || parentSlot === NONE) return;
    const alias = this.#findAlias(slot, parentSlot, name);
    if (alias === NONE) return;
    this.#dropAlias(slot, alias);
    this.#removeUnused();
  }

  /** `ino` has the new name in the place of the old one. What had the new name must have lost it before. */
  nameMoved(
    oldParent: number,
    oldName: Uint8Array,
    newParent: number,
    newName: Uint8Array,
    ino: number,
  ): void {
    this.nameAdded(newParent, newName, ino);
    this.nameRemoved(oldParent, oldName, ino);
  }

  /** The known node `ino` has this name too, without a lookup. */
  nameAdded(parent: number, name: Uint8Array, ino: number): void {
    const slot = this.#find(ino);
    const parentSlot = this.#find(parent);
    if (slot === NONE || parentSlot === NONE) return;
    if (this.#findAlias(slot, parentSlot, name) === NONE) this.#addAlias(slot, parentSlot, name);
  }

  #home(ino: number): number {
    const hash = Math.imul((ino >>> 0) ^ Math.imul((ino / 0x1_0000_0000) | 0, 0x85ebca6b), 0x9e3779b1);
    return (hash ^ (hash >>> 15)) & (this.#index.length - 1);
  }

  #find(ino: number): number {
    const mask = this.#index.length - 1;
    for (let at = this.#home(ino); ; at = (at + 1) & mask) {
      const slot = this.#index[at]! - 1;
      if (slot === NONE || this.#ino[slot] === ino) return slot;
    }
  }

  #addNode(ino: number): number {
    let slot = this.#freeSlot;
    if (slot !== NONE) {
      this.#freeSlot = this.#firstAlias[slot]!;
    } else {
      slot = this.#slotsUsed++;
      if (slot === this.#ino.length) {
        this.#ino = grown(this.#ino, Float64Array);
        this.#lookups = grown(this.#lookups, Float64Array);
        this.#firstAlias = grown(this.#firstAlias, Int32Array);
        this.#children = grown(this.#children, Uint32Array);
      }
    }
    this.#ino[slot] = ino;
    this.#lookups[slot] = 0;
    this.#firstAlias[slot] = NONE;
    this.#children[slot] = 0;
    this.#size++;
    if (this.#size * 2 > this.#index.length) this.#growIndex(slot);
    else this.#putIndex(slot);
    return slot;
  }

  #putIndex(slot: number): void {
    const mask = this.#index.length - 1;
    let at = this.#home(this.#ino[slot]!);
    while (this.#index[at] !== 0) at = (at + 1) & mask;
    this.#index[at] = slot + 1;
  }

  #growIndex(added: number): void {
    const old = this.#index;
    this.#index = new Int32Array(old.length * 2);
    for (let at = 0; at < old.length; at++) if (old[at] !== 0) this.#putIndex(old[at]! - 1);
    this.#putIndex(added);
  }

  /** Takes a slot out of the index and moves later ones of its run up, so that a run has no holes. */
  #removeIndex(slot: number): void {
    const mask = this.#index.length - 1;
    let hole = this.#home(this.#ino[slot]!);
    while (this.#index[hole] !== slot + 1) hole = (hole + 1) & mask;
    for (let at = (hole + 1) & mask; this.#index[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home(this.#ino[this.#index[at]! - 1]!);
      // The entry may move to the hole unless its home lies cyclically after the hole, up to where it is.
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        this.#index[hole] = this.#index[at]!;
        hole = at;
      }
    }
    this.#index[hole] = 0;
  }

  #findAlias(slot: number, parentSlot: number, name: Uint8Array): number {
    for (let alias = this.#firstAlias[slot]!; alias !== NONE; alias = this.#aliasNext[alias]!) {
      if (this.#aliasParent[alias] !== parentSlot || this.#nameLength[alias] !== name.length) continue;
      const start = this.#nameStart[alias]!;
      let i = 0;
      while (i < name.length && this.#names[start + i] === name[i]) i++;
      if (i === name.length) return alias;
    }
    return NONE;
  }

  #addAlias(slot: number, parentSlot: number, name: Uint8Array): void {
    if (this.#namesEnd + name.length > this.#names.length) this.#makeRoomForName(name.length);
    let alias = this.#freeAlias;
    if (alias !== NONE) {
      this.#freeAlias = this.#aliasNext[alias]!;
    } else {
      alias = this.#aliasesUsed++;
      if (alias === this.#aliasParent.length) {
        this.#aliasParent = grown(this.#aliasParent, Int32Array);
        this.#aliasNext = grown(this.#aliasNext, Int32Array);
        this.#nameStart = grown(this.#nameStart, Uint32Array);
        this.#nameLength = grown(this.#nameLength, Uint16Array);
      }
    }
    this.#names.set(name, this.#namesEnd);
    this.#nameStart[alias] = this.#namesEnd;
    this.#nameLength[alias] = name.length;
    this.#namesEnd += name.length;
    this.#aliasParent[alias] = parentSlot;
    this.#aliasNext[alias] = this.#firstAlias[slot]!;
    this.#firstAlias[slot] = alias;
    this.#children[parentSlot]! += 1;
  }

  #makeRoomForName(length: number): void {
    const live = this.#namesEnd - this.#namesDead + length;
    const old = this.#names;
    this.#names = new Uint8Array(live * 2 > old.length ? Math.max(old.length * 2, live * 2) : old.length);
    let end = 0;
    for (let alias = 0; alias < this.#aliasesUsed; alias++) {
      const nameLength = this.#nameLength[alias]!;
      if (nameLength === 0) continue;
      const start = this.#nameStart[alias]!;
      this.#names.set(old.subarray(start, start + nameLength), end);
      this.#nameStart[alias] = end;
      end += nameLength;
    }
    this.#namesEnd = end;
    this.#namesDead = 0;
  }

  /** Takes an alias from its node; its parent is left for `removeUnused` to look at. */
  #dropAlias(slot: number, alias: number): void {
    const next = this.#aliasNext[alias]!;
    if (this.#firstAlias[slot] === alias) {
      this.#firstAlias[slot] = next;
    } else {
      let before = this.#firstAlias[slot]!;
      while (this.#aliasNext[before] !== alias) before = this.#aliasNext[before]!;
      this.#aliasNext[before] = next;
    }
    const parentSlot = this.#aliasParent[alias]!;
    this.#children[parentSlot]! -= 1;
    this.#unused.push(parentSlot);
    this.#namesDead += this.#nameLength[alias]!;
    this.#nameLength[alias] = 0;
    this.#aliasNext[alias] = this.#freeAlias;
    this.#freeAlias = alias;
  }

  /** Removes the nodes listed in `unused` that nothing holds any more, and their parents in turn. */
  #removeUnused(): void {
    for (let slot = this.#unused.pop(); slot !== undefined; slot = this.#unused.pop()) {
      if (slot === ROOT_SLOT || this.#lookups[slot]! > 0 || this.#children[slot]! > 0) continue;
      if (this.#ino[slot] === 0) continue; // Listed twice and removed already.
      while (this.#firstAlias[slot] !== NONE) this.#dropAlias(slot, this.#firstAlias[slot]!);
      this.#removeIndex(slot);
      this.#ino[slot] = 0;
      this.#firstAlias[slot] = this.#freeSlot;
      this.#freeSlot = slot;
      this.#size--;
    }
  }
}

/** The same numbers in an array of twice the length. */
function grown<T extends Float64Array | Int32Array | Uint32Array | Uint16Array>(
  column: T,
  type: new (length: number) => T,
): T {
  const longer = new type(column.length * 2);
  longer.set(column);
  return longer;
}
