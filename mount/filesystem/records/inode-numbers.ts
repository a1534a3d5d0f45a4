/**
 * Gives out inode numbers, never one twice in a store's life. They are taken from the tree in ranges: what a
 * run did not use of its last range is lost.
 */
import type { TreeOperations } from '../../../engine/api.js';
import { SpinneyError } from '../../../engine/errors.js';
import { NEXT_INODE_KEY } from './keys.js';

export const ROOT_INO = 1;
const RANGE = 4_096;
/** A record has six bytes for it. */
const MAX_INO = 2 ** 48;
/** Numbers are below this; a record that tells another is damaged. */
export const END_OF_INOS = MAX_INO - RANGE;

export class InodeNumbers {
  readonly #tree: TreeOperations;
  #next = 0;
  #end = 0;

  constructor(tree: TreeOperations) {
    this.#tree = tree;
  }

  /** Numbers that have been given out are below this. */
  get end(): number {
    return this.#end === 0 ? this.#stored() : this.#end;
  }

  take(): number {
    if (this.#next === this.#end) this.#reserve();
    return this.#next++;
  }

  #stored(): number {
    const stored = this.#tree.get(NEXT_INODE_KEY);
    return stored === undefined ? ROOT_INO + 1 : countOf(stored);
  }

  #reserve(): void {
    const next = this.#stored();
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(BigInt(next + RANGE));
    this.#tree.put(NEXT_INODE_KEY, value);
    this.#next = next;
    this.#end = next + RANGE;
  }
}

/** What a record could not hold would come back as another file's number. */
function countOf(stored: Uint8Array): number {
  const count = stored.length === 8 ? Number(Buffer.from(stored).readBigUInt64LE()) : 0;
  if (count > ROOT_INO && count < END_OF_INOS) return count;
  throw new SpinneyError(
    'ERR_FORMAT_VERSION',
    `Cannot make an inode: the count of inode numbers is damaged (${Buffer.from(stored).toString('hex')})`,
  );
}
