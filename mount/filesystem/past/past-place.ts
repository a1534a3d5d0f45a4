/**
 * An object as a snapshot has it: the snapshot's id, and its path at that moment, which never changes.
 *
 * What clients see as its inode number is above all numbers of live inodes: 15 bits that stand for the snapshot, then the 48 of
 * the number that it had. So it is the same as long as the snapshot is there, under whatever directory it is looked at, and
 * names that were links to one file have one number. Snapshots whose ids are 32,766 apart would share theirs.
 */
export interface PastPlace {
  snapshot: number;
  path: Uint8Array;
}

/** What is above 48 bits in the numbers of a snapshot's objects; those of live ones are 0. */
export function numberSpace(snapshot: number): number {
  return ((snapshot - 1) % (SNAPSHOT_DIRECTORY_SPACE - 1)) + 1;
}

/** The same of snapshot directories; the low 48 are those of the directory whose snapshots it lists. */
export const SNAPSHOT_DIRECTORY_SPACE = 0x7fff;
