/** `/lost+found` of a repaired store: what lost its place, or its content, and what is known of it. */
import type { Tree } from '../../engine/index.js';
import type { Clock } from '../filesystem/contents/disk/system.js';
import { childKey, concat, entryKey, entryXattrPrefix, SLASH } from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';
import { itemsBelow } from './records.js';

export const LOST_AND_FOUND = Buffer.from('/lost+found');
/** What is told of a file that is not what it was, as extended attributes. */
export const FACT_PATH = 'user.spinney.path';
export const FACT_FAULT = 'user.spinney.fault';

const DIRECTORY_MODE = record.DIRECTORY | 0o700;

export class LostAndFound {
  readonly #tree: Tree;
  readonly #takeIno: () => number;
  readonly #clock: Clock;
  /** `/lost+found`, or another name where that is no directory. */
  readonly path: Uint8Array;

  constructor(tree: Tree, takeIno: () => number, clock: Clock) {
    this.#tree = tree;
    this.#takeIno = takeIno;
    this.#clock = clock;
    clock.read();
    let path: Buffer = LOST_AND_FOUND;
    for (let n = 2; !this.#isFreeOrDirectory(path); n++) path = Buffer.from(`${LOST_AND_FOUND}-${n}`);
    this.path = path;
  }

  /** Whether the path is inside. */
  holds(path: Uint8Array): boolean {
    return (
      path.length > this.path.length &&
      path[this.path.length] === SLASH &&
      Buffer.compare(path.subarray(0, this.path.length), this.path) === 0
    );
  }

  /** Makes the directory, and those that it is in, where they are missing. */
  makeDirectory(path: Uint8Array): void {
    const key = entryKey(path);
    if (this.#tree.getVersion(key) !== undefined) return;
    if (path.length > 0) this.makeDirectory(path.subarray(0, path.lastIndexOf(SLASH)));
    this.#tree.put(key, this.#directory(path.length === 0 ? 1 : this.#takeIno()));
  }

  /** Makes a directory for what was in the one at `path`, which has no record, and whose name cannot be. Returns its path. */
  makeNumbered(path: Uint8Array): Uint8Array {
    const ino = this.#takeIno();
    return this.keep(ino, this.#directory(ino), { [FACT_PATH]: path });
  }

  #directory(ino: number): Uint8Array {
    const inode = record.newRecord(ino, DIRECTORY_MODE);
    record.setLinks(inode, 2);
    this.#stamp(inode);
    return inode;
  }

  /** A free place inside for what was at `path`: the same names, below a number where they are taken. */
  placeFor(path: Uint8Array): Uint8Array {
    for (let n = 1; ; n++) {
      const base = n === 1 ? this.path : Buffer.concat([this.path, Buffer.from(`/${n}`)]);
      const place = Buffer.concat([base, path]);
      if (this.#isFree(place) && this.#canHold(place)) return place;
    }
  }

  /** Keeps a record under the number of its inode, with what is known of it. Returns its path. */
  keep(ino: number, entry: Uint8Array, facts: Readonly<Record<string, Uint8Array>>): Uint8Array {
    this.makeDirectory(this.path);
    let path = Buffer.concat([this.path, Buffer.from(`/#${ino}`)]);
    for (let n = 2; !this.#isFree(path); n++) path = Buffer.concat([this.path, Buffer.from(`/#${ino}-${n}`)]);
    if (!record.isLink(entry) && Object.keys(facts).length > 0) {
      record.setFlag(entry, record.XATTRS);
      for (const [name, value] of Object.entries(facts)) {
        this.#tree.put(concat(entryXattrPrefix(path), Buffer.from(name)), value);
      }
    }
    this.#tree.put(entryKey(path), entry);
    return path;
  }

  /** Gives the place the extended attributes that were kept for `path`, but for those that it has. */
  takeXattrs(path: Uint8Array, place: Uint8Array): void {
    const prefix = entryXattrPrefix(path);
    for (const { key, value } of itemsBelow(this.#tree, prefix)) {
      this.#tree.putIfAbsent(concat(entryXattrPrefix(place), key.subarray(prefix.length)), value);
      this.#tree.delete(key);
    }
  }

  /** A regular file's record with the present time and nothing in it. */
  emptyFile(ino: number): Uint8Array {
    const inode = record.newRecord(ino, record.REGULAR | 0o600);
    this.#stamp(inode);
    return inode;
  }

  #stamp(inode: Uint8Array): void {
    for (const time of [record.ATIME, record.MTIME, record.CTIME, record.BTIME]) {
      record.setTime(inode, time, this.#clock.seconds, this.#clock.nanos);
    }
  }

  #isFree(path: Uint8Array): boolean {
    return (
      this.#tree.getVersion(entryKey(path)) === undefined &&
      this.#tree.isPrefixEmpty(childKey(path, new Uint8Array()))
    );
  }

  /** Every name on the way is free or a directory's. */
  #canHold(path: Uint8Array): boolean {
    for (let at = path.lastIndexOf(SLASH); at > 0; at = path.lastIndexOf(SLASH, at - 1)) {
      if (!this.#isFreeOrDirectory(path.subarray(0, at))) return false;
    }
    return true;
  }

  #isFreeOrDirectory(path: Uint8Array): boolean {
    const value = this.#tree.get(entryKey(path));
    if (value === undefined) return true;
    return value.length >= 4 && record.typeOf(value) === record.DIRECTORY;
  }
}
