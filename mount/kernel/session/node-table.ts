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
 * - What cannot be told from the rest is in rows of memory that may outlive this process: of a node its number and its lookup
 *   count, of an alias its node, its parent and its name. A row counts from the store of one word on, which comes last when it is
 *   made and first when it goes; an alias goes before its nodes do. So the rows are whole at every moment, and at most
 *   tell of a node that nothing holds. All else is made from them (`#takeUp`).
 *
 * Compact, because the kernel may hold millions: columns in typed arrays, names in one arena.
 * Used by one thread.
 */
import type { Place } from '../../filesystem/types.js';
import { HeapMemory } from '../kept/growing-memory.js';
import { NameArena } from '../kept/name-arena.js';
import type { NodeMemory } from '../kept/node-memory.js';
import { ROOT_NODE } from '../protocol/protocol.js';
import type { ReusableBytes } from '../protocol/reusable-bytes.js';
import { NO_SLOT, NodeIndex } from './node-index.js';

const NONE = NO_SLOT;
const ROOT_SLOT = 0;
const SLASH = 0x2f;

/** f64 in a node's row: its number (0: free), its lookup count. */
const NODE_FIELDS = 2;
const NODE_BYTES = 8 * NODE_FIELDS;
/** i32 in an alias's row: slots of its node and of its parent, where its name is and how long (0: free). */
const ALIAS_FIELDS = 4;
const ALIAS_BYTES = 4 * ALIAS_FIELDS;
const FIRST_ROWS = 64;

function heapMemory(): NodeMemory {
  return {
    nodes: new HeapMemory(FIRST_ROWS * NODE_BYTES),
    aliases: new HeapMemory(FIRST_ROWS * ALIAS_BYTES),
    names: new HeapMemory(1024),
  };
}

export class NodeTable {
  readonly #memory: NodeMemory;
  #nodes: Float64Array;
  #aliases: Int32Array;
  readonly #names: NameArena;

  // Columns of nodes, by slot.
  /** First alias, or NONE; in a free slot the next free slot. */
  #firstAlias: Int32Array;
  /** Aliases that have this node as parent. */
  #children: Uint32Array;
  #slotsUsed = 0;
  #freeSlot = NONE;
  #size = 0;

  /** By alias: the next alias of the same node, or the next free one. */
  #aliasNext: Int32Array;
  #aliasesUsed = 0;
  #freeAlias = NONE;

  readonly #index: NodeIndex;

  /** Slots to look at after a removal; kept to spare its making. */
  readonly #unused: number[] = [];

  /**
   * `memory` that is not new holds what an earlier table had.
   * @throws Error where that is damaged, which tells what is wrong
   */
  constructor(memory: NodeMemory = heapMemory()) {
    this.#memory = memory;
    this.#nodes = nodesIn(memory);
    this.#aliases = aliasesIn(memory);
    this.#index = new NodeIndex(this.#nodes, NODE_FIELDS);
    this.#names = new NameArena(memory.names);
    this.#firstAlias = new Int32Array(this.#nodes.length / NODE_FIELDS);
    this.#children = new Uint32Array(this.#nodes.length / NODE_FIELDS);
    this.#aliasNext = new Int32Array(this.#aliases.length / ALIAS_FIELDS);
    if (this.#nodes[0] === 0) this.#addNode(ROOT_NODE);
    else this.#takeUp();
  }

  /** Nodes in the table, the root included. */
  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    return (
      this.#nodes.byteLength +
      this.#aliases.byteLength +
      this.#firstAlias.byteLength * 2 +
      this.#aliasNext.byteLength +
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
    return slot === NONE ? 0 : this.#nodes[slot * NODE_FIELDS + 1]!;
  }

  /**
   * Where the node is: its path, written into `into`; its number when it has no name any more; undefined for
   * a node that the table does not hold.
   */
  place(ino: number, into: ReusableBytes): Place | undefined {
    const start = this.#find(ino);
    if (start === NONE) return undefined;
    const aliases = this.#aliases;
    let length = 0;
    let steps = 0;
    for (let slot = start; slot !== ROOT_SLOT; ) {
      const alias = this.#firstAlias[slot]!;
      if (alias === NONE) return ino;
      if (++steps > this.#size)
        throw new Error(`Cannot build the path of node ${ino}: its parents form a circle`);
      length += 1 + aliases[alias * ALIAS_FIELDS + 3]!;
      slot = aliases[alias * ALIAS_FIELDS + 1]!;
    }
    const bytes = into.reserve(length);
    let end = length;
    for (let slot = start; slot !== ROOT_SLOT; ) {
      const row = this.#firstAlias[slot]! * ALIAS_FIELDS;
      end = this.#names.copyBefore(aliases[row + 2]!, aliases[row + 3]!, bytes, end);
      bytes[--end] = SLASH;
      slot = aliases[row + 1]!;
    }
    return into.view(length);
  }

  /** The kernel was told that `name` in the node `parent`, which must be known, is `ino`: counts one lookup. */
  lookedUp(parent: number, name: Uint8Array, ino: number): void {
    if (ino === ROOT_NODE) return;
    let slot = this.#find(ino);
    if (slot === NONE) slot = this.#addNode(ino);
    const parentSlot = this.#find(parent);
    if (this.#findAlias(slot, parentSlot, name) === NONE) this.#addAlias(slot, parentSlot, name);
    // Last: a node without lookups is nobody's loss.
    this.#nodes[slot * NODE_FIELDS + 1]! += 1;
  }

  /** The kernel was told of `ino`, which has no name: counts one lookup. */
  heldNameless(ino: number): void {
    const known = this.#find(ino);
    const slot = known === NONE ? this.#addNode(ino) : known;
    this.#nodes[slot * NODE_FIELDS + 1]! += 1;
  }

  /** The kernel gives `count` lookups back. Returns true when it has none left, so knows the node no more. */
  forget(ino: number, count: number): boolean {
    const slot = this.#find(ino);
    if (slot === NONE || slot === ROOT_SLOT) return false;
    const row = slot * NODE_FIELDS;
    const before = this.#nodes[row + 1]!;
    if (before === 0) return false;
    this.#nodes[row + 1] = Math.max(0, before - count);
    if (this.#nodes[row + 1]! > 0) return false;
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

  /**
   * Makes the aliases of `name` in `parent` agree with the tree, which says that it is `ino`, or (0) nothing: for a request that
   * may have changed the tree and not the table.
   */
  reconcile(parent: number, name: Uint8Array, ino: number): void {
    const parentSlot = this.#find(parent);
    if (parentSlot === NONE) return;
    const wanted = ino === 0 ? NONE : this.#find(ino);
    if (wanted !== NONE && this.#findAlias(wanted, parentSlot, name) === NONE)
      this.#addAlias(wanted, parentSlot, name);
    for (let alias = 0; alias < this.#aliasesUsed; alias++) {
      const slot = this.#aliases[alias * ALIAS_FIELDS]!;
      if (slot === wanted || !this.#isAlias(alias, parentSlot, name)) continue;
      this.#dropAlias(slot, alias);
    }
    this.#removeUnused();
  }

  /** The numbers of all nodes that the kernel holds, the root left out. */
  *held(): Generator<number> {
    for (let slot = 1; slot < this.#slotsUsed; slot++) {
      const ino = this.#nodes[slot * NODE_FIELDS]!;
      if (ino !== 0 && this.#nodes[slot * NODE_FIELDS + 1]! > 0) yield ino;
    }
  }

  #find(ino: number): number {
    return this.#index.find(ino);
  }

  #addNode(ino: number): number {
    let slot = this.#freeSlot;
    if (slot !== NONE) {
      this.#freeSlot = this.#firstAlias[slot]!;
    } else {
      slot = this.#slotsUsed++;
      if (slot === this.#firstAlias.length) this.#growNodes();
    }
    this.#firstAlias[slot] = NONE;
    this.#children[slot] = 0;
    this.#nodes[slot * NODE_FIELDS + 1] = 0;
    this.#nodes[slot * NODE_FIELDS] = ino;
    this.#size++;
    this.#index.add(slot);
    return slot;
  }

  #growNodes(): void {
    this.#memory.nodes.grow();
    this.#nodes = nodesIn(this.#memory);
    this.#index.rows = this.#nodes;
    const length = this.#nodes.length / NODE_FIELDS;
    this.#firstAlias = copied(this.#firstAlias, new Int32Array(length));
    this.#children = copied(this.#children, new Uint32Array(length));
  }

  #findAlias(slot: number, parentSlot: number, name: Uint8Array): number {
    for (let alias = this.#firstAlias[slot]!; alias !== NONE; alias = this.#aliasNext[alias]!) {
      if (this.#isAlias(alias, parentSlot, name)) return alias;
    }
    return NONE;
  }

  #isAlias(alias: number, parentSlot: number, name: Uint8Array): boolean {
    const aliases = this.#aliases;
    const row = alias * ALIAS_FIELDS;
    if (aliases[row + 1] !== parentSlot || aliases[row + 3] !== name.length) return false;
    return this.#names.isAt(aliases[row + 2]!, name);
  }

  #addAlias(slot: number, parentSlot: number, name: Uint8Array): void {
    let alias = this.#freeAlias;
    if (alias !== NONE) {
      this.#freeAlias = this.#aliasNext[alias]!;
    } else {
      alias = this.#aliasesUsed++;
      if (alias === this.#aliasNext.length) this.#growAliases();
    }
    const aliases = this.#aliases;
    const row = alias * ALIAS_FIELDS;
    aliases[row] = slot;
    aliases[row + 1] = parentSlot;
    aliases[row + 2] = this.#names.put(name);
    aliases[row + 3] = name.length;
    this.#aliasNext[alias] = this.#firstAlias[slot]!;
    this.#firstAlias[slot] = alias;
    this.#children[parentSlot]! += 1;
  }

  #growAliases(): void {
    this.#memory.aliases.grow();
    this.#aliases = aliasesIn(this.#memory);
    this.#aliasNext = copied(this.#aliasNext, new Int32Array(this.#aliases.length / ALIAS_FIELDS));
  }

  /** Takes an alias from its node; its parent is left for `removeUnused` to look at. */
  #dropAlias(slot: number, alias: number): void {
    const row = alias * ALIAS_FIELDS;
    const length = this.#aliases[row + 3]!;
    this.#aliases[row + 3] = 0;
    this.#names.free(this.#aliases[row + 2]!, length);
    const next = this.#aliasNext[alias]!;
    if (this.#firstAlias[slot] === alias) {
      this.#firstAlias[slot] = next;
    } else {
      let before = this.#firstAlias[slot]!;
      while (this.#aliasNext[before] !== alias) before = this.#aliasNext[before]!;
      this.#aliasNext[before] = next;
    }
    const parentSlot = this.#aliases[row + 1]!;
    this.#children[parentSlot]! -= 1;
    this.#unused.push(parentSlot);
    this.#aliasNext[alias] = this.#freeAlias;
    this.#freeAlias = alias;
  }

  /** Removes the nodes listed in `unused` that nothing holds any more, and their parents in turn. */
  #removeUnused(): void {
    for (let slot = this.#unused.pop(); slot !== undefined; slot = this.#unused.pop()) {
      const row = slot * NODE_FIELDS;
      if (slot === ROOT_SLOT || this.#nodes[row + 1]! > 0 || this.#children[slot]! > 0) continue;
      if (this.#nodes[row] === 0) continue; // Listed twice and removed already.
      while (this.#firstAlias[slot] !== NONE) this.#dropAlias(slot, this.#firstAlias[slot]!);
      this.#index.remove(slot);
      this.#nodes[row] = 0;
      this.#firstAlias[slot] = this.#freeSlot;
      this.#freeSlot = slot;
      this.#size--;
    }
  }

  /** Makes all that is not in the rows from them, and checks them. */
  #takeUp(): void {
    if (this.#nodes[0] !== ROOT_NODE) throw new Error('its first node is not the root');
    this.#takeUpNodes();
    this.#takeUpAliases();
    const isSound = this.#names.takeUp((visit) => {
      for (let row = 0; row < this.#aliasesUsed * ALIAS_FIELDS; row += ALIAS_FIELDS) {
        if (this.#aliases[row + 3] !== 0) visit(this.#aliases[row + 2]!, this.#aliases[row + 3]!);
      }
    });
    if (!isSound) throw new Error('two names are in one place');
    this.#checkParents();
    // What nothing holds: it was being added, or taken out.
    for (let slot = 1; slot < this.#slotsUsed; slot++) {
      const row = slot * NODE_FIELDS;
      if (this.#nodes[row] !== 0 && this.#nodes[row + 1] === 0) this.#unused.push(slot);
    }
    this.#removeUnused();
  }

  #takeUpNodes(): void {
    const nodes = this.#nodes;
    const firstAlias = this.#firstAlias;
    const index = this.#index;
    firstAlias.fill(NONE);
    let count = 0;
    let slotsUsed = 0;
    for (let slot = 0; slot < firstAlias.length; slot++) {
      if (nodes[slot * NODE_FIELDS] === 0) continue;
      count++;
      slotsUsed = slot + 1;
    }
    index.reserve(count);
    this.#slotsUsed = slotsUsed;
    this.#size = count;
    for (let slot = slotsUsed - 1; slot >= 0; slot--) {
      const ino = nodes[slot * NODE_FIELDS]!;
      if (ino === 0) {
        firstAlias[slot] = this.#freeSlot;
        this.#freeSlot = slot;
        continue;
      }
      const lookups = nodes[slot * NODE_FIELDS + 1]!;
      if (!Number.isSafeInteger(ino) || ino < 1 || !Number.isSafeInteger(lookups) || lookups < 0)
        throw new Error(`node ${ino} has ${lookups} lookups`);
      if (!index.addNew(slot)) throw new Error(`node ${ino} is there twice`);
    }
  }

  #takeUpAliases(): void {
    const aliases = this.#aliases;
    for (let alias = this.#aliasNext.length - 1; alias >= 0; alias--) {
      const row = alias * ALIAS_FIELDS;
      const [slot, parentSlot, at, length] = [
        aliases[row]!,
        aliases[row + 1]!,
        aliases[row + 2]!,
        aliases[row + 3]!,
      ];
      if (length === 0) {
        if (this.#aliasesUsed === 0) continue;
        this.#aliasNext[alias] = this.#freeAlias;
        this.#freeAlias = alias;
        continue;
      }
      if (this.#aliasesUsed === 0) this.#aliasesUsed = alias + 1;
      if (!this.#isTaken(slot) || slot === ROOT_SLOT || !this.#isTaken(parentSlot))
        throw new Error(`a name is of slots ${slot} and ${parentSlot}, where there are no nodes`);
      if (!this.#names.holds(at, length)) throw new Error(`a name has ${length} bytes at ${at}`);
      this.#aliasNext[alias] = this.#firstAlias[slot]!;
      this.#firstAlias[slot] = alias;
      this.#children[parentSlot]! += 1;
    }
  }

  #isTaken(slot: number): boolean {
    return slot >= 0 && slot < this.#slotsUsed && this.#nodes[slot * NODE_FIELDS] !== 0;
  }

  /** No node is below itself. */
  #checkParents(): void {
    // 0: not looked at; else the node from which on the walk up is known to end.
    const seen = new Int32Array(this.#slotsUsed);
    for (let start = 1; start < this.#slotsUsed; start++) {
      for (let slot = start; slot !== ROOT_SLOT && seen[slot] !== start; ) {
        if (seen[slot] !== 0) break;
        seen[slot] = start;
        const alias = this.#firstAlias[slot]!;
        if (this.#nodes[slot * NODE_FIELDS] === 0 || alias === NONE) break;
        slot = this.#aliases[alias * ALIAS_FIELDS + 1]!;
        if (seen[slot] === start) throw new Error(`node ${this.#nodes[slot * NODE_FIELDS]} is below itself`);
      }
    }
  }
}

function nodesIn({ nodes }: NodeMemory): Float64Array {
  return new Float64Array(nodes.buffer, nodes.start, Math.floor(nodes.length / NODE_BYTES) * NODE_FIELDS);
}

function aliasesIn({ aliases }: NodeMemory): Int32Array {
  return new Int32Array(
    aliases.buffer,
    aliases.start,
    Math.floor(aliases.length / ALIAS_BYTES) * ALIAS_FIELDS,
  );
}

function copied<T extends Int32Array | Uint32Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
