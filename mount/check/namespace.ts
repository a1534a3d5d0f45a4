/**
 * Checks the namespace that a tree holds, and the content files beside it: everything has a directory that it is
 * in, every inode number is given once, counts of links are those found, nothing hangs in the air.
 *
 * One walk over all keys in their order, with a look at the parent's record where the parent changes; in memory are
 * a bit for each inode, and an entry for each directory and each inode with several links.
 */
import { type Finding, SpinneyError } from '../../engine/index.js';
import { SILENT, type WorkProgress } from '../../engine/progress.js';
import { SHIPPED_CONTENT } from '../../engine/shipped-contents.js';
import type { ContentDisk } from '../filesystem/contents/disk/content-disk.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { ROOT_INO } from '../filesystem/records/inode-numbers.js';
import { InodeSet } from '../filesystem/records/inode-set.js';
import {
  bornOfKey,
  ENTRIES_PREFIX,
  ENTRY,
  ENTRY_XATTR,
  entryKey,
  equalBytes,
  FACT,
  INODE,
  INODE_XATTR,
  INODES_PREFIX,
  inoOfKey,
  isKeptByNumber,
  isName,
  isNumberedKey,
  KEPT,
  NEXT_INODE_KEY,
  ORPHAN,
  orphanKey,
  ownerOfXattr,
  POSITION,
  POSITIONS_KEY,
  pathOfKey,
  positionKey,
  QUOTA,
  SLASH,
  showPath,
  showKey as showRecordKey,
  showText,
  showXattr,
} from '../filesystem/records/keys.js';
import { readLimits } from '../filesystem/records/limits.js';
import { newPosition } from '../filesystem/records/positions.js';
import * as record from '../filesystem/records/record.js';
import { diedOf } from '../filesystem/records/snapshot-ids.js';
import type { CheckedContents, ContentFindings } from './checked-contents.js';
import { type CheckedTree, ContentCheck } from './contents.js';
import { PastNames } from './past-names.js';
import { ShippedContentCheck, type ShippedContents, type Unshipped } from './shipped-contents.js';

export interface CheckedNamespace {
  entries: number;
  directories: number;
  /** Inodes with, or once with, several names. */
  linkedInodes: number;
  xattrs: number;
  orphans: number;
  contentFiles: number;
  /** Contents that the store's remote has, and no file: they come when they are wanted. Absent where there are none. */
  awayContents?: number;
  /** Contents that files gave up and snapshots need. */
  keptContents: number;
  /** Records that snapshots have and the tree as it is has not, or otherwise. */
  snapshotRecords: number;
}

/** `k`, the inode's number, and 4 bytes of born. */
const KEPT_KEY_BYTES = 13;

/** Links found, less those that the record tells, and what the links say of the type. */
interface LinkedInode {
  found: number;
  type: number;
}

/**
 * `report` is told of each finding, `progress` of each record; `contentDirectory` is `<store>/content` on `disk`, and may be
 * missing. `hasRemote`: contents may be in a remote alone.
 */
export function checkNamespace(
  tree: CheckedTree,
  contentDirectory: string,
  report: (finding: Finding) => void,
  progress: WorkProgress = SILENT,
  disk: ContentDisk = new SystemDisk(),
  hasRemote = false,
): CheckedNamespace {
  const contents = (findings: ContentFindings) =>
    new ContentCheck(tree, disk, contentDirectory, findings, hasRemote);
  return new NamespaceCheck(tree, contents, report).run(progress);
}

/** The same of a tree whose contents are in a remote. */
export function checkShippedNamespace(
  tree: CheckedTree,
  shipped: ShippedContents,
  report: (finding: Finding) => void,
  progress: WorkProgress = SILENT,
): CheckedNamespace & { unshipped: Unshipped } {
  const unshipped: Unshipped = { files: 0, bytes: 0 };
  const contents = (findings: ContentFindings) => new ShippedContentCheck(shipped, unshipped, findings);
  return { ...new NamespaceCheck(tree, contents, report).run(progress), unshipped };
}

class NamespaceCheck {
  readonly #tree: CheckedTree;
  readonly #contents: CheckedContents;
  readonly #report: (finding: Finding) => void;
  readonly #found: CheckedNamespace = {
    entries: 0,
    directories: 0,
    linkedInodes: 0,
    xattrs: 0,
    orphans: 0,
    contentFiles: 0,
    keptContents: 0,
    snapshotRecords: 0,
  };
  /** Inode numbers from here on are not given out yet. */
  #nextIno = ROOT_INO + 1;
  readonly #inos = new InodeSet();
  /** Whether every directory but the root has a position. */
  readonly #hasPositions: boolean;
  readonly #linked = new Map<number, LinkedInode>();
  /** By inode number: the links that a directory's record tells, less those found. */
  readonly #directoryLinks = new Map<number, number>();

  // The directory of the last entry; children of one directory follow each other but for what lies below them.
  #parentPath: Uint8Array | undefined;
  #parentIno: number | undefined;
  // The owner of the last extended attribute.
  #ownerKey: Uint8Array | undefined;
  #ownerFault: string | undefined;

  constructor(
    tree: CheckedTree,
    contents: (findings: ContentFindings) => CheckedContents,
    report: (finding: Finding) => void,
  ) {
    this.#tree = tree;
    this.#report = report;
    this.#hasPositions = tree.getVersion(POSITIONS_KEY) !== undefined;
    this.#contents = contents({
      damage: (message) => this.#damage(message),
      note: (message) => this.#note(message),
    });
  }

  run(progress: WorkProgress): CheckedNamespace {
    const next = this.#tree.get(NEXT_INODE_KEY);
    if (next?.length === 8) this.#nextIno = Number(Buffer.from(next).readBigUInt64LE());
    let keys = 0;
    for (const item of this.#tree.range()) {
      if (item.type !== 'key') continue;
      keys++;
      progress.step();
      try {
        this.#key(item.key, item.value, item.version);
      } catch (error) {
        if (!(error instanceof SpinneyError) || error.code !== 'ERR_FORMAT_VERSION') throw error;
        this.#damage(`${showKey(item.key)}: ${error.message}`);
      }
    }
    if (keys > 0 && this.#tree.get(entryKey(new Uint8Array())) === undefined) {
      this.#damage('/: the root directory has no record');
    }
    this.#checkLinks();
    this.#checkSnapshots(progress);
    this.#found.contentFiles = this.#contents.finish();
    const { away = 0 } = this.#contents;
    return away === 0 ? this.#found : { ...this.#found, awayContents: away };
  }

  #damage(message: string): void {
    this.#report({ kind: 'damage', message });
  }

  #note(message: string): void {
    this.#report({ kind: 'note', message });
  }

  #key(key: Uint8Array, value: Uint8Array, version: number): void {
    switch (key[0]) {
      case ENTRY:
        this.#entry(pathOfKey(key), value, version);
        break;
      case ENTRY_XATTR:
      case INODE_XATTR:
        this.#xattr(key);
        break;
      case INODE:
      case ORPHAN:
        if (!isNumberedKey(key)) this.#damage(`${showKey(key)}: it has no inode number`);
        else if (key[0] === INODE) this.#inode(key, value, version);
        else this.#orphan(key, value);
        break;
      case QUOTA:
        this.#quota(pathOfKey(key), value);
        break;
      case KEPT:
        this.#kept(key, value);
        break;
      case POSITION:
        if (isNumberedKey(key)) this.#position(key);
        else this.#damage(`${showKey(key)}: it has no inode number`);
        break;
      case FACT:
      case SHIPPED_CONTENT:
        break;
      default:
        this.#note(`${showKey(key)}: a key of a kind that this version does not know`);
    }
  }

  #entry(path: Uint8Array, value: Uint8Array, version: number): void {
    this.#found.entries++;
    const isDirectory = record.typeOf(value) === record.DIRECTORY;
    if (path.length > 0) this.#checkPlace(path, isDirectory, record.inoOf(value));
    const where = showPath(path);
    const ino = record.inoOf(value);
    if (record.isLink(value)) {
      const type = record.typeOf(value);
      if (isDirectory) this.#damage(`${where}: a directory is kept by number, as a link`);
      const linked = this.#linked.get(ino);
      if (linked === undefined) this.#linked.set(ino, { found: 1, type });
      else linked.found++;
      if (linked !== undefined && linked.type !== type) {
        this.#damage(`${where}: its type is not that of other names of inode ${ino}`);
      }
      return;
    }
    if (path.length === 0 && (ino !== ROOT_INO || !isDirectory)) {
      this.#damage(`/: the root is inode ${ino}, ${isDirectory ? 'not 1' : 'and no directory'}`);
    }
    this.#takeIno(where, ino);
    if (isDirectory) {
      this.#found.directories++;
      this.#countDirectory(ino, record.linksOf(value) - 2);
    } else if (record.linksOf(value) !== 1) {
      this.#damage(`${where}: its record tells ${record.linksOf(value)} links, there is 1`);
    }
    this.#checkContent(where, value, version);
  }

  /** The entry's name is one, and its directory is there. */
  #checkPlace(path: Uint8Array, isDirectory: boolean, ino: number): void {
    const slash = path.lastIndexOf(SLASH);
    const name = path.subarray(slash + 1);
    if (path[0] !== SLASH || !isName(name)) {
      this.#damage(`${showPath(path)}: the name is not one that a directory can have`);
      return;
    }
    const parent = path.subarray(0, slash);
    if (this.#parentPath === undefined || !equalBytes(parent, this.#parentPath)) this.#findParent(parent);
    if (this.#parentIno === undefined) {
      this.#damage(`${showPath(path)}: ${showPath(parent)}, which it is in, is missing or no directory`);
    } else if (isDirectory) {
      this.#countDirectory(this.#parentIno, -1);
      this.#checkPosition(path, ino, newPosition(this.#parentIno, name));
    }
  }

  #checkPosition(path: Uint8Array, ino: number, expected: Uint8Array): void {
    const position = this.#tree.get(positionKey(ino));
    if (position === undefined ? !this.#hasPositions : equalBytes(position, expected)) return;
    const fault = position === undefined ? 'is not on record' : 'is on record as another';
    this.#damage(`${showPath(path)}: the place of inode ${ino}, by which snapshots find it, ${fault}`);
  }

  #position(key: Uint8Array): void {
    const ino = inoOfKey(key);
    // All other records come before these.
    if (!this.#inos.has(ino)) this.#damage(`inode ${ino}: a place is on record, and no directory`);
  }

  #findParent(path: Uint8Array): void {
    const value = this.#tree.get(entryKey(path));
    this.#parentPath = path.slice();
    const isDirectory = value !== undefined && record.typeOf(value) === record.DIRECTORY;
    this.#parentIno = isDirectory ? record.inoOf(value) : undefined;
  }

  #countDirectory(ino: number, by: number): void {
    this.#directoryLinks.set(ino, (this.#directoryLinks.get(ino) ?? 0) + by);
  }

  #takeIno(where: string, ino: number): void {
    if (ino < ROOT_INO || ino >= this.#nextIno) {
      this.#damage(`${where}: inode ${ino} was never given out; the next one is ${this.#nextIno}`);
    } else if (!this.#inos.add(ino)) {
      this.#damage(`${where}: inode ${ino} belongs to another file too`);
    }
  }

  #inode(key: Uint8Array, value: Uint8Array, version: number): void {
    this.#found.linkedInodes++;
    const ino = inoOfKey(key);
    const where = `inode ${ino}`;
    if (this.#isMisplaced(where, ino, value)) return;
    this.#takeIno(where, ino);
    const linked = this.#linked.get(ino);
    // Entries come before inodes in the order of keys, so all of its names are counted.
    this.#linked.delete(ino);
    const told = record.linksOf(value);
    const names = linked?.found ?? 0;
    if (told !== names) this.#damage(`${where}: its record tells ${told} links, there are ${names}`);
    if (linked !== undefined && linked.type !== record.typeOf(value)) {
      this.#damage(`${where}: its type is not that of its names`);
    }
    this.#checkContent(where, value, version);
  }

  /** Entries and inodes come before in the order of keys, so all files that are there have been seen. */
  #kept(key: Uint8Array, value: Uint8Array): void {
    if (key.length !== KEPT_KEY_BYTES) {
      this.#damage(`${showKey(key)}: it is no key of a kept content`);
      return;
    }
    this.#found.keptContents++;
    this.#contents.keep(inoOfKey(key), bornOfKey(key), diedOf(value));
  }

  /**
   * Names and contents of snapshots. Of each only those records are looked at that are not the next one's, or the tree's as it is: the
   * others have been seen there.
   */
  #checkSnapshots(progress: WorkProgress): void {
    const names = this.#tree.snapshots().map(({ name }) => name);
    for (const [index, name] of names.entries()) {
      const past = this.#tree.at(name);
      try {
        const pastNames = new PastNames(name, past, (message) => this.#damage(message));
        for (const prefix of [ENTRIES_PREFIX, INODES_PREFIX]) {
          for (const { key, before } of this.#tree.diff(name, names[index + 1], { prefix })) {
            progress.step();
            if (before === undefined) continue;
            this.#found.snapshotRecords++;
            pastNames.check(key, before.value);
            if (record.isLink(before.value) || record.typeOf(before.value) !== record.REGULAR) continue;
            this.#contents.checkKept(`snapshot ${name}: ${showRecordKey(key)}`, before.value, before.version);
          }
        }
      } finally {
        past.close();
      }
    }
  }

  #orphan(key: Uint8Array, value: Uint8Array): void {
    this.#found.orphans++;
    const ino = inoOfKey(key);
    const where = `orphan ${ino}`;
    if (this.#isMisplaced(where, ino, value)) return;
    this.#takeIno(where, ino);
    this.#note(`${where}: it was removed while open, and goes at the next mount`);
    this.#expectContent(value);
  }

  #quota(path: Uint8Array, value: Uint8Array): void {
    const directory = this.#tree.get(entryKey(path));
    if (directory === undefined || record.typeOf(directory) !== record.DIRECTORY) {
      this.#damage(`${showPath(path)}: it has limits, and is missing or no directory`);
    }
    if (readLimits(value) === undefined) this.#damage(`${showPath(path)}: its limits are no two numbers`);
  }

  #isMisplaced(where: string, ino: number, value: Uint8Array): boolean {
    if (!record.isLink(value) && record.inoOf(value) === ino) return false;
    this.#damage(`${where}: its record is that of inode ${record.inoOf(value)}`);
    return true;
  }

  #checkContent(where: string, value: Uint8Array, version: number): void {
    if (record.typeOf(value) !== record.REGULAR) return;
    this.#expectContent(value);
    this.#contents.check(where, value, version);
  }

  #expectContent(value: Uint8Array): void {
    // A number that was never given out has been told; the set is as large as its largest number.
    if (record.inoOf(value) < this.#nextIno) this.#contents.expect(value);
  }

  #xattr(key: Uint8Array): void {
    this.#found.xattrs++;
    let owner = ownerOfXattr(key);
    if (owner === undefined) {
      this.#damage(`${showXattr(key)}: no attribute has such a key`);
      return;
    }
    if (isKeptByNumber(owner) && this.#tree.getVersion(owner) === undefined)
      owner = orphanKey(inoOfKey(owner));
    if (this.#ownerKey === undefined || !equalBytes(owner, this.#ownerKey)) {
      this.#ownerFault = this.#faultOfOwner(owner);
      this.#ownerKey = owner;
    }
    if (this.#ownerFault !== undefined) this.#damage(`${showXattr(key)}: ${this.#ownerFault}`);
  }

  #faultOfOwner(key: Uint8Array): string | undefined {
    const value = this.#tree.get(key);
    if (value === undefined) return 'what it belongs to does not exist';
    if (record.isLink(value)) return `it belongs to inode ${record.inoOf(value)}, and is not kept there`;
    return record.hasFlag(value, record.XATTRS) ? undefined : 'its file is said to have none';
  }

  /** What is left when all is counted. */
  #checkLinks(): void {
    for (const [ino, { found }] of this.#linked) {
      this.#damage(`inode ${ino}: ${found} names lead to it, and it has no record`);
    }
    for (const [ino, difference] of this.#directoryLinks) {
      if (difference === 0) continue;
      const which = difference > 0 ? 'more' : 'fewer';
      this.#damage(
        `inode ${ino}: the directory's record tells ${Math.abs(difference)} links ${which} than there are`,
      );
    }
  }
}

function showKey(key: Uint8Array): string {
  return `key ${showText(key)}`;
}
