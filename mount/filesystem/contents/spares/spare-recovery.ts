/**
 * What is found of spares after a daemon was killed: contents that are to get their names.
 *
 * A spare is known by its identity, which the table of owners tells, not by where it lies. One that nobody can be told to
 * own is never guessed to be somebody's, and never removed while there is something in it: it goes to `unclaimed`, and whose
 * record misses it is refused.
 */

import { join } from 'node:path';
import { SpinneyError } from '../../../../engine/errors.js';
import type { FileIdentity } from '../../types.js';
import type { ContentFiles } from '../content.js';
import { type ContentDisk, newFileStatus } from '../disk/content-disk.js';
import { NOBODY, type OwnerTable, readOwners } from './owner-table.js';
import { hasBeenWritten, ownersPath, sparesDirectory } from './spare-files.js';

/** Contents whose owners nobody can tell: at `<content>/unclaimed/<inode number>-<time of birth>`, of the filesystem below. */
export const UNCLAIMED_DIRECTORY = 'unclaimed';

/** A file among the spares. */
export interface FoundSpare {
  path: string;
  number: number;
  size: number;
  isWritten: boolean;
  identity: FileIdentity;
  /** Of the content that it is, where it is lent. */
  born: number;
}

/** The spares that a run left which came to no end. */
export interface LeftSpares {
  /** Those that are lent, by inode. */
  lent: Map<number, FoundSpare>;
  /** With something in them, and nobody's as far as can be told. */
  unclaimed: FoundSpare[];
  /** Entries of the table of owners that cannot be told. */
  damagedEntries: number;
}

/**
 * The spares in a content directory that nobody serves. `wasCut`: the machine came to an end since, so that only
 * what a clean end left counts. `last`: the newest snapshot that ever was.
 */
export function leftSpares(
  disk: ContentDisk,
  contentDirectory: string,
  wasCut: boolean,
  last: number,
): LeftSpares {
  const directory = sparesDirectory(contentDirectory);
  const left: LeftSpares = { lent: new Map(), unclaimed: [], damagedEntries: 0 };
  if (disk.nodeAt(directory) === undefined) return left;
  const table = readOwners(disk, ownersPath(directory), wasCut ? undefined : disk.bootId(), last);
  left.damagedEntries = table.damaged;
  const isCopied = isCopy(disk, directory, table);
  const owners = new Map<string, { ino: number; born: number }>();
  for (const { number, ino, born, identity } of table.owners) {
    const key = isCopied ? `${number}` : identityKey(identity);
    owners.set(key, owners.has(key) ? SEVERAL_OWNERS : { ino, born });
  }
  for (const spare of findSpares(disk, directory)) {
    const owner = owners.get(isCopied ? `${spare.number}` : identityKey(spare.identity)) ?? SEVERAL_OWNERS;
    const { ino } = owner;
    spare.born = owner.born;
    if (ino > NOBODY) left.lent.set(ino, spare);
    else if (ino === SEVERAL && spare.size > 0 && !wasCut) left.unclaimed.push(spare);
  }
  return left;
}

/** As `leftSpares`; where they cannot be told, `report` is given the reason, and there are none. */
export function leftSparesOrNone(
  disk: ContentDisk,
  contentDirectory: string,
  wasCut: boolean,
  last: number,
  report: (reason: string) => void,
): LeftSpares {
  try {
    return leftSpares(disk, contentDirectory, wasCut, last);
  } catch (error) {
    if (!(error instanceof SpinneyError)) throw error;
    report(error.message);
    return { lent: new Map(), unclaimed: [], damagedEntries: 0 };
  }
}

/** In place of one inode: entries that tell different things, or none. */
const SEVERAL = -1;
const SEVERAL_OWNERS = { ino: SEVERAL, born: 0 };

/** Whether the directory is a copy of the one that the table was made in, all of whose files are others. */
function isCopy(disk: ContentDisk, directory: string, table: OwnerTable): boolean {
  if (table.directory === undefined || !disk.statusAt(directory, newFileStatus())) return false;
  return identityKey(disk.lastIdentity()) !== identityKey(table.directory);
}

function identityKey({ file, birth }: FileIdentity): string {
  return `${file} ${birth}`;
}

function* findSpares(disk: ContentDisk, directory: string): Generator<FoundSpare> {
  const status = newFileStatus();
  for (const inner of disk.list(directory)) {
    if (inner.kind !== 'directory') continue;
    for (const { name } of disk.list(join(directory, inner.name))) {
      const path = join(directory, inner.name, name);
      const number = Number.parseInt(name, 16);
      if (!disk.statusAt(path, status)) continue;
      yield {
        path,
        number,
        size: status.size,
        isWritten: hasBeenWritten(status),
        identity: disk.lastIdentity(),
        born: 0,
      };
    }
  }
}

/**
 * Gives the lent spares of an earlier run their names, and removes what is left of the others. With a content directory
 * that is only read, notes where those contents are.
 */
export function recoverSpares(content: ContentFiles, left: LeftSpares, isReadOnly: boolean): void {
  const { disk } = content;
  if (isReadOnly) {
    for (const [ino, { path, born }] of left.lent) content.isAt(ino, born, path);
    return;
  }
  for (const [ino, { path, born }] of left.lent) content.name(path, ino, born);
  if (left.unclaimed.length > 0) {
    const directory = join(content.directory, UNCLAIMED_DIRECTORY);
    disk.makeDirectory(directory);
    for (const { path, identity } of left.unclaimed) {
      disk.rename(path, join(directory, `${identity.file}-${identity.birth}`));
    }
  }
  disk.removeDirectory(sparesDirectory(content.directory));
}
