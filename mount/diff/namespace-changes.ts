/**
 * Turns the keys that differ between two states of a tree into what happened to paths. The engine passes over all that both have
 * in common, so the cost is that of what changed; only where a file with several names changed are all names looked at, for
 * those of the file.
 *
 * - What is at another path with the same inode number was moved; that covers files, and directories with all that is below them.
 * - What is below a directory that moved, and moved along with it, is not told again, unless it changed.
 * - A directory in which names came or went has other times, and is not told for that.
 *
 * In memory are the paths that were made, removed or changed.
 */
import type { Tree, TreeReads } from '../../engine/index.js';
import {
  ENTRIES_PREFIX,
  entryKey,
  equalBytes,
  INODES_PREFIX,
  inoOfKey,
  POSITIONS_PREFIX,
  pathOfKey,
} from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';
import { MovedDirectories, text } from './moved-directories.js';

const ENTRY_XATTRS_PREFIX = Uint8Array.of(0x78);
const STEPS_PER_PAUSE = 512;

export interface NamespaceChange {
  change: 'made' | 'changed' | 'moved' | 'removed';
  /** As it is now, or as it was for what was removed; empty for the root. */
  path: Uint8Array;
  /** Of what was moved: where it was. */
  from?: Uint8Array;
  /** Of what was moved: whether it changed, too. */
  isChanged?: boolean;
  type: string;
  ino: number;
}

type DiffTree = Pick<Tree, 'diff' | 'at' | 'snapshots'> & TreeReads;

/** Something that only one of the two states has. */
interface Single {
  path: Uint8Array;
  entry: Uint8Array;
}

/**
 * Gives what changed from snapshot `before` to snapshot `after` (undefined: now), in the order of paths. Gives undefined now and
 * then while it looks for changes, so that the caller can do other things.
 * @throws ERR_NOT_FOUND where there is no such snapshot
 */
export function* namespaceChanges(
  tree: DiffTree,
  before: string,
  after: string | undefined,
): Generator<NamespaceChange | undefined> {
  const old = tree.at(before);
  try {
    const now = after === undefined ? undefined : tree.at(after);
    try {
      yield* new NamespaceDiff(tree, old, now ?? tree, before, after).run();
    } finally {
      now?.close();
    }
  } finally {
    old.close();
  }
}

class NamespaceDiff {
  readonly #tree: DiffTree;
  readonly #before: TreeReads;
  readonly #after: TreeReads;
  readonly #names: [before: string, after: string | undefined];
  readonly #moved = new MovedDirectories();
  readonly #changes: NamespaceChange[] = [];
  readonly #made: Single[] = [];
  /** By inode number: what is not at its old path any more. */
  readonly #removed = new Map<number, Single[]>();
  /** Directories of which only times and counts changed, by path. */
  readonly #stirred = new Map<string, Single>();
  readonly #told = new Set<string>();
  #steps = 0;

  constructor(
    tree: DiffTree,
    before: TreeReads,
    after: TreeReads,
    ...names: [before: string, after: string | undefined]
  ) {
    this.#tree = tree;
    this.#before = before;
    this.#after = after;
    this.#names = names;
  }

  *run(): Generator<NamespaceChange | undefined> {
    yield* this.#findMovedDirectories();
    yield* this.#compareEntries();
    yield* this.#compareXattrs();
    this.#pairMoves();
    yield* this.#findLinkedNames();
    this.#changes.sort((a, b) => Buffer.compare(a.path, b.path));
    yield* this.#changes;
  }

  *#diff(
    prefix: Uint8Array,
  ): Generator<{ key: Uint8Array; before?: Uint8Array; after?: Uint8Array } | undefined> {
    for (const { key, before, after } of this.#tree.diff(...this.#names, { prefix })) {
      if (++this.#steps % STEPS_PER_PAUSE === 0) yield undefined;
      yield { key, ...(before && { before: before.value }), ...(after && { after: after.value }) };
    }
  }

  *#findMovedDirectories(): Generator<undefined> {
    for (const row of this.#diff(POSITIONS_PREFIX)) {
      if (row === undefined) yield;
      else if (row.before !== undefined && row.after !== undefined) {
        this.#moved.add(this.#before, this.#after, inoOfKey(row.key));
      }
    }
  }

  *#compareEntries(): Generator<undefined> {
    for (const row of this.#diff(ENTRIES_PREFIX)) {
      if (row === undefined) {
        yield;
        continue;
      }
      const { before, after } = row;
      const path = new Uint8Array(pathOfKey(row.key));
      const isSame = before !== undefined && after !== undefined && inoOf(before) === inoOf(after);
      if (isSame) this.#compare(path, before, after);
      if (isSame) continue;
      if (before !== undefined && !this.#movedAlong(path, before)) this.#addRemoved(path, before);
      if (after !== undefined && !this.#cameAlong(path, after)) this.#made.push({ path, entry: after });
    }
  }

  /** The same inode is at the same path, or has moved along to this one. */
  #compare(path: Uint8Array, before: Uint8Array, after: Uint8Array): void {
    if (equalBytes(before, after)) return;
    if (record.typeOf(after) !== record.DIRECTORY || isChangedDirectory(before, after)) {
      this.#tell('changed', path, after);
    } else this.#stirred.set(text(path), { path, entry: after });
  }

  /** Whether it is where directories above it took it; then it is told, if at all, by its new path. */
  #movedAlong(path: Uint8Array, entry: Uint8Array): boolean {
    const to = this.#moved.pathAfter(path);
    if (to === path) return false;
    const found = this.#after.get(entryKey(to));
    return found !== undefined && inoOf(found) === inoOf(entry);
  }

  #cameAlong(path: Uint8Array, entry: Uint8Array): boolean {
    const from = this.#moved.pathBefore(path);
    if (from === path) return false;
    const found = this.#before.get(entryKey(from));
    if (found === undefined || inoOf(found) !== inoOf(entry)) return false;
    this.#compare(path, found, entry);
    return true;
  }

  #addRemoved(path: Uint8Array, entry: Uint8Array): void {
    const ino = inoOf(entry);
    const others = this.#removed.get(ino);
    if (others === undefined) this.#removed.set(ino, [{ path, entry }]);
    else others.push({ path, entry });
  }

  /** An attribute of a directory changes its ctime, as names that come and go do. */
  *#compareXattrs(): Generator<undefined> {
    for (const row of this.#diff(ENTRY_XATTRS_PREFIX)) {
      if (row === undefined) {
        yield;
        continue;
      }
      const zero = row.key.indexOf(0);
      const path = text(row.key.subarray(1, zero < 0 ? row.key.length : zero));
      const stirred = this.#stirred.get(path);
      if (stirred === undefined) continue;
      this.#stirred.delete(path);
      this.#tell('changed', stirred.path, stirred.entry);
    }
  }

  #pairMoves(): void {
    for (const { path, entry } of this.#made) {
      const old = this.#removed.get(inoOf(entry))?.shift();
      if (old === undefined) this.#tell('made', path, entry);
      else {
        const isChanged = hasMoreThanMoved(old.entry, entry);
        this.#tell('moved', path, entry, { from: old.path, ...(isChanged && { isChanged }) });
      }
    }
    for (const gone of this.#removed.values()) {
      for (const { path, entry } of gone) this.#tell('removed', path, entry);
    }
  }

  /** A file with several names has its record elsewhere: its names do not differ where only that does. */
  *#findLinkedNames(): Generator<undefined> {
    const changed = new Set<number>();
    for (const row of this.#diff(INODES_PREFIX)) {
      if (row === undefined) yield;
      else if (row.before !== undefined && row.after !== undefined) changed.add(inoOfKey(row.key));
    }
    if (changed.size === 0) return;
    for (const item of this.#after.range({ prefix: ENTRIES_PREFIX })) {
      if (++this.#steps % STEPS_PER_PAUSE === 0) yield;
      if (item.type !== 'key' || !record.isLink(item.value) || !changed.has(inoOf(item.value))) continue;
      const path = new Uint8Array(pathOfKey(item.key));
      if (!this.#told.has(text(path))) this.#tell('changed', path, item.value);
    }
  }

  #tell(
    change: NamespaceChange['change'],
    path: Uint8Array,
    entry: Uint8Array,
    more: Pick<NamespaceChange, 'from' | 'isChanged'> = {},
  ): void {
    if (record.isLink(entry)) this.#told.add(text(path));
    this.#changes.push({ change, path, ...more, type: typeName(entry), ino: inoOf(entry) });
  }
}

const { inoOf } = record;

/** More than what names that came or went leave: times, and the count of links. */
function isChangedDirectory(before: Uint8Array, after: Uint8Array): boolean {
  if (record.modeOf(before) !== record.modeOf(after) || record.gidOf(before) !== record.gidOf(after))
    return true;
  if (record.uidOf(before) !== record.uidOf(after)) return true;
  // Names that come and go change both.
  return isSameTime(before, after, record.MTIME) && !isSameTime(before, after, record.CTIME);
}

/** Moving changes the ctime alone, and giving a file a second name makes its entry a link. */
function hasMoreThanMoved(before: Uint8Array, after: Uint8Array): boolean {
  if (record.isLink(before) || record.isLink(after)) return false;
  if (record.typeOf(after) === record.DIRECTORY) {
    return (
      record.modeOf(before) !== record.modeOf(after) ||
      record.uidOf(before) !== record.uidOf(after) ||
      record.gidOf(before) !== record.gidOf(after)
    );
  }
  const plain = after.slice();
  record.setTime(
    plain,
    record.CTIME,
    record.secondsOf(before, record.CTIME),
    record.nanosOf(before, record.CTIME),
  );
  return !equalBytes(before, plain);
}

function isSameTime(before: Uint8Array, after: Uint8Array, which: number): boolean {
  return (
    record.secondsOf(before, which) === record.secondsOf(after, which) &&
    record.nanosOf(before, which) === record.nanosOf(after, which)
  );
}

function typeName(entry: Uint8Array): string {
  switch (record.typeOf(entry)) {
    case record.DIRECTORY:
      return 'directory';
    case record.SYMLINK:
      return 'symlink';
    case record.REGULAR:
      return 'file';
    case record.FIFO:
      return 'fifo';
    case record.SOCKET:
      return 'socket';
    default:
      return 'device';
  }
}
