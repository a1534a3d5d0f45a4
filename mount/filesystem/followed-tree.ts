/**
 * The tree of a follower, as the filesystem layer sees it: nothing is changed by it, and a file is what the remote has of its content.
 *
 * Records come before contents, and a file that is open for writing has, on the writer's machine, another size than its record. So size and mtime are those
 * of the row that tells what is in the remote; without one the file is empty. What is about the writer's disk is not here, and neither are snapshots, whose
 * images a follower has not.
 */
import type {
  Batch,
  Key,
  KeyRecord,
  RangeEntry,
  RangeOptions,
  TreeOperations,
  TreeReads,
  TreeRecord,
} from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import { type FileState, shippedState } from '../../engine/shipped-contents.js';
import { CONTENT_MARK_KEY, ENTRY, INODE, ORPHAN, PURGE_KEY, TAKEN_KEY } from './records/keys.js';
import * as record from './records/record.js';

const BLOCK_BYTES = 512;
const HIDDEN: ReadonlySet<string> = new Set([CONTENT_MARK_KEY, PURGE_KEY, TAKEN_KEY].map(textOf));

function textOf(key: Key): string {
  return typeof key === 'string'
    ? key
    : Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

export class FollowedTree implements TreeOperations {
  readonly previousEnd = 'none';
  readonly #tree: TreeOperations;

  constructor(tree: TreeOperations) {
    this.#tree = tree;
  }

  get(key: Key): Uint8Array | undefined {
    if (isHidden(key)) return undefined;
    return this.#shown(key, this.#tree.get(key));
  }

  getRecord(key: Key): TreeRecord | undefined {
    if (isHidden(key)) return undefined;
    const found = this.#tree.getRecord(key);
    return found && { ...found, value: this.#shown(key, found.value)! };
  }

  getVersion(key: Key): number | undefined {
    return isHidden(key) ? undefined : this.#tree.getVersion(key);
  }

  *range(options?: RangeOptions): IterableIterator<RangeEntry> {
    for (const entry of this.#tree.range(options)) {
      if (entry.type !== 'key' || options?.keysOnly === true) yield entry;
      else if (!isHidden(entry.key)) yield { ...entry, value: this.#shown(entry.key, entry.value)! };
    }
  }

  longestPrefix(key: Key): KeyRecord | undefined {
    return this.#tree.longestPrefix(key);
  }

  isPrefixEmpty(prefix: Key): boolean {
    return this.#tree.isPrefixEmpty(prefix);
  }

  countPrefix(prefix: Key, limit?: number): number {
    return this.#tree.countPrefix(prefix, limit);
  }

  /** Of records: sizes are those that the writer told. */
  measure(prefix: Key): Record<string, number> {
    return this.#tree.measure(prefix);
  }

  valuesCounted(prefix: Key, field: string): Uint8Array[] {
    return this.#tree.valuesCounted(prefix, field);
  }

  view<T>(prefix: Key, read: (view: TreeReads) => T): T {
    return this.#tree.view(prefix, read);
  }

  lastLsn(): number {
    return this.#tree.lastLsn();
  }

  durableLsn(): number {
    return this.#tree.durableLsn();
  }

  sync(): void {}

  snapshots(): [] {
    return [];
  }

  at(): never {
    throw new SpinneyError('ERR_NOT_FOUND', 'Cannot open a snapshot: a mount that follows has none');
  }

  *diff(): IterableIterator<never> {}

  get durability(): undefined {
    return undefined;
  }

  // Nothing here is changed but by what is followed.

  put(): never {
    throw followed();
  }

  putIfAbsent(): never {
    throw followed();
  }

  compareAndPut(): never {
    throw followed();
  }

  delete(): never {
    throw followed();
  }

  deleteIfVersion(): never {
    throw followed();
  }

  rename(): never {
    throw followed();
  }

  renamePrefix(): never {
    throw followed();
  }

  deletePrefix(): never {
    throw followed();
  }

  atomic(_record: (batch: Batch) => void): never {
    throw followed();
  }

  snapshot(): never {
    throw followed();
  }

  deleteSnapshot(): never {
    throw followed();
  }

  setDurability(): never {
    throw followed();
  }

  checkpoint(): never {
    throw followed();
  }

  compact(): never {
    throw followed();
  }

  stats(): ReturnType<TreeOperations['stats']> {
    return this.#tree.stats();
  }

  /** A record of a regular file as people are to see it; everything else as it is. */
  #shown(key: Key, value: Uint8Array | undefined): Uint8Array | undefined {
    if (value === undefined || typeof key === 'string') return value;
    const kind = key[0];
    if (kind !== ENTRY && kind !== INODE && kind !== ORPHAN) return value;
    if (record.isLink(value) || record.typeOf(value) !== record.REGULAR) return value;
    if (!record.hasFlag(value, record.CONTENT) && !record.hasFlag(value, record.LIVE)) return value;
    const state = shippedState(this.#tree, record.inoOf(value), record.bornOf(value));
    const isAsTold = state?.size === record.sizeOf(value) && !record.hasFlag(value, record.LIVE);
    if (isAsTold) return value;
    return fitted(new Uint8Array(value), state);
  }
}

function isHidden(key: Key): boolean {
  return HIDDEN.has(textOf(key));
}

function fitted(inode: Uint8Array, state: FileState | undefined): Uint8Array {
  record.clearFlag(inode, record.LIVE);
  if (state === undefined) record.clearFlag(inode, record.CONTENT);
  const size = state?.size ?? 0;
  record.setSize(inode, size);
  record.setBlocks(inode, Math.ceil(size / BLOCK_BYTES));
  if (state !== undefined) record.setTime(inode, record.MTIME, state.mtime.seconds, state.mtime.nanos);
  return inode;
}

function followed(): SpinneyError {
  return new SpinneyError(
    'ERR_READ_ONLY',
    'Cannot change anything: the mount follows what another machine writes',
  );
}
