/** From a remote back: one image, or a whole checkpoint. */
import { type ErrorCode, SpinneyError } from '../../errors.js';
import { FETCHES_AT_ONCE } from '../../limits.js';
import { type BlobStore, SHIPPING_PIN } from '../../store/blob-store.js';
import { compareImage, imageRow } from '../../store/image.js';
import { hasCode } from '../../store/object/errors.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import { type Catalog, rangeOf, type ShippedImage } from './catalog.js';

/** So many images of so many are here. */
export type FetchProgress = (done: number, total: number) => void;

/** @throws ERR_BLOB_MISSING, ERR_BLOB_CORRUPT, and as `get` */
export async function fetchImage(store: ObjectStore, image: ShippedImage): Promise<Uint8Array> {
  const [bytes] = await fetchRun(store, [image]);
  return bytes!;
}

/** Images of one pack, by one request, which brings what is between them, too. @throws as `fetchImage` for the first that is not there */
export async function fetchRun(store: ObjectStore, images: readonly ShippedImage[]): Promise<Uint8Array[]> {
  const { id, pack } = images[0]!;
  const start = rangeOf(images[0]!).offset;
  const last = rangeOf(images.at(-1)!);
  let bytes: Uint8Array;
  try {
    const range = { offset: start, length: last.offset + last.length - start };
    ({ bytes } = (await store.get(pack, { range }))!);
  } catch (cause) {
    const damaged = (code: ErrorCode, what: string, why: string) =>
      new SpinneyError(code, `Cannot fetch blob ${id}${what}: ${why}`, { cause });
    if (hasCode(cause, 'ERR_NOT_FOUND')) throw damaged('ERR_BLOB_MISSING', '', `there is no ${pack}`);
    if (!hasCode(cause, 'ERR_INVALID_ARGUMENT')) throw cause;
    throw damaged('ERR_BLOB_CORRUPT', ` from ${pack}`, 'that ends before it');
  }
  return images.map((image) => {
    const { offset, length } = rangeOf(image);
    return checked(image, bytes.subarray(offset - start, offset - start + length));
  });
}

function checked(image: ShippedImage, bytes: Uint8Array): Uint8Array {
  const { id, generation, crc, pack } = image;
  const { length } = rangeOf(image);
  const difference =
    bytes.length === length
      ? compareImage(bytes, { ...imageRow(bytes), id, generation, crc })
      : `it has ${bytes.length} bytes of ${length}`;
  if (difference === undefined) return bytes;
  throw new SpinneyError('ERR_BLOB_CORRUPT', `Cannot fetch blob ${id} from ${pack}: ${difference}`);
}

/**
 * Makes an empty store hold the checkpoint with its snapshots, under the ids that they have. `hold` makes the store's blobs these.
 * @throws as `hold` and the store; then the store is not to be used
 */
export async function restoreCheckpoint(
  catalog: Catalog,
  into: BlobStore,
  hold: (images: readonly ShippedImage[]) => Promise<void>,
): Promise<void> {
  const { mark, pins, tree, lastPin } = catalog;
  // Each snapshot is the whole of what the store holds when it is made. Images that it has already need not come again.
  for (const { pin, images } of pins) {
    await hold(images);
    into.flush(undefined, { add: pin });
  }
  await hold(tree);
  into.flush(mark);
  if (lastPin <= (pins.at(-1)?.pin.id ?? 0)) return;
  const { lsn, generation } = mark;
  into.flush(undefined, { add: { id: lastPin, name: SHIPPING_PIN, lsn, generation, createdAt: 0 } });
  into.flush(undefined, { remove: [lastPin] });
}

/** As `restoreCheckpoint`, with all images, of which `onProgress` is told how many have come. @throws as `fetchImage` and the store */
export function fetchCheckpoint(
  store: ObjectStore,
  catalog: Catalog,
  into: BlobStore,
  onProgress: FetchProgress = () => {},
): Promise<void> {
  return restoreCheckpoint(catalog, into, async (images) => {
    let done = 0;
    const missing = keepOnly(images, into);
    const fetchAll = async (next: IterableIterator<ShippedImage>) => {
      for (const image of next) {
        into.writeBlob(image.id, await fetchImage(store, image));
        onProgress(++done, missing.length);
      }
    };
    const next = missing.values();
    await Promise.all(Array.from({ length: FETCHES_AT_ONCE }, () => fetchAll(next)));
  });
}

/** Deletes blobs that are none of these; those that the store has not. */
export function keepOnly(images: readonly ShippedImage[], into: BlobStore): ShippedImage[] {
  const wanted = new Set(images.map(({ id }) => id));
  for (const id of into.listBlobs()) if (!wanted.has(id)) into.deleteBlob(id);
  return images.filter(({ id, generation }) => into.blobRow?.(id)?.generation !== generation);
}
