/** A small filesystem in memory, for tests of the driver alone: by path, contents in buffers, no permissions. */
import { constants } from 'node:os';
import { NO_SPARE } from '../../../../mount/filesystem/contents/spares/spare-files.js';
import type {
  AttributeChange,
  Attributes,
  Caller,
  DirectorySink,
  FsyncPlan,
  Place,
  RemovalResult,
  StatFs,
} from '../../../../mount/filesystem/types.js';
import { CHANGE_MODE, CHANGE_SIZE } from '../../../../mount/filesystem/types.js';
import type { ServedFileSystem } from '../../../../mount/kernel/session/served-filesystem.js';

const { EBADF, EEXIST, EINVAL, ENODATA, ENOENT, ENOTDIR, ENOTEMPTY, ENXIO } = constants.errno;

interface Item {
  ino: number;
  mode: number;
  links: number;
  data: Buffer;
  xattrs: Map<string, Buffer>;
}

const EXCHANGE = 2;

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

export class MemoryFileSystem implements ServedFileSystem {
  readonly forgotten: number[] = [];
  /** Paths, as latin1, in no order. */
  readonly items = new Map<string, Item>();
  readonly #byIno = new Map<number, Item>();
  readonly #handles = new Map<number, Item | string>();
  #nextIno = 2;
  #nextHandle = 1;

  constructor() {
    this.#add('', 0o40755, 1);
  }

  start(): void {}

  /** Nothing here outlives the process. */
  readonly facts = {
    lastLsn: () => 0,
    entryIno: () => 0,
    entryVersion: () => 0,
    version: () => 0,
    xattrVersion: () => 0,
  };

  readonly takingOver = { orphan: () => {}, left: () => false, file: () => -EBADF, directory: () => -EBADF };
  close(): void {}
  reclaimed(): void {}
  readonly snapshots = {
    take: (): never => {
      throw new Error('no snapshots');
    },
    delete: (): void => {},
    progress: undefined,
    work: (): boolean => false,
    copied: (): void => {},
    placed: (): void => {},
    contentsSynced: (): void => {},
  };

  #add(path: string, mode: number, ino = this.#nextIno++): Item {
    const item: Item = { ino, mode, links: mode & 0o40000 ? 2 : 1, data: Buffer.alloc(0), xattrs: new Map() };
    this.items.set(path, item);
    this.#byIno.set(ino, item);
    return item;
  }

  #find(place: Place): Item | undefined {
    return typeof place === 'number' ? this.#byIno.get(place) : this.items.get(text(place));
  }

  #child(parent: Place, name: Uint8Array): string {
    return `${typeof parent === 'number' ? `\0${parent}` : text(parent)}/${text(name)}`;
  }

  /** Whether something may be made in it: a directory that still has its name. */
  #takesNames(place: Place): boolean {
    const item = this.#find(place);
    return typeof place !== 'number' && item !== undefined && (item.mode & 0o170000) === 0o40000;
  }

  #fill(item: Item, out: Attributes): number {
    out.ino = item.ino;
    out.mode = item.mode;
    out.nlink = item.links;
    out.size = item.data.length;
    out.mtimeSeconds = -1;
    out.mtimeNanos = 5;
    return 0;
  }

  lookup(parent: Place, name: Uint8Array, out: Attributes): number {
    const item = this.items.get(this.#child(parent, name));
    return item ? this.#fill(item, out) : -ENOENT;
  }

  getattr(place: Place, out: Attributes): number {
    const item = this.#find(place);
    return item ? this.#fill(item, out) : -ENOENT;
  }

  setattr(_caller: Caller, place: Place, change: AttributeChange, out: Attributes): number {
    const item = this.#find(place);
    if (!item) return -ENOENT;
    if (change.valid & CHANGE_MODE) item.mode = (item.mode & 0o170000) | (change.mode & 0o7777);
    if (change.valid & CHANGE_SIZE) {
      if (change.size > 1 << 24) return -EINVAL;
      item.data = Buffer.concat([item.data.subarray(0, change.size)], change.size);
    }
    return this.#fill(item, out);
  }

  readlink(place: Place): Uint8Array | number {
    return this.#find(place)?.data ?? -ENOENT;
  }

  mknod(
    _caller: Caller,
    parent: Place,
    name: Uint8Array,
    mode: number,
    _rdev: number,
    out: Attributes,
  ): number {
    const path = this.#child(parent, name);
    if (!this.#takesNames(parent)) return -ENOTDIR;
    if (this.items.has(path)) return -EEXIST;
    return this.#fill(this.#add(path, mode), out);
  }

  mkdir(caller: Caller, parent: Place, name: Uint8Array, mode: number, out: Attributes): number {
    return this.mknod(caller, parent, name, 0o40000 | mode, 0, out);
  }

  symlink(caller: Caller, parent: Place, name: Uint8Array, target: Uint8Array, out: Attributes): number {
    const error = this.mknod(caller, parent, name, 0o120777, 0, out);
    if (error === 0) this.#byIno.get(out.ino)!.data = Buffer.from(target);
    return error;
  }

  link(_caller: Caller, place: Place, newParent: Place, newName: Uint8Array, out: Attributes): number {
    const item = this.#find(place);
    const path = this.#child(newParent, newName);
    if (!item) return -ENOENT;
    if (!this.#takesNames(newParent)) return -ENOTDIR;
    if (this.items.has(path) || item.mode & 0o40000) return -EEXIST;
    item.links++;
    this.items.set(path, item);
    return this.#fill(item, out);
  }

  unlink(_caller: Caller, parent: Place, name: Uint8Array, result: RemovalResult): number {
    const path = this.#child(parent, name);
    const item = this.items.get(path);
    if (!item) return -ENOENT;
    for (const other of this.items.keys()) if (other.startsWith(`${path}/`)) return -ENOTEMPTY;
    this.items.delete(path);
    item.links--;
    result.removedIno = item.ino;
    result.removedLinks = item.links;
    result.movedIno = 0;
    return 0;
  }

  rmdir(caller: Caller, parent: Place, name: Uint8Array, result: RemovalResult): number {
    return this.unlink(caller, parent, name, result);
  }

  rename(
    caller: Caller,
    oldParent: Place,
    oldName: Uint8Array,
    newParent: Place,
    newName: Uint8Array,
    flags: number,
    result: RemovalResult,
  ): number {
    const from = this.#child(oldParent, oldName);
    const to = this.#child(newParent, newName);
    const item = this.items.get(from);
    if (!item) return -ENOENT;
    if (!this.#takesNames(newParent)) return -ENOTDIR;
    if ((flags & ~EXCHANGE) !== 0 || to === from || to.startsWith(`${from}/`) || from.startsWith(`${to}/`))
      return -EINVAL;
    result.removedIno = 0;
    if (flags === EXCHANGE) {
      if (!this.items.has(to)) return -ENOENT;
      this.#move(to, '\0exchanged');
      this.#move(from, to);
      this.#move('\0exchanged', from);
      result.movedIno = item.ino;
      return 0;
    }
    if (this.items.has(to)) {
      const error = this.unlink(caller, newParent, newName, result);
      if (error < 0) return error;
    }
    this.#move(from, to);
    result.movedIno = item.ino;
    return 0;
  }

  /** Moves what is at a path, and all below. */
  #move(from: string, to: string): void {
    for (const [path, moved] of [...this.items]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.items.delete(path);
      this.items.set(to + path.slice(from.length), moved);
    }
  }

  #open(item: Item | string): number {
    this.#handles.set(this.#nextHandle, item);
    return this.#nextHandle++;
  }

  open(_caller: Caller, place: Place): number {
    const item = this.#find(place);
    return item ? this.#open(item) : -ENOENT;
  }

  create(
    caller: Caller,
    parent: Place,
    name: Uint8Array,
    mode: number,
    _flags: number,
    _isPassed: boolean,
    out: Attributes,
  ): number {
    const error = this.mknod(caller, parent, name, mode, 0, out);
    return error < 0 ? error : this.#open(this.#byIno.get(out.ino)!);
  }

  createNameless(_caller: Caller, _parent: Place, mode: number, _flags: number, out: Attributes): number {
    const item: Item = { ino: this.#nextIno++, mode, links: 0, data: Buffer.alloc(0), xattrs: new Map() };
    this.#byIno.set(item.ino, item);
    this.#fill(item, out);
    return this.#open(item);
  }

  #file(handle: number): Item | undefined {
    const item = this.#handles.get(handle);
    return typeof item === 'object' ? item : undefined;
  }

  read(handle: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const item = this.#file(handle);
    if (!item) return -EBADF;
    const part = item.data.subarray(position, position + length);
    into.set(part, offset);
    return part.length;
  }

  write(handle: number, from: Uint8Array, offset: number, length: number, position: number): number {
    const item = this.#file(handle);
    if (!item) return -EBADF;
    if (position + length > 1 << 24) return -EINVAL;
    const data = Buffer.alloc(Math.max(item.data.length, position + length));
    item.data.copy(data);
    data.set(from.subarray(offset, offset + length), position);
    item.data = data;
    return length;
  }

  /** A number that stands for a descriptor: the inode's own, once it has content or the handle may write. */
  backing(handle: number): number {
    const item = this.#file(handle);
    if (!item) return -EBADF;
    return item.data.length === 0 ? -ENOENT : item.ino;
  }

  pass(handle: number): number {
    return Math.min(this.backing(handle), 0);
  }

  flush(handle: number): number {
    return this.#file(handle) ? 0 : -EBADF;
  }

  fsyncPlan(handle: number): FsyncPlan | undefined {
    const item = this.#file(handle);
    return item && { ino: item.ino, born: 0, identity: undefined, spare: NO_SPARE, names: false };
  }

  fsynced(): void {}

  fsyncdir(): number {
    return 0;
  }

  fsync(handle: number): number {
    return this.flush(handle);
  }

  lseek(handle: number, position: number): number {
    const item = this.#file(handle);
    return item && position < item.data.length ? position : -ENXIO;
  }

  fallocate(handle: number): number {
    return this.#file(handle) ? 0 : -EBADF;
  }

  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    const item = this.#file(from);
    return item ? this.write(to, item.data, fromOffset, length, toOffset) : -EBADF;
  }

  directoryVersion(): number {
    return 0;
  }

  opendir(place: Place): number {
    return typeof place === 'number' ? -ENOENT : this.#open(text(place));
  }

  readdir(handle: number, offset: number, _withAttributes: boolean, sink: DirectorySink): number {
    const path = this.#handles.get(handle);
    if (typeof path !== 'string') return -EBADF;
    const attributes = { live: false } as Attributes;
    const names: [string, Item][] = [
      ['.', this.items.get(path)!],
      ['..', this.items.get('')!],
    ];
    for (const [other, item] of this.items) {
      const name = other.slice(path.length + 1);
      if (other.startsWith(`${path}/`) && !name.includes('/')) names.push([name, item]);
    }
    for (let i = offset; i < names.length; i++) {
      const [name, item] = names[i]!;
      if (!item) continue;
      this.#fill(item, attributes);
      if (!sink(Buffer.from(name, 'latin1'), i + 1, attributes, true)) break;
    }
    return 0;
  }

  fileOf(handle: number): number {
    return this.#file(handle)?.ino ?? 0;
  }

  directoryOf(handle: number): number {
    const path = this.#handles.get(handle);
    return typeof path === 'string' ? (this.items.get(path)?.ino ?? 0) : 0;
  }

  releasedir(handle: number): number {
    return this.#handles.delete(handle) ? 0 : -EBADF;
  }

  release(handle: number): number {
    return this.#handles.delete(handle) ? 0 : -EBADF;
  }

  setxattr(_caller: Caller, place: Place, name: Uint8Array, value: Uint8Array): number {
    const item = this.#find(place);
    if (!item) return -ENOENT;
    item.xattrs.set(text(name), Buffer.from(value));
    return 0;
  }

  getxattr(place: Place, name: Uint8Array): Uint8Array | number {
    return this.#find(place)?.xattrs.get(text(name)) ?? -ENODATA;
  }

  setAccessList(place: Place, name: Uint8Array, list: Uint8Array, _killsSetgid: boolean): number {
    return this.setxattr({} as Caller, place, name, list);
  }

  listxattr(_caller: Caller, place: Place): Uint8Array | number {
    const item = this.#find(place);
    if (!item) return -ENOENT;
    return Buffer.from([...item.xattrs.keys()].map((name) => `${name}\0`).join(''), 'latin1');
  }

  removexattr(_caller: Caller, place: Place, name: Uint8Array): number {
    return this.#find(place)?.xattrs.delete(text(name)) ? 0 : -ENODATA;
  }

  statfs(_place: Place, out: StatFs): number {
    out.blockSize = 4096;
    out.blocks = 1000;
    out.nameMax = 255;
    return 0;
  }

  rest(): boolean {
    return false;
  }

  forget(ino: number): void {
    this.forgotten.push(ino);
  }
}
