/**
 * A dump: all metadata of a store as JSON Lines, for other programs and for moving to another format of stores. docs/DUMP.md is
 * its description; this file is its words.
 *
 * The first line tells what it is, the last that it is whole, each between one name. A directory comes before what
 * is in it, and the first name of a file before its others.
 */
import { SpinneyError } from '../../engine/errors.js';

export const DUMP_FORMAT = 'spinney-dump';
export const DUMP_VERSION = 1;

/** Bytes: as text where they are UTF-8, else by base64. */
export type Text = string | { base64: string };
/** Seconds since 1970, rounded down, and nanoseconds of the second. */
export type Time = [seconds: number, nanoseconds: number];

export interface HeadLine {
  format: typeof DUMP_FORMAT;
  version: number;
  /** Of the program that wrote it. */
  spinney: string;
  /** ISO 8601. */
  createdAt: string;
}

export interface Attribute {
  name: Text;
  value: Text;
}

export const TYPE_NAMES = ['file', 'directory', 'symlink', 'fifo', 'socket', 'character', 'block'] as const;
export type TypeName = (typeof TYPE_NAMES)[number];

export interface EntryLine {
  /** From the root on: `/`, `/a/b`. */
  path: Text;
  type: TypeName;
  ino?: number;
  /** Permission bits, octal: `0644`. */
  mode: string;
  uid: number;
  gid: number;
  /** Of a file, in bytes. */
  size?: number;
  /** Of a symbolic link. */
  target?: Text;
  /** Of a device. */
  device?: [major: number, minor: number];
  atime: Time;
  mtime: Time;
  ctime: Time;
  btime: Time;
  xattrs?: Attribute[];
}

/** One more name of a file that an earlier line tells. */
export interface LinkLine {
  path: Text;
  type: 'link';
  /** The file's first name. */
  to: Text;
}

export interface EndLine {
  type: 'end';
  /** Lines between the first and this one. */
  entries: number;
}

export function textOf(bytes: Uint8Array): Text {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString();
  return Buffer.from(text).equals(buffer) ? text : { base64: buffer.toString('base64') };
}

/** @throws ERR_INVALID_ARGUMENT */
export function bytesOf(text: unknown, what: string): Buffer {
  if (typeof text === 'string') return Buffer.from(text);
  const base64 =
    typeof text === 'object' && text !== null ? (text as { base64?: unknown }).base64 : undefined;
  if (typeof base64 !== 'string') throw badLine(`${what} is neither text nor {"base64": ...}`);
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64) throw badLine(`${what} is not base64`);
  return bytes;
}

/** @throws ERR_INVALID_ARGUMENT */
export function wholeNumber(value: unknown, what: string, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw badLine(`${what} is ${JSON.stringify(value)}, but takes a whole number from 0 to ${max}`);
}

export function badLine(reason: string): SpinneyError {
  return new SpinneyError('ERR_INVALID_ARGUMENT', reason);
}
