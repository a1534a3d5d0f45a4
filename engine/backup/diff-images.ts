/** What differs between the trees of two stores, one of which has been made of images of the other. */
import type { TreeChange } from '../api.js';
import type { Frame } from '../art/frame.js';
import { ROOT_BLOB } from '../art/layout.js';
import { UnreadableBlobError } from '../errors.js';
import type { BlobId, BlobRow } from '../store/blob-store.js';
import { Images as FoundImages } from '../tree/read/diff/images.js';
import { type Budget, Merge } from '../tree/read/diff/merge.js';
import type { Side } from '../tree/read/diff/sides.js';
import { Trail } from '../tree/read/diff/trail.js';

/** The images of a tree at one moment. Of one id and generation they are the same in all stores that are compared. */
export interface Images {
  listBlobs(): BlobId[];
  hasBlob(id: BlobId): boolean;
  blobRow(id: BlobId): BlobRow | undefined;
  /** @throws ERR_BLOB_MISSING, ERR_BLOB_CORRUPT, ERR_IO */
  readBlob(id: BlobId, into: Uint8Array): void;
}

const BATCH: Budget = {
  changes: 256,
  bytes: 1024 * 1024,
  steps: Number.POSITIVE_INFINITY,
  loads: Number.POSITIVE_INFINITY,
};

class ImagesSide implements Side {
  readonly isEmpty: boolean;
  readonly #images: Images | undefined;

  constructor(images: Images | undefined) {
    this.#images = images;
    this.isEmpty = images?.hasBlob(ROOT_BLOB) !== true;
  }

  imageOf(id: BlobId): BlobRow | undefined {
    return this.#images?.blobRow(id);
  }

  load(id: BlobId, into: Frame): void {
    try {
      this.#images?.readBlob(id, into.u8);
    } catch (error) {
      throw UnreadableBlobError.of(id, error);
    }
  }

  check(): void {}

  end(): void {}
}

/** Changed keys of the prefix, in order; blobs that both have, and that lead to no others, are not read. Undefined: an empty tree. */
export function* diffImages(
  before: Images | undefined,
  after: Images,
  prefix: Uint8Array,
): Generator<TreeChange, void, undefined> {
  const found = new FoundImages();
  const from = { key: prefix, inclusive: true };
  const trails = [before, after].map((images) => new Trail(new ImagesSide(images), found, prefix, from));
  try {
    const merge = new Merge(trails[0]!, trails[1]!, found);
    for (let isDone = false; !isDone; ) {
      const changes: TreeChange[] = [];
      isDone = merge.run(BATCH, changes);
      yield* changes;
    }
  } finally {
    for (const trail of trails) trail.end();
  }
}
