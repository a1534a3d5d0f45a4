/** Plays operations on a tree and on the plain model of it, and compares what they answer. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Batch, RangeEntry, RangeOptions, TreeOptions, TreeReads } from '../../../engine/api.js';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { Tree } from '../../../engine/index.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { MemoryBlobStore } from '../../../engine/store/memory-blob-store.js';
import { checkStore } from './check.js';
import {
  IN_BATCH,
  keyOf,
  Model,
  type ModelRecord,
  nameOf,
  type Operation,
  Refusal,
  type Step,
} from './model.js';

export const SMALL_CACHE = 8 * 1024 * 1024;

/** Beyond this a batch may touch more blobs than the smallest cache has room for. */
const WIDE_BATCH_BYTES = 300_000;
const WRONG_VERSION = 2 ** 50;
function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;
}

function show(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}... (${name.length})` : name);
}

function assertEqual<T>(found: T, expected: T, what: string): void {
  if (found !== expected) throw new Error(`${what}: ${String(found)}, expected ${String(expected)}`);
}

function recordStep(batch: Batch, step: Step, versionOf: (name: string, right: boolean) => number): void {
  const key = keyOf(step.key);
  if (step.op === 'put') batch.put(key, step.value);
  else if (step.op === 'putIfAbsent') batch.putIfAbsent(key, step.value);
  else if (step.op === 'compareAndPut') batch.compareAndPut(key, versionOf(step.key, step.right), step.value);
  else if (step.op === 'deleteIfVersion') batch.deleteIfVersion(key, versionOf(step.key, step.right));
  else if (step.op === 'assertVersion') batch.assertVersion(key, versionOf(step.key, step.right));
  else if (step.op === 'rename') batch.rename(key, keyOf(step.to), { force: step.force });
  else if (step.op === 'renamePrefix') batch.renamePrefix(key, keyOf(step.to));
  else batch[step.op](key);
}

/** Kinds of trees that runs are made on; or how one is opened somewhere else, where it has closed or not. */
export type Place = 'memory' | 'store' | 'dir' | (() => Tree);

export class Run {
  model = new Model();
  tree: Tree;
  readonly #place: Place;
  readonly #options: TreeOptions;
  #store = new MemoryBlobStore();
  #dir: string;
  readonly #home: string;
  #copies = 0;

  readonly #mayBeDeep: boolean;

  /** `mayBeDeep`: large values may nest through more blobs than the cache can follow, and are refused then. */
  constructor(place: Place, options: TreeOptions = {}, mayBeDeep = false) {
    this.#place = place;
    this.#mayBeDeep = mayBeDeep;
    this.#options = options;
    this.#home = place === 'dir' ? fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-tree-')) : '';
    this.#dir = path.join(this.#home, 'store');
    this.tree = this.#open();
  }

  #open(): Tree {
    if (typeof this.#place === 'function') return this.#place();
    if (this.#place === 'dir') return Tree.open({ dir: this.#dir, ...this.#options });
    if (this.#place === 'store')
      return Tree.open({ store: this.#store, flushOnWrite: false, ...this.#options });
    return Tree.open({ memory: true, ...this.#options });
  }

  /** Removes what the run left on disk; safe to call twice. */
  end(): void {
    try {
      this.tree.close();
    } finally {
      if (this.#home !== '') fs.rmSync(this.#home, { recursive: true, force: true });
    }
  }

  /** Ends well: compares everything and checks the invariants of what is stored. */
  finish(): void {
    this.compareAll();
    this.tree.checkpoint();
    // What waits is not in the tree's own figures; compaction brings it there first.
    if (this.tree.stats().waitingChanges > 0) this.tree.compact();
    const { keyCount, blobCount } = this.tree.stats();
    assertEqual(keyCount, this.model.records.size, 'keyCount in stats');
    if (this.#place === 'memory') return;
    const checked = this.check();
    assertEqual(checked.leaves, this.model.records.size, 'leaves in the store');
    assertEqual(blobCount, checked.blobs, 'blobCount in stats');
  }

  check(): ReturnType<typeof checkStore> {
    if (this.#place !== 'dir') return checkStore(this.#store);
    this.tree.checkpoint();
    this.tree.close();
    const store = FileBlobStore.open({
      dir: this.#dir,
      disk: new NodeDisk(),
      readOnly: true,
      create: false,
    });
    try {
      return checkStore(store);
    } finally {
      store.close();
      this.tree = this.#open();
    }
  }

  /**
   * Plays the operation on both; where the model says that the tree must refuse it, it must, with that code. What
   * it may refuse and does leaves both as they are.
   */
  apply(operation: Operation): void {
    const { required, allowed } = this.#refusal(operation);
    const lsn = this.tree.lastLsn();
    const code = codeOf(() => this.#apply(operation), required, ...allowed);
    if (code === undefined || !allowed.includes(code)) assertEqual(code, required, operation.op);
    if (code !== undefined) assertEqual(this.tree.lastLsn(), lsn, `lastLsn after a refused ${operation.op}`);
  }

  /** The code with which the tree must refuse the operation, and those with which it may. */
  #refusal(operation: Operation): { required?: string; allowed: string[] } {
    const { op } = operation;
    const allowed = this.#mayBeDeep ? ['ERR_NO_SPACE', 'ERR_BATCH_TOO_LARGE'] : [];
    if (op !== 'atomic' && op !== 'renamePrefix' && op !== 'deletePrefix') return { allowed };
    try {
      const changed = this.model.play(op === 'atomic' ? operation.steps : [operation]);
      let bytes = 0;
      for (const [name, record] of changed ?? []) {
        bytes += 2 * name.length + ((record ?? this.model.records.get(name))?.value.length ?? 0);
      }
      return { allowed: bytes > WIDE_BATCH_BYTES ? [...allowed, 'ERR_BATCH_TOO_LARGE'] : allowed };
    } catch (error) {
      if (error instanceof Refusal) return { required: error.code, allowed };
      throw error;
    }
  }

  /** The tree has made the operation though it threw: so does the model. */
  assume(operation: Operation): void {
    const steps = operation.op === 'atomic' ? operation.steps : [operation as Step];
    this.#adopt(this.model.play(steps) ?? new Map());
  }

  #apply(operation: Operation): void {
    switch (operation.op) {
      case 'atomic':
        this.#atomic(operation.steps);
        return;
      case 'range':
        this.#range(operation);
        return;
      case 'get':
        compareRecord(this.tree, this.model, operation.key);
        return;
      case 'longestPrefix':
        compareLongestPrefix(this.tree, this.model, operation.key);
        return;
      case 'countPrefix':
        compareCount(this.tree, this.model, operation.key, operation.limit);
        return;
      case 'checkpoint':
        this.tree.checkpoint();
        return;
      case 'compact':
        this.tree.compact();
        return;
      case 'compare':
        this.compareAll();
        return;
      case 'reopen':
        this.#reopen();
        return;
      case 'kill':
        this.#kill();
        return;
      default:
        this.#single(operation);
    }
  }

  #reopen(): void {
    if (this.#place === 'memory') return;
    if (this.#place === 'store') this.tree.checkpoint();
    this.tree.close();
    this.tree = this.#open();
    assertEqual(this.tree.stats().keyCount, this.model.records.size, 'keyCount after reopening');
  }

  /** What a crash leaves: the files as they are, opened elsewhere. */
  #kill(): void {
    if (this.#place !== 'dir') return;
    this.tree.sync();
    const copy = path.join(this.#home, `copy-${++this.#copies}`);
    fs.cpSync(this.#dir, copy, { recursive: true });
    this.tree.close();
    fs.rmSync(this.#dir, { recursive: true });
    this.#dir = copy;
    this.tree = this.#open();
    assertEqual(this.tree.stats().keyCount, this.model.records.size, 'keyCount after a crash');
  }

  #versionOf = (name: string, right: boolean): number =>
    right ? (this.model.records.get(name)?.version ?? WRONG_VERSION) : WRONG_VERSION;

  #adopt(changed: Map<string, ModelRecord | undefined>): void {
    const lsn = this.tree.lastLsn();
    for (const [name, record] of changed) {
      if (record === undefined) this.model.delete(name);
      else this.model.set(name, record.value, record.version === IN_BATCH ? lsn : record.version);
    }
  }

  #atomic(steps: readonly Step[]): void {
    const done = this.tree.atomic((batch) => {
      for (const step of steps) recordStep(batch, step, this.#versionOf);
    });
    const expected = this.model.play(steps);
    assertEqual(done, expected !== undefined, `atomic of ${steps.map((step) => step.op).join()}`);
    if (expected !== undefined) this.#adopt(expected);
  }

  /** The operation alone, through the tree's own method. */
  #single(step: Step): void {
    const { tree, model } = this;
    const key = keyOf(step.key);
    const had = model.records.has(step.key);
    if (this.#refusal(step).required !== undefined && step.op === 'renamePrefix') {
      tree.renamePrefix(key, keyOf(step.to));
      return;
    }
    const expected = model.play([step]);
    const what = `${step.op} ${show(step.key)}`;
    if (step.op === 'put') tree.put(key, step.value);
    else if (step.op === 'putIfAbsent')
      assertEqual(tree.putIfAbsent(key, step.value), expected !== undefined, what);
    else if (step.op === 'compareAndPut') {
      const done = tree.compareAndPut(key, this.#versionOf(step.key, step.right), step.value);
      assertEqual(done, expected !== undefined, what);
    } else if (step.op === 'delete') assertEqual(tree.delete(key), had, what);
    else if (step.op === 'deleteIfVersion') {
      const done = tree.deleteIfVersion(key, this.#versionOf(step.key, step.right));
      assertEqual(done, expected !== undefined, what);
    } else if (step.op === 'deletePrefix') tree.deletePrefix(key);
    else if (step.op === 'rename') {
      const code = codeOf(
        () => tree.rename(key, keyOf(step.to), { force: step.force }),
        'ERR_NOT_FOUND',
        'ERR_EXISTS',
      );
      assertEqual(code, expected !== undefined ? undefined : had ? 'ERR_EXISTS' : 'ERR_NOT_FOUND', what);
    } else if (step.op === 'renamePrefix') {
      const code = codeOf(() => tree.renamePrefix(key, keyOf(step.to)), 'ERR_PREFIX_NOT_EMPTY');
      assertEqual(code, expected !== undefined ? undefined : 'ERR_PREFIX_NOT_EMPTY', what);
    } else if (step.op === 'assertPrefixEmpty')
      assertEqual(tree.isPrefixEmpty(key), expected !== undefined, what);
    else if (step.op === 'assertAbsent')
      assertEqual(tree.getVersion(key), model.records.get(step.key)?.version, what);
    if (expected !== undefined) this.#adopt(expected);
  }

  #range(operation: Extract<Operation, { op: 'range' }>): void {
    compareRange(this.tree, this.model, operation);
  }

  compareAll(): void {
    compareEntries([...this.tree.range()], this.model.range({}));
    const names = this.model.sorted();
    for (let i = 0; i < names.length; i += 1 + (names.length >> 10))
      compareRecord(this.tree, this.model, names[i] as string);
  }
}

/** What the reads give for the name, by each of the point reads, against what the model tells. */
export function compareRecord(reads: TreeReads, model: Model, name: string): void {
  const key = keyOf(name);
  const expected = model.records.get(name);
  const record = reads.getRecord(key);
  assertEqual(record?.version, expected?.version, `version in the record of ${show(name)}`);
  assertEqual(reads.getVersion(key), expected?.version, `version of ${show(name)}`);
  if (!same(record?.value, expected?.value)) throw new Error(`value of ${show(name)} differs`);
  if (!same(reads.get(key), expected?.value)) throw new Error(`get of ${show(name)} differs`);
}

export function compareLongestPrefix(reads: TreeReads, model: Model, name: string): void {
  const found = reads.longestPrefix(keyOf(name));
  const longest = model.longestPrefix(name);
  const what = `longestPrefix of ${show(name)}`;
  assertEqual(found && nameOf(found.key), longest, what);
  const expected = longest === undefined ? undefined : model.records.get(longest);
  assertEqual(found?.version, expected?.version, `version of ${what}`);
  if (!same(found?.value, expected?.value)) throw new Error(`value of ${what} differs`);
}

export function compareCount(reads: TreeReads, model: Model, prefix: string, limit?: number): void {
  const all = model.countPrefix(prefix);
  const key = keyOf(prefix);
  const what = `countPrefix of ${show(prefix)} up to ${limit}`;
  assertEqual(reads.countPrefix(key, limit), Math.min(all, limit ?? all), what);
  assertEqual(reads.isPrefixEmpty(key), all === 0, `isPrefixEmpty of ${show(prefix)}`);
}

export function compareRange(
  reads: TreeReads,
  model: Model,
  range: Omit<Extract<Operation, { op: 'range' }>, 'op'>,
): void {
  const { key, after, delimiter, keysOnly } = range;
  const options: RangeOptions = { keysOnly, ...(delimiter === undefined ? {} : { delimiter }) };
  const expected = model.range({
    ...options,
    prefix: key,
    ...(after === undefined ? {} : { startAfter: after }),
  });
  const startAfter = after === undefined ? {} : { startAfter: keyOf(after) };
  compareEntries([...reads.range({ ...options, prefix: keyOf(key), ...startAfter })], expected);
}

export function compareEntries(found: readonly RangeEntry[], expected: readonly RangeEntry[]): void {
  const length = Math.max(found.length, expected.length);
  for (let i = 0; i < length; i++) {
    const a = found[i];
    const b = expected[i];
    const isSame =
      a?.type === 'key' && b?.type === 'key'
        ? same(a.key, b.key) && same(a.value, b.value) && a.version === b.version
        : a?.type === 'prefix' && b?.type === 'prefix' && same(a.prefix, b.prefix);
    if (!isSame) {
      throw new Error(
        `range entry ${i} of ${found.length}/${expected.length}: ${describe(a)}, expected ${describe(b)}`,
      );
    }
  }
}

function describe(entry: RangeEntry | undefined): string {
  if (entry === undefined) return 'none';
  if (entry.type === 'prefix') return `prefix ${show(nameOf(entry.prefix))}`;
  return `key ${show(nameOf(entry.key))} version ${entry.version} (${entry.value.length} bytes)`;
}

/** The code of the error that `act` throws, or undefined; only `expected` if that is given, others pass through. */
export function codeOf(act: () => unknown, ...expected: (string | undefined)[]): string | undefined {
  try {
    act();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined || (expected.length > 0 && !expected.includes(code))) throw error;
    return code;
  }
  return undefined;
}
