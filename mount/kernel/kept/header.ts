/** The header that each file of a session begins with; engine/FORMAT.md tells its bytes. */
import { crc32 } from 'node:zlib';

/** A page, so that what is mapped behind it is aligned. */
export const HEADER_BYTES = 4096;
export const SESSION_VERSION = 1;

/** "SPSS" */
const MAGIC = 0x53535053;
const OFFSET = {
  magic: 0, // u32
  version: 4, // u32
  kind: 8, // u32
  number: 16, // f64
  crc: 60, // u32
} as const;

/** `into` is the first page of a file. */
export function encodeHeader(into: Uint8Array, kind: number, number: number): void {
  const view = new DataView(into.buffer, into.byteOffset);
  view.setUint32(OFFSET.magic, MAGIC, true);
  view.setUint32(OFFSET.version, SESSION_VERSION, true);
  view.setUint32(OFFSET.kind, kind, true);
  view.setFloat64(OFFSET.number, number, true);
  view.setUint32(OFFSET.crc, crc32(into.subarray(0, OFFSET.crc)), true);
}

/** The number of the session that the header tells. */
export function sessionNumberIn(header: Uint8Array): number {
  return new DataView(header.buffer, header.byteOffset).getFloat64(OFFSET.number, true);
}

/** What is wrong with the header of a file that is to be this table of the session with this number (undefined: of any). */
export function headerProblem(
  header: Uint8Array,
  kind: number,
  number: number | undefined,
): string | undefined {
  const view = new DataView(header.buffer, header.byteOffset);
  if (view.getUint32(OFFSET.magic, true) !== MAGIC) return 'it is damaged (its magic)';
  const version = view.getUint32(OFFSET.version, true);
  if (version !== SESSION_VERSION) {
    return `it has format version ${version}, this program knows version ${SESSION_VERSION}`;
  }
  if (view.getUint32(OFFSET.crc, true) !== crc32(header.subarray(0, OFFSET.crc)))
    return 'it is damaged (its header)';
  if (view.getUint32(OFFSET.kind, true) !== kind) return 'it is another table';
  if (number !== undefined && view.getFloat64(OFFSET.number, true) !== number) {
    return 'it is of another session';
  }
  return undefined;
}
