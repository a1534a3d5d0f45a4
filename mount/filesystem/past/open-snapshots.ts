/**
 * The snapshots that there are, and those of them that are open for reading: a few at a time, closed when nobody has asked
 * anything of them for a while.
 *
 * Snapshots are made and deleted on this thread, which `SnapshotIds` is told: what was listed before is looked up anew then, and
 * nothing is read of a snapshot that is gone.
 */
import type { SnapshotInfo, SnapshotReads } from '../../../engine/api.js';
import type { Inodes } from '../inodes/inodes.js';
import type { PastContents } from './past-files.js';
import { PastInodes } from './past-inodes.js';

/** Each has a cache of its own, of 8 MiB. */
const MOST_OPEN = 4;
const IDLE_MS = 30_000;

interface OpenSnapshot {
  readonly inodes: PastInodes;
  readonly tree: SnapshotReads;
  /** Milliseconds of a clock that nobody sets. */
  usedAt: number;
}

export class OpenSnapshots {
  readonly #inodes: Pick<Inodes, 'tree' | 'snapshots'>;
  readonly #contents: PastContents;
  readonly #now: () => number;
  #list: readonly SnapshotInfo[] = [];
  /** Of SnapshotIds, when they were listed: no two states have both the same. */
  #count = -1;
  #last = -1;
  /** By id, those that were used last at the end. */
  readonly #open = new Map<number, OpenSnapshot>();

  constructor(
    inodes: Pick<Inodes, 'tree' | 'snapshots'>,
    contents: PastContents,
    now = () => performance.now(),
  ) {
    this.#inodes = inodes;
    this.#contents = contents;
    this.#now = now;
  }

  get count(): number {
    return this.#open.size;
  }

  /** All there are, by ascending id. */
  list(): readonly SnapshotInfo[] {
    const { count, last } = this.#inodes.snapshots;
    if (count === this.#count && last === this.#last) return this.#list;
    this.#list = this.#inodes.tree.snapshots();
    this.#count = count;
    this.#last = last;
    for (const id of [...this.#open.keys()]) if (this.byId(id) === undefined) this.#close(id);
    return this.#list;
  }

  byName(name: string): SnapshotInfo | undefined {
    return this.list().find((snapshot) => snapshot.name === name);
  }

  byId(id: number): SnapshotInfo | undefined {
    return this.list().find((snapshot) => snapshot.id === id);
  }

  /** Undefined where there is no such snapshot any more. */
  use(id: number): PastInodes | undefined {
    const snapshot = this.byId(id);
    if (snapshot === undefined) return undefined;
    let open = this.#open.get(id);
    if (open === undefined) {
      const [oldest] = this.#open.keys();
      if (oldest !== undefined && this.#open.size >= MOST_OPEN) this.#close(oldest);
      const tree = this.#inodes.tree.at(snapshot.name);
      open = { tree, inodes: new PastInodes(tree, this.#contents), usedAt: 0 };
    } else this.#open.delete(id);
    this.#open.set(id, open);
    open.usedAt = this.#now();
    return open.inodes;
  }

  /** Closes those that nobody uses; returns whether others are open. */
  rest(): boolean {
    const now = this.#now();
    for (const [id, { usedAt }] of [...this.#open]) if (now - usedAt >= IDLE_MS) this.#close(id);
    return this.#open.size > 0;
  }

  closeAll(): void {
    for (const id of [...this.#open.keys()]) this.#close(id);
  }

  #close(id: number): void {
    this.#open.get(id)?.tree.close();
    this.#open.delete(id);
  }
}
