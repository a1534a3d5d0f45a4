import type { Frame } from '../../../art/frame.js';
import { KIND_CROSSING, X_BLOB_ID } from '../../../art/layout.js';
import { firstBelow } from '../../../art/node.js';
import type { FrameCache } from '../../../cache/frame-cache.js';
import { readFence } from '../../../shared/fence.js';

/**
 * Whether there is a key below the node; false: not that can be told without going there. A blob with leaves has them
 * below the crossings that lead to it.
 */
export function isInhabited(cache: FrameCache, frame: Frame, node: number): boolean {
  const found = firstBelow(frame, node);
  if (found === 0 || (frame.u8[found]! & 15) !== KIND_CROSSING) return found !== 0;
  const blobId = frame.u32[(found + X_BLOB_ID) >> 2]!;
  const index = cache.find(blobId);
  if (index < 0) return false;
  const version = cache.version(index);
  if ((version & 1) !== 0 || !cache.holds(index, blobId)) return false;
  const { leaves } = cache.frame(index);
  readFence();
  return leaves > 0 && cache.version(index) === version;
}
