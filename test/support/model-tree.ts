/**
 * The tree's operations over a Map, as plainly as can be: the reference that other layers are tested on without
 * the engine. Keys are held as latin1 strings, which sort bytewise.
 */
import type {
  Batch,
  DiffOptions,
  Key,
  KeyRecord,
  RangeEntry,
  RangeOptions,
  SnapshotInfo,
  SnapshotReads,
  TreeChange,
  TreeOperations,
  TreeReads,
  TreeRecord,
} from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import { MAX_BATCH_OPERATIONS, MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../../engine/limits.js';
import type { TreeStats } from '../../engine/tree-stats.js';
import { FILESYSTEM_MEASURE } from '../../mount/sums/filesystem-measure.js';

const FIELDS = FILESYSTEM_MEASURE.fields as readonly string[];
const NO_KEY = new Uint8Array(0);

type Operation = (state: Draft, lsn: number) => boolean;

/** A map that one batch changes, and that can be set back to what it was. */
class Draft {
  readonly #map: Map<string, TreeRecord>;
  readonly #saved = new Map<string, TreeRecord | undefined>();

  constructor(map: Map<string, TreeRecord>) {
    this.#map = map;
  }

  get(key: string): TreeRecord | undefined {
    return this.#map.get(key);
  }

  keys(): string[] {
    return [...this.#map.keys()];
  }

  set(key: string, record: TreeRecord): void {
    this.#remember(key);
    this.#map.set(key, record);
  }

  delete(key: string): void {
    this.#remember(key);
    this.#map.delete(key);
  }

  undo(): void {
    for (const [key, record] of this.#saved) {
      if (record === undefined) this.#map.delete(key);
      else this.#map.set(key, record);
    }
  }

  #remember(key: string): void {
    if (!this.#saved.has(key)) this.#saved.set(key, this.#map.get(key));
  }
}

function text(key: Key): string {
  return typeof key === 'string' ? Buffer.from(key).toString('latin1') : Buffer.from(key).toString('latin1');
}

function checked(key: Key): string {
  const result = text(key);
  if (result.length > MAX_KEY_BYTES) {
    throw new SpinneyError('ERR_KEY_TOO_LARGE', `Cannot put: the key has ${result.length} bytes`);
  }
  return result;
}

function bytes(key: string): Uint8Array {
  return new Uint8Array(Buffer.from(key, 'latin1'));
}

/** Records a batch as functions on a state; each returns false where its guard fails. */
class ModelBatch implements Batch {
  readonly operations: Operation[] = [];
  /** Whether keys may go, so that a count of keys tells nothing. */
  removes = false;

  put(key: Key, value: Uint8Array): void {
    const name = checked(key);
    if (value.length > MAX_VALUE_BYTES)
      throw new SpinneyError('ERR_VALUE_TOO_LARGE', 'Cannot put: value too large');
    const copy = new Uint8Array(value);
    this.#add((state, lsn) => {
      state.set(name, { value: copy, version: lsn });
      return true;
    });
  }

  putIfAbsent(key: Key, value: Uint8Array): void {
    this.assertAbsent(key);
    this.put(key, value);
  }

  compareAndPut(key: Key, version: number, value: Uint8Array): void {
    this.assertVersion(key, version);
    this.put(key, value);
  }

  delete(key: Key): void {
    this.removes = true;
    const name = text(key);
    this.#add((state) => {
      state.delete(name);
      return true;
    });
  }

  deleteIfVersion(key: Key, version: number): void {
    this.assertVersion(key, version);
    this.delete(key);
  }

  rename(src: Key, dst: Key, options?: { force?: boolean }): void {
    this.removes = true;
    const from = text(src);
    const to = checked(dst);
    this.#add((state, lsn) => {
      const moved = state.get(from);
      if (moved === undefined || (state.get(to) !== undefined && options?.force !== true)) return false;
      state.delete(from);
      state.set(to, { value: moved.value, version: lsn });
      return true;
    });
  }

  renamePrefix(srcPrefix: Key, dstPrefix: Key): void {
    this.removes = true;
    const from = text(srcPrefix);
    const to = text(dstPrefix);
    this.#add((state) => {
      const moved = new Map<string, TreeRecord>();
      for (const key of state.keys()) {
        if (!key.startsWith(from)) continue;
        moved.set(key, state.get(key) as TreeRecord);
        state.delete(key);
      }
      if (state.keys().some((key) => key.startsWith(to))) return false;
      for (const [key, record] of moved) state.set(to + key.slice(from.length), record);
      return true;
    });
  }

  deletePrefix(prefix: Key): void {
    this.removes = true;
    const name = text(prefix);
    this.#add((state) => {
      for (const key of state.keys()) if (key.startsWith(name)) state.delete(key);
      return true;
    });
  }

  assertVersion(key: Key, version: number): void {
    const name = text(key);
    this.#add((state) => state.get(name)?.version === version);
  }

  assertAbsent(key: Key): void {
    const name = text(key);
    this.#add((state) => state.get(name) === undefined);
  }

  assertPrefixEmpty(prefix: Key): void {
    const name = text(prefix);
    this.#add((state) => !state.keys().some((key) => key.startsWith(name)));
  }

  #add(operation: Operation): void {
    if (this.operations.length >= 2 * MAX_BATCH_OPERATIONS) {
      throw new SpinneyError('ERR_BATCH_TOO_LARGE', 'Cannot record: too many operations');
    }
    this.operations.push(operation);
  }
}

export class ModelTree implements TreeOperations {
  readonly previousEnd = 'none';
  readonly durability = undefined;
  /** Thrown by the next mutations, while it is set. */
  failure: SpinneyError | undefined;
  /** Calls of `sync`. */
  syncs = 0;
  #state = new Map<string, TreeRecord>();
  #sorted: string[] | undefined = [];
  #lsn = 0;
  readonly #snapshots = new Map<string, { info: SnapshotInfo; tree: ModelTree }>();
  #lastSnapshot = 0;

  setDurability(): void {
    throw new SpinneyError('ERR_INVALID_ARGUMENT', 'Cannot change the durability: there is no journal');
  }

  get(key: Key): Uint8Array | undefined {
    return this.#state.get(text(key))?.value.slice();
  }

  getRecord(key: Key): TreeRecord | undefined {
    const record = this.#state.get(text(key));
    return record && { value: record.value.slice(), version: record.version };
  }

  getVersion(key: Key): number | undefined {
    return this.#state.get(text(key))?.version;
  }

  put(key: Key, value: Uint8Array): void {
    this.atomic((batch) => batch.put(key, value));
  }

  putIfAbsent(key: Key, value: Uint8Array): boolean {
    return this.atomic((batch) => batch.putIfAbsent(key, value));
  }

  compareAndPut(key: Key, version: number, value: Uint8Array): boolean {
    return this.atomic((batch) => batch.compareAndPut(key, version, value));
  }

  delete(key: Key): boolean {
    const existed = this.#state.has(text(key));
    this.atomic((batch) => batch.delete(key));
    return existed;
  }

  deleteIfVersion(key: Key, version: number): boolean {
    return this.atomic((batch) => batch.deleteIfVersion(key, version));
  }

  rename(src: Key, dst: Key, options?: { force?: boolean }): void {
    if (!this.#state.has(text(src))) throw new SpinneyError('ERR_NOT_FOUND', 'Cannot rename: no such key');
    if (!this.atomic((batch) => batch.rename(src, dst, options))) {
      throw new SpinneyError('ERR_EXISTS', 'Cannot rename: the key exists');
    }
  }

  renamePrefix(srcPrefix: Key, dstPrefix: Key): void {
    if (!this.atomic((batch) => batch.renamePrefix(srcPrefix, dstPrefix))) {
      throw new SpinneyError('ERR_PREFIX_NOT_EMPTY', 'Cannot rename: the prefix is not empty');
    }
  }

  deletePrefix(prefix: Key): void {
    this.atomic((batch) => batch.deletePrefix(prefix));
  }

  atomic(record: (batch: Batch) => void): boolean {
    const batch = new ModelBatch();
    record(batch);
    if (this.failure !== undefined) throw this.failure;
    const draft = new Draft(this.#state);
    for (const operation of batch.operations) {
      if (operation(draft, this.#lsn + 1)) continue;
      draft.undo();
      return false;
    }
    this.#lsn++;
    if (this.#sorted?.length !== this.#state.size || batch.removes) this.#sorted = undefined;
    return true;
  }

  *range(options: RangeOptions = {}): Generator<RangeEntry> {
    const prefix = text(options.prefix ?? '');
    const delimiter =
      typeof options.delimiter === 'number' ? String.fromCharCode(options.delimiter) : options.delimiter;
    let after = options.startAfter === undefined ? undefined : text(options.startAfter);
    // A position that is a rolled-up prefix stands for all that it rolls up.
    let skipped =
      delimiter !== undefined && after?.startsWith(prefix) && after.endsWith(delimiter) ? after : undefined;
    if (skipped !== undefined && skipped.length <= prefix.length) skipped = undefined;
    for (;;) {
      const key = this.#next(prefix, after, skipped);
      if (key === undefined || !key.startsWith(prefix)) return;
      after = key;
      const cut = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
      if (cut >= 0) {
        skipped = key.slice(0, cut + 1);
        yield { type: 'prefix', prefix: bytes(skipped) };
        continue;
      }
      const record = this.#state.get(key) as TreeRecord;
      const value = options.keysOnly === true ? new Uint8Array(0) : record.value.slice();
      yield { type: 'key', key: bytes(key), value, version: record.version };
    }
  }

  isPrefixEmpty(prefix: Key): boolean {
    for (const _ of this.range({ prefix })) return false;
    return true;
  }

  longestPrefix(key: Key): KeyRecord | undefined {
    const name = text(key);
    for (let length = name.length; length > 0; length--) {
      const record = this.#state.get(name.slice(0, length));
      if (record !== undefined) return { ...record, key: bytes(name.slice(0, length)) };
    }
    return undefined;
  }

  countPrefix(prefix: Key, limit = Number.POSITIVE_INFINITY): number {
    const count = this.keys().filter((key) => key.startsWith(text(prefix))).length;
    return Math.min(count, Math.floor(limit));
  }

  measure(prefix: Key): Record<string, number> {
    const out = new Float64Array(FIELDS.length);
    const sums = FIELDS.map(() => 0);
    for (const item of this.range({ prefix })) {
      if (item.type !== 'key') continue;
      out.fill(0);
      FILESYSTEM_MEASURE.of(NO_KEY, item.value, out);
      for (const [i, counted] of out.entries()) sums[i] = (sums[i] ?? 0) + counted;
    }
    return Object.fromEntries(FIELDS.map((name, i) => [name, sums[i] ?? 0]));
  }

  valuesCounted(prefix: Key, field: string): Uint8Array[] {
    const out = new Float64Array(FIELDS.length);
    const found: Uint8Array[] = [];
    for (const item of this.range({ prefix })) {
      if (item.type !== 'key') continue;
      out.fill(0);
      FILESYSTEM_MEASURE.of(NO_KEY, item.value, out);
      if (out[FIELDS.indexOf(field)] !== 0) found.push(item.value);
    }
    return found;
  }

  view<T>(_prefix: Key, read: (view: TreeReads) => T): T {
    return read(this.#copy());
  }

  #copy(): ModelTree {
    const copy = new ModelTree();
    for (const [key, record] of this.#state) copy.#state.set(key, record);
    copy.#sorted = undefined;
    return copy;
  }

  snapshot(name: string): SnapshotInfo {
    if (this.failure !== undefined) throw this.failure;
    if (this.#snapshots.has(name)) throw new SpinneyError('ERR_EXISTS', 'Cannot take a snapshot: it exists');
    const info = { name, id: ++this.#lastSnapshot, lsn: this.#lsn, createdAt: Date.now(), ownBytes: 0 };
    this.#snapshots.set(name, { info, tree: this.#copy() });
    return info;
  }

  snapshots(): SnapshotInfo[] {
    return Array.from(this.#snapshots.values(), ({ info }) => ({ ...info }));
  }

  deleteSnapshot(name: string): void {
    this.#of(name);
    this.#snapshots.delete(name);
  }

  at(name: string): SnapshotReads {
    const { info, tree } = this.#of(name);
    return Object.assign(tree.#copy(), { snapshot: info, close: () => {} });
  }

  diff(
    before: string | undefined,
    after: string | undefined,
    { prefix = '' }: DiffOptions = {},
  ): IterableIterator<TreeChange> {
    const [one, other] = [before, after].map((name) => (name === undefined ? this : this.#of(name).tree));
    const keys = new Set([...one!.keys(), ...other!.keys()].filter((key) => key.startsWith(text(prefix))));
    const changes: TreeChange[] = [];
    for (const key of [...keys].sort(order)) {
      const [was, is] = [one!.getRecord(bytes(key)), other!.getRecord(bytes(key))];
      const isSame = was !== undefined && is !== undefined && Buffer.compare(was.value, is.value) === 0;
      if (!isSame) changes.push({ key: bytes(key), before: was, after: is });
    }
    return changes.values();
  }

  #of(name: string): { info: SnapshotInfo; tree: ModelTree } {
    const snapshot = this.#snapshots.get(name);
    if (snapshot === undefined) throw new SpinneyError('ERR_NOT_FOUND', `Cannot find snapshot ${name}`);
    return snapshot;
  }

  lastLsn(): number {
    return this.#lsn;
  }

  durableLsn(): number {
    return this.#lsn;
  }

  sync(): void {
    if (this.failure !== undefined) throw this.failure;
    this.syncs++;
  }

  checkpoint(): void {}

  compact(): void {}

  stats(): TreeStats {
    throw new Error('The model tree has no stats');
  }

  /** All keys, in order, for assertions. */
  keys(): string[] {
    return [...this.#keys()];
  }

  #keys(): string[] {
    if (this.#sorted === undefined) this.#sorted = [...this.#state.keys()].sort(order);
    return this.#sorted;
  }

  /** The first key that is not below `prefix`, above `after`, and not covered by `skipped`. */
  #next(prefix: string, after: string | undefined, skipped: string | undefined): string | undefined {
    const keys = this.#keys();
    let low = 0;
    let high = keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const key = keys[middle] as string;
      const isBefore =
        key < prefix ||
        (after !== undefined && key <= after) ||
        (skipped !== undefined && key.startsWith(skipped));
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return keys[low];
  }
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
