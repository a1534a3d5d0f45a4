/**
 * Batches: recording operations, and playing them on a projection of the tree.
 *
 * Guards are evaluated in order on the projected state: each sees what the operations before it did. What remains
 * in the end is one change for each key touched, in which the batch is journalled and made.
 */
import type { Batch, Key } from '../api.js';
import { SpinneyError } from '../errors.js';
import { MAX_BATCH_OPERATIONS } from '../limits.js';
import { keyBytes, prefixBytes, valueBytes, versionNumber } from './arguments.js';
import type { NetChange } from './writer.js';

/** Why a guard failed. */
export type GuardFailure = 'absent' | 'exists' | 'version' | 'prefix not empty';

/** The tree as it stands, for guards; called under the tree lock. */
export interface Projection {
  lookup(key: Uint8Array): { version: number; value: Uint8Array } | undefined;
  /** Keys and values that begin with the prefix, in order, at most `limit`. */
  list(prefix: Uint8Array, limit: number): { key: Uint8Array; value: Uint8Array }[];
}

/** What a key holds in the projection once the batch has touched it. */
interface Projected {
  key: Uint8Array;
  value: Uint8Array | undefined;
  /** The tree had it, so that its deletion is a change. */
  existed: boolean;
}

/** A step of a batch: changes the projection, or tells which guard failed. */
type Step = (projected: ProjectedTree) => GuardFailure | undefined;

/** A key written by this very batch has a version that no caller can know. */
const VERSION_OF_BATCH = -1;

class ProjectedTree {
  readonly #tree: Projection;
  readonly #touched = new Map<string, Projected>();

  constructor(tree: Projection) {
    this.#tree = tree;
  }

  version(key: Uint8Array): number | undefined {
    const touched = this.#touched.get(nameOf(key));
    if (touched !== undefined) return touched.value === undefined ? undefined : VERSION_OF_BATCH;
    return this.#tree.lookup(key)?.version;
  }

  value(key: Uint8Array): Uint8Array | undefined {
    const touched = this.#touched.get(nameOf(key));
    return touched === undefined ? this.#tree.lookup(key)?.value : touched.value;
  }

  set(key: Uint8Array, value: Uint8Array | undefined): void {
    const name = nameOf(key);
    const touched = this.#touched.get(name);
    if (touched !== undefined) touched.value = value;
    else {
      // Whether a key that is put existed does not matter, and its look-up is spared.
      const existed = value !== undefined || this.#tree.lookup(key) !== undefined;
      this.#touched.set(name, { key, value, existed });
    }
  }

  /** Everything that begins with the prefix. */
  list(prefix: Uint8Array): { key: Uint8Array; value: Uint8Array }[] {
    const found: { key: Uint8Array; value: Uint8Array }[] = [];
    for (const entry of this.#tree.list(prefix, MAX_BATCH_OPERATIONS + 1)) {
      if (!this.#touched.has(nameOf(entry.key))) found.push(entry);
    }
    for (const { key, value } of this.#touched.values()) {
      if (value !== undefined && hasPrefix(key, prefix)) found.push({ key, value });
    }
    if (found.length > MAX_BATCH_OPERATIONS) {
      throw new SpinneyError(
        'ERR_BATCH_TOO_LARGE',
        `Cannot do the batch: more than ${MAX_BATCH_OPERATIONS} keys begin with the prefix`,
      );
    }
    return found;
  }

  /** Whether nothing begins with the prefix. As many tree entries are looked at as the batch could have deleted, and one. */
  isEmpty(prefix: Uint8Array): boolean {
    for (const { key, value } of this.#touched.values()) {
      if (value !== undefined && hasPrefix(key, prefix)) return false;
    }
    return this.#tree.list(prefix, this.#touched.size + 1).every(({ key }) => this.#touched.has(nameOf(key)));
  }

  changes(): NetChange[] {
    const changes: NetChange[] = [];
    for (const { key, value, existed } of this.#touched.values()) {
      if (value !== undefined || existed) changes.push({ key, value });
    }
    return changes;
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

function hasPrefix(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length >= prefix.length && Buffer.compare(key.subarray(0, prefix.length), prefix) === 0;
}

export class BatchRecorder implements Batch {
  readonly #steps: Step[] = [];
  /** Set by `play` when it returned undefined. */
  failure: GuardFailure | undefined;

  /** Plays the batch on the tree as it stands; undefined: a guard failed. */
  play(tree: Projection): NetChange[] | undefined {
    const projected = new ProjectedTree(tree);
    for (const step of this.#steps) {
      this.failure = step(projected);
      if (this.failure !== undefined) return undefined;
    }
    return projected.changes();
  }

  put(key: Key, value: Uint8Array): void {
    this.#write(key, value, () => undefined);
  }

  putIfAbsent(key: Key, value: Uint8Array): void {
    this.#write(key, value, (version) => (version === undefined ? undefined : 'exists'));
  }

  compareAndPut(key: Key, version: number, value: Uint8Array): void {
    this.#write(key, value, matches(version));
  }

  delete(key: Key): void {
    const bytes = keyBytes(key);
    this.#add((tree) => {
      tree.set(bytes, undefined);
      return undefined;
    });
  }

  deleteIfVersion(key: Key, version: number): void {
    const bytes = keyBytes(key);
    const guard = matches(version);
    this.#add((tree) => {
      const failure = guard(tree.version(bytes));
      if (failure === undefined) tree.set(bytes, undefined);
      return failure;
    });
  }

  rename(src: Key, dst: Key, options: { force?: boolean } = {}): void {
    const from = keyBytes(src);
    const to = keyBytes(dst);
    this.#add((tree) => {
      const value = tree.value(from);
      if (value === undefined) return 'absent';
      if (options.force !== true && tree.version(to) !== undefined) return 'exists';
      tree.set(from, undefined);
      tree.set(to, value);
      return undefined;
    });
  }

  renamePrefix(srcPrefix: Key, dstPrefix: Key): void {
    const from = prefixBytes(srcPrefix);
    const to = prefixBytes(dstPrefix);
    this.#add((tree) => {
      const moved = tree.list(from);
      if (moved.length === 0) return undefined;
      const destinations = moved.map(({ key }) => keyBytes(Buffer.concat([to, key.subarray(from.length)])));
      for (const { key } of moved) tree.set(key, undefined);
      if (!tree.isEmpty(to)) return 'prefix not empty';
      moved.forEach(({ value }, i) => {
        tree.set(destinations[i] as Uint8Array, value);
      });
      return undefined;
    });
  }

  deletePrefix(prefix: Key): void {
    const bytes = prefixBytes(prefix);
    this.#add((tree) => {
      for (const { key } of tree.list(bytes)) tree.set(key, undefined);
      return undefined;
    });
  }

  assertVersion(key: Key, version: number): void {
    const bytes = keyBytes(key);
    const guard = matches(version);
    this.#add((tree) => guard(tree.version(bytes)));
  }

  assertAbsent(key: Key): void {
    const bytes = keyBytes(key);
    this.#add((tree) => (tree.version(bytes) === undefined ? undefined : 'exists'));
  }

  assertPrefixEmpty(prefix: Key): void {
    const bytes = prefixBytes(prefix);
    this.#add((tree) => (tree.isEmpty(bytes) ? undefined : 'prefix not empty'));
  }

  #write(
    key: Key,
    value: Uint8Array,
    guard: (version: number | undefined) => GuardFailure | undefined,
  ): void {
    const bytes = keyBytes(key);
    const stored = valueBytes(value);
    this.#add((tree) => {
      const failure = guard(tree.version(bytes));
      if (failure === undefined) tree.set(bytes, stored);
      return failure;
    });
  }

  #add(step: Step): void {
    if (this.#steps.length === MAX_BATCH_OPERATIONS) {
      throw new SpinneyError(
        'ERR_BATCH_TOO_LARGE',
        `Cannot add to the batch: it has the most operations that one may have, ${MAX_BATCH_OPERATIONS}`,
      );
    }
    this.#steps.push(step);
  }
}

function matches(version: number): (found: number | undefined) => GuardFailure | undefined {
  const expected = versionNumber(version);
  return (found) => (found === undefined ? 'absent' : found === expected ? undefined : 'version');
}
