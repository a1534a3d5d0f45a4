/**
 * What a simulated disk holds: a tree of nodes, descriptors and mappings of them, and how much space they take. The calls by
 * which it is used are in MemoryDisk and MemoryContents; what becomes of it when the power fails, in survival.ts.
 *
 * Memory that is mapped from a file is looked at whenever something is done to the disk: what was stored since is a
 * change of each 512-byte sector concerned, so a power cut leaves sectors of any mixture of ages.
 */
import { errnoError } from './errors.js';
import {
  applyToDirectory,
  applyToFile,
  type DirectoryChange,
  type DirectoryNode,
  type FileChange,
  type FileNode,
  isFile,
  makeDurable,
  type Node,
  newDirectory,
  newFile,
  type Times,
} from './nodes.js';
import { PAGE_SIZE } from './pages.js';

/** What a disk writes in one piece. */
const SECTOR_SIZE = 512;

/** What was not read yet. */
export interface VolumeClock {
  readonly seconds: number;
  readonly nanos: number;
}

export interface OpenNode<Opened extends Node = Node> {
  node: Opened;
  path: string;
  write: boolean;
  lock?: 'shared' | 'exclusive';
}

/** A change as its maker tells it: its time is added. */
type NewFileChange = FileChange extends infer Change
  ? Change extends FileChange
    ? Omit<Change, 'times'>
    : never
  : never;

export class Volume {
  /** Bytes that all files together may take up, in 4 KiB pages. May be changed at any time. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** What tells of where the disk is; a power cut starts the machine anew. */
  boot = 1;
  device = 1;
  mount = 1;
  inode = 1;
  clock: VolumeClock = { seconds: 0, nanos: 0 };
  root: DirectoryNode = newDirectory(1);
  readonly open = new Map<number, OpenNode>();
  nextNumber = 2;
  usedPages = 0;
  #nextFd = 3;
  readonly #mapped = new Set<FileNode>();

  get freePages(): number {
    return Math.floor(this.capacityBytes / PAGE_SIZE) - this.usedPages;
  }

  get mappings(): number {
    let count = 0;
    for (const { map } of this.#mapped) count += map?.users ?? 0;
    return count;
  }

  // Paths.

  node(path: string): Node | undefined {
    let node: Node | undefined = this.root;
    for (const part of path.split('/')) {
      if (part === '' || part === '.') continue;
      if (node === undefined || isFile(node)) return undefined;
      node = node.seen.get(part);
    }
    return node;
  }

  directory(path: string, syscall: string): DirectoryNode {
    const node = this.node(path);
    if (node === undefined) throw errnoError('ENOENT', syscall, path);
    if (isFile(node)) throw errnoError('ENOTDIR', syscall, path);
    return node;
  }

  fileAt(path: string, syscall: string): FileNode {
    const node = this.node(path);
    if (node === undefined) throw errnoError('ENOENT', syscall, path);
    if (!isFile(node)) throw errnoError('EISDIR', syscall, path);
    return node;
  }

  parent(path: string, syscall: string): { directory: DirectoryNode; name: string } {
    const cut = path.replace(/\/+$/, '').lastIndexOf('/');
    const name = path.slice(cut + 1).replace(/\/+$/, '');
    return { directory: this.directory(path.slice(0, Math.max(cut, 0)), syscall), name };
  }

  // Names.

  makeFile(directory: DirectoryNode, name: string): FileNode {
    const node = newFile(this.nextNumber++);
    node.links = 1;
    this.change(directory, { kind: 'add', name, node });
    return node;
  }

  makeDirectory(directory: DirectoryNode, name: string): DirectoryNode {
    const node = newDirectory(this.nextNumber++);
    this.change(directory, { kind: 'add', name, node });
    return node;
  }

  /** One change within a directory; two, each of which may be lost alone, between directories. */
  rename(from: string, to: string): void {
    const source = this.parent(from, 'rename');
    const target = this.parent(to, 'rename');
    const node = source.directory.seen.get(source.name);
    if (node === undefined) throw errnoError('ENOENT', 'rename', from);
    const replaced = target.directory.seen.get(target.name);
    if (replaced === node) return;
    if (source.directory === target.directory) {
      this.change(source.directory, { kind: 'rename', from: source.name, to: target.name, node });
    } else {
      this.change(target.directory, { kind: 'add', name: target.name, node });
      this.change(source.directory, { kind: 'remove', name: source.name });
    }
    if (replaced !== undefined) this.unlinked(replaced);
  }

  link(from: string, to: string): void {
    const node = this.fileAt(from, 'link');
    const { directory, name } = this.parent(to, 'link');
    if (directory.seen.has(name)) throw errnoError('EEXIST', 'link', to);
    node.links++;
    this.change(directory, { kind: 'add', name, node });
  }

  unlink(path: string): void {
    const { directory, name } = this.parent(path, 'unlink');
    const node = directory.seen.get(name);
    if (node === undefined) throw errnoError('ENOENT', 'unlink', path);
    if (!isFile(node)) throw errnoError('EISDIR', 'unlink', path);
    this.change(directory, { kind: 'remove', name });
    this.unlinked(node);
  }

  change(directory: DirectoryNode, change: DirectoryChange): void {
    this.takeStores();
    applyToDirectory(directory.seen, change);
    directory.unsynced.push(change);
  }

  unlinked(node: Node): void {
    if (!isFile(node)) return;
    node.links--;
    this.#release(node);
  }

  // Descriptors.

  newDescriptor(node: Node, path: string, write: boolean): number {
    if (isFile(node)) node.opens++;
    const fd = this.#nextFd++;
    this.open.set(fd, { node, path, write });
    return fd;
  }

  close(fd: number): void {
    const { node } = this.opened(fd, 'close');
    this.open.delete(fd);
    if (!isFile(node)) return;
    node.opens--;
    this.#release(node);
  }

  opened(fd: number, syscall: string): OpenNode {
    const open = this.open.get(fd);
    if (open === undefined) throw errnoError('EBADF', syscall, String(fd));
    return open;
  }

  file(fd: number, syscall: string): OpenNode<FileNode> {
    const open = this.opened(fd, syscall);
    if (!isFile(open.node)) throw errnoError('EISDIR', syscall, open.path);
    return open as OpenNode<FileNode>;
  }

  writable(fd: number, syscall: string): OpenNode<FileNode> {
    const open = this.file(fd, syscall);
    if (!open.write) throw errnoError('EBADF', syscall, open.path);
    return open;
  }

  // What is in files.

  read(fd: number, into: Uint8Array, position: number): number {
    this.takeStores();
    return this.file(fd, 'read').node.seen.read(into, position);
  }

  /** A full disk takes what fits, as write(2) does, and refuses when nothing fits. `data` must not change any more. */
  write(fd: number, data: Uint8Array, position: number): number {
    const { node, path } = this.writable(fd, 'write');
    let fits = 0;
    let free = this.freePages;
    while (fits < data.length) {
      const page = Math.floor((position + fits) / PAGE_SIZE);
      if (!node.seen.has(page) && free-- <= 0) break;
      fits = Math.min(data.length, (page + 1) * PAGE_SIZE - position);
    }
    if (fits === 0 && data.length > 0) throw errnoError('ENOSPC', 'write', path);
    this.changeFile(node, { kind: 'write', position, data: data.subarray(0, fits) });
    return fits;
  }

  allocate(fd: number, offset: number, length: number, keepsSize: boolean): void {
    const { node, path } = this.writable(fd, 'fallocate');
    let needed = 0;
    for (let page = Math.floor(offset / PAGE_SIZE); page * PAGE_SIZE < offset + length; page++) {
      if (!node.seen.has(page)) needed++;
    }
    if (needed > this.freePages) throw errnoError('ENOSPC', 'fallocate', path);
    this.changeFile(node, { kind: 'allocate', offset, length, keepsSize });
  }

  truncate(fd: number, size: number): void {
    this.changeFile(this.writable(fd, 'ftruncate').node, { kind: 'truncate', size });
  }

  punch(fd: number, offset: number, length: number): void {
    this.changeFile(this.writable(fd, 'fallocate').node, { kind: 'punch', offset, length });
  }

  changeFile(file: FileNode, change: NewFileChange, times: Times = this.#now()): void {
    this.takeStores();
    this.#apply(file, { ...change, times });
    if (file.map !== undefined) file.seen.read(file.map.bytes, 0);
  }

  sync(fd: number): void {
    this.takeStores();
    makeDurable(this.opened(fd, 'fsync').node);
  }

  // Mappings.

  map(fd: number, length: number): ArrayBuffer {
    const { node, path } = this.writable(fd, 'mmap');
    // A real one would let the process die at the first touch behind the end.
    if (length > node.seen.size) throw errnoError('EINVAL', 'mmap', path);
    if (node.map === undefined) {
      node.map = { bytes: new Uint8Array(length), users: 0 };
      node.seen.read(node.map.bytes, 0);
      this.#mapped.add(node);
    }
    if (node.map.bytes.length !== length) throw errnoError('EINVAL', 'mmap', path);
    node.map.users++;
    node.opens++;
    return node.map.bytes.buffer;
  }

  unmap(buffer: ArrayBuffer): void {
    this.takeStores();
    for (const file of this.#mapped) {
      if (file.map?.bytes.buffer !== buffer) continue;
      if (--file.map.users === 0) {
        delete file.map;
        this.#mapped.delete(file);
      }
      file.opens--;
      this.#release(file);
      return;
    }
    throw errnoError('EINVAL', 'munmap', 'a buffer');
  }

  /** Turns what was stored in mapped memory since the last look into changes of the files. */
  takeStores(): void {
    for (const file of this.#mapped) {
      if (file.map === undefined) continue;
      const { bytes } = file.map;
      for (let at = 0; at < bytes.length; at += SECTOR_SIZE) {
        const page = file.seen.page(Math.floor(at / PAGE_SIZE));
        const inPage = at % PAGE_SIZE;
        if (inPage === 0) {
          const length = Math.min(PAGE_SIZE, bytes.length - at);
          if (Buffer.compare(page.subarray(0, length), bytes.subarray(at, at + length)) === 0) {
            at += PAGE_SIZE - SECTOR_SIZE;
            continue;
          }
        }
        const data = bytes.slice(at, at + SECTOR_SIZE);
        if (Buffer.compare(page.subarray(inPage, inPage + data.length), data) === 0) continue;
        // A real process may be killed by this: the disk may be full.
        if (!file.seen.has(Math.floor(at / PAGE_SIZE))) throw new Error(`A store to a hole, at ${at}`);
        this.#apply(file, { kind: 'write', position: at, data, times: this.#now() });
      }
    }
  }

  #apply(file: FileNode, change: FileChange): void {
    const before = file.seen.count;
    applyToFile(file.seen, change);
    file.unsynced.push(change);
    this.usedPages += file.seen.count - before;
  }

  #now(): Times {
    const { seconds, nanos } = this.clock;
    return { mtimeSeconds: seconds, mtimeNanos: nanos, ctimeSeconds: seconds };
  }

  #release(file: FileNode): void {
    if (file.links === 0 && file.opens === 0) this.usedPages -= file.seen.count;
  }
}
