/**
 * The place where a command makes a store: a path where nothing is, an empty directory, or what an earlier run of the same
 * command has left.
 *
 * Until all is done and durable a file marks it as unfinished, and nobody mounts it. The mark is locked as long as a command is
 * at work, so there is one at a time; it tells of what the store is made, and in which boot that was begun.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { countedNames, NodeDisk, UNFINISHED_FILE } from '../../engine/before-open.js';
import { SpinneyError } from '../../engine/errors.js';
import { syncDirectory } from '../filesystem/contents/disk/content-disk.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';

/** Of an earlier run, contents alone are of use. */
export const CONTENT_DIRECTORY = 'content';

export interface NewStoreOptions {
  /** Where it is made. */
  path: string;
  /** The verb, as `spinney repair`. */
  command: 'repair' | 'load';
  /** What is being done, as messages tell it: "repair /a to /b". */
  doing: string;
  /** The store that it is made from: neither may lie in the other. */
  source: string | undefined;
  /** Whether contents that an earlier run from the same source has brought are kept; else all begins anew. */
  goesOn: boolean;
}

interface Mark {
  command: string;
  /** Without links; none where there was no store. */
  source: string;
  /** The boot in which the first of the runs was begun. */
  boot: string;
}

const system = new SystemDisk();

export class NewStore {
  readonly path: string;
  readonly #options: NewStoreOptions;
  /** Without links. */
  readonly #source: string;
  readonly #wasThere: boolean;
  readonly #disk = new NodeDisk();
  readonly #mark: number;
  readonly #isBegun: boolean;

  /**
   * Makes the directory and its mark, and removes what an earlier run has left but for contents.
   * @throws ERR_INVALID_ARGUMENT where one of the two lies in the other, ERR_EXISTS where something else is at the path,
   *   ERR_STORE_LOCKED where another command is at work there, ERR_NO_SPACE, ERR_IO
   */
  constructor(options: NewStoreOptions) {
    const target = options.path;
    this.path = target;
    this.#options = options;
    this.#source = options.source === undefined ? '' : realpathSync(options.source);
    if (options.source !== undefined) this.#refuseNested();
    const found = lstatSync(target, { throwIfNoEntry: false });
    this.#wasThere = found !== undefined;
    if (found !== undefined && (!found.isDirectory() || this.#holdsOthers())) throw this.#taken();
    let mark: number | undefined;
    try {
      mkdirSync(target, { recursive: true, mode: 0o700 });
      mark = this.#lockMark();
      const earlier = this.#readMark();
      this.#isBegun = earlier !== undefined;
      // What was copied may be other bytes now where the machine came to an end since.
      const kept =
        options.goesOn && earlier?.boot === system.bootId()
          ? [UNFINISHED_FILE, CONTENT_DIRECTORY]
          : [UNFINISHED_FILE];
      this.#removeBut(kept);
      this.#writeMark(mark);
      syncDirectory(system, target);
      syncDirectory(system, dirname(resolve(target)));
    } catch (error) {
      if (mark !== undefined) this.#disk.close(mark);
      throw error;
    }
    this.#mark = mark;
  }

  /** All else is durable: from here on it is a store. */
  finish(): void {
    unlinkSync(join(this.path, UNFINISHED_FILE));
    syncDirectory(system, this.path);
    this.#disk.close(this.#mark);
  }

  /** Leaves what there is to the next run. */
  leave(): void {
    this.#disk.close(this.#mark);
  }

  /** Takes everything back that this run made: an earlier one's contents stay, and a directory that was there. */
  remove(): void {
    this.#removeBut(this.#isBegun ? [UNFINISHED_FILE, CONTENT_DIRECTORY] : []);
    if (!this.#wasThere) rmSync(this.path, { recursive: true });
    this.#disk.close(this.#mark);
  }

  /** Whatever links and mounts lead there: the one is none of the directories that the other is in. */
  #refuseNested(): void {
    const to = realPlaceOf(resolve(this.path));
    if (!isWithin(to, this.#source) && !(existsSync(to) && isWithin(this.#source, to))) return;
    throw new SpinneyError('ERR_INVALID_ARGUMENT', this.#cannot('one lies in the other; give another place'));
  }

  #holdsOthers(): boolean {
    const names = this.#names();
    return names.length > 0 && !names.includes(UNFINISHED_FILE);
  }

  #names(): string[] {
    return countedNames(readdirSync(this.path));
  }

  #removeBut(kept: readonly string[]): void {
    for (const name of this.#names()) {
      if (!kept.includes(name)) rmSync(join(this.path, name), { recursive: true });
    }
  }

  #cannot(why: string): string {
    return `Cannot ${this.#options.doing}: ${why}`;
  }

  #taken(): SpinneyError {
    return new SpinneyError(
      'ERR_EXISTS',
      this.#cannot('something is there; nothing is written over: remove it, or give another place'),
    );
  }

  #lockMark(): number {
    const path = join(this.path, UNFINISHED_FILE);
    const fd = this.#disk.open(path, { write: true, create: true });
    if (this.#disk.lock(fd, 'exclusive') && this.#disk.isSameFile(fd, path)) return fd;
    this.#disk.close(fd);
    throw new SpinneyError('ERR_STORE_LOCKED', this.#cannot('another command is making a store there'));
  }

  /** Undefined: this run's own, or that of one that was cut short before it made anything, or of another version. */
  #readMark(): Mark | undefined {
    const path = join(this.path, UNFINISHED_FILE);
    const [advice, line] = readFileSync(path, 'utf8').split('\n');
    if (advice === '' && this.#names().length > 1) {
      // It is new: what else is there came since this was looked at.
      unlinkSync(path);
      throw this.#taken();
    }
    const mark = parseMark(line);
    const { command, goesOn } = this.#options;
    if (mark === undefined || (mark.command === command && (!goesOn || mark.source === this.#source)))
      return mark;
    const of = mark.source === '' ? '' : ` of ${mark.source}`;
    const why = `there is what spinney ${mark.command}${of} has not finished; remove it, or give another place`;
    throw new SpinneyError('ERR_EXISTS', this.#cannot(why));
  }

  #writeMark(fd: number): void {
    const { command } = this.#options;
    const mark: Mark = { command, source: this.#source, boot: system.bootId() };
    const advice = `spinney ${command} has not finished this store: run it again`;
    this.#disk.truncate(fd, 0);
    this.#disk.write(fd, [Buffer.from(`${advice}\n${JSON.stringify(mark)}\n`)], 0);
    this.#disk.fsync(fd);
  }
}

function parseMark(line: string | undefined): Mark | undefined {
  try {
    const mark = JSON.parse(line ?? '') as Partial<Mark> | null;
    const isMark = mark?.command !== undefined && mark.source !== undefined && mark.boot !== undefined;
    return isMark ? (mark as Mark) : undefined;
  } catch {
    return undefined;
  }
}

/** The path without symbolic links, as far as it is there. */
function realPlaceOf(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  return join(realPlaceOf(dirname(path)), basename(path));
}

function isWithin(inner: string, outer: string): boolean {
  const wanted = statSync(outer, { bigint: true });
  for (let path = inner; ; path = dirname(path)) {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (found?.dev === wanted.dev && found.ino === wanted.ino) return true;
    if (path === dirname(path)) return false;
  }
}
