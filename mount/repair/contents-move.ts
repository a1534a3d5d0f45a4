/**
 * Brings the contents of files from a damaged store to the repaired one: by reflink, else by a second name (hard link), else
 * by a copy. The damaged store is only read; a content that has its place already, from a run that was cut short,
 * is left there.
 */
import {
  constants,
  copyFileSync,
  type Dirent,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  utimesSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type RepairFinding, SpinneyError } from '../../engine/index.js';
import { contentPath } from '../filesystem/contents/content.js';
import { SPARES_DIRECTORY } from '../filesystem/contents/spare-files.js';
import { type LeftSpares, leftSpares, UNCLAIMED_DIRECTORY } from '../filesystem/contents/spare-recovery.js';
import { SystemDisk } from '../filesystem/contents/system.js';
import { InodeSet } from '../filesystem/records/inode-set.js';
import { copySparse } from './sparse-copy.js';

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
}

export interface ContentsMoveOptions {
  /** As `leftSpares` takes it. */
  wasCut: boolean;
  /** Nothing is made. */
  isDry: boolean;
  /** Told of bytes, as they are copied. */
  copied: (bytes: number) => void;
  report: (finding: RepairFinding) => void;
}

/** Name of a copy that is not whole. */
const PART = '.part';

export class ContentsMove {
  readonly moved: MovedContents = { reflinked: 0, linked: 0, copied: 0, bytes: 0 };
  readonly #from: string;
  readonly #to: string;
  readonly #isDry: boolean;
  readonly #copied: (bytes: number) => void;
  readonly #spares: LeftSpares;
  readonly #taken = new InodeSet();
  #way: 'reflink' | 'link' | 'copy' = 'reflink';

  /** `from`, `to`: directories of contents. */
  constructor(from: string, to: string, options: ContentsMoveOptions) {
    this.#from = from;
    this.#to = to;
    this.#isDry = options.isDry;
    this.#copied = options.copied;
    this.#spares = sparesOf(from, options);
    if (!this.#isDry) mkdirSync(to, { recursive: true, mode: 0o700 });
  }

  /** Undefined: the inode has no content file. A spare that was lent and never written has none either. */
  find(ino: number): OldContent | undefined {
    const lent = this.#spares.lent.get(ino);
    if (lent !== undefined && !lent.isWritten) return undefined;
    return find(lent?.path ?? contentPath(this.#from, ino));
  }

  /** Whether the inode had borrowed a file into which nothing was written. */
  isUnwritten(ino: number): boolean {
    return this.#spares.lent.get(ino)?.isWritten === false;
  }

  /** Gives the repaired store the content as that of inode `ino`. */
  take({ path, size }: OldContent, ino: number): void {
    if (!this.#taken.add(ino)) return;
    this.moved.bytes += size;
    const target = contentPath(this.#to, ino);
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
    if (this.#way === 'reflink') {
      try {
        rmSync(part, { force: true });
        copyFileSync(path, part, constants.COPYFILE_FICLONE_FORCE);
        this.#finish(part, target, source);
        this.moved.reflinked++;
        return;
      } catch {
        // The filesystem cannot, or it is another: both are true of all contents.
        rmSync(part, { force: true });
        this.#way = 'link';
      }
    }
    if (this.#way === 'link') {
      try {
        linkSync(path, target);
        this.moved.linked++;
        return;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        // A file may have as many names as the filesystem allows.
        if (code !== 'EMLINK') {
          if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EOPNOTSUPP') throw error;
          this.#way = 'copy';
        }
      }
    }
    rmSync(part, { force: true });
    copySparse(path, part, this.#copied);
    this.#finish(part, target, source);
    this.moved.copied++;
  }

  #finish(part: string, target: string, source: Stats): void {
    utimesSync(part, source.atime, source.mtime);
    renameSync(part, target);
  }

  /** Contents that were not taken, by number; those in which there is nothing are passed over. */
  *left(): Generator<{ ino: number; content: OldContent }> {
    for (const directory of list(this.#from)) {
      if (!directory.isDirectory() || !/^[0-9a-f]+$/.test(directory.name)) continue;
      for (const { name } of list(join(this.#from, directory.name))) {
        const ino = Number.parseInt(name, 16);
        const path = join(this.#from, directory.name, name);
        if (contentPath(this.#from, ino) !== path || this.#taken.has(ino)) continue;
        const content = find(path);
        if (content !== undefined && content.size > 0) yield { ino, content };
      }
    }
    for (const ino of this.#spares.lent.keys()) {
      const content = this.#taken.has(ino) ? undefined : this.find(ino);
      if (content !== undefined && content.size > 0) yield { ino, content };
    }
  }

  /** Contents of which nobody can tell whose they are. */
  *unclaimed(): Generator<{ name: string; content: OldContent }> {
    const paths = this.#spares.unclaimed.map(({ path }) => path);
    const directory = join(this.#from, UNCLAIMED_DIRECTORY);
    for (const { name } of list(directory)) paths.push(join(directory, name));
    for (const path of paths) {
      const content = find(path);
      if (content !== undefined) yield { name: basename(path), content };
    }
  }

  /** A number above all that a content file has. */
  numberAbove(): number {
    let above = 0;
    for (const { name } of list(this.#from)) {
      if (name === SPARES_DIRECTORY || !/^[0-9a-f]+$/.test(name)) continue;
      for (const file of list(join(this.#from, name))) {
        const ino = Number.parseInt(file.name, 16);
        if (contentPath(this.#from, ino) === join(this.#from, name, file.name))
          above = Math.max(above, ino + 1);
      }
    }
    for (const ino of this.#spares.lent.keys()) above = Math.max(above, ino + 1);
    return above;
  }

  /** Removes what an earlier run brought and this one has no use for, and makes all durable. */
  finish(): void {
    if (this.#isDry) return;
    for (const directory of list(this.#to)) {
      for (const { name } of list(join(this.#to, directory.name))) {
        if (!name.endsWith(PART) && this.#taken.has(Number.parseInt(name, 16))) continue;
        rmSync(join(this.#to, directory.name, name), { force: true });
      }
    }
    const disk = new SystemDisk();
    const fd = disk.openDirectory(this.#to);
    try {
      disk.syncFilesystem(fd);
    } finally {
      disk.close(fd);
    }
  }
}

function sparesOf(directory: string, { wasCut, report }: ContentsMoveOptions): LeftSpares {
  try {
    return leftSpares(new SystemDisk(), directory, wasCut);
  } catch (error) {
    if (!(error instanceof SpinneyError)) throw error;
    report({
      kind: 'lost',
      message: `${error.message}; what was lent to files then stays in the damaged store`,
    });
    return { lent: new Map(), unclaimed: [], damagedEntries: 0 };
  }
}

function isThere(target: string, source: Stats): boolean {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.dev === source.dev && found.ino === source.ino) return true;
  return found.size === source.size && Math.trunc(found.mtimeMs) === Math.trunc(source.mtimeMs);
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
  };
}

function list(directory: string): Dirent[] {
  return existsSync(directory) ? readdirSync(directory, { withFileTypes: true }) : [];
}
