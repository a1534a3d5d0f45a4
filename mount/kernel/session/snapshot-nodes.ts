/**
 * The nodes that the kernel holds of snapshot directories, and of what is below them.
 *
 * Each name is a node of its own, also of one object that is reached through the snapshot directories of several directories:
 * the kernel allows a directory in one place only. Nothing there is ever renamed, so a node is its parent and its name, as
 * long as the kernel holds it. There are three kinds: a snapshot directory, which belongs to a live inode; a root below it, the
 * directory as a snapshot has it; and what is below that.
 *
 * Nodeids are SNAPSHOT_NODES, what earlier processes have used, and a slot: far above all inode numbers. A slot is used again once
 * the kernel has forgotten its node; but a process that goes on with a mount knows none of the nodes of the one before, and gives
 * nobody their numbers (`PastNote`).
 *
 * Invariant: a node is in the table while its lookup count is above 0 or another has it as parent, because FORGETs may
 * come parent first.
 *
 * Compact as the table of live nodes: columns in typed arrays, names in one arena that is compacted when half of it is dead,
 * and an open-addressing index by parent and name. Used by one thread.
 */
import type { PastPlace } from '../../filesystem/past/past-place.js';
import { PastNote } from '../kept/notes/past-note.js';
import type { ReusableBytes } from '../protocol/reusable-bytes.js';

/** The least of these nodeids. */
export const SNAPSHOT_NODES = 2 ** 52;

const NONE = -1;
const SLASH = 0x2f;
const NO_NAME = new Uint8Array(0);
/** In the column of parents. */
const IS_DIRECTORY = -2;

export function isSnapshotNode(node: number): boolean {
  return node >= SNAPSHOT_NODES;
}

export class SnapshotNodes {
  /** Slot of the parent, or IS_DIRECTORY; in a free slot the next free one. */
  #parent = new Int32Array(16);
  /** A snapshot directory's live inode, a root's snapshot id; 0: it has a name. */
  #number = new Float64Array(16);
  #nameStart = new Uint32Array(16);
  #nameLength = new Uint16Array(16);
  #lookups = new Float64Array(16);
  #children = new Uint32Array(16);
  #hash = new Int32Array(16);
  #slotsUsed = 0;
  /** The nodeid of slot 0. */
  readonly #base: number;
  readonly #used: PastNote;
  #freeSlot = NONE;
  #size = 0;

  #names = new Uint8Array(256);
  #namesEnd = 0;
  #namesDead = 0;
  /** Slot + 1 at the place where its hash leads to, or in the next ones; 0 is empty. A power of two long. */
  #index = new Int32Array(64);
  /** By the slots of roots: the path of the directory in the snapshot. */
  readonly #paths = new Map<number, Uint8Array>();
  readonly #place: PastPlace = { snapshot: 0, path: NO_NAME };

  constructor(used: PastNote = new PastNote()) {
    this.#used = used;
    this.#base = SNAPSHOT_NODES + used.nodes;
  }

  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    return this.#parent.length * 34 + this.#names.length + this.#index.byteLength;
  }

  has(node: number): boolean {
    return this.#slotOf(node) !== NONE;
  }

  /** The live inode whose snapshot directory the node is; 0: it is none. */
  homeOf(node: number): number {
    const slot = this.#slotOf(node);
    return slot !== NONE && this.#parent[slot] === IS_DIRECTORY ? this.#number[slot]! : 0;
  }

  /**
   * Where the node is, in an object that is used again, with the path in `into`; undefined for a snapshot directory, and for a
   * node that the table does not hold.
   */
  place(node: number, into: ReusableBytes): PastPlace | undefined {
    const start = this.#slotOf(node);
    if (start === NONE || this.#parent[start] === IS_DIRECTORY) return undefined;
    let root = start;
    let length = 0;
    while (this.#number[root] === 0) {
      length += 1 + this.#nameLength[root]!;
      root = this.#parent[root]!;
    }
    const above = this.#paths.get(root)!;
    let end = above.length + length;
    const bytes = into.reserve(end);
    const place = this.#place;
    place.snapshot = this.#number[root]!;
    place.path = into.view(end);
    for (let slot = start; slot !== root; slot = this.#parent[slot]!) {
      const nameStart = this.#nameStart[slot]!;
      for (let i = this.#nameLength[slot]! - 1; i >= 0; i--) bytes[--end] = this.#names[nameStart + i]!;
      bytes[--end] = SLASH;
    }
    bytes.set(above, 0);
    return place;
  }

  /**
   * Where people find the node: in the snapshot directory of the live inode `home`, in this snapshot (0: it is the directory itself),
   * at the path `below`, which is in `into`. Undefined for a node that the table does not hold.
   */
  whereabouts(
    node: number,
    into: ReusableBytes,
  ): { home: number; snapshot: number; below: Uint8Array } | undefined {
    let root = this.#slotOf(node);
    if (root === NONE) return undefined;
    if (this.#parent[root] === IS_DIRECTORY)
      return { home: this.#number[root]!, snapshot: 0, below: NO_NAME };
    const { path } = this.place(node, into)!;
    while (this.#number[root] === 0) root = this.#parent[root]!;
    const home = this.#number[this.#parent[root]!]!;
    return { home, snapshot: this.#number[root]!, below: path.subarray(this.#paths.get(root)!.length) };
  }

  /** The kernel was told of the snapshot directory of the live inode `home`: counts one lookup. Returns the nodeid. */
  holdDirectory(home: number): number {
    return this.#hold(IS_DIRECTORY, home, NO_NAME);
  }

  /** The same of a directory as a snapshot has it, below a snapshot directory. */
  holdRoot(directory: number, { snapshot, path }: PastPlace): number {
    const node = this.#hold(this.#slotOf(directory), snapshot, NO_NAME);
    const slot = node - this.#base;
    if (!this.#paths.has(slot)) this.#paths.set(slot, new Uint8Array(path));
    return node;
  }

  /** The same of `name` in a root or what is below one. */
  hold(parent: number, name: Uint8Array): number {
    return this.#hold(this.#slotOf(parent), 0, name);
  }

  /** The kernel gives `count` lookups back. */
  forget(node: number, count: number): void {
    const slot = this.#slotOf(node);
    if (slot === NONE) return;
    this.#lookups[slot] = Math.max(0, this.#lookups[slot]! - count);
    for (let at = slot; at >= 0 && this.#lookups[at] === 0 && this.#children[at] === 0; )
      at = this.#remove(at);
  }

  #slotOf(node: number): number {
    const slot = node - this.#base;
    return slot >= 0 && slot < this.#slotsUsed && this.#hash[slot] !== 0 ? slot : NONE;
  }

  #hold(parent: number, number: number, name: Uint8Array): number {
    const hash = hashOf(parent, number, name);
    const mask = this.#index.length - 1;
    for (let at = hash & mask; this.#index[at] !== 0; at = (at + 1) & mask) {
      const slot = this.#index[at]! - 1;
      if (this.#hash[slot] !== hash || !this.#is(slot, parent, number, name)) continue;
      this.#lookups[slot]! += 1;
      return this.#base + slot;
    }
    return this.#base + this.#add(parent, number, name, hash);
  }

  #is(slot: number, parent: number, number: number, name: Uint8Array): boolean {
    if (this.#parent[slot] !== parent || this.#number[slot] !== number) return false;
    if (this.#nameLength[slot] !== name.length) return false;
    const start = this.#nameStart[slot]!;
    for (let i = 0; i < name.length; i++) if (this.#names[start + i] !== name[i]) return false;
    return true;
  }

  #add(parent: number, number: number, name: Uint8Array, hash: number): number {
    if (this.#namesEnd + name.length > this.#names.length) this.#makeRoomForName(name.length);
    let slot = this.#freeSlot;
    if (slot !== NONE) this.#freeSlot = this.#parent[slot]!;
    else {
      slot = this.#slotsUsed++;
      this.#used.take();
      if (slot === this.#parent.length) this.#growColumns();
    }
    this.#names.set(name, this.#namesEnd);
    this.#nameStart[slot] = this.#namesEnd;
    this.#nameLength[slot] = name.length;
    this.#namesEnd += name.length;
    this.#parent[slot] = parent;
    this.#number[slot] = number;
    this.#lookups[slot] = 1;
    this.#children[slot] = 0;
    this.#hash[slot] = hash;
    if (parent >= 0) this.#children[parent]! += 1;
    this.#size++;
    if (this.#size * 2 > this.#index.length) this.#growIndex();
    this.#putIndex(slot);
    return slot;
  }

  /** Takes a node out that nothing holds; returns its parent's slot, which may be held by nothing now. */
  #remove(slot: number): number {
    const parent = this.#parent[slot]!;
    this.#removeIndex(slot);
    this.#hash[slot] = 0;
    this.#namesDead += this.#nameLength[slot]!;
    this.#nameLength[slot] = 0;
    this.#paths.delete(slot);
    this.#parent[slot] = this.#freeSlot;
    this.#freeSlot = slot;
    this.#size--;
    if (parent >= 0) this.#children[parent]! -= 1;
    return parent;
  }

  #growColumns(): void {
    const length = this.#parent.length * 2;
    const grown = <T extends Int32Array | Uint32Array | Uint16Array | Float64Array>(longer: T, old: T): T => {
      longer.set(old);
      return longer;
    };
    this.#parent = grown(new Int32Array(length), this.#parent);
    this.#number = grown(new Float64Array(length), this.#number);
    this.#nameStart = grown(new Uint32Array(length), this.#nameStart);
    this.#nameLength = grown(new Uint16Array(length), this.#nameLength);
    this.#lookups = grown(new Float64Array(length), this.#lookups);
    this.#children = grown(new Uint32Array(length), this.#children);
    this.#hash = grown(new Int32Array(length), this.#hash);
  }

  #growIndex(): void {
    const old = this.#index;
    this.#index = new Int32Array(old.length * 2);
    for (const entry of old) if (entry !== 0) this.#putIndex(entry - 1);
  }

  #putIndex(slot: number): void {
    const mask = this.#index.length - 1;
    let at = this.#hash[slot]! & mask;
    while (this.#index[at] !== 0) at = (at + 1) & mask;
    this.#index[at] = slot + 1;
  }

  /** Takes a slot out of the index and moves later ones of its run up, so that a run has no holes. */
  #removeIndex(slot: number): void {
    const mask = this.#index.length - 1;
    let hole = this.#hash[slot]! & mask;
    while (this.#index[hole] !== slot + 1) hole = (hole + 1) & mask;
    for (let at = (hole + 1) & mask; this.#index[at] !== 0; at = (at + 1) & mask) {
      const home = this.#hash[this.#index[at]! - 1]! & mask;
      // The entry may move to the hole unless its home lies cyclically after the hole, up to where it is.
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        this.#index[hole] = this.#index[at]!;
        hole = at;
      }
    }
    this.#index[hole] = 0;
  }

  #makeRoomForName(length: number): void {
    const live = this.#namesEnd - this.#namesDead + length;
    const old = this.#names;
    this.#names = new Uint8Array(live * 2 > old.length ? Math.max(old.length * 2, live * 2) : old.length);
    let end = 0;
    for (let slot = 0; slot < this.#slotsUsed; slot++) {
      const nameLength = this.#nameLength[slot]!;
      if (nameLength === 0) continue;
      const start = this.#nameStart[slot]!;
      this.#names.set(old.subarray(start, start + nameLength), end);
      this.#nameStart[slot] = end;
      end += nameLength;
    }
    this.#namesEnd = end;
    this.#namesDead = 0;
  }
}

/** Never 0, which marks a free slot. */
function hashOf(parent: number, number: number, name: Uint8Array): number {
  let hash = Math.imul(parent, 0x9e3779b1) ^ Math.imul(number | 0, 0x85ebca6b) ^ (number / 0x1_0000_0000);
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name[i]!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  hash ^= hash >>> 13;
  return hash === 0 ? 1 : hash;
}
