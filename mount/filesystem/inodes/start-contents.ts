/** Contents at the start: those that a kill left without names get them, and what a power cut left is settled. */
import type { MountLog } from '../../types.js';
import { isAfterCut, NO_BOOT, readMark, writeMark } from '../contents/content-mark.js';
import { faultOf } from '../contents/disk/faults.js';
import { cutOf, markOf } from '../contents/power-cut.js';
import {
  type LeftSpares,
  leftSpares,
  recoverSpares,
  UNCLAIMED_DIRECTORY,
} from '../contents/spares/spare-recovery.js';
import { takenLsn } from '../contents/taken-store.js';
import { ContentSet } from '../records/inode-set.js';
import { bornOfKey, ENTRIES_PREFIX, INODES_PREFIX, inoOfKey, KEPT_PREFIX, showKey } from '../records/keys.js';
import * as record from '../records/record.js';
import type { Inodes } from './inodes.js';

/** Files that the log names. */
const MOST_NAMED = 100;

/**
 * To be called before anything is asked or changed. `hasTree`: the store is not new. `finishCopies`: told whether a power cut
 * ended the last run.
 * @throws ERR_FORMAT_VERSION where an earlier version was killed
 */
export function startContents(
  inodes: Inodes,
  hasTree: boolean,
  finishCopies: (wasCut: boolean) => void,
  log: MountLog,
): void {
  const { tree, content, cut, clock, readOnly } = inodes;
  const mark = readMark(tree);
  const boot = content.disk.bootId();
  const wasCut = hasTree && isAfterCut(tree, mark, boot);
  const left = leftSpares(content.disk, content.directory, wasCut, inodes.snapshots.last);
  recoverSpares(content, left, readOnly);
  finishCopies(wasCut);
  tellOfSpares(inodes, left, log);
  clock.read();
  const now = clock.seconds;
  const { durableLsn, durableSeconds } = mark ?? { durableLsn: 0, durableSeconds: 0 };
  const seen = wasCut ? { lsn: tree.lastLsn(), after: durableSeconds, before: now } : cutOf(mark);
  cut.note(seen);
  cut.noteTaken(takenLsn(tree));
  if (!wasCut && (readOnly || mark?.boot === boot)) return;
  try {
    if (wasCut) {
      // A kill from here on must not hide that there was a cut.
      if (!readOnly) writeMark(tree, { boot: NO_BOOT, durableLsn, durableSeconds, ...markOf(seen) });
      settleCut(inodes, durableLsn, log);
    }
    // What is here has been read from the disk, or is of a new store.
    if (!readOnly)
      writeMark(tree, { boot, durableLsn: tree.lastLsn(), durableSeconds: now, ...markOf(seen) });
  } catch (error) {
    // A full disk or a damaged part of the tree is no reason to refuse the rest: the next start tries again.
    log(
      'error',
      `Cannot settle all that a power cut may have left; it is when it is opened, or at the next start: ${error}`,
    );
  }
}

function settleCut(inodes: Inodes, durableLsn: number, log: MountLog): void {
  const { tree, cut, readOnly } = inodes;
  const files: string[] = [];
  let count = 0;
  const told = new ContentSet();
  cut.settle(
    tree,
    durableLsn,
    readOnly,
    (where, had, has) => {
      if (count++ < MOST_NAMED) files.push(`${where}: ${had} bytes, now ${has}`);
    },
    (inode) => told.add(record.inoOf(inode), record.bornOf(inode)),
  );
  if (!readOnly && inodes.snapshots.last > 0) removeLostCopies(inodes, told);
  if (count === 0) return;
  log(
    'warn',
    `The machine came to an end while contents were not on the disk: ${count} files have what is there, and the present time`,
    { count, files },
  );
}

/**
 * Copies that files had got for themselves, whose records are lost: the files have what was copied. A content of an inode
 * that no record tells of is left alone.
 */
function removeLostCopies({ content, tree }: Inodes, told: ContentSet): void {
  for (const item of tree.range({ prefix: KEPT_PREFIX, keysOnly: true })) {
    if (item.type === 'key') told.add(inoOfKey(item.key), bornOfKey(item.key));
  }
  for (const { ino, born } of content.list()) {
    if (born > 0 && !told.has(ino, born) && told.hasInode(ino)) content.remove(ino, born);
  }
}

/** A spare whose owner is not known is missed by a record: which one is looked for in all of them. */
function tellOfSpares(inodes: Inodes, left: LeftSpares, log: MountLog): void {
  const { tree, content, cut, troubles } = inodes;
  const { damagedEntries, unclaimed } = left;
  if (damagedEntries === 0 && unclaimed.length === 0) return;
  log('error', 'The table of owners in content/spares was damaged', {
    damagedEntries,
    unclaimed: unclaimed.length,
    directory: `${content.directory}/${UNCLAIMED_DIRECTORY}`,
  });
  for (const prefix of [ENTRIES_PREFIX, INODES_PREFIX]) {
    for (const item of tree.range({ prefix })) {
      if (item.type !== 'key' || record.isLink(item.value)) continue;
      const inode = item.value;
      if (record.typeOf(inode) !== record.REGULAR || !record.hasFlag(inode, record.LIVE)) continue;
      const fault = faultOf(inode, cut.bytesOf(inode));
      if (fault !== undefined) troubles.note(record.inoOf(inode), showKey(item.key), fault);
    }
  }
}
