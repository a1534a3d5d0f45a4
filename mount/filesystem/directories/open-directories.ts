/**
 * The directories that are open for listing. Their paths follow what happens to the directories, and the names that they
 * lose are kept as long as a handle may come back to a place after one of them.
 */
import type { UnreadableBlobError } from '../../../engine/errors.js';
import { newAttributes } from '../arguments.js';
import { EBADF, ENOENT, ENOTDIR } from '../errno.js';
import type { Inodes } from '../inodes/inodes.js';
import { Handles } from '../open-files/handles.js';
import { concat, SLASH, startsWith } from '../records/keys.js';
import * as record from '../records/record.js';
import {
  type Attributes,
  type DirectorySink,
  type KeptDirectory,
  LISTED_CHANGED,
  type Place,
} from '../types.js';
import { DirectoryHandle, ENDED } from './directory.js';
import { GoneNames } from './gone-names.js';

/** A directory with open handles. */
interface OpenDirectory {
  handles: number;
  gone: GoneNames | undefined;
}

export class OpenDirectories {
  readonly #inodes: Inodes;
  readonly #handles = new Handles<DirectoryHandle>();
  readonly #attributes: Attributes = newAttributes();
  /** By inode number. */
  readonly #directories = new Map<number, OpenDirectory>();
  /** Why names are missing from directories whose listing came to a damaged part, by inode number. */
  readonly #damage = new Map<number, UnreadableBlobError>();

  constructor(inodes: Inodes) {
    this.#inodes = inodes;
  }

  get count(): number {
    return this.#handles.count;
  }

  /** Returns a handle, or a negative errno. */
  open(place: Place): number {
    const inode = this.#inodes.read(place);
    if (inode === undefined) return -ENOENT;
    if (record.typeOf(inode) !== record.DIRECTORY) return -ENOTDIR;
    const path = typeof place === 'number' ? undefined : new Uint8Array(place);
    const ino = record.inoOf(inode);
    this.#count(ino);
    return this.#handles.add(new DirectoryHandle(path, ino, this.#versionOf(path)));
  }

  /** A directory that another process had open. Returns 0 or a negative errno; nobody else gets the handle in either case. */
  putBack({ handle, place, version, listed }: KeptDirectory): number {
    let directory: DirectoryHandle | undefined;
    try {
      const inode = this.#inodes.read(place);
      if (inode === undefined || record.typeOf(inode) !== record.DIRECTORY) return -ENOENT;
      const path = typeof place === 'number' ? undefined : new Uint8Array(place);
      directory = new DirectoryHandle(path, record.inoOf(inode), version, listed);
      this.#count(directory.ino);
      return 0;
    } finally {
      this.#handles.putBack(handle, directory);
    }
  }

  /** The version that the handle's directory had when it was opened; 0: no such handle. */
  versionOf(handle: number): number {
    return this.#handles.get(handle)?.version ?? 0;
  }

  #count(ino: number): void {
    const directory = this.#directories.get(ino);
    if (directory === undefined) this.#directories.set(ino, { handles: 1, gone: undefined });
    else directory.handles++;
  }

  /** The inode number of the handle's directory; 0: no such handle. */
  inoOf(handle: number): number {
    return this.#handles.get(handle)?.ino ?? 0;
  }

  /** Returns 0, LISTED_CHANGED, or a negative errno. @throws UnreadableBlobError at the end of what can be listed */
  read(handle: number, offset: number, withAttributes: boolean, sink: DirectorySink): number {
    const directory = this.#handles.get(handle);
    if (directory === undefined) return -EBADF;
    const gone = this.#directories.get(directory.ino)?.gone;
    const result = directory.read(
      this.#inodes,
      offset,
      withAttributes,
      gone,
      this.#damage,
      this.#attributes,
      sink,
    );
    if (result !== ENDED) return result;
    return this.#hasChanged(directory) ? LISTED_CHANGED : 0;
  }

  /** Whether the directory changed while this handle or another was open. */
  #hasChanged({ path, ino }: DirectoryHandle): boolean {
    const version = this.#versionOf(path);
    for (const other of this.#handles.values())
      if (other.ino === ino && other.version !== version) return true;
    return false;
  }

  #versionOf(path: Uint8Array | undefined): number {
    return path === undefined ? 0 : (this.#inodes.tree.getVersion(this.#inodes.keys.entry(path)) ?? 0);
  }

  release(handle: number): number {
    const released = this.#handles.remove(handle);
    if (released === undefined) return -EBADF;
    const directory = this.#directories.get(released.ino);
    if (directory !== undefined && --directory.handles === 0) this.#directories.delete(released.ino);
    return 0;
  }

  /** The directory with number `ino` has lost the entry `name`. */
  nameLost(ino: number, name: Uint8Array): void {
    const directory = this.#directories.get(ino);
    if (directory === undefined) return;
    directory.gone ??= new GoneNames();
    directory.gone.add(name);
  }

  /** The directory with this number has lost its name. */
  removed(ino: number): void {
    this.#damage.delete(ino);
    for (const directory of this.#handles.values()) if (directory.ino === ino) directory.path = undefined;
  }

  /** The directory at `from`, and with it all below, is at `to` now. */
  moved(from: Uint8Array, to: Uint8Array): void {
    for (const directory of this.#handles.values()) {
      const { path } = directory;
      if (path !== undefined && isAtOrBelow(path, from)) {
        directory.path = concat(to, path.subarray(from.length));
      }
    }
  }

  /** Directories may be anywhere by now: `pathOf` tells where each is, or (undefined) that it is gone. */
  relocate(pathOf: (ino: number) => Uint8Array | undefined): void {
    for (const directory of this.#handles.values()) {
      const path = pathOf(directory.ino);
      directory.path = path && new Uint8Array(path);
    }
  }

  /** What was at each of two paths, and with it all below, is at the other now. */
  exchanged(one: Uint8Array, other: Uint8Array): void {
    for (const directory of this.#handles.values()) {
      const { path } = directory;
      if (path === undefined) continue;
      if (isAtOrBelow(path, one)) directory.path = concat(other, path.subarray(one.length));
      else if (isAtOrBelow(path, other)) directory.path = concat(one, path.subarray(other.length));
    }
  }
}

function isAtOrBelow(path: Uint8Array, directory: Uint8Array): boolean {
  return (
    startsWith(path, directory) && (path.length === directory.length || path[directory.length] === SLASH)
  );
}
