/** The rows that whoever ships contents puts into the tree, as the layer asks them. */
import { type BigIntStats, lstatSync } from 'node:fs';
import type { TreeOperations, TreeReads } from '../../../../engine/api.js';
import { CONTENT_PART_BYTES } from '../../../../engine/limits.js';
import {
  type FileState,
  isSame,
  putShippedContent,
  removeShippedContent,
  shippedContent,
  shippedState,
  stateOf,
} from '../../../../engine/shipped-contents.js';
import type { RemoteRows } from '../remote-content.js';

/** What the remote has of a content. */
export function shippedFinder(tree: Pick<TreeReads, 'get'>): RemoteRows['find'] {
  return (ino, born) => {
    const state = shippedState(tree, ino, born);
    if (state === undefined) return undefined;
    const { size, mtime } = state;
    return { size, mtimeSeconds: mtime.seconds, mtimeNanos: mtime.nanos, partBytes: CONTENT_PART_BYTES };
  };
}

export function shippedRows(tree: TreeOperations): RemoteRows {
  return {
    find: shippedFinder(tree),
    isShipped(ino, born, path) {
      const state = shippedState(tree, ino, born);
      const stats = state && statOf(path);
      return state !== undefined && stats !== undefined && isSame(state, stateOf(stats));
    },
    noteFetched(ino, born, path) {
      for (;;) {
        const before = shippedContent(tree, ino, born);
        const stats = before && statOf(path);
        if (before === undefined || stats === undefined) return;
        // Its times are this file's from here on: so it is known not to be another's, and can be given up again.
        const fetched = { ...before, ...timesOf(stats) };
        if (tree.atomic((batch) => putShippedContent(batch, ino, born, fetched, before))) return;
      }
    },
    remove: (batch, ino, born) => removeShippedContent(batch, ino, born),
  };
}

function timesOf(stats: BigIntStats): Pick<FileState, 'mtime' | 'ctime'> {
  const { mtime, ctime } = stateOf(stats);
  return { mtime, ctime };
}

function statOf(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}
