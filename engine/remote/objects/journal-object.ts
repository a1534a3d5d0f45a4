/** Objects of the journal: what was acknowledged together, or the fence that ends an epoch. Their bytes are told in FORMAT.md. */
import { crc32 } from 'node:zlib';
import { SpinneyError } from '../../errors.js';
import { hasCode } from '../../store/object/errors.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import { journalName, type Position } from './names.js';

const MAGIC = 0x4a525053;
const VERSION = 1;
const RECORDS = 1;
const FENCE = 2;

/** Also the size of a fence; nothing else is that small. */
export const HEADER_BYTES = 64;

const AT_VERSION = 4;
const AT_KIND = 8;
const AT_LENGTH = 12;
const AT_EPOCH = 16;
const AT_SEQUENCE = 24;
const AT_WRITER = 32;
const AT_BODY_CRC = 48;
const AT_HEADER_CRC = 60;

export interface JournalObject {
  isFence: boolean;
  /** 32 hex digits: which writer made it, for people. */
  writer: string;
  /** Empty in a fence, and only there. */
  body: Uint8Array;
}

export function encodeRecords(position: Position, writer: string, body: Uint8Array): Uint8Array {
  if (body.length === 0) throw new TypeError('an object of records without any would be taken for a fence');
  return encode(position, RECORDS, writer, body);
}

export function encodeFence(position: Position, writer: string): Uint8Array {
  return encode(position, FENCE, writer, new Uint8Array());
}

/** What is at this place; undefined where nothing is. @throws ERR_REMOTE_CORRUPT, ERR_FORMAT_VERSION, and as `get` */
export async function readJournal(
  store: ObjectStore,
  position: Position,
): Promise<JournalObject | undefined> {
  const name = journalName(position);
  let bytes: Uint8Array;
  try {
    ({ bytes } = (await store.get(name))!);
  } catch (error) {
    if (hasCode(error, 'ERR_NOT_FOUND')) return undefined;
    throw error;
  }
  return decode(name, position, bytes);
}

function encode({ epoch, sequence }: Position, kind: number, writer: string, body: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES + body.length);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, AT_VERSION);
  bytes.writeUInt32LE(kind, AT_KIND);
  bytes.writeUInt32LE(body.length, AT_LENGTH);
  bytes.writeBigUInt64LE(BigInt(epoch), AT_EPOCH);
  bytes.writeBigUInt64LE(BigInt(sequence), AT_SEQUENCE);
  bytes.write(writer, AT_WRITER, 16, 'hex');
  bytes.writeUInt32LE(crc32(body), AT_BODY_CRC);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, AT_HEADER_CRC)), AT_HEADER_CRC);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

function decode(name: string, position: Position, given: Uint8Array): JournalObject {
  const damaged = (why: string) => new SpinneyError('ERR_REMOTE_CORRUPT', `Cannot read ${name}: ${why}`);
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.length);
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC)
    throw damaged('it is no part of a journal');
  if (bytes.readUInt32LE(AT_HEADER_CRC) !== crc32(bytes.subarray(0, AT_HEADER_CRC))) {
    throw damaged('its header is damaged');
  }
  const version = bytes.readUInt32LE(AT_VERSION);
  if (version !== VERSION) {
    throw new SpinneyError(
      'ERR_FORMAT_VERSION',
      `Cannot read ${name}: it is of version ${version}, this release knows ${VERSION}`,
    );
  }
  const isAtItsPlace =
    bytes.readBigUInt64LE(AT_EPOCH) === BigInt(position.epoch) &&
    bytes.readBigUInt64LE(AT_SEQUENCE) === BigInt(position.sequence);
  if (!isAtItsPlace) throw damaged('it is of another place');
  const kind = bytes.readUInt32LE(AT_KIND);
  const body = bytes.subarray(HEADER_BYTES);
  const isWhole =
    body.length === bytes.readUInt32LE(AT_LENGTH) && crc32(body) === bytes.readUInt32LE(AT_BODY_CRC);
  if (!isWhole || kind !== (body.length === 0 ? FENCE : RECORDS)) throw damaged('its records are damaged');
  return { isFence: kind === FENCE, writer: bytes.toString('hex', AT_WRITER, AT_WRITER + 16), body };
}
