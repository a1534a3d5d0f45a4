/**
 * Backing files that are there before anybody needs one: at `<content>/spares/<number / 512 in hex>/<number in hex>`.
 *
 * A new file that a driver may write past this layer needs a backing file before it is known whether it will have any
 * content. It borrows a spare; one that is still unwritten when the file is closed serves the next, and one that was
 * written is renamed to its inode's content file. So an empty file costs no operation of the filesystem below, which for
 * making and removing a file may need 20 us or, where many were just removed, 500.
 *
 * Invariants
 * - A spare is lent to one inode at a time, and the table never says two are the same inode's: one that is idle may still
 *   be said to be, until that gets another content. No file gets one that was ever written, or that somebody may still see or
 *   write through a mapping.
 * - An unwritten one has an mtime that no write gives, whatever the clock's ticks are.
 * - Before a record says that an inode has content, the file `owners` (owner-table.ts) tells which spare that is. So a
 *   record that is LIVE has its content by its name or by that table, after a kill too, or it is lost. After a power cut
 *   all spares are garbage: what an fsync has promised has its name.
 * - Numbers are not reused while the files of an earlier run are there: those get their names, or are removed, first.
 */

import { SpinneyError } from '../../../../engine/errors.js';
import type { FileIdentity } from '../../types.js';
import type { ContentFiles } from '../content.js';
import { type ContentDisk, type FileStatus, newFileStatus, writeFully } from '../disk/content-disk.js';
import { NOBODY, OWNER_BYTES, OwnerEncoder } from './owner-table.js';

export const SPARES_DIRECTORY = 'spares';
const OWNERS = 'owners';
const FILES_PER_DIRECTORY = 512;
/** Spares that are kept open for whoever comes next. */
const MOST_IDLE = 64;

/** The mtime of what is unwritten: in 1970, when nobody writes. */
export const UNWRITTEN_SECONDS = 0;
/** Of `owners`, after that of the directory. */
const FIRST_SLOT = 1;
/** In place of a spare's number. */
export const NO_SPARE = -1;

export interface Spare {
  readonly number: number;
  /** Open for reading and writing; -1: closed, as one that is lent may be. */
  fd: number;
  /** Of its entry in `owners`. */
  readonly slot: number;
  readonly identity: FileIdentity;
  /** The inode in that entry, and the born of the content that it is there. */
  owner: number;
  born: number;
}

export class SpareFiles {
  readonly #disk: ContentDisk;
  readonly #content: ContentFiles;
  readonly #directory: string;
  readonly #idle: Spare[] = [];
  readonly #freeSlots: number[] = [];
  /** Written, but without a name at the end: by inode. */
  readonly #kept = new Map<number, Spare>();
  readonly #owner: OwnerEncoder;
  readonly #status: FileStatus = newFileStatus();
  #slots = FIRST_SLOT;
  #nextNumber = 0;
  #owners = -1;
  /** The inode that `owners` says the next spare to be lent is lent to. */
  #promisedTo = NOBODY;

  constructor(content: ContentFiles) {
    this.#disk = content.disk;
    this.#content = content;
    this.#directory = sparesDirectory(content.directory);
    this.#owner = new OwnerEncoder(content.disk.bootId());
  }

  /**
   * The next spare to be lent will be this inode's, as the content made after snapshot `born`: from here on its record may say
   * that it has content.
   */
  promise(ino: number, born: number): void {
    if (this.#idle.length === 0) this.#idle.push(this.#make());
    this.#promisedTo = NOBODY;
    this.#takeUpFirst(ino);
    this.#tellOwner(this.#idle.at(-1)!, ino, born, this.#owner);
    this.#promisedTo = ino;
  }

  /** Lends a spare to the inode, which has no content. */
  lend(ino: number, born: number): Spare {
    if (this.#promisedTo !== ino) this.promise(ino, born);
    this.#promisedTo = NOBODY;
    return this.#idle.pop()!;
  }

  /** The inode gets another content: what it had borrowed, and given back, is its no more. */
  disown(ino: number): void {
    if (this.#takeUpFirst(ino)) this.#tellOwner(this.#idle.at(-1)!, NOBODY, 0, this.#owner);
  }

  /** Puts the idle spare that the table still says is the inode's, if there is one, where the next to be lent is. */
  #takeUpFirst(ino: number): boolean {
    const idle = this.#idle;
    for (let i = 0; i < idle.length; i++) {
      const spare = idle[i]!;
      if (spare.owner !== ino) continue;
      idle[i] = idle.at(-1)!;
      idle[idle.length - 1] = spare;
      return true;
    }
    return false;
  }

  /** A spare that is lent, and unwritten, is another content of its inode from here on. */
  lendAs(spare: Spare, ino: number, born: number): void {
    this.#tellOwner(spare, ino, born, this.#owner);
  }

  /** Opens a spare that is lent; -1: it has another name by now. */
  open(spare: Spare): number {
    return this.#disk.open(this.#pathOf(spare.number), 'write');
  }

  /** Looks at a spare that is lent; false: it has another name by now. */
  status(spare: Spare, out: FileStatus): boolean {
    return this.#disk.statusAt(this.#pathOf(spare.number), out);
  }

  #tellOwner(spare: Spare, ino: number, born: number, owner: OwnerEncoder): void {
    owner.encode(spare.slot, spare.number, ino, born, spare.identity);
    writeFully(this.#disk, this.#owners, owner.bytes, spare.slot * OWNER_BYTES);
    spare.owner = ino;
    spare.born = born;
  }

  /** Makes the spare the content file of the inode that it is lent to; its descriptor stays open, and is the caller's. */
  name(spare: Spare, ino: number): void {
    nameSpare(this.#content, spare.number, ino, spare.born);
    this.named(spare);
  }

  /** Another thread made the spare a content file: its descriptor is the caller's. */
  named(spare: Spare): void {
    this.#freeSlots.push(spare.slot);
  }

  /**
   * Takes a spare back whose content nobody wants; its descriptor is not the caller's any more. `isShared`: somebody may
   * still write to it.
   */
  takeBack(spare: Spare, isShared: boolean): void {
    if (!isShared && spare.fd >= 0 && this.#idle.length < MOST_IDLE) {
      this.#disk.status(spare.fd, this.#status);
      if (!hasBeenWritten(this.#status)) {
        this.#promisedTo = NOBODY;
        this.#idle.push(spare);
        return;
      }
    }
    if (spare.fd >= 0) this.#disk.close(spare.fd);
    this.#disk.remove(this.#pathOf(spare.number));
    this.#freeSlots.push(spare.slot);
  }

  /**
   * There is time: says of what was given back that it is nobody's. Until then a kill leaves an empty content file for
   * an inode that needs none.
   */
  rest(): void {
    for (const spare of this.#idle) {
      if (spare.owner !== NOBODY) this.#tellOwner(spare, NOBODY, 0, this.#owner);
    }
    this.#promisedTo = NOBODY;
  }

  /** Keeps the content of an inode, which could not get its name, where it is; its descriptor is closed. */
  keep(spare: Spare, ino: number): void {
    if (spare.fd >= 0) this.#disk.close(spare.fd);
    this.#content.isAt(ino, spare.born, this.#pathOf(spare.number));
    this.#kept.set(ino, spare);
  }

  /**
   * Whether anyone but the caller may write to the spare, also through a mapping. The spare gets another descriptor; the
   * kernel must have no registration of the old one left.
   */
  isShared(spare: Spare): boolean {
    const path = this.#pathOf(spare.number);
    const probe = this.#disk.open(path, 'read');
    if (probe < 0) throw new SpinneyError('ERR_IO', `Cannot open ${path}: it was removed by another program`);
    try {
      if (spare.fd >= 0) this.#disk.close(spare.fd);
      spare.fd = -1;
      const isShared = this.#disk.isWrittenElsewhere(probe);
      spare.fd = this.#disk.open(path, 'write');
      return isShared;
    } finally {
      this.#disk.close(probe);
    }
  }

  /** For a clean end: nothing is lent any more. Contents that still cannot get their names are left to the next start. */
  close(): void {
    for (const { fd } of this.#idle) this.#disk.close(fd);
    this.#idle.length = 0;
    if (this.#owners < 0) return;
    const left = this.#content.place();
    if (left !== undefined) this.#leaveKept();
    this.#disk.close(this.#owners);
    this.#owners = -1;
    if (left === undefined) this.#disk.removeDirectory(this.#directory);
  }

  /** Says of what is kept that it is so after any boot. */
  #leaveKept(): void {
    const owner = new OwnerEncoder(undefined);
    this.#tellDirectory(owner);
    for (const [ino, spare] of this.#kept) this.#tellOwner(spare, ino, spare.born, owner);
  }

  #tellDirectory(owner: OwnerEncoder): void {
    this.#disk.statusAt(this.#directory, this.#status);
    owner.encodeDirectory(this.#disk.lastIdentity());
    writeFully(this.#disk, this.#owners, owner.bytes, 0);
  }

  #make(): Spare {
    if (this.#owners < 0) this.#begin();
    const number = this.#nextNumber++;
    const path = this.#pathOf(number);
    let fd = this.#disk.open(path, 'create');
    if (fd < 0) {
      this.#disk.makeDirectory(directoryOf(this.#directory, number));
      fd = this.#disk.open(path, 'create');
    }
    if (fd < 0) throw new SpinneyError('ERR_IO', `Cannot make ${path}: its directory went away`);
    this.#disk.status(fd, this.#status);
    const spare = {
      number,
      fd,
      slot: this.#freeSlots.pop() ?? this.#slots++,
      identity: this.#disk.lastIdentity(),
      owner: NOBODY,
      born: 0,
    };
    try {
      this.#disk.setModificationTime(fd, UNWRITTEN_SECONDS, 0);
      // The space for its entry is there from now on.
      this.#tellOwner(spare, NOBODY, 0, this.#owner);
    } catch (error) {
      this.takeBack(spare, true);
      throw error;
    }
    return spare;
  }

  #begin(): void {
    const path = ownersPath(this.#directory);
    this.#disk.makeDirectory(this.#directory);
    this.#disk.spreadSubdirectories(this.#directory);
    this.#owners = this.#disk.open(path, 'create');
    if (this.#owners < 0) throw new SpinneyError('ERR_IO', `Cannot make ${path}: its directory went away`);
    try {
      this.#tellDirectory(this.#owner);
    } catch (error) {
      this.#disk.close(this.#owners);
      this.#owners = -1;
      throw error;
    }
  }

  #pathOf(number: number): string {
    return pathOf(this.#directory, number);
  }
}

/** Where the spares of a content directory are, and the table that tells whose they are. */
export function sparesDirectory(contentDirectory: string): string {
  return `${contentDirectory}/${SPARES_DIRECTORY}`;
}

export function ownersPath(spares: string): string {
  return `${spares}/${OWNERS}`;
}

/** Makes the spare with this number the inode's content file, if another thread did not do that before. */
export function nameSpare(content: ContentFiles, number: number, ino: number, born: number): void {
  content.name(sparePath(content.directory, number), ino, born);
}

/** Where the spare with this number is. */
export function sparePath(contentDirectory: string, number: number): string {
  return pathOf(sparesDirectory(contentDirectory), number);
}

/** Whether a spare that looks like this has been written, whatever name it has by now. */
export function hasBeenWritten(status: FileStatus): boolean {
  return status.size !== 0 || status.mtimeSeconds !== UNWRITTEN_SECONDS;
}

function directoryOf(directory: string, number: number): string {
  return `${directory}/${Math.floor(number / FILES_PER_DIRECTORY).toString(16)}`;
}

function pathOf(directory: string, number: number): string {
  return `${directoryOf(directory, number)}/${number.toString(16)}`;
}
