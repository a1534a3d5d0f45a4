/**
 * Makes a namespace of the records that were salvaged: everything gets a directory that it is in, inode numbers belong to one
 * file each, counts are those found, and each file has the content that its record tells, or is not shown as one that has.
 *
 * Nothing is guessed. What has lost its place goes under lost+found with the names that are known; what has lost its content
 * goes there, too, as what is left of it. Passes over all records, one rule each; in memory are a bit for each inode, and an
 * entry for each directory and each inode with several links.
 */
import type { Tree } from '../../engine/index.js';
import { writeMark } from '../filesystem/contents/content-mark.js';
import { SystemDisk } from '../filesystem/contents/system.js';
import { ROOT_INO } from '../filesystem/records/inode-numbers.js';
import {
  CONTENT_MARK_KEY,
  ENTRIES_PREFIX,
  entryKey,
  equalBytes,
  inodeKey,
  inoOfKey,
  NEXT_INODE_KEY,
  pathOfKey,
  SLASH,
  showPath,
  showText,
} from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';
import { RepairContext, type RepairedNamespace, type RepairNamespaceOptions } from './context.js';
import { FileRepair } from './file-repair.js';
import { PlaceRepair } from './place-repair.js';
import { itemsBelow } from './records.js';

const ENTRY_XATTRS_PREFIX = Uint8Array.of(0x78);
const INODE_XATTRS_PREFIX = Uint8Array.of(0x79);
/** Where the name is in the key of an attribute that is kept by number. */
const INODE_XATTR_NAME_AT = 10;

export function repairNamespace(options: RepairNamespaceOptions): RepairedNamespace {
  return new NamespaceRepair(options).run();
}

class NamespaceRepair {
  readonly #context: RepairContext;
  readonly #tree: Tree;
  readonly #files: FileRepair;
  /** By inode: links that a directory should have, less those that it tells. */
  readonly #directoryLinks = new Map<number, number>();

  constructor(options: RepairNamespaceOptions) {
    this.#context = new RepairContext(options);
    this.#tree = options.tree;
    this.#files = new FileRepair(this.#context);
  }

  run(): RepairedNamespace {
    const { progress, contents } = this.#context.options;
    progress.begin('putting names in order', 0);
    new PlaceRepair(this.#context).run();
    progress.begin('bringing contents', 0);
    this.#settleEntries();
    this.#files.finish();
    this.#settleXattrs();
    this.#settleDirectories();
    contents.finish();
    this.#writeFacts();
    return this.#context.found;
  }

  #settleEntries(): void {
    let parent: Uint8Array | undefined;
    let parentIno = 0;
    for (const { key, value } of itemsBelow(this.#tree, ENTRIES_PREFIX)) {
      this.#context.options.progress.step();
      const path = pathOfKey(key);
      const isDirectory = record.typeOf(value) === record.DIRECTORY;
      if (record.isLink(value)) {
        this.#files.settleLink(key, value);
        continue;
      }
      if (!isDirectory) {
        this.#files.settleFile(key, value);
        continue;
      }
      this.#countLinks(record.inoOf(value), 2 - record.linksOf(value));
      if (path.length === 0) continue;
      const directory = path.subarray(0, path.lastIndexOf(SLASH));
      if (parent === undefined || Buffer.compare(parent, directory) !== 0) {
        parent = directory;
        parentIno = record.inoOf(this.#tree.get(entryKey(directory))!);
      }
      this.#countLinks(parentIno, 1);
    }
  }

  #countLinks(ino: number, by: number): void {
    this.#directoryLinks.set(ino, (this.#directoryLinks.get(ino) ?? 0) + by);
  }

  #settleXattrs(): void {
    for (const { key } of itemsBelow(this.#tree, ENTRY_XATTRS_PREFIX)) {
      const zero = key.indexOf(0);
      const path = key.subarray(1, zero < 0 ? key.length : zero);
      const owner = entryKey(path);
      const inode = this.#tree.get(owner);
      const what = () => `attribute ${showText(key.subarray(path.length + 2))} of ${showPath(path)}`;
      this.#settleXattr(key, owner, inode === undefined || record.isLink(inode) ? undefined : inode, what);
    }
    for (const { key } of itemsBelow(this.#tree, INODE_XATTRS_PREFIX)) {
      const ino = inoOfKey(key);
      const owner = inodeKey(ino);
      const what = () => `attribute ${showText(key.subarray(INODE_XATTR_NAME_AT))} of inode ${ino}`;
      this.#settleXattr(key, owner, this.#tree.get(owner), what);
    }
  }

  #settleXattr(key: Uint8Array, owner: Uint8Array, inode: Uint8Array | undefined, what: () => string): void {
    if (inode === undefined) {
      this.#tree.delete(key);
      this.#context.report('lost', `${what()}: what it belongs to is not there: it is left out`);
    } else if (!record.hasFlag(inode, record.XATTRS)) {
      record.setFlag(inode, record.XATTRS);
      this.#tree.put(owner, inode);
      this.#context.report('mended', `${what()}: its file was said to have none`);
    }
  }

  /** Counts what there is, and gives directories the links that they have. */
  #settleDirectories(): void {
    const links = this.#directoryLinks;
    // lost+found may have been made after its parent was counted.
    const made = this.#tree.get(entryKey(this.#context.lost.path));
    if (made !== undefined && !links.has(record.inoOf(made))) this.#countLinks(ROOT_INO, 1);
    for (const { key, value } of itemsBelow(this.#tree, ENTRIES_PREFIX)) {
      this.#context.found.entries++;
      if (record.typeOf(value) !== record.DIRECTORY) continue;
      this.#context.found.directories++;
      const by = links.get(record.inoOf(value)) ?? 0;
      if (by === 0) continue;
      const path = pathOfKey(key);
      const told = record.linksOf(value);
      record.setLinks(value, told + by);
      this.#tree.put(key, value);
      if (
        made !== undefined &&
        (path.length === 0 || this.#context.lost.holds(path) || equalBytes(path, this.#context.lost.path))
      )
        continue;
      this.#context.report(
        'mended',
        `${showPath(path)}: its record told ${told} links, there are ${told + by}`,
      );
    }
  }

  /** Contents are durable by now, and what a power cut left is settled. */
  #writeFacts(): void {
    if (this.#tree.isPrefixEmpty(ENTRIES_PREFIX)) return;
    const next = Buffer.alloc(8);
    next.writeBigUInt64LE(BigInt(this.#context.nextIno));
    this.#tree.put(NEXT_INODE_KEY, next);
    this.#tree.delete(CONTENT_MARK_KEY);
    writeMark(this.#tree, {
      boot: new SystemDisk().bootId(),
      durableLsn: this.#tree.lastLsn(),
      durableSeconds: this.#context.clock.seconds,
      cutLsn: 0,
      cutAfter: 0,
      cutBefore: 0,
    });
  }
}
