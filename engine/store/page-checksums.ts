/**
 * CRCs of an image's pages, by which a page can be checked without the rest. They need no CRC of their own: that of the whole
 * image follows from them (`imageChecksum`), and the manifest has it; so they may lie anywhere.
 */
import { crc32 } from 'node:zlib';
import { H_CRC } from '../art/layout.js';
import { BLOB_SIZE, PAGE_BYTES } from '../limits.js';

/** Pages of an image. */
export const PAGES = BLOB_SIZE / PAGE_BYTES;
const CRC_BYTES = 4;
const ZEROS = new Uint8Array(PAGE_BYTES);
const ZERO_CRC = ZEROS.subarray(0, CRC_BYTES);

/**
 * To append a page moves the CRC of what was before: as a vector of bits it is multiplied by a matrix. Here are the products of
 * all bytes in each of the four places.
 */
const [FIRST, SECOND, THIRD, FOURTH] = [0, 8, 16, 24].map((shift) => {
  const products = new Uint32Array(256);
  for (let bit = 0; bit < 8; bit++) {
    const column = crc32(ZEROS, (1 << (bit + shift)) >>> 0) ^ crc32(ZEROS);
    for (let byte = 0; byte < 256; byte++) if ((byte & (1 << bit)) !== 0) products[byte]! ^= column;
  }
  return products;
}) as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];

/** Views of the bytes of an image's pages. */
export function pagesOf(image: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: PAGES }, (_, page) =>
    image.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES),
  );
}

/** CRC of page number `number`. In the first one those four bytes count as zero that have the image's own CRC. */
export function pageChecksum(page: Uint8Array, number: number): number {
  if (number !== 0) return crc32(page);
  const head = crc32(ZERO_CRC, crc32(page.subarray(0, H_CRC)));
  return crc32(page.subarray(H_CRC + CRC_BYTES), head);
}

/** The CRC in the header of an image whose pages have these. */
export function imageChecksum(checksums: Uint32Array): number {
  let crc = checksums[0]!;
  for (let page = 1; page < PAGES; page++) {
    const moved =
      FIRST[crc & 255]! ^ SECOND[(crc >>> 8) & 255]! ^ THIRD[(crc >>> 16) & 255]! ^ FOURTH[crc >>> 24]!;
    crc = (moved ^ checksums[page]!) >>> 0;
  }
  return crc;
}

/** Those computed last: who writes an image has just sealed it. */
const latest = new Uint32Array(PAGES);
let latestImage: Uint8Array = new Uint8Array(0);
let latestPages: readonly Uint8Array[] = [];

/** The CRCs of the image's pages; valid until the next call. */
export function computeChecksums(image: Uint8Array): Uint32Array {
  if (image !== latestImage) {
    latestImage = image;
    latestPages = pagesOf(image);
  }
  for (let page = 0; page < PAGES; page++) latest[page] = pageChecksum(latestPages[page]!, page);
  return latest;
}

/** As `computeChecksums`, of an image with this CRC in its header. */
export function checksumsOf(image: Uint8Array, crc: number): Uint32Array {
  return imageChecksum(latest) === crc ? latest : computeChecksums(image);
}
