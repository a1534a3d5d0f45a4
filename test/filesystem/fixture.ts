/** A filesystem over a tree and a temporary content directory, with string paths and thrown-away out objects. */
import { closeSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TreeOperations } from '../../engine/api.js';
import { newAttributes, newChange } from '../../mount/filesystem/arguments.js';
import { readMark, writeMark } from '../../mount/filesystem/contents/content-mark.js';
import type { Clock } from '../../mount/filesystem/contents/disk/system.js';
import { FileSystem } from '../../mount/filesystem/file-system.js';
import type { AttributeChange, Attributes, Caller, RemovalResult } from '../../mount/filesystem/types.js';
import { ModelTree } from '../support/model-tree.js';
import type { AwayRemote } from '../support/shipping/away-remote.js';

export const REGULAR = 0o100000;
export const CALLER: Caller = { uid: 1000, gid: 2000, pid: 1, umask: 0o022 };
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;

/** A clock that goes on by one second with each reading. */
export class StepClock implements Clock {
  seconds = 1_000_000;
  nanos = 5;
  read(): void {
    this.seconds++;
  }
}

export interface Entry {
  name: string;
  next: number;
  ino: number;
  mode: number;
  attributes: Attributes;
}

export class Fixture {
  readonly tree: TreeOperations & { close?(): void };
  readonly directory = mkdtempSync(join(tmpdir(), 'spinney-fs-'));
  readonly contentDirectory: string;
  /** Inodes whose contents are to be removed, and what they were made after. */
  readonly scheduled: number[] = [];
  readonly #borns = new Map<number, number[]>();
  readonly logged: { level: string; message: string }[] = [];
  readonly troubles = new Map<number, string>();
  readonly remote: AwayRemote | undefined;
  fs: FileSystem;

  constructor(
    tree: TreeOperations & { close?(): void } = new ModelTree(),
    readonly options: {
      keepsNodes?: boolean;
      rests?: boolean;
      readOnly?: boolean;
      clock?: Clock;
      mostContents?: () => number;
      contentDirectory?: string;
      snapshotDirectory?: string;
      /** Makes a remote of contents over the tree and the directory of contents. */
      remote?: (tree: TreeOperations, contentDirectory: string) => AwayRemote;
    } = {},
  ) {
    this.tree = tree;
    this.contentDirectory = options.contentDirectory ?? join(this.directory, 'content');
    this.remote = options.remote?.(this.tree, this.contentDirectory);
    this.fs = this.open();
  }

  /** A new filesystem over the same tree and content, as after a crash or a clean end of the one before. */
  open(options: { readOnly?: boolean; snapshotDirectory?: string | undefined } = {}): FileSystem {
    this.#closeContents();
    const fs = new FileSystem(this.tree, {
      contentDirectory: this.contentDirectory,
      readOnly: options.readOnly ?? false,
      keepsNodes: this.options.keepsNodes ?? true,
      rests: this.options.rests ?? false,
      snapshotDirectory:
        'snapshotDirectory' in options ? options.snapshotDirectory : this.options.snapshotDirectory,
      reclaimer: {
        schedule: (ino, born) => {
          this.scheduled.push(ino);
          this.#borns.set(ino, [...(this.#borns.get(ino) ?? []), born]);
        },
      },
      log: (level, message, fields) => this.logged.push({ level, message, ...fields }),
      troubled: (ino, what) => {
        if (what === undefined) this.troubles.delete(ino);
        else this.troubles.set(ino, what);
      },
      ...(this.remote === undefined ? {} : { remote: { rows: this.remote, fetcher: this.remote } }),
      ...(this.options.clock === undefined ? {} : { clock: this.options.clock }),
      ...(this.options.mostContents === undefined ? {} : { mostContents: this.options.mostContents }),
    });
    fs.start();
    this.fs = fs;
    return fs;
  }

  /** These have been removed, as `scheduled` has asked for. */
  reclaimed(inos: readonly number[]): void {
    this.fs.reclaimed(
      inos.flatMap((ino) => {
        const borns = this.#borns.get(ino) ?? [0];
        this.#borns.delete(ino);
        return borns.map((born) => ({ ino, born }));
      }),
    );
  }

  /** As if the machine came to an end after what happened so far: the next start is one of another boot. */
  pretendReboot(): void {
    const mark = readMark(this.tree);
    if (mark !== undefined) writeMark(this.tree, { ...mark, boot: 'another' });
  }

  /** Descriptors of content files that this process has. */
  openContentDescriptors(): number {
    return readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(this.contentDirectory);
      } catch {
        // The listing's own.
        return false;
      }
    }).length;
  }

  /** What the end of a process does: nobody has a content file open any more. */
  #closeContents(): void {
    for (const fd of readdirSync('/proc/self/fd')) {
      try {
        if (readlinkSync(`/proc/self/fd/${fd}`).startsWith(this.contentDirectory)) closeSync(Number(fd));
      } catch (error) {
        // The listing's own descriptor.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }

  cleanUp(): void {
    this.fs.close();
    this.tree.close?.();
    rmSync(this.directory, { recursive: true, force: true });
  }

  create(path: string, mode = 0o644): number {
    const { parent, name } = split(path);
    const handle = this.fs.create(CALLER, parent, name, REGULAR | mode, O_RDWR, false, newAttributes());
    return handle < 0 ? handle : this.fs.release(handle);
  }

  /** Makes a file as a driver does whose client writes it past this layer: a handle and its backing file, or an errno. */
  createPassed(path: string, flags = O_WRONLY): { handle: number; fd: number } {
    const { parent, name } = split(path);
    const handle = this.fs.create(CALLER, parent, name, REGULAR | 0o644, flags, true, newAttributes());
    return { handle, fd: handle < 0 ? handle : this.fs.backing(handle) };
  }

  /** Makes the file where it is missing, and puts `text` at `position`. */
  write(path: string, text: string, position = 0): number {
    if (this.fs.getattr(bytes(path), newAttributes()) !== 0) this.create(path);
    const handle = this.fs.open(CALLER, bytes(path), O_WRONLY);
    if (handle < 0) return handle;
    const data = Buffer.from(text);
    const written = this.fs.write(handle, data, 0, data.length, position);
    const released = this.fs.release(handle);
    return written < 0 ? written : released;
  }

  read(path: string): string | number {
    const handle = this.fs.open(CALLER, bytes(path), O_RDONLY);
    if (handle < 0) return handle;
    const into = Buffer.alloc(1 << 16);
    const length = this.fs.read(handle, into, 0, into.length, 0);
    this.fs.release(handle);
    return length < 0 ? length : into.toString('latin1', 0, length);
  }

  mkdir(path: string, mode = 0o755): number {
    const { parent, name } = split(path);
    return this.fs.mkdir(CALLER, parent, name, mode, newAttributes());
  }

  link(from: string, to: string): number {
    const { parent, name } = split(to);
    return this.fs.link(CALLER, bytes(from), parent, name, newAttributes());
  }

  unlink(path: string, result: RemovalResult = newResult()): number {
    const { parent, name } = split(path);
    return this.fs.unlink(CALLER, parent, name, result);
  }

  rmdir(path: string, result: RemovalResult = newResult()): number {
    const { parent, name } = split(path);
    return this.fs.rmdir(CALLER, parent, name, result);
  }

  rename(from: string, to: string, flags = 0, result: RemovalResult = newResult()): number {
    const a = split(from);
    const b = split(to);
    return this.fs.rename(CALLER, a.parent, a.name, b.parent, b.name, flags, result);
  }

  stat(path: string | number): Attributes {
    const out = newAttributes();
    const result = this.fs.getattr(typeof path === 'number' ? path : bytes(path), out);
    if (result !== 0) throw new Error(`stat ${path}: ${result}`);
    return out;
  }

  lookup(path: string): number {
    const { parent, name } = split(path);
    return this.fs.lookup(parent, name, newAttributes());
  }

  setattr(path: string | number, change: Partial<AttributeChange>): number {
    const place = typeof path === 'number' ? path : bytes(path);
    return this.fs.setattr(CALLER, place, { ...NO_CHANGE, ...change }, newAttributes());
  }

  /** Entries of one reply of at most `room`. */
  readdir(handle: number, offset: number, room = Number.POSITIVE_INFINITY, withAttributes = false): Entry[] {
    const entries: Entry[] = [];
    const result = this.fs.readdir(handle, offset, withAttributes, (name, next, attributes) => {
      if (entries.length >= room) return false;
      const text = Buffer.from(name).toString('latin1');
      entries.push({
        name: text,
        next,
        ino: attributes.ino,
        mode: attributes.mode,
        attributes: { ...attributes },
      });
      return true;
    });
    if (result < 0) throw new Error(`readdir: ${result}`);
    return entries;
  }

  /** Names in a directory, without `.` and `..`. */
  list(path: string): string[] {
    const handle = this.fs.opendir(bytes(path));
    const names = this.readdir(handle, 0).map((entry) => entry.name);
    this.fs.releasedir(handle);
    return names.slice(2);
  }
}

const NO_CHANGE = newChange();

export function newResult(): RemovalResult {
  return { removedIno: 0, removedLinks: 0, movedIno: 0 };
}

/** latin1, so that any byte can be written as a character. */
export function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

export function split(path: string): { parent: Uint8Array; name: Uint8Array } {
  const slash = path.lastIndexOf('/');
  return { parent: bytes(path.slice(0, slash)), name: bytes(path.slice(slash + 1)) };
}
