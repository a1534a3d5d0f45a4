/**
 * A store that came from a remote: its records came first, and contents may have been behind them, as at `local` durability. What a record tells
 * that the remote never got is given up when the file is opened: a walk over all files would keep the first look waiting.
 */
import type { TreeOperations, TreeReads } from '../../../engine/api.js';
import { TAKEN_KEY } from '../records/keys.js';
import { markAllDurable } from './content-mark.js';

/** Up to which change the store came from a remote; 0: it was made here. */
export function takenLsn(tree: Pick<TreeReads, 'get'>): number {
  const value = tree.get(TAKEN_KEY);
  return value?.length === 8 ? Buffer.from(value).readDoubleLE() : 0;
}

/** The store, which nobody serves yet, was just made of what a remote has. `boot`: of this run of the machine. */
export function noteTaken(
  tree: Pick<TreeOperations, 'put' | 'delete' | 'lastLsn'>,
  boot: string,
  seconds: number,
): void {
  const value = Buffer.alloc(8);
  value.writeDoubleLE(tree.lastLsn());
  tree.put(TAKEN_KEY, value);
  // No content is on this disk that could have been lost with it.
  markAllDurable(tree, boot, seconds);
}
