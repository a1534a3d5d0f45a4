import { SpinneyError } from '../errors.js';
import { BLOB_SIZE } from '../limits.js';
import type {
  BlobId,
  BlobRow,
  BlobStore,
  CheckpointMark,
  KeptImage,
  Pin,
  PinChanges,
  Pins,
} from './blob-store.js';
import { assertBlobId, assertImageSize, assertPinChanges, copyMark, noSuchPin } from './checks.js';
import { imageRow } from './image.js';

interface Pinned {
  pin: Pin;
  images: ReadonlyMap<BlobId, Uint8Array>;
}

/**
 * Keeps blob images in memory, for trees in memory and for tests. Images are copied in and out; only their counts are
 * looked into. Nothing survives the process, so a flush only counts as publishing.
 */
export class MemoryBlobStore implements BlobStore {
  readonly #images = new Map<BlobId, Uint8Array>();
  readonly #pinned = new Map<number, Pinned>();
  #lastPin = 0;
  #mark: CheckpointMark | undefined;
  #staged = false;

  readonly pins: Pins = {
    list: () => Array.from(this.#pinned.values(), ({ pin }) => ({ ...pin })),
    lastId: () => this.#lastPin,
    readBlob: (pin, id, into) => {
      assertImageSize(into);
      const pinned = this.#pinned.get(pin);
      if (pinned === undefined) throw noSuchPin(pin, 'the store');
      const image = pinned.images.get(id);
      if (image === undefined)
        throw new SpinneyError('ERR_BLOB_MISSING', `Cannot read blob ${id}: pin ${pin} does not keep it`);
      into.set(image);
    },
    blobRow: (pin, id) => rowOf(id, this.#pinned.get(pin)?.images.get(id)),
    listBlobs: (pin) => [...(this.#pinned.get(pin)?.images.keys() ?? [])].sort((a, b) => a - b),
    countKept: () => this.#countKept(),
    listKept: () => Array.from(this.#keepers().values(), ([keeper]) => keeper as KeptImage),
  };

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
    let copy = this.#images.get(id);
    if (copy === undefined || this.#isPinned(id, copy)) copy = new Uint8Array(BLOB_SIZE);
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

  blobRow(id: BlobId): BlobRow | undefined {
    return rowOf(id, this.#images.get(id));
  }

  flush(mark?: CheckpointMark, changes: PinChanges = {}): void {
    assertPinChanges(changes, this.pins);
    if (mark !== undefined) this.#mark = copyMark(mark);
    for (const id of changes.remove ?? []) this.#pinned.delete(id);
    const { add } = changes;
    if (add !== undefined) {
      this.#pinned.set(add.id, { pin: { ...add }, images: new Map(this.#images) });
      this.#lastPin = add.id;
    }
    this.#staged = false;
  }

  readMark(): CheckpointMark | undefined {
    return this.#mark === undefined ? undefined : copyMark(this.#mark);
  }

  needsFlush(): boolean {
    return this.#staged;
  }

  #isPinned(id: BlobId, image: Uint8Array): boolean {
    for (const { images } of this.#pinned.values()) if (images.get(id) === image) return true;
    return false;
  }

  /** Images that their blobs have left, with the pins that keep them. */
  #keepers(): Map<Uint8Array, KeptImage[]> {
    const keepers = new Map<Uint8Array, KeptImage[]>();
    for (const [pin, { images }] of this.#pinned) {
      for (const [id, image] of images) {
        if (this.#images.get(id) !== image) keepers.set(image, [...(keepers.get(image) ?? []), { pin, id }]);
      }
    }
    return keepers;
  }

  #countKept(): ReturnType<Pins['countKept']> {
    const keepers = this.#keepers();
    const own = new Map<number, number>();
    for (const pin of this.#pinned.keys()) own.set(pin, 0);
    for (const [only, other] of keepers.values()) {
      if (only !== undefined && other === undefined) own.set(only.pin, (own.get(only.pin) ?? 0) + 1);
    }
    return { images: keepers.size, own };
  }
}

function rowOf(id: BlobId, image: Uint8Array | undefined): BlobRow | undefined {
  return image === undefined ? undefined : { ...imageRow(image), id };
}
