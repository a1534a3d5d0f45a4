/**
 * Makes a namespace of the records that were salvaged: everything gets a directory that it is in, inode numbers belong to one
 * file each, counts are those found, and each file has the content that its record tells, or is not shown as one that has.
 *
 * Nothing is guessed. What has lost its place goes under lost+found with the names that are known; what has lost its content
 * goes there, too, as what is left of it. Passes over all records, one rule each; in memory are a bit for each inode, and an
 * entry for each directory and each inode with several links.
 */
import type { Tree } from '../../engine/index.js';
import { markAllDurable } from '../filesystem/contents/content-mark.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { ROOT_INO } from '../filesystem/records/inode-numbers.js';
import {
  ENTRIES_PREFIX,
  ENTRY_XATTRS_PREFIX,
  entryKey,
  equalBytes,
  INODE_XATTRS_PREFIX,
  KEPT_PREFIX,
  LAST_SNAPSHOT_KEY,
  NEXT_INODE_KEY,
  ownerOfXattr,
  POSITIONS_KEY,
  POSITIONS_PREFIX,
  PURGE_KEY,
  pathOfKey,
  QUOTAS_PREFIX,
  SLASH,
  SPLITS_PREFIX,
  showPath,
  showXattr,
} from '../filesystem/records/keys.js';
import { readLimits } from '../filesystem/records/limits.js';
import { completePositions } from '../filesystem/records/positions.js';
import * as record from '../filesystem/records/record.js';
import { RepairContext, type RepairedNamespace, type RepairNamespaceOptions } from './context.js';
import { FileRepair } from './file-repair.js';
import { PlaceRepair } from './place-repair.js';
import { itemsBelow } from './records.js';

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
    this.#settleLimits();
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
    for (const prefix of [ENTRY_XATTRS_PREFIX, INODE_XATTRS_PREFIX]) {
      for (const { key } of itemsBelow(this.#tree, prefix)) this.#settleXattr(key, ownerOfXattr(key));
    }
  }

  #settleXattr(key: Uint8Array, owner: Uint8Array | undefined): void {
    const inode = owner && this.#tree.get(owner);
    if (owner === undefined || inode === undefined || record.isLink(inode)) {
      this.#tree.delete(key);
      const why = owner === undefined ? 'no attribute has such a key' : 'what it belongs to is not there';
      this.#context.report('lost', `${showXattr(key)}: ${why}: it is left out`);
    } else if (!record.hasFlag(inode, record.XATTRS)) {
      record.setFlag(inode, record.XATTRS);
      this.#tree.put(owner, inode);
      this.#context.report('mended', `${showXattr(key)}: its file was said to have none`);
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

  #settleLimits(): void {
    for (const { key, value } of itemsBelow(this.#tree, QUOTAS_PREFIX)) {
      const path = pathOfKey(key);
      const directory = this.#tree.get(entryKey(path));
      const isThere = directory !== undefined && record.typeOf(directory) === record.DIRECTORY;
      if (isThere && readLimits(value) !== undefined) continue;
      this.#tree.delete(key);
      const why = isThere ? 'they are no two numbers' : 'there is no such directory';
      this.#context.report('lost', `limits of ${showPath(path)}: ${why}: they are left out`);
    }
  }

  /** Contents are durable by now, and what a power cut left is settled. */
  #writeFacts(): void {
    // Directories may be elsewhere than they were.
    this.#context.dropBelow(POSITIONS_PREFIX);
    this.#tree.delete(POSITIONS_KEY);
    if (this.#tree.isPrefixEmpty(ENTRIES_PREFIX)) return;
    completePositions(this.#tree);
    const next = Buffer.alloc(8);
    next.writeBigUInt64LE(BigInt(this.#context.nextIno));
    this.#tree.put(NEXT_INODE_KEY, next);
    for (const key of [LAST_SNAPSHOT_KEY, PURGE_KEY]) this.#tree.delete(key);
    // There are no snapshots here, and each file's content has its first name again.
    for (const prefix of [KEPT_PREFIX, SPLITS_PREFIX]) this.#tree.deletePrefix(prefix);
    markAllDurable(this.#tree, new SystemDisk().bootId(), this.#context.clock.seconds);
  }
}
