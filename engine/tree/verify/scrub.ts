/**
 * Verifies blobs of a tree that is open, as they are in its store, without holding anybody up: each is read by the row that it has
 * at that moment, and its slot is not written to meanwhile. What is in memory is not looked at.
 */
import { Frame } from '../../art/frame.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import type { BlobId, BlobStore } from '../../store/blob-store.js';
import { printable } from '../state/arguments.js';
import { prefixOf } from './blob-prefix.js';
import { type BlobFacts, verifyBlob } from './verify-blob.js';

export interface DamagedBlob {
  id: BlobId;
  message: string;
}

export interface ScrubbedBlobs {
  /** Blobs that were read; those that left the store meanwhile are not among them. */
  blobs: number;
  damaged: DamagedBlob[];
  /** Blobs that the others lead to, each with the one that does. */
  parents: [child: BlobId, parent: BlobId][];
}

/** @throws ERR_CLOSED */
export function scrubBlobs(store: BlobStore, ids: readonly BlobId[]): ScrubbedBlobs {
  const image = new Uint8Array(BLOB_SIZE);
  const found: ScrubbedBlobs = { blobs: 0, damaged: [], parents: [] };
  for (const id of ids) {
    let facts = factsOf(store, id, image);
    // A second look: what was wrong on the way from the disk is not damage, nor is a blob that was just replaced.
    if (typeof facts === 'string') facts = factsOf(store, id, image);
    if (facts === undefined) continue;
    found.blobs++;
    if (typeof facts === 'string') found.damaged.push({ id, message: facts });
    else for (const { blobId } of facts.references) found.parents.push([blobId, id]);
  }
  return found;
}

/** What the keys of blobs begin with, as text, where blobs above them tell. */
export function prefixesOf(
  store: BlobStore,
  ids: readonly BlobId[],
  parents: ReadonlyMap<BlobId, BlobId>,
): (string | undefined)[] {
  const image = new Uint8Array(BLOB_SIZE);
  const frame = new Frame(image.buffer, 0);
  return ids.map((id) => {
    const prefix = prefixOf(id, parents, (parent) =>
      typeof factsOf(store, parent, image) === 'object' ? frame : undefined,
    );
    return prefix === undefined ? undefined : printable(prefix);
  });
}

/** A text where the blob is damaged; undefined where the store does not have it. */
function factsOf(
  store: BlobStore,
  id: BlobId,
  image: Uint8Array<ArrayBuffer>,
): BlobFacts | string | undefined {
  try {
    store.readBlob(id, image);
  } catch (error) {
    if (!(error instanceof SpinneyError) || error.code === 'ERR_CLOSED') throw error;
    return error.code === 'ERR_BLOB_MISSING' ? undefined : error.message;
  }
  const facts = verifyBlob(new Frame(image.buffer, 0), id);
  return typeof facts === 'string' ? `Blob ${id}: ${facts}` : facts;
}
