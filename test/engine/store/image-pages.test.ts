/** Single pages of images: what is read is what was written, or it is said that it cannot be read so. */
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BLOB_SIZE, PAGE_BYTES } from '../../../engine/limits.js';
import type { ImagePages } from '../../../engine/store/blob-store.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { IMAGE_OFFSET, imageCrc, sealImage } from '../../../engine/store/image.js';
import { computeChecksums, imageChecksum, PAGES } from '../../../engine/store/page-checksums.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';

const KEPT_BYTES = 64 * PAGE_BYTES;
const PAGES_FILE = '/store/blobs.pages';
const DATA_FILE = '/store/blobs.dat';

function noise(seed: number, id: number, generation: number): Uint8Array {
  const random = seededRandom(seed);
  const image = new Uint8Array(BLOB_SIZE);
  const words = new Uint32Array(image.buffer);
  for (let i = 0; i < words.length; i++) words[i] = random() * 2 ** 32;
  // No sums.
  image.fill(0, 50, 52);
  sealImage(image, id, generation);
  return image;
}

const open = (disk: MemoryDisk, readOnly = false) =>
  FileBlobStore.open({ dir: '/store', disk, create: !readOnly, readOnly });

function pagesIn(store: FileBlobStore): ImagePages {
  const pages = store.imagePages(KEPT_BYTES);
  if (pages === undefined) throw new Error('the store gives no pages');
  return pages;
}

/** Pages of the blob, each asked for alone, that are there and as in `image`; throws where one is there and is another. */
function readable(store: FileBlobStore, id: number, image: Uint8Array): number[] {
  const pages = pagesIn(store);
  if (!pages.hold(id)) return [];
  const found: number[] = [];
  try {
    for (let page = 0; page < PAGES; page++) {
      const at = page * PAGE_BYTES;
      if (!pages.need(at, PAGE_BYTES)) continue;
      const same = Buffer.compare(
        pages.image.subarray(at, at + PAGE_BYTES),
        image.subarray(at, at + PAGE_BYTES),
      );
      if (same !== 0) throw new Error(`page ${page} of blob ${id} is another`);
      pages.keep(at, PAGE_BYTES);
      found.push(page);
    }
  } finally {
    pages.letGo();
  }
  return found;
}

const all = Array.from({ length: PAGES }, (_, page) => page);

function filled(): { disk: MemoryDisk; image: Uint8Array } {
  const disk = new MemoryDisk();
  const store = open(disk);
  const image = noise(1, 7, 3);
  store.writeBlob(7, image);
  store.flush();
  store.close();
  return { disk, image };
}

function flip(disk: MemoryDisk, path: string, offset: number): void {
  const bytes = disk.readFile(path);
  bytes[offset]! ^= 4;
  disk.writeFile(path, bytes);
}

it('the CRC of an image follows from those of its pages', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const image = noise(seed, seed, seed);
    const zeroed = image.slice();
    zeroed.fill(0, IMAGE_OFFSET.crc, IMAGE_OFFSET.crc + 4);
    expect(imageCrc(image)).toBe(crc32(zeroed));
    const checksums = computeChecksums(image).slice();
    expect(imageChecksum(checksums)).toBe(crc32(zeroed));
    for (const page of [0, 1, 77, PAGES - 1]) {
      const other = checksums.slice();
      other[page]! ^= 1 << (seed + page / 8);
      expect(imageChecksum(other)).not.toBe(imageCrc(image));
    }
  }
});

describe('pages of a store', () => {
  it('are those that were written, after reopening and read-only too', () => {
    const { disk, image } = filled();
    for (const readOnly of [false, true]) {
      const store = open(disk, readOnly);
      expect(readable(store, 7, image)).toEqual(all);
      expect(readable(store, 8, image)).toEqual([]);
      const pages = pagesIn(store);
      pages.hold(7);
      expect(pages.need(PAGE_BYTES - 4, 8)).toBe(true);
      expect(pages.image.slice(PAGE_BYTES - 4, PAGE_BYTES + 4)).toEqual(
        image.slice(PAGE_BYTES - 4, PAGE_BYTES + 4),
      );
      expect(pages.need(BLOB_SIZE - 4, 8)).toBe(false);
      pages.letGo();
      store.close();
    }
  });

  it('are the newest of the blob, and those of the held image as long as it is held', () => {
    const { disk, image } = filled();
    const store = open(disk);
    expect(readable(store, 7, image)).toEqual(all);
    const pages = pagesIn(store);
    for (let generation = 4; generation < 12; generation++) {
      const next = noise(generation, 7, generation);
      store.writeBlob(7, next);
      store.flush();
      expect(readable(store, 7, next)).toEqual(all);
    }
    expect(pages.hold(7)).toBe(true);
    const held = noise(11, 7, 11);
    for (let generation = 12; generation < 20; generation++) {
      store.writeBlob(7, noise(generation, 7, generation));
      store.flush();
    }
    expect(pages.need(0, BLOB_SIZE)).toBe(true);
    expect(Buffer.compare(pages.image, held)).toBe(0);
    pages.letGo();
    expect(readable(store, 7, noise(19, 7, 19))).toEqual(all);
    store.close();
  });

  it('are told apart by their images also where generation, slot and blob are the same', () => {
    const disk = new MemoryDisk();
    const store = open(disk);
    for (let seed = 1; seed < 5; seed++) {
      const image = noise(seed, 7, 1);
      store.writeBlob(7, image);
      expect(readable(store, 7, image)).toEqual(all);
      store.deleteBlob(7);
    }
    store.close();
  });

  it('a damaged page is not given, all others are', () => {
    const { disk, image } = filled();
    flip(disk, DATA_FILE, 5 * PAGE_BYTES + 100);
    flip(disk, DATA_FILE, 20);
    const store = open(disk);
    expect(readable(store, 7, image)).toEqual(all.filter((page) => page !== 0 && page !== 5));
    store.close();
  });

  it.each([
    ['is missing', (disk: MemoryDisk) => disk.unlink(PAGES_FILE)],
    ['is damaged', (disk: MemoryDisk) => flip(disk, PAGES_FILE, 17)],
    ['is cut', (disk: MemoryDisk) => disk.writeFile(PAGES_FILE, disk.readFile(PAGES_FILE).slice(0, 100))],
    [
      'is of another image',
      (disk: MemoryDisk) => disk.writeFile(PAGES_FILE, new Uint8Array(PAGES * 4).fill(9)),
    ],
  ])('are not given where the file of checksums %s, until the image was read as a whole', (_, harm) => {
    const { disk, image } = filled();
    harm(disk);
    const reader = open(disk, true);
    const into = new Uint8Array(BLOB_SIZE);
    const none = reader.imagePages(KEPT_BYTES);
    if (none !== undefined) expect(readable(reader, 7, image)).toEqual([]);
    reader.readBlob(7, into);
    reader.close();
    const store = open(disk);
    expect(readable(store, 7, image)).toEqual([]);
    store.readBlob(7, into);
    expect(Buffer.compare(into, image)).toBe(0);
    expect(readable(store, 7, image)).toEqual(all);
    store.close();
  });

  it('a failing file of checksums harms nothing', () => {
    const faults = new FaultDisk(new MemoryDisk());
    faults.onCall = ({ name, path }) =>
      path === PAGES_FILE && (name === 'write' || name === 'read') ? { error: 'EIO' } : undefined;
    const store = FileBlobStore.open({ dir: '/store', disk: faults, create: true });
    const image = noise(1, 7, 3);
    store.writeBlob(7, image);
    store.flush();
    expect(readable(store, 7, image)).toEqual([]);
    const into = new Uint8Array(BLOB_SIZE);
    store.readBlob(7, into);
    expect(Buffer.compare(into, image)).toBe(0);
    store.close();
  });

  it('a disk that cannot make the file, or cannot read pages, has images read as a whole', () => {
    const faults = new FaultDisk(new MemoryDisk());
    faults.onCall = ({ name, path }) =>
      path === PAGES_FILE && name === 'open' ? { error: 'ENOSPC' } : undefined;
    const store = FileBlobStore.open({ dir: '/store', disk: faults, create: true });
    store.writeBlob(7, noise(1, 7, 3));
    store.flush();
    expect(store.imagePages(KEPT_BYTES)).toBeUndefined();
    store.close();
    faults.onCall = undefined;
    const again = FileBlobStore.open({ dir: '/store', disk: faults });
    again.readBlob(7, new Uint8Array(BLOB_SIZE));
    faults.onCall = ({ name, path }) =>
      path === DATA_FILE && name === 'read' ? { error: 'EIO' } : undefined;
    expect(readable(again, 7, noise(1, 7, 3))).toEqual([]);
    faults.onCall = undefined;
    again.close();
  });
});
