/**
 * Batches: recording operations, and playing them on a projection of the tree.
 *
 * Guards are evaluated in order on the projected state: each sees what the operations before it did. What remains
 * in the end is one change for each key touched, in which the batch is journalled and made.
 */
import type { Batch, Key } from '../api.js';
import { SpinneyError } from '../errors.js';
import { MAX_BATCH_OPERATIONS } from '../limits.js';
import { keepShape } from '../shared/shapes.js';
import { keyBytes, prefixBytes, valueBytes, versionNumber } from './arguments.js';
import { startsWith } from './bound.js';
import type { Change, Graft } from './changes.js';

/** Why a guard failed. */
export type GuardFailure = 'absent' | 'exists' | 'version' | 'prefix not empty';

/** The tree as it stands, for guards; called under the tree lock. */
export interface Projection {
  lookup(key: Uint8Array): { version: number; value: Uint8Array } | undefined;
  /** Keys and values that begin with the prefix, in order. */
  scan(prefix: Uint8Array): Iterable<Entry>;
}

interface Entry {
  key: Uint8Array;
  value: Uint8Array;
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

/** What the batch did between two grafts. */
interface Layer {
  /** The graft that came before; none for the first layer. */
  graft: Graft | undefined;
  touched: Map<string, Projected>;
}

class ProjectedTree {
  readonly #tree: Projection;
  readonly #layers: Layer[] = [{ graft: undefined, touched: new Map() }];

  constructor(tree: Projection) {
    this.#tree = tree;
  }

  version(key: Uint8Array): number | undefined {
    const found = this.#find(key);
    if (found === undefined || !('existed' in found)) return found?.version;
    return found.value === undefined ? undefined : VERSION_OF_BATCH;
  }

  value(key: Uint8Array): Uint8Array | undefined {
    return this.#find(key)?.value;
  }

  /** Looks down through the layers; a graft changes the name under which a key was known before. */
  #find(key: Uint8Array): Projected | { version: number; value: Uint8Array } | undefined {
    let name = key;
    for (let level = this.#layers.length - 1; level >= 0; level--) {
      const { graft, touched } = this.#layers[level] as Layer;
      const found = touched.get(nameOf(name));
      if (found !== undefined) return found;
      if (graft === undefined) continue;
      if (startsWith(name, graft.destination)) name = replacePrefix(name, graft.destination, graft.source);
      else if (startsWith(name, graft.source)) return undefined;
    }
    return this.#tree.lookup(name);
  }

  set(key: Uint8Array, value: Uint8Array | undefined): void {
    const { touched } = this.#layers[this.#layers.length - 1] as Layer;
    const name = nameOf(key);
    const before = touched.get(name);
    if (before !== undefined) before.value = value;
    else {
      // Whether a key that is put existed does not matter, and its look-up is spared.
      const existed = value !== undefined || this.value(key) !== undefined;
      touched.set(name, { key, value, existed });
    }
  }

  graft(source: Uint8Array, destination: Uint8Array): void {
    this.#layers.push({ graft: { source, destination }, touched: new Map() });
  }

  /** Everything that begins with the prefix, in no particular order. */
  entries(prefix: Uint8Array): Iterable<Entry> {
    return this.#entries(prefix, this.#layers.length - 1);
  }

  *#entries(prefix: Uint8Array, level: number): Generator<Entry> {
    const { touched } = this.#layers[level] as Layer;
    for (const { key, value } of touched.values()) {
      if (value !== undefined && startsWith(key, prefix)) yield { key, value };
    }
    for (const entry of this.#below(prefix, level)) {
      if (!touched.has(nameOf(entry.key))) yield entry;
    }
  }

  /** What the layers below show, under the names that the graft between gave it. */
  *#below(prefix: Uint8Array, level: number): Generator<Entry> {
    const { graft } = this.#layers[level] as Layer;
    if (graft === undefined) {
      yield* this.#tree.scan(prefix);
      return;
    }
    const { source, destination } = graft;
    const isInside = startsWith(prefix, destination);
    if (isInside || startsWith(destination, prefix)) {
      const moved = isInside ? replacePrefix(prefix, destination, source) : source;
      for (const { key, value } of this.#entries(moved, level - 1)) {
        yield { key: replacePrefix(key, source, destination), value };
      }
    }
    // Nothing else is below the destination, and nothing is left below the source.
    if (isInside || startsWith(prefix, source)) return;
    for (const entry of this.#entries(prefix, level - 1)) if (!startsWith(entry.key, source)) yield entry;
  }

  /** Entries below the prefix, as many as one batch may touch. */
  list(prefix: Uint8Array): Entry[] {
    const found: Entry[] = [];
    for (const entry of this.entries(prefix)) {
      if (found.push(entry) <= MAX_BATCH_OPERATIONS) continue;
      throw new SpinneyError(
        'ERR_BATCH_TOO_LARGE',
        `Cannot do the batch: more than ${MAX_BATCH_OPERATIONS} keys begin with the prefix`,
      );
    }
    return found;
  }

  /** Whether nothing begins with the prefix, besides what begins with `except`. */
  isEmpty(prefix: Uint8Array, except?: Uint8Array): boolean {
    if (except !== undefined && startsWith(prefix, except)) return true;
    for (const { key } of this.entries(prefix)) {
      if (except === undefined || !startsWith(key, except)) return false;
    }
    return true;
  }

  changes(): Change[] {
    const changes: Change[] = [];
    for (const { graft, touched } of this.#layers) {
      if (graft !== undefined) changes.push(graft);
      for (const { key, value, existed } of touched.values()) {
        if (value !== undefined || existed) changes.push({ key, value });
      }
    }
    return changes;
  }
}

function replacePrefix(key: Uint8Array, from: Uint8Array, to: Uint8Array): Uint8Array {
  return Buffer.concat([to, key.subarray(from.length)]);
}

/** Where one of the prefixes is empty there is nothing to hang a subtree from, or one key could become empty. */
function moveEach(tree: ProjectedTree, from: Uint8Array, to: Uint8Array): void {
  const moved = tree.list(from);
  const destinations = moved.map(({ key }) => keyBytes(replacePrefix(key, from, to)));
  for (const { key } of moved) tree.set(key, undefined);
  moved.forEach(({ value }, i) => {
    tree.set(destinations[i] as Uint8Array, value);
  });
}

function nameOf(key: Uint8Array): string {
  const bytes = key instanceof Buffer ? key : Buffer.from(key.buffer, key.byteOffset, key.length);
  return bytes.toString('latin1');
}

export class BatchRecorder implements Batch {
  readonly #steps: Step[] = [];
  /** Set by `play` when it returned undefined. */
  failure: GuardFailure | undefined;

  /** Plays the batch on the tree as it stands; undefined: a guard failed. */
  play(tree: Projection): Change[] | undefined {
    const projected = new ProjectedTree(tree);
    for (const step of this.#steps) {
      this.failure = step(projected);
      if (this.failure !== undefined) return undefined;
    }
    return projected.changes();
  }

  put(key: Key, value: Uint8Array): void {
    const bytes = this.#key(key);
    const stored = new Uint8Array(valueBytes(value));
    this.#add((tree) => {
      tree.set(bytes, stored);
      return undefined;
    });
  }

  putIfAbsent(key: Key, value: Uint8Array): void {
    this.#write(key, value, (version) => (version === undefined ? undefined : 'exists'));
  }

  compareAndPut(key: Key, version: number, value: Uint8Array): void {
    this.#write(key, value, matches(version));
  }

  delete(key: Key): void {
    const bytes = this.#key(key);
    this.#add((tree) => {
      tree.set(bytes, undefined);
      return undefined;
    });
  }

  deleteIfVersion(key: Key, version: number): void {
    const bytes = this.#key(key);
    const guard = matches(version);
    this.#add((tree) => {
      const failure = guard(tree.version(bytes));
      if (failure === undefined) tree.set(bytes, undefined);
      return failure;
    });
  }

  rename(src: Key, dst: Key, options: { force?: boolean } = {}): void {
    const from = this.#key(src);
    const to = this.#key(dst);
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
    const from = this.#prefix(srcPrefix);
    const to = this.#prefix(dstPrefix);
    if (to.length > 0) keyBytes(to);
    this.#add((tree) => {
      if (Buffer.compare(from, to) === 0 || tree.isEmpty(from)) return undefined;
      if (!tree.isEmpty(to, from)) return 'prefix not empty';
      if (from.length > 0 && to.length > 0) tree.graft(from, to);
      else moveEach(tree, from, to);
      return undefined;
    });
  }

  deletePrefix(prefix: Key): void {
    const bytes = this.#prefix(prefix);
    this.#add((tree) => {
      for (const { key } of tree.list(bytes)) tree.set(key, undefined);
      return undefined;
    });
  }

  assertVersion(key: Key, version: number): void {
    const bytes = this.#key(key);
    const guard = matches(version);
    this.#add((tree) => guard(tree.version(bytes)));
  }

  assertAbsent(key: Key): void {
    const bytes = this.#key(key);
    this.#add((tree) => (tree.version(bytes) === undefined ? undefined : 'exists'));
  }

  assertPrefixEmpty(prefix: Key): void {
    const bytes = this.#prefix(prefix);
    this.#add((tree) => (tree.isEmpty(bytes) ? undefined : 'prefix not empty'));
  }

  #write(
    key: Key,
    value: Uint8Array,
    guard: (version: number | undefined) => GuardFailure | undefined,
  ): void {
    const bytes = this.#key(key);
    const stored = new Uint8Array(valueBytes(value));
    this.#add((tree) => {
      const failure = guard(tree.version(bytes));
      if (failure === undefined) tree.set(bytes, stored);
      return failure;
    });
  }

  /** The callback may use its buffers again before the batch is played. */
  #key(key: Key): Uint8Array {
    return Buffer.from(keyBytes(key));
  }

  #prefix(prefix: Key): Uint8Array {
    return Buffer.from(prefixBytes(prefix));
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

keepShape(new BatchRecorder());
keepShape(new ProjectedTree({ lookup: () => undefined, scan: () => [] }));
