/** What takes so long that a thread of its own does it: one entry for each kind of work. What is given and returned is posted. */
import {
  type BlobId,
  type Durability,
  prefixesOf,
  type ScrubbedBlobs,
  type ScrubTarget,
  scrubBlobs,
  scrubTargets,
  type Tree,
} from '../../../engine/index.js';
import { measureKeptContents } from '../../../mount/stores/kept-contents.js';
import { type ContentTotals, contentTotals } from '../../../mount/sums/content-totals.js';
import { quotaUses } from '../../../mount/sums/quota-uses.js';
import { beginDiff, endDiff, goOnWithDiff } from './diff-work.js';

export const ADMIN_WORK = {
  checkpoint: (tree: Tree): void => tree.checkpoint(),
  compact: (tree: Tree): void => tree.compact(),
  setDurability: (tree: Tree, level: Durability): void => tree.setDurability(level),
  listBlobs: (tree: Tree): ScrubTarget[] => scrubTargets(tree.store),
  scrubIndex: (tree: Tree): string | undefined => tree.store.verifyIndex?.(),
  scrub: (tree: Tree, targets: readonly ScrubTarget[]): ScrubbedBlobs => scrubBlobs(tree.store, targets),
  prefixesOf: (
    tree: Tree,
    ids: readonly BlobId[],
    parents: ReadonlyMap<BlobId, BlobId>,
  ): (string | undefined)[] => prefixesOf(tree.store, ids, parents),
  measureKeptContents,
  contentTotals: (tree: Tree): ContentTotals => contentTotals(tree),
  quotaUses,
  beginDiff,
  goOnWithDiff,
  endDiff,
} as const;

export type AdminWork = keyof typeof ADMIN_WORK;
/** What a kind of work is given beside the tree, and what it returns. */
export type AdminArguments<W extends AdminWork> =
  Parameters<(typeof ADMIN_WORK)[W]> extends [Tree, ...infer Rest] ? Rest : never;
export type AdminResult<W extends AdminWork> = ReturnType<(typeof ADMIN_WORK)[W]>;
