/**
 * Places and numbers: every entry gets a directory that it is in, and every inode number is one file's. Nothing is guessed: what has
 * lost its place goes under lost+found with the names that are known.
 */
import type { Tree } from '../../engine/index.js';
import { END_OF_INOS, ROOT_INO } from '../filesystem/records/inode-numbers.js';
import { InodeSet } from '../filesystem/records/inode-set.js';
import {
  childrenPrefix,
  childrenXattrPrefix,
  ENTRIES_PREFIX,
  entryKey,
  INODE,
  INODES_PREFIX,
  inodeKey,
  inoOfKey,
  isKeptByNumber,
  isName,
  isNumberedKey,
  NEXT_INODE_KEY,
  ORPHANS_PREFIX,
  pathOfKey,
  SLASH,
  showKey,
  showPath,
  showText,
} from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';
import type { RepairContext } from './context.js';
import { loseContent, tellType } from './file-repair.js';
import { FACT_PATH } from './lost-and-found.js';
import { isSound, itemsBelow } from './records.js';

export class PlaceRepair {
  readonly #context: RepairContext;
  readonly #tree: Tree;
  /** Inodes that have a record that is not of an older image. */
  readonly #firm = new InodeSet();
  #hasDoubles = false;

  constructor(context: RepairContext) {
    this.#context = context;
    this.#tree = context.tree;
  }

  run(): void {
    this.#survey();
    this.#makeRoot();
    if (this.#context.options.olderLsn > 0 || this.#hasDoubles) this.#settleDoubles();
    // What was moved comes to places that may have been passed already.
    while (this.#settlePlaces()) {}
  }

  /** Which inodes there are, and up to which number. */
  #survey(): void {
    const stored = this.#tree.get(NEXT_INODE_KEY);
    const count = stored?.length === 8 ? Number(Buffer.from(stored).readBigUInt64LE()) : 0;
    // A damaged one is found anew, above all numbers that there are.
    if (count > ROOT_INO && count < END_OF_INOS) this.#context.nextIno = count;
    let above = this.#context.options.contents.numberAbove();
    for (const prefix of [ENTRIES_PREFIX, INODES_PREFIX, ORPHANS_PREFIX]) {
      for (const { key, value, version } of itemsBelow(this.#tree, prefix)) {
        const problem = this.#problemOf(key, value);
        if (problem !== undefined) {
          this.#context.report('lost', `${problem}: it is left out`);
          this.#tree.delete(key);
          continue;
        }
        const ino = record.inoOf(value);
        if (ino >= END_OF_INOS) {
          this.#hasDoubles = true;
          continue;
        }
        above = Math.max(above, ino + 1);
        if (record.isLink(value) || version <= this.#context.options.olderLsn) continue;
        if (!this.#firm.add(ino)) this.#hasDoubles = true;
      }
    }
    if (above > this.#context.nextIno) {
      this.#context.report(
        'mended',
        `The next inode number was ${this.#context.nextIno}, and is ${above} now`,
      );
      this.#context.nextIno = above;
    }
  }

  /** Why the record is of no use where it is; a name that is no directory's, and tells one, is given the type that it has. */
  #problemOf(key: Uint8Array, value: Uint8Array): string | undefined {
    if (!isSound(value)) return `${showText(key)}: its record cannot be read`;
    const isDirectory = record.typeOf(value) === record.DIRECTORY;
    if (isKeptByNumber(key)) {
      if (!isNumberedKey(key)) return `${showText(key)}: it has no inode number`;
      if (record.isLink(value) || record.inoOf(value) !== inoOfKey(key))
        return `${showKey(key)}: its record is that of inode ${record.inoOf(value)}`;
      return isDirectory && key[0] === INODE ? `${showKey(key)}: no directory is kept by number` : undefined;
    }
    if (!isDirectory || !record.isLink(value)) return undefined;
    const ino = record.inoOf(value);
    const inode = this.#tree.get(inodeKey(ino));
    if (inode === undefined || this.#problemOf(inodeKey(ino), inode) !== undefined)
      return `${showKey(key)}: no directory is kept by number`;
    tellType(this.#context, key, ino, record.typeOf(inode));
    return undefined;
  }

  /** An inode belongs to one file: an older record of one that is elsewhere is of no use. */
  #settleDoubles(): void {
    const seen = new InodeSet();
    seen.add(ROOT_INO);
    for (const prefix of [ENTRIES_PREFIX, INODES_PREFIX, ORPHANS_PREFIX]) {
      for (const { key, value, version } of itemsBelow(this.#tree, prefix)) {
        if (key.length === 1) continue;
        const isOlder = version <= this.#context.options.olderLsn;
        if (record.isLink(value)) {
          if (isOlder) this.#context.report('older', `${showPath(pathOfKey(key))}: as an older image has it`);
          continue;
        }
        const ino = record.inoOf(value);
        const isTaken = ino >= END_OF_INOS || (isOlder && this.#firm.has(ino)) || !seen.add(ino);
        const where = prefix === ENTRIES_PREFIX ? showPath(pathOfKey(key)) : `inode ${ino}`;
        if (!isTaken) {
          if (isOlder) this.#context.report('older', `${where}: as an older image has it`);
        } else if (isOlder || prefix !== ENTRIES_PREFIX) this.#tree.delete(key);
        else this.#separate(key, value, where);
      }
    }
  }

  /** Two files of now have the same number: the second gets another, and the content stays the first's. */
  #separate(key: Uint8Array, value: Uint8Array, where: string): void {
    const copy = record.withIno(value, this.#context.takeIno());
    if (record.typeOf(copy) !== record.REGULAR) {
      this.#tree.put(key, copy);
      this.#context.report(
        'mended',
        `${where}: its inode number belongs to another file, or cannot be: it has a new one`,
      );
      return;
    }
    loseContent(
      this.#context,
      key,
      copy,
      'its inode number belongs to another file, or cannot be',
      undefined,
    );
  }

  /** From here on no other record can have its number. */
  #makeRoot(): void {
    this.#firm.add(ROOT_INO);
    const key = entryKey(new Uint8Array());
    const root = this.#tree.get(key);
    if (root !== undefined && !record.isLink(root) && record.typeOf(root) === record.DIRECTORY) {
      if (record.inoOf(root) !== ROOT_INO) this.#tree.put(key, record.withIno(root, ROOT_INO));
      return;
    }
    if (root === undefined && this.#tree.isPrefixEmpty(ENTRIES_PREFIX) && !this.#context.options.isIncomplete)
      return;
    this.#tree.delete(key);
    this.#context.lost.makeDirectory(new Uint8Array());
    this.#context.report(
      'lost',
      '/: the record of the root directory is lost: it is made anew, for its owner only (mode 0700)',
    );
  }

  /** Gives every entry a directory that it is in; returns whether something was moved. */
  #settlePlaces(): boolean {
    let hasMoved = false;
    let parent: Uint8Array | undefined;
    for (const { key, value } of itemsBelow(this.#tree, ENTRIES_PREFIX)) {
      const path = pathOfKey(key);
      if (path.length === 0) continue;
      const slash = path.lastIndexOf(SLASH);
      if (path[0] !== SLASH || !isName(path.subarray(slash + 1))) {
        this.#tree.delete(key);
        const place = this.#context.lost.keep(record.inoOf(value), value, { [FACT_PATH]: path });
        this.#context.lost.takeXattrs(path, place);
        this.#context.found.lostPlaces++;
        this.#context.report(
          'lost',
          `${showPath(path)}: no directory can have that name: it is ${showPath(place)} now`,
        );
        hasMoved = true;
        continue;
      }
      const directory = path.subarray(0, slash);
      if (parent !== undefined && Buffer.compare(parent, directory) === 0) continue;
      const missing = this.#firstMissing(directory);
      if (missing === undefined) parent = directory;
      else {
        this.#adopt(missing);
        hasMoved = true;
      }
    }
    return hasMoved;
  }

  /** The shortest part of the path that is no directory. */
  #firstMissing(directory: Uint8Array): Uint8Array | undefined {
    for (let at = 0; at >= 0; ) {
      const next = directory.indexOf(SLASH, at + 1);
      const part = directory.subarray(0, next < 0 ? directory.length : next);
      if (part.length > 0) {
        const value = this.#tree.get(entryKey(part));
        if (value === undefined || record.typeOf(value) !== record.DIRECTORY) return part;
      }
      at = next;
    }
    return undefined;
  }

  /** Moves what is below a directory that has no record under lost+found. */
  #adopt(missing: Uint8Array): void {
    if (
      (this.#context.lost.holds(missing) || Buffer.compare(missing, this.#context.lost.path) === 0) &&
      this.#tree.getVersion(entryKey(missing)) === undefined
    ) {
      this.#context.lost.makeDirectory(missing);
      return;
    }
    const place = this.#placeFor(missing);
    if (this.#tree.getVersion(entryKey(missing)) === undefined) this.#context.lost.takeXattrs(missing, place);
    this.#tree.renamePrefix(childrenPrefix(missing), childrenPrefix(place));
    this.#tree.renamePrefix(childrenXattrPrefix(missing), childrenXattrPrefix(place));
    this.#context.found.lostPlaces++;
    this.#context.report(
      'lost',
      `${showPath(missing)}: the directory's record is lost; what was in it is in ${showPath(place)}`,
    );
  }

  /** Makes the directory that what was in the missing one goes to. */
  #placeFor(missing: Uint8Array): Uint8Array {
    const { lost } = this.#context;
    if (!isName(missing.subarray(missing.lastIndexOf(SLASH) + 1))) return lost.makeNumbered(missing);
    const place = lost.placeFor(missing);
    lost.makeDirectory(place);
    return place;
  }
}
