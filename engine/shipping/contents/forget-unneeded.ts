/**
 * Which objects with contents nothing needs any more: no row of the tree, and none of a snapshot. Manifests that are made afterwards do
 * not name them, and so they are collected.
 */
import type { TreeOperations } from '../../api.js';
import { hasCode } from '../../store/object/errors.js';
import type { ContentShipper } from './content-shipper.js';
import { eachRow } from './each-row.js';

/** What was found of objects with contents, each by its name. */
export interface ContentUse {
  /** That nothing needs. */
  forgotten: number;
  /** Bytes of it that the tree needs. */
  live: ReadonlyMap<string, number>;
  /** Needed by snapshots, whose rows never change. */
  pinned: ReadonlySet<string>;
}

/**
 * Takes them out of `names`, and tells what the others are needed for. REQUIRES that the next checkpoint is captured after it has resolved, and that no
 * other is under way.
 * @throws as the tree
 */
export async function forgetUnneeded(
  tree: Pick<TreeOperations, 'range' | 'snapshots' | 'at'>,
  names: Set<string>,
  contents: Pick<ContentShipper, 'watch' | 'watched'>,
): Promise<ContentUse> {
  const candidates = new Set(names);
  // Rows that are put from now on may be behind the place that is looked at.
  contents.watch();
  const live = new Map<string, number>();
  await eachRow(tree, (parts) => {
    for (const { name, bytes } of parts) {
      candidates.delete(name);
      live.set(name, (live.get(name) ?? 0) + bytes);
    }
  });
  const pinned = new Set<string>();
  // A snapshot that was taken meanwhile may have rows that were gone when their place was looked at: so snapshots come last.
  const seen = new Set<number>();
  for (;;) {
    const next = tree.snapshots().find(({ id }) => !seen.has(id));
    if (next === undefined) break;
    seen.add(next.id);
    try {
      const reads = tree.at(next.name);
      try {
        await eachRow(reads, (parts) => {
          for (const { name } of parts) {
            candidates.delete(name);
            pinned.add(name);
          }
        });
      } finally {
        reads.close();
      }
    } catch (error) {
      // It needs nothing any more.
      if (!hasCode(error, 'ERR_SNAPSHOT_DELETED') && !hasCode(error, 'ERR_NOT_FOUND')) throw error;
    }
  }
  for (const name of contents.watched()) candidates.delete(name);
  for (const name of candidates) names.delete(name);
  return { forgotten: candidates.size, live, pinned };
}
