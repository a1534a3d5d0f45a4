import { join } from 'node:path';
import { Tree } from '../../engine/index.js';
import type { WorkProgress } from '../../engine/progress.js';
import { leftCopies } from '../filesystem/contents/left-copies.js';
import { SnapshotIds } from '../filesystem/records/snapshot-ids.js';
import { ContentsMove } from '../repair/index.js';
import { CONTENT_DIRECTORY } from '../stores/new-store.js';
import { dumpTree } from './dump.js';

export interface DumpStoreOptions {
  store: string;
  /** Of the program, for the first line. */
  version: string;
  progress: WorkProgress;
  write: (text: string) => void;
  cacheBytes?: number;
}

/**
 * Writes the metadata of a store that is not mounted, under its shared lock; see format.ts. Returns how many names it has.
 * @throws ERR_NO_STORE, ERR_STORE_LOCKED, ERR_FORMAT_VERSION where it cannot be opened; ERR_BLOB_CORRUPT and the like where a
 *   record cannot be read: what was written until then has no last line
 */
export function dumpStore({ store, cacheBytes, ...options }: DumpStoreOptions): number {
  const tree = Tree.open({ dir: store, readOnly: true, ...(cacheBytes !== undefined && { cacheBytes }) });
  try {
    const contents = new ContentsMove(join(store, CONTENT_DIRECTORY), '', {
      wasCut: tree.previousEnd === 'power-cut',
      lastSnapshot: new SnapshotIds(tree).last,
      copies: (files) => leftCopies(tree, files, tree.previousEnd === 'power-cut'),
      isDry: true,
      copied: () => {},
      report: () => {},
    });
    return dumpTree({ ...options, tree, contents });
  } finally {
    tree.close();
  }
}
