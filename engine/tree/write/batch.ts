/**
 * Batches: recording operations, and playing them on a projection of the tree.
 *
 * Guards are evaluated in order on the projected state: each sees what the operations before it did. What remains
 * in the end is one change for each key touched, in which the batch is journalled and made.
 */
import type { Batch, Key } from '../../api.js';
import { SpinneyError } from '../../errors.js';
import { MAX_BATCH_OPERATIONS } from '../../limits.js';
import { keepShape } from '../../shared/shapes.js';
import { keyBytes, optionsOf, prefixBytes, valueBytes, versionNumber } from '../state/arguments.js';
import { Slab } from '../state/slab.js';
import type { Change } from './changes.js';
import { ABSENT, ANY_VERSION } from './mutation.js';
import { ProjectedTree, type Projection, replacePrefix } from './projected-tree.js';

/** Why a guard failed. */
export type GuardFailure = 'absent' | 'exists' | 'version' | 'prefix not empty';

const ASSERT = 0;
const PUT = 1;
const DELETE = 2;
const RENAME = 3;
const RENAME_PREFIX = 4;
const DELETE_PREFIX = 5;
const ASSERT_PREFIX_EMPTY = 6;

/** One operation. All have the same shape, so that playing them is quick. */
interface Operation {
  readonly kind: number;
  /** The key, or the prefix. */
  readonly key: Uint8Array;
  /** The value, or the destination. */
  readonly other: Uint8Array;
  /** Guard: the version that the key has, or the destination of a RENAME; ANY_VERSION or ABSENT. */
  readonly expected: number;
}

const NONE = new Uint8Array(0);

export class BatchRecorder implements Batch {
  readonly #slab: Slab;
  readonly #operations: Operation[] = [];
  #isRecorded = false;
  /** Set by `play` when it returned undefined. */
  failure: GuardFailure | undefined;

  /** Copies of keys and values come from `slab`. */
  constructor(slab: Slab) {
    this.#slab = slab;
  }

  /**
   * Has the callback record. What it would record after it returned would be in no batch, so that throws, and so does an
   * asynchronous callback, at once. @throws ERR_INVALID_ARGUMENT
   */
  record(callback: (batch: Batch) => unknown): void {
    const returned = callback(this);
    this.#isRecorded = true;
    if (!(returned instanceof Object) || !('then' in returned)) return;
    // What it comes to concerns nobody any more.
    Promise.resolve(returned).catch(() => undefined);
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      'Cannot make the batch: its callback is asynchronous, and all has to be recorded when it returns; ' +
        'await what it needs before the call',
    );
  }

  /** Plays the batch on the tree as it stands; undefined: a guard failed. */
  play(tree: Projection): Change[] | undefined {
    const projected = new ProjectedTree(tree);
    for (const operation of this.#operations) {
      this.failure = playOne(projected, operation);
      if (this.failure !== undefined) return undefined;
    }
    return projected.changes();
  }

  put(key: Key, value: Uint8Array): void {
    this.#add(PUT, this.#key(key), this.#value(value), ANY_VERSION);
  }

  putIfAbsent(key: Key, value: Uint8Array): void {
    this.#add(PUT, this.#key(key), this.#value(value), ABSENT);
  }

  compareAndPut(key: Key, version: number, value: Uint8Array): void {
    this.#add(PUT, this.#key(key), this.#value(value), versionNumber(version));
  }

  delete(key: Key): void {
    this.#add(DELETE, this.#key(key), NONE, ANY_VERSION);
  }

  deleteIfVersion(key: Key, version: number): void {
    this.#add(DELETE, this.#key(key), NONE, versionNumber(version));
  }

  rename(src: Key, dst: Key, options: { force?: boolean } = {}): void {
    const { force } = optionsOf(options, 'rename');
    this.#add(RENAME, this.#key(src), this.#key(dst), force === true ? ANY_VERSION : ABSENT);
  }

  renamePrefix(srcPrefix: Key, dstPrefix: Key): void {
    const to = this.#prefix(dstPrefix);
    if (to.length > 0) keyBytes(to);
    this.#add(RENAME_PREFIX, this.#prefix(srcPrefix), to, ANY_VERSION);
  }

  deletePrefix(prefix: Key): void {
    this.#add(DELETE_PREFIX, this.#prefix(prefix), NONE, ANY_VERSION);
  }

  assertVersion(key: Key, version: number): void {
    this.#add(ASSERT, this.#key(key), NONE, versionNumber(version));
  }

  assertAbsent(key: Key): void {
    this.#add(ASSERT, this.#key(key), NONE, ABSENT);
  }

  assertPrefixEmpty(prefix: Key): void {
    this.#add(ASSERT_PREFIX_EMPTY, this.#prefix(prefix), NONE, ANY_VERSION);
  }

  // Copies, because the callback may use its buffers again before the batch is played.

  #key(key: Key): Uint8Array {
    return this.#slab.keep(keyBytes(key));
  }

  #prefix(prefix: Key): Uint8Array {
    return this.#slab.keep(prefixBytes(prefix));
  }

  #value(value: Uint8Array): Uint8Array {
    return this.#slab.keep(valueBytes(value));
  }

  #add(kind: number, key: Uint8Array, other: Uint8Array, expected: number): void {
    if (this.#isRecorded) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        'Cannot add to the batch: its callback has returned; record all operations before that',
      );
    }
    if (this.#operations.length === MAX_BATCH_OPERATIONS) {
      throw new SpinneyError(
        'ERR_BATCH_TOO_LARGE',
        `Cannot add to the batch: it has the most operations that one may have, ${MAX_BATCH_OPERATIONS}`,
      );
    }
    this.#operations.push({ kind, key, other, expected });
  }
}

/** Changes the projection, or tells which guard failed. */
function playOne(tree: ProjectedTree, { kind, key, other, expected }: Operation): GuardFailure | undefined {
  switch (kind) {
    case RENAME:
      return rename(tree, key, other, expected);
    case RENAME_PREFIX:
      return renamePrefix(tree, key, other);
    case DELETE_PREFIX:
      for (const entry of tree.list(key)) tree.remove(entry.key, true);
      return undefined;
    case ASSERT_PREFIX_EMPTY:
      return tree.isEmpty(key) ? undefined : 'prefix not empty';
  }
  // A put without a guard spares the look at what is there.
  if (kind === PUT && expected === ANY_VERSION) {
    tree.put(key, other);
    return undefined;
  }
  const version = tree.version(key);
  const failure = failureOf(version, expected);
  if (failure !== undefined) return failure;
  if (kind === PUT) tree.put(key, other);
  else if (kind === DELETE) tree.remove(key, version !== undefined);
  return undefined;
}

function failureOf(version: number | undefined, expected: number): GuardFailure | undefined {
  if (expected === ANY_VERSION) return undefined;
  if (expected === ABSENT) return version === undefined ? undefined : 'exists';
  if (version === undefined) return 'absent';
  return version === expected ? undefined : 'version';
}

function rename(
  tree: ProjectedTree,
  from: Uint8Array,
  to: Uint8Array,
  expected: number,
): GuardFailure | undefined {
  const value = tree.value(from);
  if (value === undefined) return 'absent';
  if (expected === ABSENT && tree.version(to) !== undefined) return 'exists';
  tree.remove(from, true);
  tree.put(to, value);
  return undefined;
}

function renamePrefix(tree: ProjectedTree, from: Uint8Array, to: Uint8Array): GuardFailure | undefined {
  if (Buffer.compare(from, to) === 0 || tree.isEmpty(from)) return undefined;
  if (!tree.isEmpty(to, from)) return 'prefix not empty';
  if (from.length > 0 && to.length > 0) tree.graft(from, to);
  else moveEach(tree, from, to);
  return undefined;
}

/** Where one of the prefixes is empty there is nothing to hang a subtree from, or one key could become empty. */
function moveEach(tree: ProjectedTree, from: Uint8Array, to: Uint8Array): void {
  const moved = tree.list(from);
  const destinations = moved.map(({ key }) => keyBytes(replacePrefix(key, from, to)));
  for (const { key } of moved) tree.remove(key, true);
  moved.forEach(({ value }, i) => {
    tree.put(destinations[i] as Uint8Array, value);
  });
}

keepShape(new BatchRecorder(new Slab()));
