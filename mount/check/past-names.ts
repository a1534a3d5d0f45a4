/** Checks the names that a snapshot has, by the records that it alone has: those that others have too are checked with them. */
import type { TreeReads } from '../../engine/index.js';
import {
  ENTRIES_PREFIX,
  entryKey,
  equalBytes,
  pathOfKey,
  positionKey,
  SLASH,
  showPath,
  startsWith,
} from '../filesystem/records/keys.js';
import { newPosition } from '../filesystem/records/positions.js';
import * as record from '../filesystem/records/record.js';

export class PastNames {
  readonly #where: string;
  readonly #tree: TreeReads;
  readonly #damage: (message: string) => void;
  // The directory of the last entry.
  #parentPath: Uint8Array | undefined;
  #parentIno: number | undefined;

  /** `tree`: as the snapshot of this name has it. */
  constructor(name: string, tree: TreeReads, damage: (message: string) => void) {
    this.#where = `snapshot ${JSON.stringify(name)}`;
    this.#tree = tree;
    this.#damage = damage;
  }

  /** A record that the snapshot has. */
  check(key: Uint8Array, value: Uint8Array): void {
    if (!startsWith(key, ENTRIES_PREFIX)) return;
    const path = pathOfKey(key);
    if (path.length === 0) return;
    const slash = path.lastIndexOf(SLASH);
    this.#findParent(path.subarray(0, slash));
    const where = `${this.#where}: ${showPath(path)}`;
    if (this.#parentIno === undefined) {
      this.#damage(`${where}: the directory that it is in is missing, or none`);
    } else if (record.typeOf(value) === record.DIRECTORY) {
      const ino = record.inoOf(value);
      const position = this.#tree.get(positionKey(ino));
      const expected = newPosition(this.#parentIno, path.subarray(slash + 1));
      if (position !== undefined && equalBytes(position, expected)) return;
      this.#damage(`${where}: the place of inode ${ino}, by which it is found, is not on record, or another`);
    }
  }

  #findParent(path: Uint8Array): void {
    if (this.#parentPath !== undefined && equalBytes(path, this.#parentPath)) return;
    const value = this.#tree.get(entryKey(path));
    const isDirectory = value !== undefined && record.typeOf(value) === record.DIRECTORY;
    this.#parentPath = path.slice();
    this.#parentIno = isDirectory ? record.inoOf(value) : undefined;
  }
}
