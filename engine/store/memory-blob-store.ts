import { SpinneyError } from '../errors.js';
import { BLOB_SIZE } from '../limits.js';
import type { BlobId, BlobStore, CheckpointMark } from './blob-store.js';
import { assertBlobId, assertImageSize, copyMark } from './checks.js';

/**
 * Keeps blob images in memory, for trees in memory and for tests. Images are copied in and out and are not
 * looked into. Nothing survives the process, so a flush only counts as publishing.
 */
export class MemoryBlobStore implements BlobStore {
  readonly #images = new Map<BlobId, Uint8Array>();
  #mark: CheckpointMark | undefined;
  #staged = false;

  readBlob(id: BlobId, into: Uint8Array): void {
    assertImageSize(into);
    const image = this.#images.get(id);
    if (image === undefined)
      throw new SpinneyError('ERR_BLOB_MISSING', `Cannot read blob ${id}: it is not in the store`);
    into.set(image);
  }

  writeBlob(id: BlobId, image: Uint8Array): void {
    assertBlobId(id);
    assertImageSize(image);
    const copy = this.#images.get(id) ?? new Uint8Array(BLOB_SIZE);
    copy.set(image);
    this.#images.set(id, copy);
    this.#staged = true;
  }

  deleteBlob(id: BlobId): void {
    if (this.#images.delete(id)) this.#staged = true;
  }

  listBlobs(): BlobId[] {
    return [...this.#images.keys()];
  }

  hasBlob(id: BlobId): boolean {
    return this.#images.has(id);
  }

  flush(mark?: CheckpointMark): void {
    if (mark !== undefined) this.#mark = copyMark(mark);
    this.#staged = false;
  }

  readMark(): CheckpointMark | undefined {
    return this.#mark === undefined ? undefined : copyMark(this.#mark);
  }

  needsFlush(): boolean {
    return this.#staged;
  }
}
