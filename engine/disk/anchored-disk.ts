/**
 * The real disk, with one directory that is found by its descriptor instead of its path: who moves the directory while it
 * is in use moves nothing under our feet, and nothing is made at the old path. Messages keep the path as it was given.
 *
 * The descriptor belongs to the process. `/proc/self/fd` is the same for all of its threads.
 */
import * as fs from 'node:fs';
import type { DirectoryIdentity } from './identity.js';
import { libc, O_CLOEXEC } from './libc.js';
import { NodeDisk } from './node-disk.js';

const O_PATH = 0o10000000;
const DIRECTORY_MODE = 0o700;

/** A path that leads to what the descriptor has open, whatever its name is by now. */
export function anchoredPath(anchor: number): string {
  return `/proc/self/fd/${anchor}`;
}

/**
 * A descriptor for `AnchoredDisk`, of the directory, which is made if need be and `create` is set. Undefined where there is
 * none, where it cannot be opened, or where /proc is not mounted: whoever uses the path then learns what is wrong.
 */
export function openAnchor(directory: string, options: { create: boolean }): number | undefined {
  const flags = O_PATH | O_CLOEXEC | fs.constants.O_DIRECTORY;
  let anchor = libc().open(directory, flags, 0);
  if (anchor < 0 && options.create) {
    try {
      fs.mkdirSync(directory, { mode: DIRECTORY_MODE });
    } catch {
      return undefined;
    }
    anchor = libc().open(directory, flags, 0);
  }
  if (anchor < 0) return undefined;
  if (leadsTo(anchor)) return anchor;
  closeAnchor(anchor);
  return undefined;
}

/** Nobody may use the paths any more: the number is soon another file's. */
export function closeAnchor(anchor: number): void {
  libc().close(anchor);
}

function leadsTo(anchor: number): boolean {
  const there = fs.statSync(anchoredPath(anchor), { throwIfNoEntry: false });
  const here = fs.fstatSync(anchor);
  return there !== undefined && there.dev === here.dev && there.ino === here.ino;
}

export class AnchoredDisk extends NodeDisk {
  readonly #directory: string;
  readonly #anchored: string;

  constructor(directory: string, anchor: number) {
    super();
    this.#directory = directory;
    this.#anchored = anchoredPath(anchor);
  }

  override open(path: string, options: { write: boolean; create?: boolean }): number {
    return this.#told(() => super.open(this.#at(path), options));
  }

  override rename(from: string, to: string): void {
    this.#told(() => super.rename(this.#at(from), this.#at(to)));
  }

  override link(from: string, to: string): boolean {
    return this.#told(() => super.link(this.#at(from), this.#at(to)));
  }

  override freeBytes(path: string): number {
    return this.#told(() => super.freeBytes(this.#at(path)));
  }

  override unlink(path: string): void {
    this.#told(() => super.unlink(this.#at(path)));
  }

  override mkdir(path: string): void {
    this.#told(() => super.mkdir(this.#at(path)));
  }

  override list(path: string): string[] {
    return this.#told(() => super.list(this.#at(path)));
  }

  override exists(path: string): boolean {
    return super.exists(this.#at(path));
  }

  override syncDirectory(path: string): void {
    this.#told(() => super.syncDirectory(this.#at(path)));
  }

  override isSameFile(fd: number, path: string): boolean {
    return this.#told(() => super.isSameFile(fd, this.#at(path)));
  }

  override identify(directory: string): DirectoryIdentity {
    return this.#told(() => super.identify(this.#at(directory)));
  }

  #at(path: string): string {
    const isInside = path === this.#directory || path.startsWith(`${this.#directory}/`);
    return isInside ? `${this.#anchored}${path.slice(this.#directory.length)}` : path;
  }

  /** Does the work; what it throws names the path as it was given. */
  #told<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof Error) error.message = error.message.replaceAll(this.#anchored, this.#directory);
      throw error;
    }
  }
}
