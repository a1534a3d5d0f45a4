/**
 * What of files' contents is in a remote: rows in the tree itself, so that each checkpoint, snapshot and follower has those that belong
 * to its records. Any thread reads them, without a network. Their bytes are told in FORMAT.md.
 *
 * What must hold: a row is put once all of its parts are in the remote, so that nobody ever sees one without them.
 */
import type { Batch, TreeReads } from '../../api.js';
import { SpinneyError } from '../../errors.js';
import { CONTENT_PART_BYTES, MAX_CONTENT_ROWS, PARTS_PER_ROW } from '../../limits.js';
import { objectName, parseObjectName } from '../../remote/objects/names.js';

/** First byte of the keys. */
export const SHIPPED_CONTENT = 0x72;
export const SHIPPED_CONTENTS_PREFIX: Uint8Array = Uint8Array.of(SHIPPED_CONTENT);
/** Up to which LSN's records contents are shipped, an f64; a shorter key than those of rows. */
export const SHIPPED_CONTENTS_LSN_KEY: Uint8Array = Buffer.from('rlsn');

const KEY_BYTES = 17;
const FORMAT = 1;
const HEADER_BYTES = 48;
const PART_BYTES = 40;
export const DIGEST_BYTES = 16;
/** No object has this name. */
export const IN_ROW = 'row';
/** Stands for it. */
const IN_ROW_EPOCH = 0xffff_ffff;

/** A time as a file has it. */
export interface FileTime {
  seconds: number;
  nanos: number;
}

/** What tells a file that was not written from one that was. */
export interface FileState {
  /** In bytes. */
  size: number;
  mtime: FileTime;
  /** Of this machine's file; another's has another. */
  ctime: FileTime;
}

/** A part of a content: CONTENT_PART_BYTES of it, or what is left at its end. */
export interface ContentPart {
  /** The object that it is in; IN_ROW: it is in none, but in the row; undefined: it is all zeros, and in none. */
  name: string | undefined;
  /** The bytes themselves, where they are in the row. */
  inRow?: Uint8Array;
  /** Where in that object. */
  offset: number;
  bytes: number;
  crc: number;
  /** DIGEST_BYTES of its SHA-256: parts with the same are the same. */
  digest: Uint8Array;
}

export interface ShippedContent extends FileState {
  /** Part i has the file's bytes from i * CONTENT_PART_BYTES on. */
  parts: readonly ContentPart[];
}

/** As the tree has it: what changes it is told by its version. */
export interface RecordedContent extends ShippedContent {
  version: number;
}

/** What the remote has of the content; undefined where it has nothing. @throws ERR_REMOTE_CORRUPT, and as `getRecord` */
export function shippedContent(
  tree: Pick<TreeReads, 'get' | 'getRecord'>,
  ino: number,
  born: number,
): RecordedContent | undefined {
  const first = tree.getRecord(rowKey(ino, born, 0));
  if (first === undefined) return undefined;
  const { value, version } = first;
  const state = decodeState(value, ino, born);
  const parts: ContentPart[] = [];
  const count = partsOf(state.size);
  decodeParts(value, parts);
  for (let row = 1; parts.length < count; row++) {
    const next = tree.get(rowKey(ino, born, row));
    if (next === undefined || decodeParts(next, parts) === 0) throw damaged(ino, born);
  }
  return { ...state, parts, version };
}

/** What the file was when it was shipped, without its parts. */
export function shippedState(tree: Pick<TreeReads, 'get'>, ino: number, born: number): FileState | undefined {
  const first = tree.get(rowKey(ino, born, 0));
  return first === undefined ? undefined : decodeState(first, ino, born);
}

/**
 * Records it in place of what `before` was; guard: the batch fails where the tree has another by now, or none any more. REQUIRES that all of its
 * parts are in the remote.
 */
export function putShippedContent(
  batch: Pick<Batch, 'put' | 'putIfAbsent' | 'compareAndPut' | 'delete'>,
  ino: number,
  born: number,
  content: ShippedContent,
  before: RecordedContent | undefined,
): void {
  const rows = rowsOf(content.size);
  for (let row = 0; row < rows; row++) {
    const key = rowKey(ino, born, row);
    const parts = content.parts.slice(row * PARTS_PER_ROW, (row + 1) * PARTS_PER_ROW);
    const value = encodeRow(content, parts);
    if (row > 0) batch.put(key, value);
    else if (before === undefined) batch.putIfAbsent(key, value);
    else batch.compareAndPut(key, before.version, value);
  }
  const rowsBefore = before === undefined ? 0 : rowsOf(before.size);
  for (let row = rows; row < rowsBefore; row++) batch.delete(rowKey(ino, born, row));
}

/** For a content that is gone for good. To be called AFTER its file was removed: who ships it looks for the file after it put the first row. */
export function removeShippedContent(
  tree: { deletePrefix: (prefix: Uint8Array) => void },
  ino: number,
  born: number,
): void {
  tree.deletePrefix(rowKey(ino, born, 0).subarray(0, KEY_BYTES - 4));
}

export function partsOf(size: number): number {
  return Math.ceil(size / CONTENT_PART_BYTES);
}

function rowsOf(size: number): number {
  return Math.max(1, Math.ceil(partsOf(size) / PARTS_PER_ROW));
}

/** Whether so large a content can be shipped. */
export function fitsRows(size: number): boolean {
  return rowsOf(size) <= MAX_CONTENT_ROWS;
}

/** The objects that a row's value names; none for other values below the prefix. */
export function namesInRow(key: Uint8Array, value: Uint8Array): string[] {
  return [...new Set(partsInObjects(key, value).map(({ name }) => name))];
}

/** The parts that a row's value has in objects; none for other values below the prefix. */
export function partsInObjects(key: Uint8Array, value: Uint8Array): (ContentPart & { name: string })[] {
  if (key[0] !== SHIPPED_CONTENT || key.length !== KEY_BYTES) return [];
  const parts: ContentPart[] = [];
  decodeParts(value, parts);
  return parts.filter(
    (part): part is ContentPart & { name: string } => part.name !== undefined && part.name !== IN_ROW,
  );
}

/** Which content a row is of; undefined for other keys. */
export function contentOfRow(key: Uint8Array): { ino: number; born: number; row: number } | undefined {
  if (key[0] !== SHIPPED_CONTENT || key.length !== KEY_BYTES) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  return { ino: Number(view.getBigUint64(1)), born: view.getUint32(9), row: view.getUint32(13) };
}

function rowKey(ino: number, born: number, row: number): Uint8Array {
  const key = new Uint8Array(KEY_BYTES);
  const view = new DataView(key.buffer);
  key[0] = SHIPPED_CONTENT;
  view.setBigUint64(1, BigInt(ino));
  view.setUint32(9, born);
  view.setUint32(13, row);
  return key;
}

function encodeRow({ size, mtime, ctime }: FileState, parts: readonly ContentPart[]): Uint8Array {
  // It is the only part then.
  const inRow = parts[0]?.inRow ?? new Uint8Array();
  const bytes = Buffer.alloc(HEADER_BYTES + parts.length * PART_BYTES + inRow.length);
  bytes[0] = FORMAT;
  bytes.writeDoubleLE(size, 8);
  bytes.writeDoubleLE(mtime.seconds, 16);
  bytes.writeUInt32LE(mtime.nanos, 24);
  bytes.writeUInt32LE(ctime.nanos, 28);
  bytes.writeDoubleLE(ctime.seconds, 32);
  let at = HEADER_BYTES;
  for (const { name, offset, bytes: length, crc, digest } of parts) {
    const { epoch, number } = placeOf(name);
    bytes.writeUInt32LE(epoch, at);
    bytes.writeUInt32LE(length, at + 4);
    bytes.writeDoubleLE(number, at + 8);
    bytes.writeUInt32LE(offset, at + 16);
    bytes.writeUInt32LE(crc, at + 20);
    bytes.set(digest, at + 24);
    at += PART_BYTES;
  }
  bytes.set(inRow, at);
  return bytes;
}

function placeOf(name: string | undefined): { epoch: number; number: number } {
  if (name === undefined) return { epoch: 0, number: 0 };
  return name === IN_ROW ? { epoch: IN_ROW_EPOCH, number: 0 } : parseObjectName(name)!;
}

function nameOf(epoch: number, number: number): string | undefined {
  if (epoch === 0) return undefined;
  return epoch === IN_ROW_EPOCH ? IN_ROW : objectName('content', epoch, number);
}

function decodeState(value: Uint8Array, ino: number, born: number): FileState {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  if (bytes.length < HEADER_BYTES || bytes[0] !== FORMAT) throw damaged(ino, born);
  return {
    size: bytes.readDoubleLE(8),
    mtime: { seconds: bytes.readDoubleLE(16), nanos: bytes.readUInt32LE(24) },
    ctime: { seconds: bytes.readDoubleLE(32), nanos: bytes.readUInt32LE(28) },
  };
}

/** Adds the parts of a row; how many they are. */
function decodeParts(value: Uint8Array, parts: ContentPart[]): number {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  const before = parts.length;
  for (let at = HEADER_BYTES; at + PART_BYTES <= bytes.length; at += PART_BYTES) {
    const name = nameOf(bytes.readUInt32LE(at), bytes.readDoubleLE(at + 8));
    const part: ContentPart = {
      name,
      offset: bytes.readUInt32LE(at + 16),
      bytes: bytes.readUInt32LE(at + 4),
      crc: bytes.readUInt32LE(at + 20),
      digest: new Uint8Array(bytes.subarray(at + 24, at + 24 + DIGEST_BYTES)),
    };
    parts.push(part);
    if (name !== IN_ROW) continue;
    part.inRow = new Uint8Array(bytes.subarray(at + PART_BYTES));
    break;
  }
  return parts.length - before;
}

function damaged(ino: number, born: number): SpinneyError {
  return new SpinneyError(
    'ERR_REMOTE_CORRUPT',
    `Cannot tell what the remote has of content ${ino.toString(16)}.${born.toString(16)}: its row is damaged`,
  );
}
