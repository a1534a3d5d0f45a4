import type { GrowingMemory } from './growing-memory.js';

/** What a table of nodes is kept in: rows of nodes and of aliases, and the bytes of names. */
export interface NodeMemory {
  nodes: GrowingMemory;
  aliases: GrowingMemory;
  names: GrowingMemory;
}
