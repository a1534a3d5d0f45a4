/**
 * Verifies blobs of a tree that is open, as they are in its store, without holding anybody up: each is read by the row that it has
 * at that moment, and its slot is not written to meanwhile. What is in memory is not looked at.
 */
import { Frame } from '../../art/frame.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import type { BlobId, BlobStore, KeptImage } from '../../store/blob-store.js';
import { printable } from '../state/arguments.js';
import { prefixOf } from './blob-prefix.js';
import { type BlobFacts, verifyBlob } from './verify-blob.js';

/** A blob as it is, or an image that is kept for snapshots. */
export type ScrubTarget = BlobId | KeptImage;

export interface DamagedBlob {
  id: BlobId;
  message: string;
  /** The snapshot that keeps the image; undefined for a blob as it is. */
  snapshot?: string;
}

/** All that there is to verify. */
export function scrubTargets(store: BlobStore): ScrubTarget[] {
  return [...store.listBlobs(), ...(store.pins?.listKept() ?? [])];
}

export interface ScrubbedBlobs {
  /** Blobs that were read; those that left the store meanwhile are not among them. */
  blobs: number;
  damaged: DamagedBlob[];
  /** Blobs that the others lead to, each with the one that does. */
  parents: [child: BlobId, parent: BlobId][];
}

/** @throws ERR_CLOSED */
export function scrubBlobs(store: BlobStore, targets: readonly ScrubTarget[]): ScrubbedBlobs {
  const image = new Uint8Array(BLOB_SIZE);
  const found: ScrubbedBlobs = { blobs: 0, damaged: [], parents: [] };
  for (const target of targets) {
    const id = typeof target === 'number' ? target : target.id;
    let facts = factsOf(store, target, image);
    // A second look: what was wrong on the way from the disk is not damage, nor is a blob that was just replaced.
    if (typeof facts === 'string') facts = factsOf(store, target, image);
    if (facts === undefined) continue;
    found.blobs++;
    if (typeof facts === 'string') found.damaged.push({ id, message: facts, ...snapshotOf(store, target) });
    else if (typeof target === 'number')
      for (const { blobId } of facts.references) found.parents.push([blobId, id]);
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

function snapshotOf(store: BlobStore, target: ScrubTarget): { snapshot?: string } {
  if (typeof target === 'number') return {};
  const pin = store.pins?.list().find(({ id }) => id === target.pin);
  return pin === undefined ? {} : { snapshot: pin.name };
}

/** A text where the image is damaged; undefined where the store does not have it. */
function factsOf(
  store: BlobStore,
  target: ScrubTarget,
  image: Uint8Array<ArrayBuffer>,
): BlobFacts | string | undefined {
  const id = typeof target === 'number' ? target : target.id;
  try {
    if (typeof target === 'number') store.readBlob(id, image);
    else store.pins?.readBlob(target.pin, id, image);
  } catch (error) {
    if (!(error instanceof SpinneyError) || error.code === 'ERR_CLOSED') throw error;
    // Of a snapshot that was deleted meanwhile.
    return error.code === 'ERR_BLOB_MISSING' || error.code === 'ERR_NOT_FOUND' ? undefined : error.message;
  }
  const facts = verifyBlob(new Frame(image.buffer, 0), id);
  return typeof facts === 'string' ? `Blob ${id}: ${facts}` : facts;
}
