/**
 * The hidden snapshot directory that every directory has, and what is below it.
 *
 * A directory (its *home*) is known by its inode number; `find` and `names` tell which snapshots have it, wherever it was then.
 * From there on places are the snapshot's own, and never change. A snapshot is of the whole store: making or deleting one in
 * any directory is the same.
 *
 * Operations return 0, a count or a handle, and a negative errno for a failure, as FileSystem's do: EROFS for every change,
 * ESTALE in a snapshot that was deleted.
 */
import { isUtf8 } from 'node:buffer';
import type { SnapshotInfo } from '../../../engine/api.js';
import type { UnreadableBlobError } from '../../../engine/errors.js';
import { isScheduledName } from '../../snapshot-names.js';
import { DirectoryHandle, ENDED } from '../directories/directory.js';
import {
  EBADF,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENXIO,
  EPERM,
  EROFS,
  ESTALE,
  errnoOf,
} from '../errno.js';
import { type Inodes, NAME_MAX } from '../inodes/inodes.js';
import { Handles } from '../open-files/handles.js';
import { getSum } from '../operations/own-attributes.js';
import type { Snapshots } from '../operations/snapshots.js';
import { getXattr, listXattrs } from '../operations/xattr.js';
import { concat, isName, SLASH } from '../records/keys.js';
import { isOwnAttribute } from '../records/own-names.js';
import { completePositions, pathOfDirectory } from '../records/positions.js';
import * as record from '../records/record.js';
import type { Attributes, Caller, DirectorySink } from '../types.js';
import { OpenSnapshots } from './open-snapshots.js';
import { PastFiles } from './past-files.js';
import type { PastInodes } from './past-inodes.js';
import type { PastPlace } from './past-place.js';

const O_ACCMODE = 3;
const O_TRUNC = 0o1000;
const SLASH_BYTES = Uint8Array.of(SLASH);
const DIRECTORY_MODE = record.DIRECTORY | 0o755;

interface PastDirectory {
  snapshot: number;
  handle: DirectoryHandle;
  /** Why names are missing. */
  damage: Map<number, UnreadableBlobError>;
}

export class SnapshotDirectories {
  /** Of snapshot directories; undefined: there are none. */
  readonly name: Uint8Array | undefined;
  readonly #inodes: Inodes;
  readonly #snapshots: Snapshots;
  readonly #open: OpenSnapshots;
  readonly #files: PastFiles;
  readonly #directories = new Handles<PastDirectory>();
  /** Who may make and delete snapshots, beside root: whoever the store belongs to. */
  readonly #owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  /** Milliseconds since 1970: the times of a snapshot directory as long as there are no snapshots. */
  readonly #since = Date.now();

  constructor(inodes: Inodes, snapshots: Snapshots) {
    this.name = inodes.hiddenName;
    this.#inodes = inodes;
    this.#snapshots = snapshots;
    this.#open = new OpenSnapshots(inodes, snapshots);
    this.#files = new PastFiles(inodes, snapshots);
  }

  /** Snapshots, files and directories that are open. */
  get counts(): { snapshots: number; files: number; directories: number } {
    return { snapshots: this.#open.count, files: this.#files.count, directories: this.#directories.count };
  }

  /** Whether this is the name of snapshot directories. */
  isDirectoryName(name: Uint8Array): boolean {
    return this.#inodes.isHidden(name);
  }

  /** Attributes of the snapshot directory of the directory `home`. */
  directoryAttributes(home: number, out: Attributes): number {
    const { uid, gid } = this.#owner;
    const made = this.#open.list().at(-1)?.createdAt ?? this.#since;
    const seconds = Math.floor(made / 1000);
    const nanos = Math.floor((made - seconds * 1000) * 1_000_000);
    // One link: how many directories are in it would take a look into each snapshot.
    Object.assign(out, { ino: home, mode: DIRECTORY_MODE, nlink: 1, uid, gid, rdev: 0, size: 0, blocks: 0 });
    Object.assign(out, { atimeSeconds: seconds, mtimeSeconds: seconds, ctimeSeconds: seconds });
    Object.assign(out, { atimeNanos: nanos, mtimeNanos: nanos, ctimeNanos: nanos });
    Object.assign(out, { btimeSeconds: seconds, btimeNanos: nanos, live: false, changesUnseen: false });
    return 0;
  }

  /** The snapshot's name; undefined where it is gone. */
  nameOf(snapshot: number): string | undefined {
    return this.#open.byId(snapshot)?.name;
  }

  /** The snapshots that have the directory, by ascending id, from the first one on whose id is above `after`. */
  *names(home: number, after: number): Generator<SnapshotInfo> {
    for (const snapshot of this.#open.list()) {
      if (snapshot.id > after && this.#pathIn(snapshot, home) !== undefined) yield snapshot;
    }
  }

  /** The directory as the snapshot of this name has it, or a negative errno. */
  find(home: number, name: Uint8Array): PastPlace | number {
    return this.#answer(() => {
      if (name.length > NAME_MAX) return -ENAMETOOLONG;
      const snapshot = isUtf8(name) ? this.#open.byName(Buffer.from(name).toString()) : undefined;
      const path = snapshot && this.#pathIn(snapshot, home);
      return path === undefined ? -ENOENT : { snapshot: snapshot!.id, path };
    });
  }

  #pathIn(snapshot: SnapshotInfo, home: number): Uint8Array | undefined {
    const past = this.#open.use(snapshot.id);
    return past && pathOfDirectory(past.tree, home);
  }

  /** Makes a snapshot; it has the directory `home`, whose place in it is returned. */
  make(caller: Caller, home: number, name: Uint8Array): PastPlace | number {
    return this.#answer(() => {
      const refused = this.#refuse(caller);
      if (refused !== 0) return refused;
      if (name.length > NAME_MAX) return -ENAMETOOLONG;
      if (!isName(name) || !isUtf8(name) || isScheduledName(Buffer.from(name).toString())) return -EINVAL;
      completePositions(this.#inodes.tree);
      if (pathOfDirectory(this.#inodes.tree, home) === undefined) return -ENOENT;
      this.#snapshots.take(Buffer.from(name).toString());
      return this.find(home, name);
    });
  }

  /** Deletes the snapshot of this name, which has the directory `home`. */
  remove(caller: Caller, home: number, name: Uint8Array): number {
    return this.#answer(() => {
      const refused = this.#refuse(caller);
      if (refused !== 0) return refused;
      const place = this.find(home, name);
      if (typeof place === 'number') return place;
      this.#snapshots.delete(Buffer.from(name).toString());
      return 0;
    });
  }

  #refuse(caller: Caller): number {
    if (this.#inodes.readOnly) return -EROFS;
    return caller.uid === 0 || caller.uid === this.#owner.uid ? 0 : -EPERM;
  }

  lookup({ snapshot, path }: PastPlace, name: Uint8Array, out: Attributes): number {
    if (name.length > NAME_MAX) return -ENAMETOOLONG;
    return this.getattr({ snapshot, path: concat(concat(path, SLASH_BYTES), name) }, out);
  }

  getattr({ snapshot, path }: PastPlace, out: Attributes): number {
    return this.#read(snapshot, (past) => {
      const inode = past.read(path);
      if (inode === undefined) return -ENOENT;
      past.attributes(inode, out);
      return 0;
    });
  }

  readlink({ snapshot, path }: PastPlace): Uint8Array | number {
    return this.#read(snapshot, (past) => {
      const inode = past.read(path);
      if (inode === undefined) return -ENOENT;
      return record.typeOf(inode) === record.SYMLINK ? record.targetOf(inode) : -EINVAL;
    });
  }

  getxattr({ snapshot, path }: PastPlace, name: Uint8Array): Uint8Array | number {
    return this.#read(snapshot, (past) =>
      isOwnAttribute(name) ? getSum(past, path, name) : getXattr(past, path, name),
    );
  }

  listxattr(caller: Caller, { snapshot, path }: PastPlace): Uint8Array | number {
    return this.#read(snapshot, (past) => listXattrs(past, caller, path));
  }

  /** Opens a regular file for reading. */
  open({ snapshot, path }: PastPlace, flags: number): number {
    if ((flags & (O_ACCMODE | O_TRUNC)) !== 0) return -EROFS;
    return this.#read(snapshot, (past) => {
      const inode = past.read(path);
      if (inode === undefined) return -ENOENT;
      const type = record.typeOf(inode);
      if (type === record.DIRECTORY) return -EISDIR;
      return type === record.REGULAR ? this.#files.open(snapshot, inode) : -ENXIO;
    });
  }

  read(handle: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return this.#ofFile(handle, () => this.#files.read(handle, into, offset, length, position));
  }

  lseek(handle: number, offset: number, whence: number): number {
    return this.#ofFile(handle, () => this.#files.seek(handle, offset, whence));
  }

  /** A descriptor of an open file's content that may be passed on, good until the next operation; ENOENT: there is none. */
  backing(handle: number): number {
    return this.#answer(() => this.#files.descriptor(handle));
  }

  release(handle: number): number {
    return this.#files.release(handle);
  }

  opendir({ snapshot, path }: PastPlace): number {
    return this.#read(snapshot, (past) => {
      const inode = past.read(path);
      if (inode === undefined) return -ENOENT;
      if (record.typeOf(inode) !== record.DIRECTORY) return -ENOTDIR;
      const handle = new DirectoryHandle(new Uint8Array(path), record.inoOf(inode), 0);
      return this.#directories.add({ snapshot, handle, damage: new Map() });
    });
  }

  /** As FileSystem's. */
  readdir(
    handle: number,
    offset: number,
    withAttributes: boolean,
    out: Attributes,
    sink: DirectorySink,
  ): number {
    const directory = this.#directories.get(handle);
    if (directory === undefined) return -EBADF;
    return this.#read(directory.snapshot, (past) => {
      const { damage } = directory;
      const result = directory.handle.read(past, offset, withAttributes, undefined, damage, out, sink);
      return result === ENDED ? 0 : result;
    });
  }

  releasedir(handle: number): number {
    return this.#directories.remove(handle) === undefined ? -EBADF : 0;
  }

  /** Closes snapshots that nobody uses; returns whether others are open. */
  rest(): boolean {
    return this.#open.rest();
  }

  close(): void {
    this.#files.closeAll();
    this.#open.closeAll();
  }

  #read<T>(snapshot: number, operation: (past: PastInodes) => T): T | number {
    return this.#answer(() => {
      const past = this.#open.use(snapshot);
      return past === undefined ? -ESTALE : operation(past);
    });
  }

  #ofFile(handle: number, operation: () => number): number {
    return this.#answer(() => {
      const snapshot = this.#files.snapshotOf(handle);
      return snapshot !== 0 && this.#open.byId(snapshot) === undefined ? -ESTALE : operation();
    });
  }

  #answer<T>(operation: () => T): T | number {
    try {
      return operation();
    } catch (error) {
      return errnoOf(error);
    }
  }
}
