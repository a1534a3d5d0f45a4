/**
 * Makes the namespace of an empty tree from the lines of a dump; see format.ts.
 *
 * Lines are taken one by one, each checked before anything is made of it: a file that somebody wrote by hand is told what
 * is wrong with it by line and path. Counts of links are made, not read.
 */

import { SpinneyError, type Tree } from '../../engine/index.js';
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../../engine/limits.js';
import type { WorkProgress } from '../../engine/progress.js';
import { ACCESS_LIST, DEFAULT_LIST, isValidAcl } from '../filesystem/records/acl.js';
import { END_OF_INOS, ROOT_INO } from '../filesystem/records/inode-numbers.js';
import { InodeSet } from '../filesystem/records/inode-set.js';
import {
  concat,
  entryKey,
  entryXattrPrefix,
  equalBytes,
  inodeKey,
  inodeXattrPrefix,
  isName,
  LABELS_KEY,
  NEXT_INODE_KEY,
  SLASH,
  showPath,
  showText,
} from '../filesystem/records/keys.js';
import { LABEL } from '../filesystem/records/labels.js';
import { completePositions } from '../filesystem/records/positions.js';
import * as record from '../filesystem/records/record.js';
import {
  badLine,
  bytesOf,
  DUMP_FORMAT,
  DUMP_VERSION,
  TYPE_NAMES,
  type TypeName,
  wholeNumber,
} from './format.js';

/** What a load does about the bytes of files, of which a dump tells nothing. */
export interface LoadedContents {
  /**
   * Sees to the content of a file of `size` bytes, more than 0, at the path. Returns units of 512 bytes that it takes;
   * throws ERR_INVALID_ARGUMENT where it cannot be had.
   */
  bring(ino: number, size: number, path: Uint8Array): number;
}

export interface LoadedNamespace {
  entries: number;
  directories: number;
  files: number;
  /** Of all files, each counted once. */
  bytes: number;
}

const TYPE_BITS: Readonly<Record<TypeName, number>> = {
  file: record.REGULAR,
  directory: record.DIRECTORY,
  symlink: record.SYMLINK,
  fifo: record.FIFO,
  socket: record.SOCKET,
  character: record.CHARACTER_DEVICE,
  block: record.BLOCK_DEVICE,
};
const TIMES = [
  ['atime', record.ATIME],
  ['mtime', record.MTIME],
  ['ctime', record.CTIME],
  ['btime', record.BTIME],
] as const;
const MAX_ID = 2 ** 32 - 2;
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;
const MAX_XATTR_NAME = 255;
const MAX_XATTR_VALUE = 65_536;
/** Of a symbolic link's target, as of a path in a system call. */
const MAX_TARGET = 4_095;
const MAX_FILE_BYTES = Number.MAX_SAFE_INTEGER;
const ROOT = new Uint8Array(0);

type Fields = Readonly<Record<string, unknown>>;

export class Loader {
  readonly loaded: LoadedNamespace = { entries: 0, directories: 0, files: 0, bytes: 0 };
  readonly #tree: Tree;
  readonly #contents: LoadedContents;
  readonly #progress: WorkProgress;
  readonly #taken = new InodeSet();
  #line = 0;
  #isEnded = false;
  /** Whether lines tell inode numbers, as the first of them does or does not. */
  #hasNumbers: boolean | undefined;
  #nextIno = ROOT_INO + 1;
  /** The directory of the last line, which is most often that of the next. */
  #parent: Uint8Array | undefined;

  /** `tree` is empty. */
  constructor(tree: Tree, contents: LoadedContents, progress: WorkProgress) {
    this.#tree = tree;
    this.#contents = contents;
    this.#progress = progress;
    progress.begin('making names', 0);
  }

  /** @throws ERR_INVALID_ARGUMENT, naming the line, where it is not one of a dump that can be loaded; ERR_NO_SPACE, ERR_IO */
  takeLine(line: string): void {
    this.#line++;
    try {
      if (this.#isEnded) throw badLine('nothing may follow the last line');
      const fields = fieldsOf(line);
      if (this.#line === 1) checkHead(fields);
      else if (fields.type === 'end') this.#end(fields);
      else this.#take(fields);
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_INVALID_ARGUMENT') throw error;
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot load the dump: line ${this.#line}: ${error.message}`,
      );
    }
  }

  /** To be called after the last line. @throws ERR_INVALID_ARGUMENT where the dump is not whole */
  finish(): void {
    if (!this.#isEnded) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot load the dump: it is cut short after line ${this.#line}: its last line, {"type":"end"}, is missing`,
      );
    }
    const next = Buffer.alloc(8);
    next.writeBigUInt64LE(BigInt(this.#nextIno));
    this.#tree.put(NEXT_INODE_KEY, next);
    completePositions(this.#tree);
  }

  #end({ entries }: Fields): void {
    if (entries !== this.loaded.entries)
      throw badLine(`it tells of ${JSON.stringify(entries)} names, ${this.loaded.entries} came before it`);
    if (this.loaded.entries === 0) throw badLine('there is no line for the root, "/"');
    this.#isEnded = true;
  }

  #take(fields: Fields): void {
    const path = pathOf(fields.path, 'path');
    try {
      this.#placeFor(path);
      if (fields.type === 'link') this.#link(path, pathOf(fields.to, 'to'));
      else this.#make(path, fields);
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_INVALID_ARGUMENT') throw error;
      throw badLine(`${showPath(path)}: ${error.message}`);
    }
    this.loaded.entries++;
    this.#progress.step();
  }

  /** Sees that the path is free and its directory there. */
  #placeFor(path: Uint8Array): void {
    if (path.length + MAX_XATTR_NAME + 2 > MAX_KEY_BYTES)
      throw badLine(
        `the path has ${path.length} bytes, at most ${MAX_KEY_BYTES - MAX_XATTR_NAME - 2} can be loaded`,
      );
    if (path.length === 0) {
      if (this.loaded.entries > 0) throw badLine('the root must be the first line, and the only one of it');
      return;
    }
    if (this.loaded.entries === 0)
      throw badLine('the first line after the head must be that of the root, "/"');
    if (this.#tree.getVersion(entryKey(path)) !== undefined) throw badLine('an earlier line has it already');
    const parent = path.subarray(0, path.lastIndexOf(SLASH));
    if (this.#parent !== undefined && equalBytes(parent, this.#parent)) return;
    const directory = this.#tree.get(entryKey(parent));
    if (directory === undefined) throw badLine('no line before it makes its directory');
    if (record.typeOf(directory) !== record.DIRECTORY) throw badLine(`${showPath(parent)} is no directory`);
    this.#parent = parent;
  }

  #make(path: Uint8Array, fields: Fields): void {
    const type = typeOf(fields.type);
    if (path.length === 0 && type !== 'directory') throw badLine('the root is no directory');
    const target = type === 'symlink' ? targetOf(fields.target) : undefined;
    const ino = this.#numberOf(path, fields.ino);
    const inode = record.newRecord(ino, TYPE_BITS[type] | modeOf(fields.mode), target);
    record.setOwner(inode, wholeNumber(fields.uid, 'uid', MAX_ID), wholeNumber(fields.gid, 'gid', MAX_ID));
    for (const [name, which] of TIMES) setTime(inode, which, fields[name], name);
    if (type === 'character' || type === 'block') record.setDevice(inode, deviceOf(fields.device));
    this.#setXattrs(path, inode, fields.xattrs, type);
    if (type === 'file') this.#setContent(path, inode, wholeNumber(fields.size, 'size', MAX_FILE_BYTES));
    if (type === 'directory') this.#countDirectory(path, inode);
    this.#tree.put(entryKey(path), inode);
  }

  #numberOf(path: Uint8Array, told: unknown): number {
    this.#hasNumbers ??= told !== undefined;
    if ((told !== undefined) !== this.#hasNumbers)
      throw badLine(
        `it has ${told === undefined ? 'no' : 'an'} ino, and the first line is otherwise: all have one, or none`,
      );
    if (told === undefined) return path.length === 0 ? ROOT_INO : this.#nextIno++;
    const ino = wholeNumber(told, 'ino', END_OF_INOS - 1);
    if ((ino === ROOT_INO) !== (path.length === 0) || ino === 0)
      throw badLine(`its ino is ${ino}: the root has ${ROOT_INO}, all others more`);
    if (!this.#taken.add(ino))
      throw badLine(`its ino ${ino} is that of an earlier line; another name is a line of type "link"`);
    this.#nextIno = Math.max(this.#nextIno, ino + 1);
    return ino;
  }

  #setContent(path: Uint8Array, inode: Uint8Array, size: number): void {
    this.loaded.files++;
    this.loaded.bytes += size;
    record.setSize(inode, size);
    if (size === 0) return;
    record.setFlag(inode, record.CONTENT);
    record.setBlocks(inode, this.#contents.bring(record.inoOf(inode), size, path));
  }

  #countDirectory(path: Uint8Array, inode: Uint8Array): void {
    this.loaded.directories++;
    record.setLinks(inode, 2);
    if (path.length === 0) return;
    const key = entryKey(path.subarray(0, path.lastIndexOf(SLASH)));
    const parent = this.#tree.get(key)!;
    record.setLinks(parent, record.linksOf(parent) + 1);
    this.#tree.put(key, parent);
  }

  #setXattrs(path: Uint8Array, inode: Uint8Array, told: unknown, type: TypeName): void {
    if (told === undefined) return;
    if (!Array.isArray(told)) throw badLine('xattrs is no list');
    for (const item of told as Fields[]) {
      const name = bytesOf(item?.name, 'the name of an attribute');
      const what = `attribute ${showText(name)}`;
      if (name.length === 0 || name.length > MAX_XATTR_NAME || name.includes(0))
        throw badLine(`${what}: a name has 1 to ${MAX_XATTR_NAME} bytes, none of them 0`);
      const value = bytesOf(item.value, what);
      if (value.length > MAX_XATTR_VALUE)
        throw badLine(`${what} has ${value.length} bytes, at most ${MAX_XATTR_VALUE} can be`);
      const isAccess = equalBytes(name, ACCESS_LIST);
      if (isAccess || equalBytes(name, DEFAULT_LIST)) {
        if (!isValidAcl(value) || type === 'symlink' || (!isAccess && type !== 'directory'))
          throw badLine(`${what} is no access list that a ${type} can have`);
        record.setFlag(inode, isAccess ? record.ACL : record.DEFAULT_ACL);
      }
      if (equalBytes(name, LABEL)) this.#tree.put(LABELS_KEY, ROOT);
      record.setFlag(inode, record.XATTRS);
      if (!this.#tree.putIfAbsent(concat(entryXattrPrefix(path), name), value))
        throw badLine(`${what} is told twice`);
    }
  }

  /** One more name of the file at `first`: from the second on it is kept by its number. */
  #link(path: Uint8Array, first: Uint8Array): void {
    const key = entryKey(first);
    const entry = this.#tree.get(key);
    if (entry === undefined)
      throw badLine(`it is a name of ${showPath(first)}, which no line before it makes`);
    const type = record.typeOf(entry);
    if (type === record.DIRECTORY) throw badLine(`it is a name of ${showPath(first)}, which is a directory`);
    const ino = record.inoOf(entry);
    const inode = record.isLink(entry) ? this.#tree.get(inodeKey(ino))! : entry;
    record.setLinks(inode, record.linksOf(inode) + 1);
    this.#tree.atomic((batch) => {
      batch.put(inodeKey(ino), inode);
      batch.put(entryKey(path), record.newLink(ino, type));
      if (record.isLink(entry)) return;
      batch.put(key, record.newLink(ino, type));
      if (record.hasFlag(inode, record.XATTRS))
        batch.renamePrefix(entryXattrPrefix(first), inodeXattrPrefix(ino));
    });
  }
}

function fieldsOf(line: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw badLine(`it is not JSON (${(error as Error).message})`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badLine('it is no JSON object');
  return value as Fields;
}

function checkHead({ format, version }: Fields): void {
  if (format !== DUMP_FORMAT) throw badLine(`this is no dump: its format is not "${DUMP_FORMAT}"`);
  if (version !== DUMP_VERSION)
    throw badLine(
      `the dump has version ${JSON.stringify(version)}, this program reads version ${DUMP_VERSION}`,
    );
}

/** Without the root's slash: as keys have it. */
function pathOf(text: unknown, what: string): Uint8Array {
  const bytes = bytesOf(text, what);
  if (bytes.length === 1 && bytes[0] === SLASH) return ROOT;
  if (bytes[0] !== SLASH) throw badLine(`${what} "${showText(bytes)}" does not begin with /`);
  for (let from = 1; from <= bytes.length; ) {
    const slash = bytes.indexOf(SLASH, from);
    const end = slash < 0 ? bytes.length : slash;
    if (!isName(bytes.subarray(from, end)))
      throw badLine(`${what} "${showText(bytes)}" has a name that no directory can have`);
    from = end + 1;
  }
  return bytes;
}

function typeOf(value: unknown): TypeName {
  const type = TYPE_NAMES.find((name) => name === value);
  if (type !== undefined) return type;
  throw badLine(`type is ${JSON.stringify(value)}, but takes ${TYPE_NAMES.join(', ')}, link or end`);
}

function modeOf(value: unknown): number {
  if (typeof value === 'string' && /^0?[0-7]{1,4}$/.test(value)) return Number.parseInt(value, 8);
  throw badLine(`mode is ${JSON.stringify(value)}, but takes octal digits such as "0644"`);
}

function targetOf(value: unknown): Buffer {
  const target = bytesOf(value, 'target');
  const most = Math.min(MAX_TARGET, MAX_VALUE_BYTES);
  if (target.length > 0 && target.length <= most && !target.includes(0)) return target;
  throw badLine(`target has ${target.length} bytes, but takes 1 to ${most}, none of them 0`);
}

/** As Linux packs a device's number into 32 bits. */
function deviceOf(value: unknown): number {
  const [major, minor] = Array.isArray(value) ? (value as unknown[]) : [];
  const high = wholeNumber(major, 'the major number in device', MAX_MAJOR);
  const low = wholeNumber(minor, 'the minor number in device', MAX_MINOR);
  return ((low & 0xff) | (high << 8) | ((low & 0xfff00) << 12)) >>> 0;
}

function setTime(inode: Uint8Array, which: number, value: unknown, name: string): void {
  const [seconds, nanos] = Array.isArray(value) ? (value as unknown[]) : [];
  const isTime =
    Number.isSafeInteger(seconds) &&
    Number.isInteger(nanos) &&
    (nanos as number) >= 0 &&
    (nanos as number) < 1e9;
  if (!isTime)
    throw badLine(`${name} is ${JSON.stringify(value)}, but takes [seconds, nanoseconds below 1000000000]`);
  record.setTime(inode, which, seconds as number, nanos as number);
}
