/**
 * The part of a blob image's header that stores read: identity, checksum and counts. Little-endian; the whole
 * image layout is in engine/FORMAT.md.
 */
import { crc32 } from 'node:zlib';
import {
  H_BLOB_ID,
  H_COMPACTIONS,
  H_CRC,
  H_CROSSINGS,
  H_FORMAT_VERSION,
  H_GENERATION,
  H_HEIGHT,
  H_LEAVES,
  H_LIVE_BYTES,
  H_MAGIC,
  H_SUMS,
  IMAGE_FORMAT_VERSION,
  IMAGE_MAGIC,
  SUMS_HEADER_BYTES,
} from '../art/layout.js';
import { BLOB_SIZE, MAX_MEASURE_FIELDS } from '../limits.js';
import type { BlobId, BlobRow } from './blob-store.js';
import { computeChecksums, imageChecksum } from './page-checksums.js';

export { IMAGE_MAGIC };
export const IMAGE_VERSION = IMAGE_FORMAT_VERSION;

export const IMAGE_OFFSET = {
  magic: H_MAGIC, // u32
  version: H_FORMAT_VERSION, // u16
  id: H_BLOB_ID, // u32
  crc: H_CRC, // u32, of the whole image with these four bytes taken as zero
  generation: H_GENERATION, // f64
  liveBytes: H_LIVE_BYTES, // u32
  leaves: H_LEAVES, // u32
  crossings: H_CROSSINGS, // u32
  compactions: H_COMPACTIONS, // u32
  height: H_HEIGHT, // u16
} as const;

const ZERO_CRC = new Uint8Array(4);

function viewOf(image: Uint8Array): DataView {
  if (image.length !== BLOB_SIZE)
    throw new RangeError(`A blob image has ${BLOB_SIZE} bytes, not ${image.length}`);
  return new DataView(image.buffer, image.byteOffset, image.byteLength);
}

function checksum(image: Uint8Array): number {
  const { crc } = IMAGE_OFFSET;
  const head = crc32(ZERO_CRC, crc32(image.subarray(0, crc)));
  return crc32(image.subarray(crc + ZERO_CRC.length), head);
}

/** Stamps magic, format version, id, generation and, over all of it, the CRC32. */
export function sealImage(image: Uint8Array, id: BlobId, generation: number): void {
  const view = viewOf(image);
  view.setUint32(IMAGE_OFFSET.magic, IMAGE_MAGIC, true);
  view.setUint16(IMAGE_OFFSET.version, IMAGE_VERSION, true);
  view.setUint32(IMAGE_OFFSET.id, id, true);
  view.setFloat64(IMAGE_OFFSET.generation, generation, true);
  view.setUint32(IMAGE_OFFSET.crc, imageChecksum(computeChecksums(image)), true);
}

/** What shows that the image is not that of blob `id`, without a look at the CRC; undefined if nothing does. */
export function verifyIdentity(image: Uint8Array, id: BlobId): string | undefined {
  const view = viewOf(image);
  const magic = view.getUint32(IMAGE_OFFSET.magic, true);
  if (magic !== IMAGE_MAGIC) return `the magic is ${hex(magic)}, not ${hex(IMAGE_MAGIC)}`;
  const version = view.getUint16(IMAGE_OFFSET.version, true);
  if (version !== IMAGE_VERSION) return `the format version is ${version}, not ${IMAGE_VERSION}`;
  const found = view.getUint32(IMAGE_OFFSET.id, true);
  if (found !== id) return `it is the image of blob ${found}`;
  return undefined;
}

/** What shows that the image is not a whole image of blob `id`; undefined if nothing does. */
export function verifyImage(image: Uint8Array, id: BlobId): string | undefined {
  const difference = verifyIdentity(image, id);
  if (difference !== undefined) return difference;
  const stored = imageCrc(image);
  const computed = checksum(image);
  return stored === computed ? undefined : `the CRC is ${hex(computed)}, the header says ${hex(stored)}`;
}

/** What shows that the image is not the one that the row tells of; undefined if nothing does. */
export function compareImage(image: Uint8Array, row: BlobRow & { crc: number }): string | undefined {
  const difference = verifyImage(image, row.id);
  if (difference !== undefined) return difference;
  const { generation } = imageRow(image);
  if (generation !== row.generation) return `it is of generation ${generation}, not ${row.generation}`;
  return imageCrc(image) === row.crc ? undefined : `it is another image of generation ${generation}`;
}

/** The CRC that the header carries. */
export function imageCrc(image: Uint8Array): number {
  return viewOf(image).getUint32(IMAGE_OFFSET.crc, true);
}

export function imageRow(image: Uint8Array): BlobRow {
  const view = viewOf(image);
  const sums = imageSums(view);
  return {
    id: view.getUint32(IMAGE_OFFSET.id, true),
    generation: view.getFloat64(IMAGE_OFFSET.generation, true),
    liveBytes: view.getUint32(IMAGE_OFFSET.liveBytes, true),
    leaves: view.getUint32(IMAGE_OFFSET.leaves, true),
    crossings: view.getUint32(IMAGE_OFFSET.crossings, true),
    compactions: view.getUint32(IMAGE_OFFSET.compactions, true),
    height: view.getUint16(IMAGE_OFFSET.height, true),
    ...(sums !== undefined && { sums }),
  };
}

/** The sums of the image's records; undefined where it has none. */
function imageSums(view: DataView): number[] | undefined {
  const block = view.getUint16(H_SUMS, true) << 3;
  if (block === 0 || block + SUMS_HEADER_BYTES > BLOB_SIZE) return undefined;
  const fields = view.getUint32(block + 4, true);
  const at = block + SUMS_HEADER_BYTES;
  if (fields > MAX_MEASURE_FIELDS || at + fields * 8 > BLOB_SIZE) return undefined;
  return Array.from({ length: fields }, (_, i) => view.getFloat64(at + i * 8, true));
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
