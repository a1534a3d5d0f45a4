/**
 * Which objects with contents nothing needs any more: no row of the tree, and none of a snapshot. Manifests that are made afterwards do
 * not name them, and so they are collected.
 */
import type { TreeOperations } from '../../api.js';
import { hasCode } from '../../store/object/errors.js';
import type { ContentShipper } from './content-shipper.js';
import { eachRow } from './each-row.js';

/**
 * Takes them out of `names`; how many they were. REQUIRES that the next checkpoint is captured after it has resolved, and that no
 * other is under way.
 * @throws as the tree
 */
export async function forgetUnneeded(
  tree: Pick<TreeOperations, 'range' | 'snapshots' | 'at'>,
  names: Set<string>,
  contents: Pick<ContentShipper, 'watch' | 'watched'>,
): Promise<number> {
  const candidates = new Set(names);
  // Rows that are put from now on may be behind the place that is looked at.
  contents.watch();
  const keep = (reads: Pick<TreeOperations, 'range'>) =>
    eachRow(reads, (needed) => {
      for (const name of needed) candidates.delete(name);
    });
  await keep(tree);
  // A snapshot that was taken meanwhile may have rows that were gone when their place was looked at: so snapshots come last.
  const seen = new Set<number>();
  for (;;) {
    const next = tree.snapshots().find(({ id }) => !seen.has(id));
    if (next === undefined) break;
    seen.add(next.id);
    try {
      const reads = tree.at(next.name);
      try {
        await keep(reads);
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
  return candidates.size;
}
