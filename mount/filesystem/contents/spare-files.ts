/**
 * Backing files that are there before anybody needs one: at `<content>/spares/<number / 512 in hex>/<number in hex>`.
 *
 * A new file that a driver may write past this layer needs a backing file before it is known whether it will have any
 * content. It borrows a spare; one that is still unwritten when the file is closed serves the next, and one that was
 * written is renamed to its inode's content file. So an empty file costs no operation of the filesystem below, which for
 * making and removing a file may need 20 us or, where many were just removed, 500.
 *
 * Invariants
 * - A spare is lent to one inode at a time, and no file gets one that was ever written, or that somebody may still see or
 *   write through a mapping.
 * - An unwritten one has an mtime that no write gives, whatever the clock's ticks are.
 * - Before anything can be written to it, the file `owners` tells whose it is. That file is never synced: it is for
 *   those who find the store after the daemon was killed, in the page cache, and says of which boot it is. After another
 *   boot all spares are garbage: what an fsync has promised has its name.
 * - Numbers are not reused while the files of an earlier run are there: those get their names, or are removed, first.
 */
import {
  closeSync,
  constants,
  lutimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { SpinneyError } from '../../../engine/errors.js';
import { type ContentFiles, isOpenForWriting } from './content.js';
import {
  closeBacking,
  type FileStatus,
  isWrittenElsewhere,
  openBacking,
  setModificationTime,
  spreadSubdirectories,
  statDescriptor,
  statPath,
} from './system.js';

export const SPARES_DIRECTORY = 'spares';
const OWNERS = 'owners';
const { O_CREAT, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
const FILES_PER_DIRECTORY = 512;
/** Spares that are kept open for whoever comes next. */
const MOST_IDLE = 64;

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** `owners`: the boot's UUID as text, padded by zeros; then a record for each spare that was lent. */
const OWNERS_HEADER_BYTES = 64;
/** In place of the boot: what is there was left at a clean end, whatever came after. */
const ANY_BOOT = 'any';
/** Two doubles, little-endian: number + 1 (0: an empty record), and ino. */
const OWNER_BYTES = 16;
const NOBODY = 0;
/** The mtime of what is unwritten: in 1970, when nobody writes. */
const UNWRITTEN_SECONDS = 0;
/** In place of a spare's number. */
export const NO_SPARE = -1;

export interface Spare {
  readonly number: number;
  /** Open for reading and writing; -1: closed, as one that is lent may be. */
  fd: number;
  /** Of its record in `owners`. */
  readonly slot: number;
}

/** A spare that an earlier run lent. */
export interface LentSpare {
  ino: number;
  path: string;
  /** Whether it has been written. */
  isWritten: boolean;
}

export class SpareFiles {
  readonly #content: ContentFiles;
  readonly #directory: string;
  readonly #idle: Spare[] = [];
  readonly #freeSlots: number[] = [];
  readonly #owner = new Float64Array(OWNER_BYTES / 8);
  readonly #ownerBytes = new Uint8Array(this.#owner.buffer);
  readonly #status: FileStatus = { size: 0, blocks: 0, mtimeSeconds: 0, mtimeNanos: 0 };
  #slots = 0;
  #nextNumber = 0;
  #owners = -1;

  constructor(content: ContentFiles) {
    this.#content = content;
    this.#directory = `${content.directory}/${SPARES_DIRECTORY}`;
  }

  /** Makes sure that the next `lend` finds a spare. */
  prepare(): void {
    if (this.#idle.length === 0) this.#idle.push(this.#make());
  }

  /** Lends a spare to the inode, which has no content. */
  lend(ino: number): Spare {
    this.prepare();
    const spare = this.#idle.at(-1)!;
    this.#tellOwner(spare, ino);
    this.#idle.pop();
    return spare;
  }

  /** Opens a spare that is lent; -1: it has another name by now. */
  open(spare: Spare): number {
    return openBacking(this.#pathOf(spare.number), 'write');
  }

  /** Looks at a spare that is lent; false: it has another name by now. */
  status(spare: Spare, out: FileStatus): boolean {
    return statPath(this.#pathOf(spare.number), out);
  }

  #tellOwner(spare: Spare, ino: number): void {
    const owner = this.#owner;
    owner[0] = spare.number + 1;
    owner[1] = ino;
    const at = OWNERS_HEADER_BYTES + spare.slot * OWNER_BYTES;
    writeSync(this.#owners, this.#ownerBytes, 0, OWNER_BYTES, at);
  }

  /** Makes the spare the content file of the inode that it is lent to; its descriptor stays open, and is the caller's. */
  name(spare: Spare, ino: number): void {
    nameSpare(this.#content, spare.number, ino);
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
      statDescriptor(spare.fd, this.#status);
      if (!hasBeenWritten(this.#status)) {
        this.#idle.push(spare);
        return;
      }
    }
    if (spare.fd >= 0) closeBacking(spare.fd);
    rmSync(this.#pathOf(spare.number), { force: true });
    this.#freeSlots.push(spare.slot);
  }

  /** Keeps the content of an inode, which could not get its name, where it is; its descriptor is closed. */
  keep(spare: Spare, ino: number): void {
    if (spare.fd >= 0) closeBacking(spare.fd);
    this.#content.isAt(ino, this.#pathOf(spare.number));
  }

  /**
   * Whether anyone but the caller may write to the spare, also through a mapping. The spare gets another descriptor; the
   * kernel must have no registration of the old one left.
   */
  isShared(spare: Spare): boolean {
    const path = this.#pathOf(spare.number);
    const probe = openBacking(path, 'read');
    if (probe < 0) throw new SpinneyError('ERR_IO', `Cannot open ${path}: it was removed by another program`);
    try {
      if (spare.fd >= 0) closeBacking(spare.fd);
      spare.fd = -1;
      const isShared = isWrittenElsewhere(probe);
      spare.fd = openBacking(path, 'write');
      return isShared;
    } finally {
      closeBacking(probe);
    }
  }

  /** For a clean end: nothing is lent any more. Contents that still cannot get their names are left to the next start. */
  close(): void {
    for (const { fd } of this.#idle) closeBacking(fd);
    this.#idle.length = 0;
    if (this.#owners < 0) return;
    const left = this.#content.place();
    if (left !== undefined) writeSync(this.#owners, header(ANY_BOOT), 0, OWNERS_HEADER_BYTES, 0);
    closeSync(this.#owners);
    this.#owners = -1;
    if (left === undefined) rmSync(this.#directory, { recursive: true, force: true });
  }

  #make(): Spare {
    if (this.#owners < 0) this.#begin();
    const number = this.#nextNumber++;
    const path = this.#pathOf(number);
    let fd = openBacking(path, 'create');
    if (fd < 0) {
      mkdirSync(directoryOf(this.#directory, number), { recursive: true, mode: 0o700 });
      fd = openBacking(path, 'create');
    }
    if (fd < 0) throw new SpinneyError('ERR_IO', `Cannot make ${path}: its directory went away`);
    const spare = { number, fd, slot: this.#freeSlots.pop() ?? this.#slots++ };
    try {
      setModificationTime(fd, UNWRITTEN_SECONDS, 0);
      // The space for its record is there from now on.
      this.#tellOwner(spare, NOBODY);
    } catch (error) {
      this.takeBack(spare, true);
      throw error;
    }
    return spare;
  }

  #begin(): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    spreadSubdirectories(this.#directory);
    const flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW;
    const owners = openSync(`${this.#directory}/${OWNERS}`, flags, 0o600);
    try {
      writeSync(owners, header(bootId()), 0, OWNERS_HEADER_BYTES, 0);
    } catch (error) {
      closeSync(owners);
      throw error;
    }
    this.#owners = owners;
  }

  #pathOf(number: number): string {
    return pathOf(this.#directory, number);
  }
}

/**
 * Gives what an earlier run was killed with its names, and removes what is left of its spares. With a content directory
 * that is only read, notes where those contents are.
 */
export function recoverSpares(content: ContentFiles, isReadOnly: boolean): void {
  const lent = lentSpares(content.directory);
  if (isReadOnly) {
    for (const { ino, path, isWritten } of lent) if (isWritten) content.isAt(ino, path);
    return;
  }
  for (const { ino, path, isWritten } of lent) {
    // Who has it open still may write to it through the kernel: that does not end with the daemon.
    if (!isWritten && !isOpenForWriting(path)) continue;
    // What the record tells of the time is not known here.
    if (!isWritten) lutimesSync(path, new Date(), new Date());
    content.name(path, ino);
  }
  rmSync(`${content.directory}/${SPARES_DIRECTORY}`, { recursive: true, force: true });
}

/** Makes the spare with this number the inode's content file, if another thread did not do that before. */
export function nameSpare(content: ContentFiles, number: number, ino: number): void {
  content.name(sparePath(content.directory, number), ino);
}

/** Where the spare with this number is. */
export function sparePath(contentDirectory: string, number: number): string {
  return pathOf(`${contentDirectory}/${SPARES_DIRECTORY}`, number);
}

/** The spares in a content directory that nobody serves, which were lent during this boot, and are still spares. */
export function lentSpares(contentDirectory: string): LentSpare[] {
  const directory = `${contentDirectory}/${SPARES_DIRECTORY}`;
  const owners = readOwners(`${directory}/${OWNERS}`);
  const boot = owners.toString('latin1', 0, OWNERS_HEADER_BYTES).replace(/\0+$/, '');
  if (boot !== bootId() && boot !== ANY_BOOT) return [];
  const lent: LentSpare[] = [];
  const status: FileStatus = { size: 0, blocks: 0, mtimeSeconds: 0, mtimeNanos: 0 };
  for (let at = OWNERS_HEADER_BYTES; at + OWNER_BYTES <= owners.length; at += OWNER_BYTES) {
    const number = owners.readDoubleLE(at) - 1;
    const path = pathOf(directory, number);
    const ino = owners.readDoubleLE(at + 8);
    if (number < 0 || ino === NOBODY || !statPath(path, status)) continue;
    lent.push({ ino, path, isWritten: hasBeenWritten(status) });
  }
  return lent;
}

/** Whether a spare that looks like this has been written. */
export function hasBeenWritten(status: FileStatus): boolean {
  return status.size !== 0 || status.mtimeSeconds !== UNWRITTEN_SECONDS;
}

function header(boot: string): Buffer {
  const bytes = Buffer.alloc(OWNERS_HEADER_BYTES);
  bytes.write(boot);
  return bytes;
}

function readOwners(path: string): Buffer {
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
  try {
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Of this boot; a constant where the system does not tell, so that nothing is thrown away. */
function bootId(): string {
  try {
    return readFileSync(BOOT_ID, 'latin1').trim();
  } catch {
    return 'unknown';
  }
}

function directoryOf(directory: string, number: number): string {
  return `${directory}/${Math.floor(number / FILES_PER_DIRECTORY).toString(16)}`;
}

function pathOf(directory: string, number: number): string {
  return `${directoryOf(directory, number)}/${number.toString(16)}`;
}
