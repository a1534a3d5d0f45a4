/**
 * A checkpoint of a remote with its snapshots, fetched into a file: a store to look into, and to replay the journal on. What
 * could not be fetched is told by whoever reads it. Nothing of it lasts.
 */
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE, FETCHES_AT_ONCE } from '../../limits.js';
import type { WorkProgress } from '../../progress.js';
import type { BlobId, BlobRow, BlobStore, CheckpointMark, KeptImage, Pins } from '../../store/blob-store.js';
import { noSuchPin } from '../../store/checks.js';
import { imageRow } from '../../store/image.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import { type Catalog, imagesOf, type ShippedImage } from '../checkpoints/catalog.js';
import { fetchImage } from '../checkpoints/fetch-images.js';
import { eachAtOnce } from '../each-at-once.js';
import type { ScratchFile } from './scratch-file.js';

/** An image in the file, or why it could not be fetched. */
type Fetched = { slot: number; row: BlobRow } | { fault: SpinneyError; row: BlobRow };

const PLACE = 'the remote';

export class FetchedCheckpoint implements BlobStore {
  readonly #file: ScratchFile;
  /** Slots in the file from here on were never used. */
  #used: number;
  readonly #free: number[] = [];
  readonly #tree = new Map<BlobId, Fetched>();
  readonly #pinned = new Map<number, Map<BlobId, Fetched>>();
  readonly #kept: KeptImage[] = [];
  readonly #ownImages = new Map<number, number>();
  /** What the checkpoint and its snapshots have; other images go when the tree has others. */
  readonly #fixed: ReadonlySet<Fetched>;
  readonly pins: Pins;
  #mark: CheckpointMark;

  /** Keeps the file; `between` is called between any two requests. @throws as the object store, but for objects that are missing; ERR_NO_SPACE, ERR_IO */
  static async fetch(
    store: ObjectStore,
    catalog: Catalog,
    file: ScratchFile,
    progress: WorkProgress,
    between: () => Promise<void>,
  ): Promise<FetchedCheckpoint> {
    const images = imagesOf(catalog);
    progress.begin('fetching blobs', images.length);
    const fetched = new Map<ShippedImage, Fetched>();
    await eachAtOnce(images.entries(), FETCHES_AT_ONCE, async ([slot, image]) => {
      await between();
      fetched.set(image, await fetchOne(store, image, file, slot));
      progress.step();
    });
    return new FetchedCheckpoint(catalog, fetched, file);
  }

  private constructor(catalog: Catalog, fetched: ReadonlyMap<ShippedImage, Fetched>, file: ScratchFile) {
    this.#file = file;
    this.#used = fetched.size;
    this.#mark = catalog.mark;
    this.#fixed = new Set(fetched.values());
    for (const image of catalog.tree) this.#tree.set(image.id, fetched.get(image)!);
    const keepers = new Map<Fetched, KeptImage[]>();
    for (const { pin, images } of catalog.pins) {
      const pinned = new Map<BlobId, Fetched>();
      this.#pinned.set(pin.id, pinned);
      this.#ownImages.set(pin.id, 0);
      for (const image of images) {
        const found = fetched.get(image)!;
        pinned.set(image.id, found);
        if (this.#tree.get(image.id) === found) continue;
        keepers.set(found, [...(keepers.get(found) ?? []), { pin: pin.id, id: image.id }]);
      }
    }
    for (const [first, other] of keepers.values()) {
      this.#kept.push(first!);
      if (other === undefined) this.#ownImages.set(first!.pin, this.#ownImages.get(first!.pin)! + 1);
    }
    const list = catalog.pins.map(({ pin }) => pin);
    this.pins = {
      list: () => list,
      lastId: () => catalog.lastPin,
      readBlob: (pin, id, into) => {
        const images = this.#pinned.get(pin);
        if (images === undefined) throw noSuchPin(pin, PLACE);
        this.#read(id, images.get(id), into);
      },
      blobRow: (pin, id) => this.#pinned.get(pin)?.get(id)?.row,
      listBlobs: (pin) => [...(this.#pinned.get(pin)?.keys() ?? [])].sort((a, b) => a - b),
      countKept: () => ({ images: this.#kept.length, own: this.#ownImages }),
      listKept: () => this.#kept,
    };
  }

  readBlob(id: BlobId, into: Uint8Array): void {
    this.#read(id, this.#tree.get(id), into);
  }

  writeBlob(id: BlobId, image: Uint8Array): void {
    this.deleteBlob(id);
    const slot = this.#free.pop() ?? this.#used++;
    this.#file.write(image, slot * BLOB_SIZE);
    this.#tree.set(id, { slot, row: { ...imageRow(image), id } });
  }

  deleteBlob(id: BlobId): void {
    const found = this.#tree.get(id);
    this.#tree.delete(id);
    if (found !== undefined && 'slot' in found && !this.#fixed.has(found)) this.#free.push(found.slot);
  }

  listBlobs(): BlobId[] {
    return [...this.#tree.keys()];
  }

  hasBlob(id: BlobId): boolean {
    return this.#tree.has(id);
  }

  blobRow(id: BlobId): BlobRow | undefined {
    return this.#tree.get(id)?.row;
  }

  /** Nothing of it is durable. */
  flush(mark?: CheckpointMark): void {
    if (mark !== undefined) this.#mark = mark;
  }

  needsFlush(): boolean {
    return false;
  }

  readMark(): CheckpointMark {
    return { ...this.#mark, pendingDeletes: [...this.#mark.pendingDeletes] };
  }

  close(): void {
    this.#file.close();
  }

  #read(id: BlobId, found: Fetched | undefined, into: Uint8Array): void {
    if (found === undefined) {
      throw new SpinneyError('ERR_BLOB_MISSING', `Cannot read blob ${id}: it is not in ${PLACE}`);
    }
    if ('fault' in found) throw found.fault;
    this.#file.read(into, found.slot * BLOB_SIZE);
  }
}

async function fetchOne(
  store: ObjectStore,
  image: ShippedImage,
  file: ScratchFile,
  slot: number,
): Promise<Fetched> {
  try {
    const bytes = await fetchImage(store, image);
    file.write(bytes, slot * BLOB_SIZE);
    return { slot, row: imageRow(bytes) };
  } catch (error) {
    const isDamage =
      error instanceof SpinneyError &&
      (error.code === 'ERR_BLOB_MISSING' || error.code === 'ERR_BLOB_CORRUPT');
    if (!isDamage) throw error;
    return { fault: error, row: image };
  }
}
