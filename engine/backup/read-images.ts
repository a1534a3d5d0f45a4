/** The tree that images of one moment are, to be read. */
import { SpinneyError } from '../errors.js';
import { MIN_CACHE_BYTES } from '../limits.js';
import type { BlobId, BlobRow, BlobStore, CheckpointMark } from '../store/blob-store.js';
import { Tree } from '../tree/tree.js';
import type { Images } from './diff-images.js';

class ImagesStore implements BlobStore {
  readonly #images: Images;
  readonly #mark: CheckpointMark;

  constructor(images: Images, mark: CheckpointMark) {
    this.#images = images;
    this.#mark = mark;
  }

  readBlob(id: BlobId, into: Uint8Array): void {
    this.#images.readBlob(id, into);
  }

  blobRow(id: BlobId): BlobRow | undefined {
    return this.#images.blobRow(id);
  }

  listBlobs(): BlobId[] {
    return this.#images.listBlobs();
  }

  hasBlob(id: BlobId): boolean {
    return this.#images.hasBlob(id);
  }

  readMark(): CheckpointMark {
    return { ...this.#mark, pendingDeletes: [] };
  }

  needsFlush(): boolean {
    return false;
  }

  writeBlob(): void {
    this.#refuse();
  }

  deleteBlob(): void {
    this.#refuse();
  }

  flush(): void {
    this.#refuse();
  }

  #refuse(): never {
    throw new SpinneyError('ERR_READ_ONLY', 'Cannot write to the images of a moment: they are as they were');
  }
}

/** A tree that is only read, and belongs to this thread; `mark`: what the images are published with. @throws as `Tree.open` */
export function readImages(images: Images, mark: CheckpointMark): Tree {
  return Tree.open({ store: new ImagesStore(images, mark), readOnly: true, cacheBytes: MIN_CACHE_BYTES });
}
