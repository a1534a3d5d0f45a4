import { BLOB_SIZE, PAGE_BYTES } from '../../../engine/limits.js';
import type { BlobStore, CheckpointMark, Pin } from '../../../engine/store/blob-store.js';
import { IMAGE_OFFSET, sealImage } from '../../../engine/store/image.js';

const TAG_OFFSET = 4096;

/** A sealed image whose content is told by a number. */
export function makeImage(id: number, tag: number, generation = tag): Uint8Array {
  const image = new Uint8Array(BLOB_SIZE);
  const view = new DataView(image.buffer);
  view.setUint32(IMAGE_OFFSET.liveBytes, tag, true);
  view.setUint32(TAG_OFFSET, tag, true);
  view.setUint32(BLOB_SIZE - 4, tag, true);
  sealImage(image, id, generation);
  return image;
}

export function tagOf(image: Uint8Array): number {
  return new DataView(image.buffer, image.byteOffset).getUint32(TAG_OFFSET, true);
}

export function makeMark(generation: number, pendingDeletes: number[] = []): CheckpointMark {
  return { lsn: generation * 100, generation, nextBlobId: 1000 + generation, pendingDeletes };
}

export function makePin(id: number, generation: number, name = `pin ${id}`): Pin {
  return { id, name, lsn: generation * 100, generation, createdAt: 1_000_000 + id };
}

export interface Contents {
  blobs: Record<number, number>;
  mark: CheckpointMark | undefined;
  /** What each pin keeps; undefined where there is none. */
  pins?: Record<number, { pin: Pin; blobs: Record<number, number> }>;
}

/** Everything that a store holds, read through its checks: blobs by tag, the mark, and all pins likewise. */
export function contentsOf(store: BlobStore): Contents {
  const into = new Uint8Array(BLOB_SIZE);
  const blobs: Record<number, number> = {};
  for (const id of store.listBlobs()) {
    store.readBlob(id, into);
    blobs[id] = tagOf(into);
    comparePages(store, id, into);
  }
  const contents: Contents = { blobs, mark: store.readMark() };
  for (const pin of store.pins?.list() ?? []) {
    contents.pins ??= {};
    contents.pins[pin.id] = { pin: { ...pin }, blobs: pinnedIn(store, pin.id) };
  }
  return contents;
}

/** Throws where a page that the store gives of the blob is not the image's: those in which tags are. */
function comparePages(store: BlobStore, id: number, image: Uint8Array): void {
  const pages = store.imagePages?.(PAGE_BYTES);
  if (pages?.hold(id) !== true) return;
  try {
    for (const at of [0, TAG_OFFSET, BLOB_SIZE - PAGE_BYTES]) {
      if (!pages.need(at, PAGE_BYTES)) continue;
      pages.keep(at, PAGE_BYTES);
      const end = at + PAGE_BYTES;
      if (Buffer.compare(pages.image.subarray(at, end), image.subarray(at, end)) !== 0)
        throw new Error(`the page at ${at} of blob ${id} is another's`);
    }
  } finally {
    pages.letGo();
  }
}

/** Blobs by tag that the pin keeps. */
export function pinnedIn(store: BlobStore, pin: number): Record<number, number> {
  const into = new Uint8Array(BLOB_SIZE);
  const { pins } = store;
  const blobs: Record<number, number> = {};
  for (const id of pins?.listBlobs(pin) ?? []) {
    pins?.readBlob(pin, id, into);
    blobs[id] = tagOf(into);
    if (pins?.blobRow(pin, id)?.liveBytes !== blobs[id])
      throw new Error(`the row of blob ${id} is another's`);
  }
  return blobs;
}
