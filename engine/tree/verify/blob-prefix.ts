/** What the keys of a blob begin with, found from the blobs above it. */
import type { Frame } from '../../art/frame.js';
import { isRootBlob, KIND_CROSSING, KIND_LEAF, N_PREFIX_LENGTH, prefixOffset } from '../../art/layout.js';
import { findChild, nextChildByte } from '../../art/node.js';
import { crossingBlobId } from '../../art/rewrite.js';
import type { BlobId } from '../../store/blob-store.js';

/**
 * The bytes that lead to a blob; undefined where a blob above it does not tell.
 * @param parents the blob that leads to each
 * @param read gives a verified blob's frame, which holds until the next call
 */
export function prefixOf(
  blobId: BlobId,
  parents: ReadonlyMap<BlobId, BlobId>,
  read: (id: BlobId) => Frame | undefined,
): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  let id = blobId;
  for (let steps = 0; !isRootBlob(id); steps++) {
    const parent = parents.get(id);
    const frame = parent === undefined || steps > parents.size ? undefined : read(parent);
    const part = frame === undefined ? undefined : wayTo(frame, id);
    if (part === undefined) return undefined;
    parts.unshift(part);
    id = parent!;
  }
  return Buffer.concat(parts);
}

/** The bytes from the blob's root to the node that leads to another blob. REQUIRES a frame whose structure is sound. */
function wayTo(frame: Frame, blobId: BlobId): Uint8Array | undefined {
  const { u8, u16 } = frame;
  const stack: { node: number; way: Uint8Array }[] = [{ node: frame.root << 3, way: new Uint8Array(0) }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node } = next;
    const from = node + prefixOffset(u8[node]! & 15);
    const way = Buffer.concat([next.way, u8.subarray(from, from + u8[node + N_PREFIX_LENGTH]!)]);
    for (let byte = nextChildByte(frame, node, 0); byte >= 0; byte = nextChildByte(frame, node, byte + 1)) {
      const child = u16[findChild(frame, node, byte) >> 1]! << 3;
      const kind = u8[child]! & 15;
      if (kind === KIND_CROSSING) {
        if (crossingBlobId(frame, child) === blobId) return way;
      } else if (kind !== KIND_LEAF) stack.push({ node: child, way: Buffer.concat([way, Buffer.of(byte)]) });
    }
  }
  return undefined;
}
