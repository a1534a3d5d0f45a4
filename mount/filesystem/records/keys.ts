/**
 * The keys of the namespace. Paths and names are raw bytes; the root's path is empty, a child's is `/a/b`.
 *
 *   d path            entry record, or a link to an inode record
 *   x path \0 name    extended attribute of an entry
 *   i ino             inode record of a file that has, or has had, several links
 *   y ino \0 name     extended attribute of such a file, and of an orphan
 *   o ino             orphan: a record without a name
 *   q path            limits of a directory: bytes, then files, an f64 each, little-endian; 0 for none
 *   k ino born        content that is kept for snapshots: until which it was an inode's
 *   p ino             where a directory is: see positions.ts
 *   r ino born row    what a remote has of a content: see engine/shipping/contents/rows.ts
 *   s name            facts about the store
 *   t                 where a part of the tree stands while a batch exchanges two; never there after it
 *
 * An ino in a key is 8 bytes, a born is 4, big-endian. Every function returns fresh bytes that the caller may keep, but for
 * those of `KeyBuffer`.
 */
export const SLASH = 0x2f;

/** Bytes of the longest name. */
const NAME_MAX = 255;
const DOT = 0x2e;
/** First byte of a key. */
export const ENTRY = 0x64;
export const ENTRY_XATTR = 0x78;
export const INODE = 0x69;
export const INODE_XATTR = 0x79;
export const ORPHAN = 0x6f;
export const KEPT = 0x6b;
export const POSITION = 0x70;
export const FACT = 0x73;
export const QUOTA = 0x71;
/** Of a key that ends with a number, and of the prefix of attributes that are kept by number. */
const NUMBERED_BYTES = 9;
const NUMBERED_XATTR_BYTES = 10;

/** Prefix that is in use only within a batch. */
export const EXCHANGE_PREFIX: Uint8Array = Uint8Array.of(0x74);
export const NEXT_INODE_KEY: Uint8Array = Buffer.from('snext-inode');
export const LABELS_KEY: Uint8Array = Buffer.from('slabels');
export const SCRUB_KEY: Uint8Array = Buffer.from('sscrub');
export const CONTENT_MARK_KEY: Uint8Array = Buffer.from('scontents');
/** Up to which change the store came from a remote: an LSN, f64, little-endian. Not there where it was made here. */
export const TAKEN_KEY: Uint8Array = Buffer.from('staken');
/** The newest snapshot that ever was. */
export const LAST_SNAPSHOT_KEY: Uint8Array = Buffer.from('slast-snapshot');
/** There while kept contents that no snapshot needs any more are being removed. */
export const PURGE_KEY: Uint8Array = Buffer.from('spurge');
/** Prefix of facts about contents that a snapshot shares with a file that is written: ino and born follow. */
export const SPLITS_PREFIX: Uint8Array = Buffer.from('ssplit');
/** There while every directory but the root has a position. */
export const POSITIONS_KEY: Uint8Array = Buffer.from('spositions');
/** Prefixes of all entries' keys, of all inodes' that are kept by number, of all orphans', of the attributes of both kinds, and of all limits'. */
export const ENTRIES_PREFIX: Uint8Array = Uint8Array.of(ENTRY);
export const INODES_PREFIX: Uint8Array = Uint8Array.of(INODE);
export const ORPHANS_PREFIX: Uint8Array = Uint8Array.of(ORPHAN);
export const ENTRY_XATTRS_PREFIX: Uint8Array = Uint8Array.of(ENTRY_XATTR);
export const QUOTAS_PREFIX: Uint8Array = Uint8Array.of(QUOTA);
export const INODE_XATTRS_PREFIX: Uint8Array = Uint8Array.of(INODE_XATTR);
/** Prefix of the keys of all contents that are kept for snapshots. */
export const KEPT_PREFIX: Uint8Array = Uint8Array.of(KEPT);
export const POSITIONS_PREFIX: Uint8Array = Uint8Array.of(POSITION);

export function entryKey(path: Uint8Array): Uint8Array {
  const key = Buffer.allocUnsafe(path.length + 1);
  key[0] = ENTRY;
  key.set(path, 1);
  return key;
}

/** Key of the entry `name` in the directory `parent`. */
export function childKey(parent: Uint8Array, name: Uint8Array): Uint8Array {
  const key = Buffer.allocUnsafe(parent.length + name.length + 2);
  key[0] = ENTRY;
  key.set(parent, 1);
  key[parent.length + 1] = SLASH;
  key.set(name, parent.length + 2);
  return key;
}

export function quotaKey(path: Uint8Array): Uint8Array {
  const key = entryKey(path);
  key[0] = QUOTA;
  return key;
}

/** Path of the directory that has the entry at `path`. */
export function parentOf(path: Uint8Array): Uint8Array {
  return path.subarray(0, Math.max(0, path.lastIndexOf(SLASH)));
}

/** Whether the path is the directory's own, or of something below it. */
export function isBelow(path: Uint8Array, directory: Uint8Array): boolean {
  if (!startsWith(path, directory)) return false;
  return path.length === directory.length || path[directory.length] === SLASH;
}

/** The path that an entry's key carries: a view of the key. */
export function pathOfKey(key: Uint8Array): Uint8Array {
  return key.subarray(1);
}

/** Whether a directory can have an entry of this name. */
export function isName(name: Uint8Array): boolean {
  if (name.length === 0 || name.length > NAME_MAX || name.includes(0)) return false;
  return !(name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT)));
}

/** Prefix of the keys of everything below the directory `path`. */
export function childrenPrefix(path: Uint8Array): Uint8Array {
  const key = Buffer.allocUnsafe(path.length + 2);
  key[0] = ENTRY;
  key.set(path, 1);
  key[path.length + 1] = SLASH;
  return key;
}

/** Prefix of the extended attributes of everything below the directory `path`. */
export function childrenXattrPrefix(path: Uint8Array): Uint8Array {
  const key = childrenPrefix(path);
  key[0] = ENTRY_XATTR;
  return key;
}

/** Prefix of the extended attributes of the entry at `path`. */
export function entryXattrPrefix(path: Uint8Array): Uint8Array {
  const key = Buffer.allocUnsafe(path.length + 2);
  key[0] = ENTRY_XATTR;
  key.set(path, 1);
  key[path.length + 1] = 0;
  return key;
}

export function inodeKey(ino: number): Uint8Array {
  return numbered(INODE, ino, NUMBERED_BYTES);
}

export function orphanKey(ino: number): Uint8Array {
  return numbered(ORPHAN, ino, NUMBERED_BYTES);
}

/** Whether an `o` or `i` key has a number, and nothing behind it. */
export function isNumberedKey(key: Uint8Array): boolean {
  return key.length === NUMBERED_BYTES;
}

/** Key of what is known of a content that is kept for snapshots. */
export function keptKey(ino: number, born: number): Uint8Array {
  const key = numbered(KEPT, ino, NUMBERED_BYTES + 4);
  key.writeUInt32BE(born, NUMBERED_BYTES);
  return key;
}

/** Prefix of the keys of an inode's contents that are kept for snapshots. */
export function keptPrefix(ino: number): Uint8Array {
  return numbered(KEPT, ino, NUMBERED_BYTES);
}

/** Key of the fact that a snapshot and a file that is written share this content. */
export function splitKey(ino: number, born: number): Uint8Array {
  return concat(SPLITS_PREFIX, keptKey(ino, born).subarray(1));
}

/** The born at the end of a `k` key, or of one of SPLITS_PREFIX. */
export function bornOfKey(key: Uint8Array): number {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).readUInt32BE(key.length - 4);
}

/** The ino in a key of SPLITS_PREFIX. */
export function inoOfSplit(key: Uint8Array): number {
  return inoOfKey(key.subarray(SPLITS_PREFIX.length - 1));
}

export function positionKey(ino: number): Uint8Array {
  return numbered(POSITION, ino, 9);
}

/** The ino in an `o`, `i`, `k`, `p` or `y` key. */
export function inoOfKey(key: Uint8Array): number {
  const view = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
  return view.readUInt32BE(1) * 0x1_0000_0000 + view.readUInt32BE(5);
}

/** Prefix of the extended attributes kept by inode number. */
export function inodeXattrPrefix(ino: number): Uint8Array {
  const key = numbered(INODE_XATTR, ino, NUMBERED_XATTR_BYTES);
  key[NUMBERED_BYTES] = 0;
  return key;
}

/** Key of the entry, or of the inode, that the attribute with this key belongs to; undefined where no attribute has such a key. */
export function ownerOfXattr(key: Uint8Array): Uint8Array | undefined {
  const nameAt = xattrNameAt(key);
  if (nameAt === 0 || nameAt === key.length) return undefined;
  return key[0] === ENTRY_XATTR ? entryKey(key.subarray(1, nameAt - 1)) : inodeKey(inoOfKey(key));
}

/** What an attribute is called in messages. */
export function showXattr(key: Uint8Array): string {
  const owner = ownerOfXattr(key);
  if (owner === undefined) return `key ${showText(key)}`;
  return `attribute ${showText(key.subarray(xattrNameAt(key)))} of ${showKey(owner)}`;
}

/** 0: the key has no zero where the name should follow. */
function xattrNameAt(key: Uint8Array): number {
  if (key[0] === ENTRY_XATTR) return key.indexOf(0) + 1;
  return key[NUMBERED_BYTES] === 0 ? NUMBERED_XATTR_BYTES : 0;
}

/** Whether the record at this key is one that keeps its extended attributes by inode number. */
export function isKeptByNumber(key: Uint8Array): boolean {
  return key[0] !== ENTRY;
}

/** What a record is called in messages: its path, or its number where it is kept by that. */
export function showKey(key: Uint8Array): string {
  if (!isKeptByNumber(key)) return showPath(pathOfKey(key));
  return `${key[0] === ORPHAN ? 'orphan' : 'inode'} ${inoOfKey(key)}`;
}

export function showPath(path: Uint8Array): string {
  return path.length === 0 ? '/' : showText(path);
}

/** On one line, whatever the bytes are. */
export function showText(bytes: Uint8Array): string {
  return JSON.stringify(Buffer.from(bytes).toString())
    .slice(1, -1)
    .replaceAll('\\"', '"')
    .replaceAll('\\\\', '\\');
}

export function concat(prefix: Uint8Array, rest: Uint8Array): Uint8Array {
  const key = Buffer.allocUnsafe(prefix.length + rest.length);
  key.set(prefix, 0);
  key.set(rest, prefix.length);
  return key;
}

export function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  if (bytes.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (bytes[i] !== prefix[i]) return false;
  return true;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && startsWith(a, b);
}

function numbered(kind: number, ino: number, length: number): Buffer {
  const key = Buffer.allocUnsafe(length);
  key[0] = kind;
  key.writeUInt32BE(Math.floor(ino / 0x1_0000_0000), 1);
  key.writeUInt32BE(ino % 0x1_0000_0000, 5);
  return key;
}

/**
 * Builds entry keys for reads without allocation: one buffer, and a view of it for each length, made when that
 * length is first seen. A key is valid until the next one is built.
 */
export class KeyBuffer {
  readonly #bytes: Uint8Array;
  readonly #views: (Uint8Array | undefined)[] = [];

  /** `capacity`: bytes of the longest key. Longer ones are built in fresh memory. */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
    this.#bytes[0] = ENTRY;
  }

  entry(path: Uint8Array): Uint8Array {
    const length = path.length + 1;
    if (length > this.#bytes.length) return entryKey(path);
    this.#bytes.set(path, 1);
    return this.#view(length);
  }

  child(parent: Uint8Array, name: Uint8Array): Uint8Array {
    const length = parent.length + name.length + 2;
    if (length > this.#bytes.length) return childKey(parent, name);
    this.#bytes.set(parent, 1);
    this.#bytes[parent.length + 1] = SLASH;
    this.#bytes.set(name, parent.length + 2);
    return this.#view(length);
  }

  #view(length: number): Uint8Array {
    let view = this.#views[length];
    if (view === undefined) {
      view = this.#bytes.subarray(0, length);
      this.#views[length] = view;
    }
    return view;
  }
}
