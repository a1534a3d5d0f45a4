/** Manifests: what a checkpoint is made of. Their bytes are told in FORMAT.md. */
import { crc32 } from 'node:zlib';
import { SpinneyError } from '../../errors.js';
import type { ObjectStore } from '../../store/object/object-store.js';

const MAGIC = 0x4d525053;
const VERSION = 1;
const HEADER_BYTES = 24;
const AT_VERSION = 4;
const AT_REFERENCES = 8;
const AT_REFERENCES_BYTES = 12;
const AT_CRC = 16;

export interface Manifest {
  /** Names of all objects that it needs: its blobs' and contents', and those of its snapshots. */
  references: readonly string[];
  /** What these hold; not looked at here. */
  payload: Uint8Array;
}

export function encodeManifest({ references, payload }: Manifest): Uint8Array {
  const names = Buffer.from(references.map((name) => `${name}\n`).join(''), 'latin1');
  const bytes = Buffer.alloc(HEADER_BYTES + names.length + payload.length);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, AT_VERSION);
  bytes.writeUInt32LE(references.length, AT_REFERENCES);
  bytes.writeUInt32LE(names.length, AT_REFERENCES_BYTES);
  bytes.set(names, HEADER_BYTES);
  bytes.set(payload, HEADER_BYTES + names.length);
  bytes.writeUInt32LE(crcOf(bytes), AT_CRC);
  return bytes;
}

/** @throws ERR_NOT_FOUND, and as `get` and `decodeManifest` */
export async function readManifest(store: ObjectStore, name: string): Promise<Manifest> {
  const { bytes } = (await store.get(name))!;
  return decodeManifest(name, bytes);
}

/** @throws ERR_REMOTE_CORRUPT, ERR_FORMAT_VERSION */
export function decodeManifest(name: string, given: Uint8Array): Manifest {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.length);
  const damaged = () =>
    new SpinneyError('ERR_REMOTE_CORRUPT', `Cannot read ${name}: it is damaged, or no manifest`);
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) throw damaged();
  if (bytes.readUInt32LE(AT_CRC) !== crcOf(bytes)) throw damaged();
  const version = bytes.readUInt32LE(AT_VERSION);
  if (version !== VERSION) {
    throw new SpinneyError(
      'ERR_FORMAT_VERSION',
      `Cannot read ${name}: it is of version ${version}, this release knows ${VERSION}`,
    );
  }
  const end = HEADER_BYTES + bytes.readUInt32LE(AT_REFERENCES_BYTES);
  if (end > bytes.length) throw damaged();
  const references = bytes.toString('latin1', HEADER_BYTES, end).split('\n').slice(0, -1);
  if (references.length !== bytes.readUInt32LE(AT_REFERENCES)) throw damaged();
  return { references, payload: bytes.subarray(end) };
}

/** Of all bytes but its own. */
function crcOf(bytes: Buffer): number {
  return crc32(bytes.subarray(AT_CRC + 4), crc32(bytes.subarray(0, AT_CRC)));
}
