/** Writes all records of a namespace as lines; see format.ts. */
import { SpinneyError, type Tree } from '../../engine/index.js';
import type { WorkProgress } from '../../engine/progress.js';
import {
  ENTRIES_PREFIX,
  entryXattrPrefix,
  inodeKey,
  inodeXattrPrefix,
  pathOfKey,
  showPath,
} from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';
import type { Attributes } from '../filesystem/types.js';
import { type ContentsMove, fitToContent } from '../repair/index.js';
import {
  type Attribute,
  DUMP_FORMAT,
  DUMP_VERSION,
  type EndLine,
  type EntryLine,
  type HeadLine,
  type LinkLine,
  type TypeName,
  textOf,
} from './format.js';

export interface DumpOptions {
  tree: Tree;
  /** Tells the sizes of files that were open for writing when the store's daemon was killed. */
  contents: Pick<ContentsMove, 'find'>;
  /** Of the program. */
  version: string;
  progress: WorkProgress;
  write: (text: string) => void;
}

const TYPES: ReadonlyMap<number, TypeName> = new Map([
  [record.REGULAR, 'file'],
  [record.DIRECTORY, 'directory'],
  [record.SYMLINK, 'symlink'],
  [record.FIFO, 'fifo'],
  [record.SOCKET, 'socket'],
  [record.CHARACTER_DEVICE, 'character'],
  [record.BLOCK_DEVICE, 'block'],
]);
const PERMISSIONS = 0o7777;
/** Lines are handed on in pieces of about so many characters. */
const PIECE = 64 * 1024;

/** Returns how many names were written. @throws ERR_BLOB_CORRUPT and the like where a record cannot be read */
export function dumpTree(options: DumpOptions): number {
  const { tree, progress, write } = options;
  const head: HeadLine = {
    format: DUMP_FORMAT,
    version: DUMP_VERSION,
    spinney: options.version,
    createdAt: new Date().toISOString(),
  };
  let piece = `${JSON.stringify(head)}\n`;
  let entries = 0;
  /** By number: the first name of each file that has several. */
  const firstNames = new Map<number, Uint8Array>();
  progress.begin('writing names', 0);
  for (const item of tree.range({ prefix: ENTRIES_PREFIX })) {
    if (item.type !== 'key') continue;
    piece += `${JSON.stringify(lineOf(options, pathOfKey(item.key), item.value, firstNames))}\n`;
    entries++;
    progress.step();
    if (piece.length < PIECE) continue;
    write(piece);
    piece = '';
  }
  const end: EndLine = { type: 'end', entries };
  write(`${piece}${JSON.stringify(end)}\n`);
  return entries;
}

function lineOf(
  options: DumpOptions,
  path: Uint8Array,
  entry: Uint8Array,
  firstNames: Map<number, Uint8Array>,
): EntryLine | LinkLine {
  if (!record.isLink(entry)) return entryLine(options, path, entry, entryXattrPrefix(path));
  const ino = record.inoOf(entry);
  const first = firstNames.get(ino);
  if (first !== undefined) return { path: pathText(path), type: 'link', to: pathText(first) };
  const inode = options.tree.get(inodeKey(ino));
  if (inode === undefined || record.isLink(inode))
    throw damaged(path, `the record of its inode ${ino} is missing`);
  if (record.linksOf(inode) > 1) firstNames.set(ino, path);
  return entryLine(options, path, inode, inodeXattrPrefix(ino));
}

function entryLine(
  { tree, contents }: DumpOptions,
  path: Uint8Array,
  inode: Uint8Array,
  xattrs: Uint8Array,
): EntryLine {
  const type = TYPES.get(record.typeOf(inode));
  if (type === undefined) throw damaged(path, `its mode is ${record.modeOf(inode).toString(8)}`);
  const ino = record.inoOf(inode);
  if (record.hasFlag(inode, record.LIVE)) {
    const content = contents.find(ino, record.bornOf(inode));
    if (content !== undefined) fitToContent(inode, content);
  }
  const attributes = {} as Attributes;
  record.readAttributes(inode, attributes);
  const { mode, uid, gid, size, rdev } = attributes;
  return {
    path: pathText(path),
    type,
    ino,
    mode: `0${(mode & PERMISSIONS).toString(8).padStart(3, '0')}`,
    uid,
    gid,
    ...(type === 'file' && { size }),
    ...(type === 'symlink' && { target: textOf(record.targetOf(inode)) }),
    ...((type === 'character' || type === 'block') && { device: [major(rdev), minor(rdev)] }),
    atime: [attributes.atimeSeconds, attributes.atimeNanos],
    mtime: [attributes.mtimeSeconds, attributes.mtimeNanos],
    ctime: [attributes.ctimeSeconds, attributes.ctimeNanos],
    btime: [attributes.btimeSeconds, attributes.btimeNanos],
    ...(record.hasFlag(inode, record.XATTRS) && attributesBelow(tree, xattrs)),
  };
}

function attributesBelow(tree: Tree, prefix: Uint8Array): { xattrs?: Attribute[] } {
  const xattrs: Attribute[] = [];
  for (const item of tree.range({ prefix })) {
    if (item.type !== 'key') continue;
    xattrs.push({ name: textOf(item.key.subarray(prefix.length)), value: textOf(item.value) });
  }
  return xattrs.length === 0 ? {} : { xattrs };
}

function pathText(path: Uint8Array): EntryLine['path'] {
  return path.length === 0 ? '/' : textOf(path);
}

/** As Linux packs a device's number into 32 bits. */
function major(rdev: number): number {
  return (rdev >>> 8) & 0xfff;
}

function minor(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
}

function damaged(path: Uint8Array, reason: string): SpinneyError {
  return new SpinneyError(
    'ERR_BLOB_CORRUPT',
    `Cannot dump ${showPath(path)}: ${reason}; spinney check tells what else is damaged`,
  );
}
