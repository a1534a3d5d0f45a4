/** Checks the content files of a store that nobody serves against its records. Nothing is changed. */
import { join } from 'node:path';
import type { TreeOperations, TreeReads } from '../../engine/index.js';
import { AWAY_DIRECTORY } from '../filesystem/contents/away/away.js';
import { shippedFinder } from '../filesystem/contents/away/shipped-rows.js';
import {
  ContentFiles,
  type ContentsAway,
  contentPath,
  parseContentName,
} from '../filesystem/contents/content.js';
import { COPIES_DIRECTORY } from '../filesystem/contents/content-copy.js';
import { entriesOf } from '../filesystem/contents/content-directory.js';
import { isAfterCut, readMark } from '../filesystem/contents/content-mark.js';
import { type ContentDisk, newFileStatus } from '../filesystem/contents/disk/content-disk.js';
import { faultOf, NO_FILE } from '../filesystem/contents/disk/faults.js';
import { SystemClock } from '../filesystem/contents/disk/system.js';
import { findContents, type LeftCopies, leftCopies } from '../filesystem/contents/left-copies.js';
import { cutOf, PowerCut } from '../filesystem/contents/power-cut.js';
import { SPARES_DIRECTORY } from '../filesystem/contents/spares/spare-files.js';
import {
  type LeftSpares,
  leftSparesOrNone,
  UNCLAIMED_DIRECTORY,
} from '../filesystem/contents/spares/spare-recovery.js';
import { takenLsn } from '../filesystem/contents/taken-store.js';
import { ContentSet } from '../filesystem/records/inode-set.js';
import * as record from '../filesystem/records/record.js';
import { SnapshotIds } from '../filesystem/records/snapshot-ids.js';
import type { CheckedContents, ContentFindings } from './checked-contents.js';

/** Directories that are looked into otherwise, or have what the next mount fetches anew. */
const NOT_OF_INODES: ReadonlySet<string> = new Set([SPARES_DIRECTORY, COPIES_DIRECTORY, AWAY_DIRECTORY]);

/** Contents that a remote has, as the tree's rows tell: they are looked at, and stay where they are. */
function awayContents(tree: TreeReads): ContentsAway {
  return { find: shippedFinder(tree), require: () => {}, heal: () => false };
}

/** What is asked of the tree. */
export type CheckedTree = TreeReads &
  Pick<TreeOperations, 'lastLsn' | 'previousEnd' | 'snapshots' | 'diff' | 'at'>;

export class ContentCheck implements CheckedContents {
  readonly #disk: ContentDisk;
  readonly #directory: string;
  readonly #findings: ContentFindings;
  readonly #cut: PowerCut;
  /** The machine came to an end since the store was served: what was not durable then may be lost. */
  readonly #wasCut: boolean;
  readonly #durableLsn: number;
  readonly #spares: LeftSpares;
  /** Those that records tell, by born. */
  readonly #told = new ContentSet();
  /** Those that are kept for snapshots. */
  readonly #kept = new ContentSet();
  readonly #snapshots: SnapshotIds;
  readonly #copies: LeftCopies;
  readonly #content: ContentFiles;
  readonly #status = newFileStatus();
  /** Contents that the remote has, and no file. */
  away = 0;

  /** `directory`: `<store>/content`, which may be missing. `hasRemote`: what rows tell of may be in a remote alone. */
  constructor(
    tree: CheckedTree,
    disk: ContentDisk,
    directory: string,
    findings: ContentFindings,
    hasRemote: boolean,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#findings = findings;
    const mark = readMark(tree);
    const clock = new SystemClock();
    clock.read();
    this.#wasCut = isAfterCut(tree, mark, disk.bootId());
    this.#durableLsn = mark?.durableLsn ?? 0;
    const content = new ContentFiles(disk, directory, true);
    // What only a remote has is not missing.
    if (hasRemote) content.away = awayContents(tree);
    this.#content = content;
    this.#snapshots = new SnapshotIds(tree);
    this.#cut = new PowerCut(content, clock, () => {});
    const after = mark?.durableSeconds ?? 0;
    this.#cut.noteTaken(takenLsn(tree));
    this.#cut.note(this.#wasCut ? { lsn: tree.lastLsn(), after, before: clock.seconds } : cutOf(mark));
    this.#spares = leftSparesOrNone(disk, directory, this.#wasCut, this.#snapshots.last, (reason) =>
      findings.damage(reason),
    );
    for (const [ino, { path, born }] of this.#spares.lent) content.isAt(ino, born, path);
    this.#copies = leftCopies(tree, content, this.#wasCut);
    findContents(content, this.#copies);
  }

  /** The inode, which `where` names, has the content that its record tells. */
  check(where: string, inode: Uint8Array, version: number): void {
    const ino = record.inoOf(inode);
    const bytes = record.hasFlag(inode, record.CONTENT) ? this.#bytesOf(inode) : NO_FILE;
    const fault = faultOf(inode, bytes);
    if (fault === undefined) return;
    const isCandidate = record.hasFlag(inode, record.LIVE) || version > this.#durableLsn;
    if (this.#wasCut && isCandidate) {
      this.#findings.note(
        `${where}: ${fault} (inode ${ino}); a power cut left it so, and the next mount settles it`,
      );
    } else if (this.#cut.isLagging(version)) {
      this.#findings.note(
        `${where}: ${fault} (inode ${ino}); the remote had no more when the store was taken over, and opening it settles it`,
      );
    } else if (bytes !== NO_FILE && this.#cut.leftOver(version)) {
      this.#findings.note(
        `${where}: ${fault} (inode ${ino}); a power cut left it so, and opening it settles it`,
      );
    } else {
      this.#findings.damage(`${where}: ${fault} (inode ${ino})`);
    }
  }

  #bytesOf(inode: Uint8Array): number {
    const bytes = this.#cut.bytesOf(inode);
    const isAway = bytes !== NO_FILE && this.#content.away !== undefined;
    if (isAway && !this.#content.isHere(record.inoOf(inode), record.bornOf(inode))) this.away++;
    return bytes;
  }

  /** There may be a content file of the inode. */
  expect(inode: Uint8Array): void {
    if (record.hasFlag(inode, record.CONTENT)) this.#told.add(record.inoOf(inode), record.bornOf(inode));
  }

  /** A content is kept for snapshots. All records of files that are there have been seen. */
  keep(ino: number, born: number, died: number): void {
    const where = `kept content of inode ${ino}, made after snapshot ${born}`;
    if (this.#told.has(ino, born)) {
      this.#findings.damage(`${where}: a file has it, too, and would lose it with the last snapshot`);
    }
    // A backup has records of what its source keeps for snapshots, and nothing else of it.
    const isOfSource = this.#snapshots.count === 0 && !this.#content.status(ino, born, this.#status);
    if (!this.#snapshots.isNeeded(born, died) && !isOfSource) {
      this.#findings.note(`${where}: no snapshot needs it, and it goes at the next mount`);
    }
    this.#kept.add(ino, born);
  }

  /** A snapshot has the record. */
  checkKept(where: string, inode: Uint8Array, version: number): void {
    if (!record.hasFlag(inode, record.CONTENT)) return;
    const ino = record.inoOf(inode);
    const born = record.bornOf(inode);
    const bytes = this.#bytesOf(inode);
    // Somebody had it open for writing, and had not written anything.
    if (bytes === NO_FILE && (record.sizeOf(inode) === 0 || record.hasFlag(inode, record.LIVE))) return;
    if (!this.#told.has(ino, born) && !this.#kept.has(ino, born)) {
      this.#findings.damage(`${where}: its content is not kept for the snapshot (inode ${ino})`);
    }
    const fault = faultOf(inode, bytes);
    if (fault === undefined) return;
    const isCut =
      (this.#wasCut && version > this.#durableLsn) || (bytes !== NO_FILE && this.#cut.leftOver(version));
    if (isCut) this.#findings.note(`${where}: ${fault} (inode ${ino}); a power cut left it so`);
    else this.#findings.damage(`${where}: ${fault} (inode ${ino})`);
  }

  /**
   * What is left when all records were seen; returns how many content files there are. Content that no record mentions is no
   * damage: a crash between the removal of a name and of its content leaves it.
   */
  finish(): number {
    this.#checkSpares();
    this.#checkCopies();
    let count = 0;
    for (const directory of entriesOf(this.#disk, this.#directory)) {
      if (NOT_OF_INODES.has(directory.name)) continue;
      const path = join(this.#directory, directory.name);
      if (directory.kind !== 'directory') this.#findings.note(`${path}: it is no directory of content files`);
      else if (directory.name === UNCLAIMED_DIRECTORY) this.#checkUnclaimed(path);
      else count += this.#checkDirectory(path);
    }
    return count;
  }

  #checkSpares(): void {
    const { lent, unclaimed, damagedEntries } = this.#spares;
    for (const [ino, { path, isWritten }] of lent) {
      if (!isWritten) continue;
      this.#findings.note(`${path}: it is the content of inode ${ino}, and gets its place at the next mount`);
    }
    for (const { path, size } of unclaimed) {
      this.#findings.damage(
        `${path}: ${size} bytes of a file that cannot be told, since the table of owners is damaged`,
      );
    }
    if (damagedEntries > 0) {
      this.#findings.damage(
        `${join(this.#directory, SPARES_DIRECTORY, 'owners')}: ${damagedEntries} entries are damaged`,
      );
    }
  }

  #checkCopies(): void {
    const { moved, garbage, splits } = this.#copies;
    for (const { copy, path } of moved) {
      this.#findings.note(
        `${path}: it is the content of inode ${copy.ino}, and gets its place at the next mount`,
      );
    }
    for (const path of garbage) {
      this.#findings.note(
        `${path}: a copy of a content that did not come to its end, and goes at the next mount`,
      );
    }
    for (const { copy, hasMoved } of splits) {
      if (!hasMoved || !this.#content.areOne(copy.ino, copy.born, copy.next)) continue;
      this.#findings.note(
        `inode ${copy.ino}: snapshots share its content, made after snapshot ${copy.born}, until the next mount copies it`,
      );
    }
  }

  #checkUnclaimed(path: string): void {
    for (const { name } of entriesOf(this.#disk, path)) {
      const file = join(path, name);
      this.#findings.damage(
        `${file}: ${this.#sizeOf(file)} bytes of a file that could not be told after a kill; copy what is wanted, and remove it`,
      );
    }
  }

  #checkDirectory(path: string): number {
    let count = 0;
    for (const file of entriesOf(this.#disk, path)) {
      const content = parseContentName(file.name);
      const whole = join(path, file.name);
      if (content === undefined || contentPath(this.#directory, content.ino, content.born) !== whole) {
        this.#findings.note(`${whole}: it is no content file`);
        continue;
      }
      count++;
      const { ino, born } = content;
      if (!this.#told.has(ino, born) && !this.#kept.has(ino, born)) {
        this.#findings.note(`${whole}: no file has this content (${this.#sizeOf(whole)} bytes)`);
      }
    }
    return count;
  }

  #sizeOf(path: string): number {
    return this.#disk.statusAt(path, this.#status) ? this.#status.size : 0;
  }
}
