/**
 * The snapshots that there are, by their ids, and what follows for contents.
 *
 * A content is `(ino, born)`, `born` being the newest snapshot when its file was made. Snapshots with larger ids may have it:
 * those that were taken while a record told it. So a content that an inode gives up is kept as long as there is a snapshot in
 * (born, died], `died` being the newest one at that moment; and a file may be written in place where no snapshot is newer
 * than its content.
 */
import type { Batch, TreeOperations } from '../../../engine/api.js';
import { SpinneyError } from '../../../engine/errors.js';
import { keptKey, LAST_SNAPSHOT_KEY } from './keys.js';

const KEPT_BYTES = 4;

export class SnapshotIds {
  /** Ascending. */
  #ids: number[] = [];
  /** The newest that there is; 0: there is none. */
  newest = 0;
  /** The newest that ever was: what is made now has it as its born. */
  last = 0;

  constructor(tree: Pick<TreeOperations, 'get' | 'snapshots'>) {
    this.load(tree);
  }

  /** Looks at what there is. */
  load(tree: Pick<TreeOperations, 'get' | 'snapshots'>): void {
    const stored = tree.get(LAST_SNAPSHOT_KEY);
    this.#ids = idsOf(tree);
    this.newest = this.#ids.at(-1) ?? 0;
    this.last = Math.max(
      this.newest,
      this.last,
      stored === undefined ? 0 : Buffer.from(stored).readUInt32LE(),
    );
  }

  get count(): number {
    return this.#ids.length;
  }

  /** Whether a snapshot may have what was an inode's content from `born` to `died`. */
  isNeeded(born: number, died: number): boolean {
    return this.#ids.some((id) => id > born && id <= died);
  }

  removed(id: number): void {
    this.#ids = this.#ids.filter((other) => other !== id);
    this.newest = this.#ids.at(-1) ?? 0;
  }

  /** Records that `last` is what it is, which no snapshot that is deleted may take along. */
  recordLast(batch: Batch): void {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(this.last);
    batch.put(LAST_SNAPSHOT_KEY, value);
  }

  /** Records that the content is an inode's no more, and kept for snapshots. */
  recordKept(batch: Batch, ino: number, born: number): void {
    const died = Buffer.alloc(KEPT_BYTES);
    died.writeUInt32LE(this.newest);
    batch.put(keptKey(ino, born), died);
  }
}

/** Ascending. A tree that can have no snapshots has none. */
function idsOf(tree: Pick<TreeOperations, 'snapshots'>): number[] {
  try {
    return tree.snapshots().map(({ id }) => id);
  } catch (error) {
    if (error instanceof SpinneyError && error.code === 'ERR_NO_SNAPSHOTS') return [];
    throw error;
  }
}

/** The newest snapshot when the content was given up, of the value at its `k` key. */
export function diedOf(value: Uint8Array): number {
  return value.length === KEPT_BYTES ? Buffer.from(value).readUInt32LE() : Number.MAX_SAFE_INTEGER;
}
