/** A plain model of the tree's contents, operations as data, and a runner that plays them on both and compares. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Batch, RangeEntry, RangeOptions, TreeOptions } from '../../../engine/api.js';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { Tree } from '../../../engine/index.js';
import { MAX_KEY_BYTES } from '../../../engine/limits.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { MemoryBlobStore } from '../../../engine/store/memory-blob-store.js';
import { checkStore } from './check.js';

export const SMALL_CACHE = 8 * 1024 * 1024;

export interface ModelRecord {
  value: Uint8Array;
  version: number;
}

export const nameOf = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
export const keyOf = (name: string): Uint8Array => Buffer.from(name, 'latin1');

/** One step of a batch; versions are told as right or wrong, since only the run knows them. */
export type Step =
  | { op: 'put' | 'putIfAbsent'; key: string; value: Uint8Array }
  | { op: 'compareAndPut'; key: string; right: boolean; value: Uint8Array }
  | { op: 'delete'; key: string }
  | { op: 'deleteIfVersion' | 'assertVersion'; key: string; right: boolean }
  | { op: 'rename'; key: string; to: string; force: boolean }
  | { op: 'renamePrefix'; key: string; to: string }
  | { op: 'deletePrefix' | 'assertPrefixEmpty'; key: string }
  | { op: 'assertAbsent'; key: string };

export type Operation =
  | Step
  | { op: 'atomic'; steps: Step[] }
  | { op: 'range'; key: string; after: string | undefined; delimiter: number | undefined; keysOnly: boolean }
  | { op: 'get'; key: string }
  | { op: 'checkpoint' | 'compact' | 'reopen' | 'kill' | 'compare' };

/** Beyond this a batch may touch more blobs than the smallest cache has room for. */
const WIDE_BATCH_BYTES = 300_000;
const WRONG_VERSION = 2 ** 50;
/** Stands for "written by this batch": no version matches it. */
const IN_BATCH = -1;

/** The contents as a Map; names are keys in latin1, whose order is the bytes'. */
export class Model {
  records = new Map<string, ModelRecord>();
  #sorted: string[] | undefined;

  sorted(): string[] {
    if (this.#sorted?.length !== this.records.size) this.#sorted = [...this.records.keys()].sort(compare);
    return this.#sorted;
  }

  set(name: string, value: Uint8Array, version: number): void {
    if (!this.records.has(name)) this.#sorted = undefined;
    this.records.set(name, { value, version });
  }

  delete(name: string): boolean {
    this.#sorted = undefined;
    return this.records.delete(name);
  }

  /** Plays the steps; undefined when a guard failed, and then nothing has changed. */
  play(steps: readonly Step[]): Map<string, Uint8Array | undefined> | undefined {
    const changed = new Map<string, Uint8Array | undefined>();
    const version = (name: string): number | undefined => {
      if (!changed.has(name)) return this.records.get(name)?.version;
      return changed.get(name) === undefined ? undefined : IN_BATCH;
    };
    const value = (name: string): Uint8Array | undefined =>
      changed.has(name) ? changed.get(name) : this.records.get(name)?.value;
    const names = (prefix: string): string[] =>
      [...new Set([...this.records.keys(), ...changed.keys()])].filter(
        (name) => name.startsWith(prefix) && value(name) !== undefined,
      );
    const matches = (name: string, right: boolean): boolean =>
      right && version(name) !== undefined && version(name) !== IN_BATCH;
    for (const step of steps) {
      const { op, key } = step;
      if (op === 'put') changed.set(key, step.value);
      else if (op === 'putIfAbsent') {
        if (value(key) !== undefined) return undefined;
        changed.set(key, step.value);
      } else if (op === 'compareAndPut') {
        if (!matches(key, step.right)) return undefined;
        changed.set(key, step.value);
      } else if (op === 'delete') changed.set(key, undefined);
      else if (op === 'deleteIfVersion') {
        if (!matches(key, step.right)) return undefined;
        changed.set(key, undefined);
      } else if (op === 'assertVersion') {
        if (!matches(key, step.right)) return undefined;
      } else if (op === 'assertAbsent') {
        if (value(key) !== undefined) return undefined;
      } else if (op === 'assertPrefixEmpty') {
        if (names(key).length > 0) return undefined;
      } else if (op === 'deletePrefix') for (const name of names(key)) changed.set(name, undefined);
      else if (op === 'rename') {
        const moved = value(key);
        if (moved === undefined || (value(step.to) !== undefined && !step.force)) return undefined;
        changed.set(key, undefined);
        changed.set(step.to, moved);
      } else {
        const moved = names(key).map((name) => [name, value(name)] as const);
        if (moved.length === 0) continue;
        for (const [name] of moved) assertKey(step.to + name.slice(key.length));
        for (const [name] of moved) changed.set(name, undefined);
        if (names(step.to).length > 0) return undefined;
        for (const [name, record] of moved) changed.set(step.to + name.slice(key.length), record);
      }
    }
    return changed;
  }

  range({ prefix = '', startAfter, delimiter, keysOnly }: RangeOptions): RangeEntry[] {
    const from = prefix as string;
    const after = startAfter === '' ? undefined : (startAfter as string | undefined);
    const byte = delimiter === undefined ? undefined : String.fromCharCode(delimiter as number);
    const skipped =
      byte !== undefined &&
      after !== undefined &&
      after.length > from.length &&
      after.startsWith(from) &&
      after.indexOf(byte, from.length) === after.length - 1
        ? after
        : undefined;
    const entries: RangeEntry[] = [];
    let rolled: string | undefined;
    for (const name of this.sorted()) {
      if (!name.startsWith(from) || (after !== undefined && name <= after)) continue;
      if (skipped !== undefined && name.startsWith(skipped)) continue;
      if (rolled !== undefined && name.startsWith(rolled)) continue;
      const at = byte === undefined ? -1 : name.indexOf(byte, from.length);
      if (at >= 0) {
        rolled = name.slice(0, at + 1);
        entries.push({ type: 'prefix', prefix: keyOf(rolled) });
        continue;
      }
      const { value, version } = this.records.get(name) as ModelRecord;
      entries.push({ type: 'key', key: keyOf(name), value: keysOnly ? new Uint8Array(0) : value, version });
    }
    return entries;
  }
}

/** Thrown by `Model.play` where the tree must refuse a key. */
class Refusal extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

function assertKey(name: string): void {
  if (name === '') throw new Refusal('ERR_INVALID_ARGUMENT');
  if (name.length > MAX_KEY_BYTES) throw new Refusal('ERR_KEY_TOO_LARGE');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

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

/** Kinds of trees that runs are made on. */
export type Place = 'memory' | 'store' | 'dir';

export class Run {
  readonly model = new Model();
  tree: Tree;
  readonly #place: Place;
  readonly #options: TreeOptions;
  #store = new MemoryBlobStore();
  #dir: string;
  readonly #home: string;
  #copies = 0;

  constructor(place: Place, options: TreeOptions = {}) {
    this.#place = place;
    this.#options = options;
    this.#home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-tree-'));
    this.#dir = path.join(this.#home, 'store');
    this.tree = this.#open();
  }

  #open(): Tree {
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
      fs.rmSync(this.#home, { recursive: true, force: true });
    }
  }

  /** Ends well: compares everything and checks the invariants of what is stored. */
  finish(): void {
    this.compareAll();
    this.tree.checkpoint();
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

  /** Plays the operation on both; where the model says that the tree must refuse it, it must, with that code. */
  apply(operation: Operation): void {
    const { required, allowed } = this.#refusal(operation);
    const lsn = this.tree.lastLsn();
    const code = codeOf(() => this.#apply(operation), required, allowed);
    if (code !== allowed) assertEqual(code, required, operation.op);
    if (code !== undefined) assertEqual(this.tree.lastLsn(), lsn, `lastLsn after a refused ${operation.op}`);
  }

  /** The code with which the tree must refuse a batch, and the one with which it may, for it is a wide one. */
  #refusal(operation: Operation): { required?: string; allowed?: string } {
    const { op } = operation;
    if (op !== 'atomic' && op !== 'renamePrefix' && op !== 'deletePrefix') return {};
    try {
      const changed = this.model.play(op === 'atomic' ? operation.steps : [operation]);
      let bytes = 0;
      for (const [name, value] of changed ?? []) {
        bytes += 2 * name.length + (value ?? this.model.records.get(name)?.value ?? []).length;
      }
      return bytes > WIDE_BATCH_BYTES ? { allowed: 'ERR_BATCH_TOO_LARGE' } : {};
    } catch (error) {
      if (error instanceof Refusal) return { required: error.code };
      throw error;
    }
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
        this.#get(operation.key);
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

  #adopt(changed: Map<string, Uint8Array | undefined>): void {
    const version = this.tree.lastLsn();
    for (const [name, value] of changed) {
      if (value === undefined) this.model.delete(name);
      else this.model.set(name, value, version);
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

  #get(name: string): void {
    const record = this.tree.getRecord(keyOf(name));
    const expected = this.model.records.get(name);
    assertEqual(record?.version, expected?.version, `version of ${show(name)}`);
    if (!same(record?.value, expected?.value)) throw new Error(`value of ${show(name)} differs`);
    if (!same(this.tree.get(keyOf(name)), expected?.value)) throw new Error(`get of ${show(name)} differs`);
  }

  #range(operation: Extract<Operation, { op: 'range' }>): void {
    const { key, after, delimiter, keysOnly } = operation;
    const options = { delimiter, keysOnly };
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    const expected = this.model.range({
      ...given,
      prefix: key,
      ...(after === undefined ? {} : { startAfter: after }),
    });
    const found = [
      ...this.tree.range({
        ...given,
        prefix: keyOf(key),
        ...(after === undefined ? {} : { startAfter: keyOf(after) }),
      }),
    ];
    compareEntries(found, expected);
  }

  compareAll(): void {
    compareEntries([...this.tree.range()], this.model.range({}));
    const names = this.model.sorted();
    for (let i = 0; i < names.length; i += 1 + (names.length >> 10)) this.#get(names[i] as string);
  }
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
