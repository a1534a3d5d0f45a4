/** The end of orphans: inodes that lost their last name while somebody used them. */
import { SpinneyError } from '../../../engine/errors.js';
import { inodeXattrPrefix, keptKey, orphanKey } from '../records/keys.js';
import * as record from '../records/record.js';
import { type Inodes, REMOVAL } from './inodes.js';

/** Orphans whose records one batch deletes. */
const RECLAIMED_PER_BATCH = 1_000;
/** Ended orphans whose records may wait to be deleted. */
const MOST_ENDED = 32;

/** Nobody uses the orphan any more: what it left is reclaimed. Does nothing for an inode that is no orphan. */
export function reclaimOrphan(inodes: Inodes, ino: number): void {
  const kept = inodes.orphans.get(ino);
  if (kept === undefined) return;
  inodes.orphans.delete(ino);
  if (kept !== null) return;
  const stored = inodes.tree.get(orphanKey(ino));
  if (stored === undefined) return;
  inodes.left.delete(ino);
  if (hasOwnContent(inodes, stored)) inodes.reclaim(ino, record.bornOf(stored));
  else if (!inodes.rests || record.hasFlag(stored, record.CONTENT)) deleteOrphanRecords(inodes, [ino]);
  else {
    // Nobody waits for it, and one batch for many costs little more than one for each. Where it never comes the next start does it.
    inodes.ended.push(ino);
    if (inodes.ended.length >= MOST_ENDED) deleteEnded(inodes);
  }
}

/** Deletes the records that were left for later. */
export function deleteEnded(inodes: Inodes): void {
  const { ended } = inodes;
  if (ended.length > 0) deleteOrphanRecords(inodes, ended.splice(0));
}

/** Whether an orphan has a content that goes with it: a snapshot may have it, too. */
export function hasOwnContent(inodes: Inodes, orphan: Uint8Array): boolean {
  if (!record.hasFlag(orphan, record.CONTENT)) return false;
  return inodes.tree.getVersion(keptKey(record.inoOf(orphan), record.bornOf(orphan))) === undefined;
}

/** Deletes the records of orphans whose content is gone. */
export function deleteOrphanRecords(inodes: Inodes, inos: readonly number[]): void {
  for (let from = 0; from < inos.length; from += RECLAIMED_PER_BATCH) {
    const some = inos.slice(from, from + RECLAIMED_PER_BATCH);
    try {
      deleteAtOnce(inodes, some);
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_NO_SPACE') throw error;
      // One by one they change fewer blobs at a time than a full disk has space for.
      for (const ino of some) deleteAtOnce(inodes, [ino]);
    }
  }
}

function deleteAtOnce(inodes: Inodes, inos: readonly number[]): void {
  inodes.atomic((batch) => {
    for (const ino of inos) {
      batch.delete(orphanKey(ino));
      batch.deletePrefix(inodeXattrPrefix(ino));
    }
  }, REMOVAL);
}
