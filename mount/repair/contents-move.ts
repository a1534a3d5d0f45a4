/**
 * Brings the contents of files from a damaged store to the repaired one: by reflink, else by a second name (hard link), else
 * by a copy. The damaged store is only read; a content that has its place already, from a run that was cut short,
 * is left there.
 */
import {
  constants,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  type Stats,
  utimesSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { RepairFinding } from '../../engine/index.js';
import { ContentFiles, contentPath, parseContentName } from '../filesystem/contents/content.js';
import { entriesOf, prepareContentDirectory } from '../filesystem/contents/content-directory.js';
import { copySparse } from '../filesystem/contents/disk/sparse-copy.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { findContents, type LeftCopies } from '../filesystem/contents/left-copies.js';
import { SPARES_DIRECTORY } from '../filesystem/contents/spares/spare-files.js';
import {
  type FoundSpare,
  type LeftSpares,
  leftSparesOrNone,
  UNCLAIMED_DIRECTORY,
} from '../filesystem/contents/spares/spare-recovery.js';
import { InodeSet } from '../filesystem/records/inode-set.js';

/** How contents got to the repaired store. */
export interface MovedContents {
  reflinked: number;
  /** These are the damaged store's, too: a change in one is one in both. */
  linked: number;
  copied: number;
  bytes: number;
}

export interface OldContent {
  path: string;
  size: number;
  /** Units of 512 bytes. */
  blocks: number;
  mtimeSeconds: number;
  mtimeNanos: number;
  ctimeSeconds: number;
}

export interface ContentsMoveOptions {
  /** As `leftSpares` takes it. */
  wasCut: boolean;
  /** The newest snapshot that ever was. */
  lastSnapshot: number;
  /** Copies that the damaged store had not finished. */
  copies: (content: ContentFiles) => LeftCopies;
  /** Nothing is made. */
  isDry: boolean;
  /** Told of bytes, as they are copied. */
  copied: (bytes: number) => void;
  report: (finding: RepairFinding) => void;
}

/** Name of a copy that is not whole. */
const PART = '.part';
/** What a filesystem says that cannot do it for any file. */
const NO_REFLINKS = ['EXDEV', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL', 'ENOTTY', 'ENOSYS', 'EPERM'];
const NO_LINKS = ['EXDEV', 'EOPNOTSUPP', 'EPERM', 'EROFS'];
/** A time that was set is the same but for what its unit rounds away. */
const SAME_TIME_MS = 1;
/** A file may have as many names as the filesystem allows. */
const TOO_MANY_LINKS = 'EMLINK';

export class ContentsMove {
  readonly moved: MovedContents = { reflinked: 0, linked: 0, copied: 0, bytes: 0 };
  readonly #disk = new SystemDisk();
  readonly #from: string;
  readonly #to: string;
  readonly #isDry: boolean;
  readonly #copied: (bytes: number) => void;
  readonly #spares: LeftSpares;
  readonly #files: ContentFiles;
  readonly #taken = new InodeSet();
  /** The directory that was listed last, and the newest born of each inode in it. */
  #listed: string | undefined;
  readonly #newest = new Map<number, number>();
  #way: 'reflink' | 'link' | 'copy' = 'reflink';

  /** `from`, `to`: directories of contents. @throws ERR_UNSAFE where a link is in `from` */
  constructor(from: string, to: string, options: ContentsMoveOptions) {
    this.#from = from;
    this.#to = to;
    this.#isDry = options.isDry;
    this.#copied = options.copied;
    prepareContentDirectory(this.#disk, from, true);
    this.#spares = leftSparesOrNone(this.#disk, from, options.wasCut, options.lastSnapshot, (reason) =>
      options.report({
        kind: 'lost',
        message: `${reason}; what was lent to files then stays in the damaged store`,
      }),
    );
    this.#files = new ContentFiles(this.#disk, from, true);
    findContents(this.#files, options.copies(this.#files));
    if (!this.#isDry) mkdirSync(to, { recursive: true, mode: 0o700 });
  }

  /** Undefined: there is no such content file. A spare that was lent and never written is none. */
  find(ino: number, born: number): OldContent | undefined {
    const lent = this.#lent(ino, born);
    if (lent !== undefined && !lent.isWritten) return undefined;
    return find(lent?.path ?? this.#files.pathOf(ino, born));
  }

  /** As `find`, of the newest content that the inode has: for who has no record of it. */
  findNewest(ino: number): OldContent | undefined {
    const lent = this.#spares.lent.get(ino);
    if (lent?.isWritten === true) return find(lent.path);
    const directory = dirname(contentPath(this.#from, ino));
    if (directory !== this.#listed) {
      this.#listed = directory;
      this.#newest.clear();
      for (const { name } of entriesOf(this.#disk, directory)) {
        const named = parseContentName(name);
        if (named !== undefined)
          this.#newest.set(named.ino, Math.max(named.born, this.#newest.get(named.ino) ?? 0));
      }
    }
    return find(contentPath(this.#from, ino, this.#newest.get(ino) ?? 0));
  }

  /** Whether the inode had borrowed a file into which nothing was written. */
  isUnwritten(ino: number, born: number): boolean {
    return this.#lent(ino, born)?.isWritten === false;
  }

  #lent(ino: number, born: number): FoundSpare | undefined {
    const lent = this.#spares.lent.get(ino);
    return lent?.born === born ? lent : undefined;
  }

  /** Gives the repaired store the content as that of inode `ino`. */
  take({ path, size }: OldContent, ino: number): void {
    if (!this.#taken.add(ino)) return;
    this.moved.bytes += size;
    const target = contentPath(this.#to, ino, 0);
    if (this.#isDry) return;
    const source = lstatSync(path);
    if (isThere(target, source)) {
      if (lstatSync(target).ino === source.ino) this.moved.linked++;
      else this.moved.copied++;
      return;
    }
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    rmSync(target, { force: true });
    this.#bring(path, target, source);
  }

  #bring(path: string, target: string, source: Stats): void {
    const part = `${target}${PART}`;
    rmSync(part, { force: true });
    if (this.#way === 'reflink' && this.#reflink(path, part)) {
      this.#finish(part, target, source);
      this.moved.reflinked++;
    } else if (this.#way !== 'copy' && this.#link(path, target)) {
      this.moved.linked++;
    } else {
      copySparse(path, part, this.#copied);
      this.#finish(part, target, source);
      this.moved.copied++;
    }
  }

  #reflink(path: string, part: string): boolean {
    try {
      copyFileSync(path, part, constants.COPYFILE_FICLONE_FORCE);
      return true;
    } catch (error) {
      rmSync(part, { force: true });
      if (NO_REFLINKS.includes((error as NodeJS.ErrnoException).code ?? '')) this.#way = 'link';
      return false;
    }
  }

  #link(path: string, target: string): boolean {
    try {
      linkSync(path, target);
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (code === TOO_MANY_LINKS) return false;
      if (!NO_LINKS.includes(code)) throw error;
      this.#way = 'copy';
      return false;
    }
  }

  #finish(part: string, target: string, source: Stats): void {
    utimesSync(part, source.atimeMs / 1000, source.mtimeMs / 1000);
    renameSync(part, target);
  }

  /**
   * The newest contents of inodes of which none was taken; those in which there is nothing are passed over. Earlier ones were
   * kept for snapshots.
   */
  *left(): Generator<{ ino: number; born: number; content: OldContent }> {
    for (const directory of entriesOf(this.#disk, this.#from)) {
      if (directory.kind !== 'directory' || !/^[0-9a-f]+$/.test(directory.name)) continue;
      const newest = new Map<number, number>();
      for (const { name } of entriesOf(this.#disk, join(this.#from, directory.name))) {
        const { ino, born } = parseContentName(name) ?? { ino: 0, born: 0 };
        const path = join(this.#from, directory.name, name);
        if (contentPath(this.#from, ino, born) !== path || this.#taken.has(ino)) continue;
        newest.set(ino, Math.max(born, newest.get(ino) ?? 0));
      }
      for (const [ino, born] of newest) {
        const content = find(contentPath(this.#from, ino, born));
        if (content !== undefined && content.size > 0) yield { ino, born, content };
      }
    }
    for (const [ino, { born }] of this.#spares.lent) {
      const content = this.#taken.has(ino) ? undefined : this.find(ino, born);
      if (content !== undefined && content.size > 0) yield { ino, born, content };
    }
  }

  /** Contents of which nobody can tell whose they are. */
  *unclaimed(): Generator<{ name: string; content: OldContent }> {
    const paths = this.#spares.unclaimed.map(({ path }) => path);
    const directory = join(this.#from, UNCLAIMED_DIRECTORY);
    for (const { name } of entriesOf(this.#disk, directory)) paths.push(join(directory, name));
    for (const path of paths) {
      const content = find(path);
      if (content !== undefined) yield { name: basename(path), content };
    }
  }

  /** A number above all that a content file has. */
  numberAbove(): number {
    let above = 0;
    for (const { name } of entriesOf(this.#disk, this.#from)) {
      if (name === SPARES_DIRECTORY || !/^[0-9a-f]+$/.test(name)) continue;
      for (const file of entriesOf(this.#disk, join(this.#from, name))) {
        const { ino, born } = parseContentName(file.name) ?? { ino: 0, born: 0 };
        if (contentPath(this.#from, ino, born) === join(this.#from, name, file.name))
          above = Math.max(above, ino + 1);
      }
    }
    for (const ino of this.#spares.lent.keys()) above = Math.max(above, ino + 1);
    return above;
  }

  /** Removes what an earlier run brought and this one has no use for, and makes all durable. */
  finish(): void {
    if (this.#isDry) return;
    for (const directory of entriesOf(this.#disk, this.#to)) {
      for (const { name } of entriesOf(this.#disk, join(this.#to, directory.name))) {
        if (!name.endsWith(PART) && this.#taken.has(Number.parseInt(name, 16))) continue;
        rmSync(join(this.#to, directory.name, name), { force: true });
      }
    }
    const fd = this.#disk.openDirectory(this.#to);
    try {
      this.#disk.syncFilesystem(fd);
    } finally {
      this.#disk.close(fd);
    }
  }
}

function isThere(target: string, source: Stats): boolean {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.dev === source.dev && found.ino === source.ino) return true;
  return found.size === source.size && Math.abs(found.mtimeMs - source.mtimeMs) < SAME_TIME_MS;
}

function find(path: string): OldContent | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (found?.isFile() !== true) return undefined;
  return {
    path,
    size: Number(found.size),
    blocks: Number(found.blocks),
    mtimeSeconds: Number(found.mtimeNs / 1_000_000_000n),
    mtimeNanos: Number(found.mtimeNs % 1_000_000_000n),
    ctimeSeconds: Number(found.ctimeNs) / 1e9,
  };
}
