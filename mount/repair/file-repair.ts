/**
 * Files and their contents: a file is shown as one that has its content only where the content is what its record says. What is
 * left of another goes under lost+found, and so does a content whose record is lost.
 */
import type { Tree } from '../../engine/index.js';
import { faultOf, NO_FILE } from '../filesystem/contents/disk/faults.js';
import { lastKept } from '../filesystem/contents/power-cut.js';
import { InodeSet } from '../filesystem/records/inode-set.js';
import {
  concat,
  entryKey,
  equalBytes,
  INODES_PREFIX,
  inodeKey,
  inodeXattrPrefix,
  inoOfKey,
  keptKey,
  ORPHANS_PREFIX,
  pathOfKey,
  showPath,
} from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';
import type { OldContent } from './contents-move.js';
import type { RepairContext } from './context.js';
import { FACT_FAULT, FACT_PATH } from './lost-and-found.js';
import { itemsBelow } from './records.js';

/** The clock of a filesystem may be this far behind ours. */
const SLACK_SECONDS = 1;

interface Linked {
  type: number;
  names: number;
  /** Its only name from now on, where its content is not what its record tells. */
  place: Uint8Array | undefined;
}

export class FileRepair {
  readonly #context: RepairContext;
  readonly #tree: Tree;
  readonly #linked = new Map<number, Linked>();
  /** Inodes that were removed while open. */
  readonly #orphans = new InodeSet();
  /** Inodes whose record is lost, and a name that each had. */
  readonly #nameless = new Map<number, Uint8Array>();

  constructor(context: RepairContext) {
    this.#context = context;
    this.#tree = context.tree;
  }

  /** To be called once every entry was given to `settleFile` or `settleLink`. */
  finish(): void {
    this.#settleInodes();
    this.#dropOrphans();
    this.#keepLeftContents();
  }

  /** A file that is kept at its name: gives it its content. */
  settleFile(key: Uint8Array, told: Uint8Array): void {
    const where = showPath(pathOfKey(key));
    // The content gets the name of one that is older than all snapshots.
    const inode = withFirstName(told);
    const born = record.bornOf(told);
    let isChanged = born > 0;
    if (record.linksOf(inode) !== 1) {
      this.#context.report('mended', `${where}: its record told ${record.linksOf(inode)} links, there is 1`);
      record.setLinks(inode, 1);
      isChanged = true;
    }
    if (record.typeOf(inode) === record.REGULAR) {
      const { fault, isSettled, content } = this.#contentOf(inode, born, where);
      if (fault !== undefined) {
        loseContent(this.#context, key, inode, fault, content);
        return;
      }
      isChanged ||= isSettled;
    }
    if (isChanged) this.#tree.put(key, inode);
  }

  /** Takes the inode's content where it is what the record says; a record of an open file is brought up to date. */
  #contentOf(
    inode: Uint8Array,
    born: number,
    where: string,
  ): { fault: string | undefined; isSettled: boolean; content: OldContent | undefined } {
    const ino = record.inoOf(inode);
    const content = record.hasFlag(inode, record.CONTENT) ? this.#findContent(ino, born) : undefined;
    const isLive = record.hasFlag(inode, record.LIVE);
    if (isLive && content === undefined && this.#context.options.contents.isUnwritten(ino, born)) {
      record.clearFlag(inode, record.LIVE | record.CONTENT);
      return { fault: undefined, isSettled: true, content };
    }
    let fault = faultOf(inode, content?.size ?? NO_FILE);
    let isSettled = false;
    if (this.#wasCutOff(inode, fault, content)) {
      if (fault !== undefined)
        this.#context.report('note', `${where}: ${fault}; a power cut left it so: it has what is there`);
      fitToCut(this.#context, inode, content);
      fault = undefined;
      isSettled = true;
    } else if (isLive && content !== undefined) {
      fitToContent(inode, content);
      isSettled = true;
    }
    if (fault === undefined && content !== undefined) this.#context.options.contents.take(content, ino);
    return { fault, isSettled, content };
  }

  /** A power cut may have taken a copy, and left what it was of. */
  #findContent(ino: number, born: number): OldContent | undefined {
    const { contents, cut } = this.#context.options;
    const content = contents.find(ino, born);
    if (content !== undefined || !cut.isLast || born === 0) return content;
    const kept = lastKept(this.#tree, ino, born);
    return kept === undefined ? undefined : contents.find(ino, kept);
  }

  /** Whether nobody but a power cut is to blame for what the content is: as a mount and `check` tell it. */
  #wasCutOff(inode: Uint8Array, fault: string | undefined, content: OldContent | undefined): boolean {
    const { isLast, after, before, unsettled } = this.#context.options.cut;
    if (isLast && record.hasFlag(inode, record.LIVE)) return true;
    if (fault === undefined) return false;
    if (isLast && unsettled.has(record.inoOf(inode))) return true;
    const changed = content?.ctimeSeconds ?? 0;
    return content !== undefined && changed >= after - SLACK_SECONDS && changed <= before;
  }

  /** A name of an inode that is kept by number. */
  settleLink(key: Uint8Array, link: Uint8Array): void {
    const ino = record.inoOf(link);
    const where = showPath(pathOfKey(key));
    let linked = this.#linked.get(ino);
    if (linked === undefined) {
      const inode = this.#tree.get(inodeKey(ino));
      if (inode === undefined) {
        // Its content, if there is any, is kept with those that no record tells of.
        this.#tree.delete(key);
        if (!this.#nameless.has(ino)) this.#nameless.set(ino, pathOfKey(key));
        this.#context.report(
          'lost',
          `${where}: the record of its inode ${ino} is lost: the name is left out`,
        );
        return;
      }
      linked = this.#settleLinked(ino, inode, pathOfKey(key), where);
      this.#linked.set(ino, linked);
    }
    if (linked.place !== undefined) {
      if (!equalBytes(pathOfKey(key), linked.place)) this.#tree.delete(key);
      return;
    }
    linked.names++;
    if (record.typeOf(link) === linked.type) return;
    tellType(this.#context, key, ino, linked.type);
  }

  #settleLinked(ino: number, told: Uint8Array, path: Uint8Array, where: string): Linked {
    const type = record.typeOf(told);
    if (type !== record.REGULAR) return { type, names: 0, place: undefined };
    const inode = withFirstName(told);
    const { fault, isSettled, content } = this.#contentOf(inode, record.bornOf(told), where);
    if (fault === undefined) {
      if (isSettled || inode !== told) this.#tree.put(inodeKey(ino), inode);
      return { type, names: 0, place: undefined };
    }
    const place = this.#context.lost.keep(ino, record.newLink(ino, type), {});
    record.setFlag(inode, record.XATTRS);
    for (const [name, value] of [
      [FACT_PATH, path],
      [FACT_FAULT, Buffer.from(fault)],
    ] as const) {
      this.#tree.put(concat(inodeXattrPrefix(ino), Buffer.from(name)), value);
    }
    fitRecord(this.#context, inode, content);
    record.setLinks(inode, 1);
    this.#tree.put(inodeKey(ino), inode);
    tellLoss(this.#context, where, fault, place);
    return { type, names: 1, place };
  }

  #settleInodes(): void {
    for (const { key, value: told } of itemsBelow(this.#tree, INODES_PREFIX)) {
      const ino = inoOfKey(key);
      const value = withFirstName(told);
      const linked = this.#linked.get(ino);
      if (linked?.place !== undefined) continue;
      let names = linked?.names ?? 0;
      if (names === 0) {
        const { fault, content } =
          record.typeOf(value) === record.REGULAR
            ? this.#contentOf(value, record.bornOf(told), `inode ${ino}`)
            : { fault: undefined, content: undefined };
        const place = this.#context.lost.keep(ino, record.newLink(ino, record.typeOf(value)), {});
        if (fault !== undefined) fitRecord(this.#context, value, content);
        names = 1;
        this.#context.found.lostPlaces++;
        this.#context.report(
          'lost',
          `inode ${ino}: none of its names is left: it is ${showPath(place)} now${fault === undefined ? '' : `; ${fault}`}`,
        );
      } else if (names === record.linksOf(value)) continue;
      else
        this.#context.report(
          'mended',
          `inode ${ino}: its record told ${record.linksOf(value)} links, there are ${names}`,
        );
      record.setLinks(value, names);
      this.#tree.put(key, value);
    }
  }

  /** They were removed while open; the next mount would do it. */
  #dropOrphans(): void {
    let count = 0;
    for (const { key } of itemsBelow(this.#tree, ORPHANS_PREFIX)) {
      count++;
      this.#orphans.add(inoOfKey(key));
      this.#tree.delete(key);
      this.#context.dropBelow(inodeXattrPrefix(inoOfKey(key)));
    }
    if (count > 0) this.#context.report('mended', `${count} files that were removed while open are left out`);
  }

  #keepLeftContents(): void {
    let count = 0;
    for (const { ino, born, content } of this.#context.options.contents.left()) {
      // No file's: a snapshot's.
      if (this.#tree.getVersion(keptKey(ino, born)) !== undefined) continue;
      const path = this.#nameless.get(ino);
      const isWanted = path !== undefined || (this.#context.options.isIncomplete && !this.#orphans.has(ino));
      if (isWanted) this.#keepContent(ino, path, 'its record is lost', content);
      else count++;
    }
    if (count > 0)
      this.#context.report('mended', `${count} contents of files that were removed are left out`);
    for (const { name, content } of this.#context.options.contents.unclaimed()) {
      const fault = `content/unclaimed/${name}: nobody can tell whose content it is`;
      this.#keepContent(this.#context.takeIno(), undefined, fault, content);
    }
  }

  /** Makes a file of a content without a record. */
  #keepContent(ino: number, path: Uint8Array | undefined, fault: string, content: OldContent): void {
    const inode = this.#context.lost.emptyFile(ino);
    record.setFlag(inode, record.CONTENT);
    fitToContent(inode, content);
    this.#context.options.contents.take(content, ino);
    const facts = { [FACT_FAULT]: Buffer.from(fault), ...(path !== undefined && { [FACT_PATH]: path }) };
    const place = this.#context.lost.keep(ino, inode, facts);
    this.#context.found.lostPlaces++;
    this.#context.report('lost', `inode ${ino}: ${fault}; its ${content.size} bytes are ${showPath(place)}`);
  }
}

/** Gives a name of an inode that is kept by number the inode's type. */
export function tellType(context: RepairContext, key: Uint8Array, ino: number, type: number): void {
  context.tree.put(key, record.newLink(ino, type));
  context.report('mended', `${showPath(pathOfKey(key))}: its type was not that of its inode ${ino}`);
}

/** The record, of a content that is named as one is that is older than all snapshots. */
function withFirstName(value: Uint8Array): Uint8Array {
  return record.bornOf(value) === 0 ? value : record.withBorn(value, 0);
}

/** Gives the record what a power cut has left, and the present time. */
function fitToCut(context: RepairContext, inode: Uint8Array, content: OldContent | undefined): void {
  record.setSize(inode, content?.size ?? 0);
  record.setBlocks(inode, content?.blocks ?? 0);
  record.clearFlag(inode, record.LIVE);
  for (const time of [record.MTIME, record.CTIME]) {
    record.setTime(inode, time, context.clock.seconds, context.clock.nanos);
  }
}

/** Gives the record the size and the time of the content that is there. */
export function fitToContent(inode: Uint8Array, content: OldContent): void {
  record.setSize(inode, content.size);
  record.setBlocks(inode, content.blocks);
  record.clearFlag(inode, record.LIVE);
  const seconds = record.secondsOf(inode, record.MTIME);
  const { mtimeSeconds, mtimeNanos } = content;
  if (
    mtimeSeconds < seconds ||
    (mtimeSeconds === seconds && mtimeNanos <= record.nanosOf(inode, record.MTIME))
  )
    return;
  for (const time of [record.MTIME, record.CTIME]) record.setTime(inode, time, mtimeSeconds, mtimeNanos);
}

/** Keeps what is left of a file, and what is known of it, under lost+found. */
export function loseContent(
  context: RepairContext,
  key: Uint8Array,
  inode: Uint8Array,
  fault: string,
  content: OldContent | undefined,
): void {
  const path = pathOfKey(key);
  context.tree.delete(key);
  const place = context.lost.keep(record.inoOf(inode), inode, {
    [FACT_PATH]: path,
    [FACT_FAULT]: Buffer.from(fault),
  });
  context.lost.takeXattrs(path, place);
  fitRecord(context, inode, content);
  context.tree.put(entryKey(place), inode);
  tellLoss(context, showPath(path), fault, place);
}

function tellLoss(context: RepairContext, where: string, fault: string, place: Uint8Array): void {
  context.found.damagedFiles++;
  context.report('lost', `${where}: ${fault}; what is left is ${showPath(place)}`);
}

/** Makes the record one of what is there. */
function fitRecord(context: RepairContext, inode: Uint8Array, content: OldContent | undefined): void {
  if (content === undefined) {
    record.setSize(inode, 0);
    record.setBlocks(inode, 0);
    record.clearFlag(inode, record.LIVE | record.CONTENT);
    return;
  }
  record.setSize(inode, content.size);
  record.setBlocks(inode, content.blocks);
  record.clearFlag(inode, record.LIVE);
  context.options.contents.take(content, record.inoOf(inode));
}
