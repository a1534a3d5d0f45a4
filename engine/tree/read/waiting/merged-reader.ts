/**
 * Point reads of a tree beside which changes wait: what waits counts, and only where nothing does, the tree. In this order: what
 * waits comes into the tree before it is forgotten, so what is found of a key was true at one moment of the read.
 */
import type { KeyRecord, TreeRecord } from '../../../api.js';
import { TOMBSTONE } from '../../../art/layout.js';
import type { Reader } from '../reader.js';
import type { PointReads } from '../reads.js';

export class MergedReader implements PointReads {
  readonly #tree: Reader;
  readonly #waiting: Reader;
  readonly #waits: () => boolean;

  /** `waits`: whether something does; then the state that `waiting` reads by knows its first blob. */
  constructor(tree: Reader, waiting: Reader, waits: () => boolean) {
    this.#tree = tree;
    this.#waiting = waiting;
    this.#waits = waits;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (!this.#waits()) return this.#tree.get(key);
    const change = this.#waiting.getRecord(key);
    if (change === undefined) return this.#tree.get(key);
    return change.version < TOMBSTONE ? change.value : undefined;
  }

  getRecord(key: Uint8Array): TreeRecord | undefined {
    if (!this.#waits()) return this.#tree.getRecord(key);
    const change = this.#waiting.getRecord(key);
    if (change === undefined) return this.#tree.getRecord(key);
    return change.version < TOMBSTONE ? change : undefined;
  }

  getVersion(key: Uint8Array): number | undefined {
    if (!this.#waits()) return this.#tree.getVersion(key);
    const version = this.#waiting.getVersion(key);
    if (version === undefined) return this.#tree.getVersion(key);
    return version < TOMBSTONE ? version : undefined;
  }

  longestPrefix(key: Uint8Array): KeyRecord | undefined {
    if (!this.#waits()) return this.#tree.longestPrefix(key);
    for (let rest = key; rest.length > 0; ) {
      const change = this.#waiting.longestPrefix(rest);
      const found = this.#tree.longestPrefix(rest);
      if (change === undefined || (found !== undefined && found.key.length > change.key.length)) return found;
      if (change.version < TOMBSTONE) return change;
      // What is deleted is passed over, and shorter ones are looked for.
      rest = rest.subarray(0, change.key.length - 1);
    }
    return undefined;
  }
}
