/** Moving keys from one prefix to another within a batch. */
import type { Batch, TreeOperations } from '../../engine/api.js';
import { MAX_BATCH_OPERATIONS, MAX_RECORD_BODY_BYTES } from '../../engine/limits.js';
import { childrenPrefix, childrenXattrPrefix, concat } from './keys.js';

/** Room that a batch's other operations need, and what a journal record adds to each operation, with reserve. */
const RESERVED_OPERATIONS = 64;
const RESERVED_BYTES = 512 * 1024;
const OPERATION_OVERHEAD_BYTES = 64;

/** Keys to be renamed by one batch, counted against what a batch may hold. */
export class Moves {
  readonly #tree: TreeOperations;
  readonly #from: Uint8Array[] = [];
  readonly #to: Uint8Array[] = [];
  #bytes = 0;

  constructor(tree: TreeOperations) {
    this.#tree = tree;
  }

  /** Adds all keys that begin with `from`. Returns false where that is more than one batch holds. */
  add(from: Uint8Array, to: Uint8Array): boolean {
    for (const entry of this.#tree.range({ prefix: from })) {
      if (entry.type !== 'key') continue;
      const target = concat(to, entry.key.subarray(from.length));
      this.#bytes += entry.key.length + target.length + entry.value.length + OPERATION_OVERHEAD_BYTES;
      // A key that moves is a deletion and a put.
      if (2 * (this.#from.length + 1) + RESERVED_OPERATIONS > MAX_BATCH_OPERATIONS) return false;
      if (this.#bytes + RESERVED_BYTES > MAX_RECORD_BODY_BYTES) return false;
      this.#from.push(entry.key);
      this.#to.push(target);
    }
    return true;
  }

  record(batch: Batch): void {
    for (let i = 0; i < this.#from.length; i++) batch.rename(this.#from[i]!, this.#to[i]!);
  }
}

/** Adds everything below the directory `from` to the moves. Returns false where one batch cannot hold it. */
export function moveSubtree(moves: Moves, from: Uint8Array, to: Uint8Array): boolean {
  return (
    moves.add(childrenPrefix(from), childrenPrefix(to)) &&
    moves.add(childrenXattrPrefix(from), childrenXattrPrefix(to))
  );
}
