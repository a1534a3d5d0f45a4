/**
 * Gives sums to the blobs of a tree that had no measure so far. Reading such a blob sums it up (`TreeState.resident`); what is done
 * here is that all are read once and written back. It may end at any point: what is missing is known by the store's rows.
 */
import { hasSums } from '../../art/measure.js';
import { SpinneyError, UnreadableBlobError } from '../../errors.js';
import type { TreeState } from '../state/state.js';
import type { Writer } from '../write/writer.js';

/** `progress` is told how many of how many blobs are done. */
export function completeSums(
  state: TreeState,
  writer: Writer,
  progress: (done: number, total: number) => void,
): void {
  const { store } = state;
  if (state.measure === undefined || state.options.readOnly || store.blobRow === undefined) return;
  const missing = store.listBlobs().filter((id) => store.blobRow?.(id)?.sums === undefined);
  for (const [done, blobId] of missing.entries()) {
    progress(done, missing.length);
    try {
      writer.locked(() => completeBlob(state, writer, blobId));
    } catch (error) {
      if (error instanceof UnreadableBlobError) continue;
      // Sums are then made whenever a blob is read.
      if (error instanceof SpinneyError && error.code === 'ERR_NO_SPACE') return;
      throw error;
    }
  }
  if (missing.length > 0) progress(missing.length, missing.length);
}

function completeBlob(state: TreeState, writer: Writer, blobId: number): void {
  if (!state.isInTree(blobId)) return;
  const index = state.resident(blobId);
  // A full one may have no room for them: it is looked at when its sums are needed.
  if (hasSums(state.cache.frame(index))) writer.mutation.prepare(index);
}
