/** The rows of a tree that follows: what is here was fetched, and nobody changes it, so it may always be given up. */
import type { TreeReads } from '../../../../engine/api.js';
import { CONTENT_PART_BYTES } from '../../../../engine/limits.js';
import { shippedState } from '../../../../engine/shipped-contents.js';
import type { RemoteRows } from '../remote-content.js';

export function followedRows(tree: Pick<TreeReads, 'get'>): RemoteRows {
  return {
    find(ino, born) {
      const state = shippedState(tree, ino, born);
      if (state === undefined) return undefined;
      const { size, mtime } = state;
      return { size, mtimeSeconds: mtime.seconds, mtimeNanos: mtime.nanos, partBytes: CONTENT_PART_BYTES };
    },
    isShipped: () => true,
    noteFetched: () => {},
    remove: () => {},
  };
}
