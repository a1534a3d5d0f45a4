/**
 * What a checkpoint in a remote is made of: the images of the tree and of its snapshots, and where each is. It is the payload of a
 * manifest; its bytes are told in FORMAT.md.
 */
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import type { Manifest } from '../../remote/objects/manifest.js';
import type { BlobRow, CheckpointMark, Pin } from '../../store/blob-store.js';

const MAGIC = 0x32525053;
const HEADER_BYTES = 16;
const AT_TEXT = 4;
const AT_IMAGES = 8;
const AT_MEMBERS = 12;
/** Of an image; the sums of the measure's fields follow. */
const ROW_BYTES = 48;

/** An image that is in a pack. An image of one id and generation is always the same. */
export interface ShippedImage extends BlobRow {
  crc: number;
  pack: string;
  /** Its place in the pack, in images, and how many the pack has, whether needed or not. */
  slot: number;
  packed: number;
}

export interface Catalog {
  mark: CheckpointMark;
  /** The images of the tree. */
  tree: readonly ShippedImage[];
  /** The snapshots, by ascending id, and the images of each. */
  pins: readonly { pin: Pin; images: readonly ShippedImage[] }[];
  /** The greatest id that a pin ever had: those that are made in a store of these are above it. */
  lastPin: number;
}

/** All images, each once. */
export function imagesOf({ tree, pins }: Catalog): ShippedImage[] {
  return [...new Set([...tree, ...pins.flatMap(({ images }) => images)])];
}

/**
 * `contents`: names of all objects with contents that it needs, or more. REQUIRES that an image that the tree and snapshots share is one
 * object.
 */
export function manifestOf(catalog: Catalog, contents: Iterable<string> = []): Manifest {
  const images = imagesOf(catalog);
  const packs = [...new Set(images.map(({ pack }) => pack))];
  const packIndex = new Map(packs.map((pack, index) => [pack, index]));
  const imageIndex = new Map(images.map((image, index) => [image, index]));
  const lists = [catalog.tree, ...catalog.pins.map((pinned) => pinned.images)];
  const members = lists.flat();
  const text = Buffer.from(
    JSON.stringify({
      mark: catalog.mark,
      pins: catalog.pins.map(({ pin }) => pin),
      lastPin: catalog.lastPin,
      members: lists.map((list) => list.length),
    }),
  );
  const fields = fieldsOf(catalog.mark);
  const rowBytes = ROW_BYTES + fields * 8;
  const bytes = Buffer.alloc(HEADER_BYTES + text.length + images.length * rowBytes + members.length * 4);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(text.length, AT_TEXT);
  bytes.writeUInt32LE(images.length, AT_IMAGES);
  bytes.writeUInt32LE(members.length, AT_MEMBERS);
  let at = HEADER_BYTES + text.copy(bytes, HEADER_BYTES);
  for (const image of images) {
    writeRow(bytes, at, image, packIndex.get(image.pack)!, fields);
    at += rowBytes;
  }
  for (const image of members) at = bytes.writeUInt32LE(imageIndex.get(image)!, at);
  return { references: [...packs, ...contents], payload: bytes };
}

function fieldsOf({ measure }: CheckpointMark): number {
  return measure?.fields ?? 0;
}

function writeRow(bytes: Buffer, at: number, image: ShippedImage, pack: number, fields: number): void {
  bytes.writeUInt32LE(image.id, at);
  bytes.writeUInt32LE(image.crc, at + 4);
  bytes.writeDoubleLE(image.generation, at + 8);
  bytes.writeUInt32LE(pack, at + 16);
  bytes.writeUInt16LE(image.slot, at + 20);
  bytes.writeUInt16LE(image.packed, at + 22);
  bytes.writeUInt32LE(image.liveBytes, at + 24);
  bytes.writeUInt32LE(image.leaves, at + 28);
  bytes.writeUInt32LE(image.crossings, at + 32);
  bytes.writeUInt32LE(image.compactions, at + 36);
  bytes.writeUInt16LE(image.height, at + 40);
  const isKnown = image.sums?.length === fields;
  for (let i = 0; i < fields; i++)
    bytes.writeDoubleLE(isKnown ? image.sums![i]! : Number.NaN, at + ROW_BYTES + i * 8);
}

function readRow(bytes: Buffer, at: number, packs: readonly string[], fields: number): ShippedImage {
  const sums = Array.from({ length: fields }, (_, i) => bytes.readDoubleLE(at + ROW_BYTES + i * 8));
  const isKnown = fields > 0 && !sums.some(Number.isNaN);
  return {
    id: bytes.readUInt32LE(at),
    crc: bytes.readUInt32LE(at + 4),
    generation: bytes.readDoubleLE(at + 8),
    pack: present(packs[bytes.readUInt32LE(at + 16)]),
    slot: bytes.readUInt16LE(at + 20),
    packed: bytes.readUInt16LE(at + 22),
    liveBytes: bytes.readUInt32LE(at + 24),
    leaves: bytes.readUInt32LE(at + 28),
    crossings: bytes.readUInt32LE(at + 32),
    compactions: bytes.readUInt32LE(at + 36),
    height: bytes.readUInt16LE(at + 40),
    ...(isKnown && { sums }),
  };
}

/** REQUIRES a manifest whose CRC was right. @throws ERR_REMOTE_CORRUPT where its payload is no catalog */
export function catalogOf(name: string, { references, payload }: Manifest): Catalog {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  try {
    return decode(bytes, references);
  } catch (cause) {
    throw new SpinneyError('ERR_REMOTE_CORRUPT', `Cannot read ${name}: it is not of a store's checkpoint`, {
      cause,
    });
  }
}

function decode(bytes: Buffer, packs: readonly string[]): Catalog {
  if (bytes.readUInt32LE(0) !== MAGIC) throw new Error('its magic is another');
  const textEnd = HEADER_BYTES + bytes.readUInt32LE(AT_TEXT);
  const { mark, pins, lastPin, members } = JSON.parse(bytes.toString('utf8', HEADER_BYTES, textEnd)) as {
    mark: CheckpointMark;
    pins: Pin[];
    lastPin: number;
    members: number[];
  };
  const fields = fieldsOf(mark);
  const rowBytes = ROW_BYTES + fields * 8;
  const membersAt = textEnd + bytes.readUInt32LE(AT_IMAGES) * rowBytes;
  if (membersAt + bytes.readUInt32LE(AT_MEMBERS) * 4 !== bytes.length)
    throw new Error('its length is another');
  const images: ShippedImage[] = [];
  for (let at = textEnd; at < membersAt; at += rowBytes) images.push(readRow(bytes, at, packs, fields));
  let next = membersAt;
  const takeList = (count: number | undefined): ShippedImage[] =>
    Array.from({ length: present(count) }, () => {
      const image = present(images[bytes.readUInt32LE(next)]);
      next += 4;
      return image;
    });
  const tree = takeList(members[0]);
  const pinned = pins.map((pin, index) => ({ pin, images: takeList(members[index + 1]) }));
  return { mark, tree, pins: pinned, lastPin };
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('it refers to something that it has not');
  return value;
}

/** Where an image is in its pack, in bytes. */
export function rangeOf({ slot }: ShippedImage): { offset: number; length: number } {
  return { offset: slot * BLOB_SIZE, length: BLOB_SIZE };
}
