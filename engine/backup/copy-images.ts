/** Makes a store hold exactly the images of another's moment. */
import { BLOB_SIZE } from '../limits.js';
import type { BlobStore, CheckpointMark } from '../store/blob-store.js';
import type { Images } from './diff-images.js';

/**
 * Writes what `to` has not in the same generation, deletes what `from` has not, and publishes all of it with the mark, at once:
 * until then `to` is as it was. Each image is verified on the way. `copied` is told of each image written.
 * @throws ERR_BLOB_CORRUPT, ERR_NO_SPACE, ERR_IO; then what was staged goes when `to` is closed
 */
export function copyImages(
  from: Images,
  to: BlobStore,
  mark: CheckpointMark,
  copied: () => void,
): { written: number; skipped: number } {
  const image = new Uint8Array(BLOB_SIZE);
  let written = 0;
  let skipped = 0;
  for (const id of to.listBlobs()) if (!from.hasBlob(id)) to.deleteBlob(id);
  for (const id of from.listBlobs()) {
    if (to.blobRow?.(id)?.generation === from.blobRow(id)?.generation) {
      skipped++;
      continue;
    }
    from.readBlob(id, image);
    to.writeBlob(id, image);
    written++;
    copied();
  }
  to.flush(mark);
  return { written, skipped };
}

/** Blobs that `copyImages` would write. */
export function countNewImages(from: Images, to: BlobStore): number {
  const isNew = (id: number) => to.blobRow?.(id)?.generation !== from.blobRow(id)?.generation;
  return from.listBlobs().filter(isNew).length;
}
