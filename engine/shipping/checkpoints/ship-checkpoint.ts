/**
 * Brings a checkpoint into a remote: a backup that never ends. Only images that it does not have yet go there, in packs; then the manifest, and HEAD.
 *
 * A run that was cut short leaves the checkpoint before, and packs that nobody refers to: who kept what `onPack` told gives it to the next run,
 * and nothing goes there twice; else they are collected.
 */
import { BLOB_SIZE, PACK_IMAGES, PACKS_AT_ONCE } from '../../limits.js';
import type { Position } from '../../remote/objects/names.js';
import type { RemoteWriter } from '../../remote/remote-writer.js';
import type { BlobId, BlobRow, BlobStore, CheckpointMark, Pins } from '../../store/blob-store.js';
import { imageCrc } from '../../store/image.js';
import { type Catalog, imagesOf, manifestOf, type ShippedImage } from './catalog.js';

/** What is shipped. REQUIRES that it stays as it is meanwhile. */
export type ShippedStore = Pick<BlobStore, 'listBlobs' | 'readBlob' | 'blobRow'> & {
  readonly pins?: Pick<Pins, 'list' | 'lastId' | 'listBlobs' | 'readBlob' | 'blobRow'>;
};

export interface ShippingOptions {
  source: ShippedStore;
  mark: CheckpointMark;
  /** The first of the remote's journal that the source does not have yet. */
  journal: Position;
  /** The checkpoint that the remote has, if it has one. */
  before: Catalog | undefined;
  /** Images in packs that are there, and that no checkpoint refers to yet. Default: none. */
  packed?: readonly ShippedImage[];
  /** Called when a pack is there, with what is in it. */
  onPack?: (images: readonly ShippedImage[]) => void;
  /** Names of all objects with contents that the source needs, or more; asked once all packs are there. */
  contents?: () => Iterable<string>;
}

/** An image of the source, and how it is read. */
interface Wanted {
  row: BlobRow;
  read: (into: Uint8Array) => void;
}

interface Pack {
  name: string;
  images: Wanted[];
}

/**
 * Resolves when it is HEAD's, with what it is made of.
 * @throws ERR_REMOTE_TAKEN, ERR_CLOSED, and what reading the source throws: then the remote has the checkpoint before
 */
export async function shipCheckpoint(writer: RemoteWriter, options: ShippingOptions): Promise<Catalog> {
  const { source, mark, journal, before, packed = [], onPack = () => {}, contents = () => [] } = options;
  const numbered = writer.mark();
  const wanted = wantedOf(source);
  const shipped = keptOf(wanted, before);
  for (const image of packed) {
    const key = keyOf(image);
    if (wanted.has(key) && !shipped.has(key)) shipped.set(key, image);
  }
  const missing = [...wanted.values()].filter(({ row }) => !shipped.has(keyOf(row)));
  await putPacks(writer, missing, (images) => {
    for (const image of images) shipped.set(keyOf(image), image);
    onPack(images);
  });
  const listed = (ids: readonly BlobId[], rowOf: (id: BlobId) => BlobRow | undefined) =>
    ids.map((id) => shipped.get(keyOf(rowOf(id)!))!);
  const catalog: Catalog = {
    mark,
    tree: listed(source.listBlobs(), (id) => source.blobRow!(id)),
    pins: (source.pins?.list() ?? []).map((pin) => ({
      pin,
      images: listed(source.pins!.listBlobs(pin.id), (id) => source.pins!.blobRow(pin.id, id)),
    })),
    lastPin: source.pins?.lastId() ?? 0,
  };
  await writer.publish(manifestOf(catalog, contents()), journal, numbered);
  return catalog;
}

/** All images of the source, each once. */
function wantedOf(source: ShippedStore): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  for (const id of source.listBlobs()) {
    const row = source.blobRow!(id)!;
    wanted.set(keyOf(row), { row, read: (into) => source.readBlob(id, into) });
  }
  for (const { id: pin } of source.pins?.list() ?? []) {
    for (const id of source.pins!.listBlobs(pin)) {
      const row = source.pins!.blobRow(pin, id)!;
      wanted.set(keyOf(row), { row, read: (into) => source.pins!.readBlob(pin, id, into) });
    }
  }
  return wanted;
}

/** Images that stay where they are: not those of packs of which less than half is needed any more. These are shipped anew. */
function keptOf(wanted: ReadonlyMap<string, Wanted>, before: Catalog | undefined): Map<string, ShippedImage> {
  const byPack = new Map<string, ShippedImage[]>();
  for (const image of before === undefined ? [] : imagesOf(before)) {
    if (!wanted.has(keyOf(image))) continue;
    const others = byPack.get(image.pack);
    if (others === undefined) byPack.set(image.pack, [image]);
    else others.push(image);
  }
  const kept = [...byPack.values()].filter((images) => 2 * images.length >= images[0]!.packed);
  return new Map(kept.flat().map((image) => [keyOf(image), image]));
}

async function putPacks(
  writer: RemoteWriter,
  missing: readonly Wanted[],
  onPack: (images: readonly ShippedImage[]) => void,
): Promise<void> {
  const packs: Pack[] = [];
  for (let start = 0; start < missing.length; start += PACK_IMAGES) {
    packs.push({ name: writer.newName('blobs'), images: missing.slice(start, start + PACK_IMAGES) });
  }
  // Each takes the next one when it is done: what is in flight, and in memory, is bounded.
  const next = packs.values();
  const putAll = async () => {
    for (const pack of next) onPack(await putPack(writer, pack));
  };
  await Promise.all(Array.from({ length: PACKS_AT_ONCE }, putAll));
}

async function putPack(writer: RemoteWriter, pack: Pack): Promise<ShippedImage[]> {
  const bytes = new Uint8Array(pack.images.length * BLOB_SIZE);
  const packed = pack.images.length;
  const images = pack.images.map(({ row, read }, slot): ShippedImage => {
    const image = bytes.subarray(slot * BLOB_SIZE, (slot + 1) * BLOB_SIZE);
    read(image);
    return { ...row, crc: imageCrc(image), pack: pack.name, slot, packed };
  });
  await writer.put(pack.name, bytes);
  return images;
}

function keyOf({ id, generation }: { id: BlobId; generation: number }): string {
  return `${id}.${generation}`;
}
