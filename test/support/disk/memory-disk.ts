/**
 * A disk in memory that knows what would survive a power cut.
 *
 * Every file has two contents: what a process sees (the page cache) and what is durable, and a list of the
 * changes in between, which `fdatasync` and `fsync` apply. Every directory likewise: creations, renames and
 * removals are durable only after `syncDirectory` (syncing a new file does not make its name durable).
 *
 *   const disk = new MemoryDisk();
 *   disk.mkdir('/store');                 // the root directory exists; nothing else does
 *   ...                                   // run what is under test with it
 *   const killed = disk.afterKill();      // the next process: all is seen, what was unsynced stays unsynced
 *   const cut = disk.afterPowerCut('drop')        // unsynced changes are gone
 *   const cut = disk.afterPowerCut(random)        // a random subset of them is there, the last one torn at 4 KiB
 *   const cut = disk.afterPowerCut(random, 512)   // ... at 512 bytes
 *
 * Memory that is mapped from a file is looked at whenever something is done to the disk: what was stored since is a
 * change of each 512-byte sector concerned, so a power cut leaves sectors of any mixture of ages.
 *
 * `afterKill` and `afterPowerCut` leave the disk as it is and share its pages, so both are cheap: a test may
 * take `disk.afterKill()` at every call (see FaultDisk.onCall) and derive many power cuts from each.
 * Capacity, locks (flock semantics, per open) and `isSameFile` work. One thread only.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:os';
import type { Disk } from '../../../engine/disk/disk.js';
import type { DirectoryIdentity } from '../../../engine/disk/identity.js';
import { PAGE_SIZE, Pages } from './pages.js';

/** What a power cut leaves of the unsynced changes: none, all, or a random subset (a function like Math.random). */
export type Survivors = 'drop' | 'keep' | (() => number);

type FileChange =
  | { kind: 'write'; position: number; data: Uint8Array }
  | { kind: 'allocate'; offset: number; length: number }
  | { kind: 'punch'; offset: number; length: number }
  | { kind: 'truncate'; size: number };

type DirectoryChange =
  | { kind: 'add'; name: string; node: Node }
  | { kind: 'remove'; name: string }
  | { kind: 'rename'; from: string; to: string; node: Node };

interface FileNode {
  seen: Pages;
  durable: Pages;
  unsynced: FileChange[];
  links: number;
  /** Open descriptors and mappings. */
  opens: number;
  map?: { bytes: Uint8Array<ArrayBuffer>; users: number };
}
interface DirectoryNode {
  seen: Map<string, Node>;
  durable: Map<string, Node>;
  unsynced: DirectoryChange[];
}
type Node = FileNode | DirectoryNode;

interface OpenFile {
  file: FileNode;
  path: string;
  write: boolean;
  lock?: 'shared' | 'exclusive';
}

/** An error like those that Node's fs throws. */
export function errnoError(code: string, syscall: string, path: string): NodeJS.ErrnoException {
  const errno = (constants.errno as Record<string, number>)[code] ?? 0;
  return Object.assign(new Error(`${code}: ${syscall} '${path}'`), { code, errno: -errno, syscall, path });
}

const isFile = (node: Node): node is FileNode => node.seen instanceof Pages;
const newFile = (): FileNode => ({
  seen: new Pages(),
  durable: new Pages(),
  unsynced: [],
  links: 0,
  opens: 0,
});
const newDirectory = (): DirectoryNode => ({ seen: new Map(), durable: new Map(), unsynced: [] });

function applyToFile(pages: Pages, change: FileChange): void {
  if (change.kind === 'write') pages.write(change.data, change.position);
  else if (change.kind === 'allocate') pages.allocate(change.offset, change.length);
  else if (change.kind === 'punch') pages.punch(change.offset, change.length);
  else pages.truncate(change.size);
}

function applyToDirectory(entries: Map<string, Node>, change: DirectoryChange): void {
  if (change.kind === 'add') entries.set(change.name, change.node);
  else if (change.kind === 'remove') entries.delete(change.name);
  else {
    entries.delete(change.from);
    entries.set(change.to, change.node);
  }
}

/** Keeps of a write the file size, perhaps, and each of the pieces of `pieceBytes` that it touches, perhaps. */
function applyTorn(pages: Pages, change: FileChange, random: () => number, pieceBytes: number): void {
  if (change.kind !== 'write') {
    applyToFile(pages, change);
    return;
  }
  const end = change.position + change.data.length;
  if (random() < 0.5) pages.size = Math.max(pages.size, end);
  for (let at = change.position; at < end; ) {
    const pieceEnd = Math.min(end, (Math.floor(at / pieceBytes) + 1) * pieceBytes);
    if (random() < 0.5) {
      pages.write(change.data.subarray(at - change.position, pieceEnd - change.position), at);
    }
    at = pieceEnd;
  }
}

/** What a disk writes in one piece. */
const SECTOR_SIZE = 512;

export class MemoryDisk implements Disk {
  /** Bytes that all files together may take up, in 4 KiB pages. May be changed at any time. */
  capacityBytes: number;
  /** What `identify` says of where the disk is; a power cut starts the machine anew. */
  boot = 1;
  device = 1;
  mount = 1;
  inode = 1;
  #root: DirectoryNode = newDirectory();
  #open = new Map<number, OpenFile>();
  #nextFd = 3;
  #usedPages = 0;
  #mapped = new Set<FileNode>();

  constructor(options: { capacityBytes?: number } = {}) {
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  get usedBytes(): number {
    return this.#usedPages * PAGE_SIZE;
  }

  // What tests do to the disk.

  /** The disk as the next process finds it after this one was killed: no open files, no locks. */
  afterKill(): MemoryDisk {
    this.#takeStores();
    return this.#copy(
      (file) => ({
        ...newFile(),
        seen: new Pages(file.seen),
        durable: new Pages(file.durable),
        unsynced: [...file.unsynced],
      }),
      (directory) => ({ seen: directory.seen, durable: directory.durable, unsynced: directory.unsynced }),
    );
  }

  /**
   * The disk as the machine finds it after a power cut now. Everything that is left is durable.
   * @param tearBytes the pieces of which the last of a file's surviving writes may be left incomplete
   */
  afterPowerCut(survivors: Survivors, tearBytes = PAGE_SIZE): MemoryDisk {
    this.#takeStores();
    const random = typeof survivors === 'function' ? survivors : undefined;
    const chance =
      random === undefined
        ? survivors === 'keep'
          ? 1
          : 0
        : ([0.15, 0.5, 0.85][Math.floor(random() * 3)] ?? 0.5);
    const survives = (): boolean => (random === undefined ? chance === 1 : random() < chance);
    const cut = this.#copy(
      (file) => {
        const pages = new Pages(file.durable);
        const kept = file.unsynced.filter(survives);
        const last = random === undefined ? undefined : kept.pop();
        for (const change of kept) applyToFile(pages, change);
        if (last !== undefined && random !== undefined) {
          if (random() < 0.5) applyToFile(pages, last);
          else applyTorn(pages, last, random, tearBytes);
        }
        return { ...newFile(), seen: new Pages(pages), durable: pages };
      },
      (directory) => {
        const entries = new Map(directory.durable);
        for (const change of directory.unsynced) if (survives()) applyToDirectory(entries, change);
        return { seen: entries, durable: entries, unsynced: [] };
      },
    );
    cut.boot = (this.boot % 255) + 1;
    return cut;
  }

  /**
   * What a failed fsync does on Linux: the unsynced changes of the file stay visible, but no later fsync makes
   * them durable. FaultDisk calls it for a failed `fdatasync` or `fsync` that is to lose data.
   */
  loseUnsynced(fd: number): void {
    this.#file(fd, 'fsync').file.unsynced.length = 0;
  }

  /** The whole content of a file as a process sees it. */
  readFile(path: string): Uint8Array {
    this.#takeStores();
    const { seen } = this.#fileAt(path, 'read');
    const bytes = new Uint8Array(seen.size);
    seen.read(bytes, 0);
    return bytes;
  }

  /** Disks with the same fingerprint look the same to a process that starts. */
  fingerprint(): string {
    this.#takeStores();
    const hash = createHash('sha1').update(`${this.boot} ${this.device} ${this.mount} ${this.inode}`);
    const add = (directory: DirectoryNode): void => {
      for (const [name, node] of [...directory.seen].sort(([a], [b]) => (a < b ? -1 : 1))) {
        hash.update(`/${name}\n`);
        if (isFile(node)) hash.update(Float64Array.from(node.seen.sums()));
        else add(node);
      }
      hash.update('..');
    };
    add(this.#root);
    return hash.digest('base64');
  }

  /** Sets the whole content of a file, which is made if missing, durably: damage as a test wants it. */
  writeFile(path: string, bytes: Uint8Array): void {
    const fd = this.open(path, { write: true, create: true });
    const { file } = this.#file(fd, 'write');
    this.truncate(fd, 0);
    this.write(fd, [bytes], 0);
    this.fsync(fd);
    this.close(fd);
    const { directory, name } = this.#parent(path, 'write');
    directory.durable.set(name, file);
    directory.unsynced = directory.unsynced.filter((change) => !('name' in change && change.name === name));
  }

  /** Descriptors not closed yet, by path: a test can check that nothing leaks. */
  openPaths(): string[] {
    return [...this.#open.values()].map((open) => open.path);
  }

  /** Mappings not ended yet. */
  get mappings(): number {
    let count = 0;
    for (const { map } of this.#mapped) count += map?.users ?? 0;
    return count;
  }

  // Disk.

  open(path: string, options: { write: boolean; create?: boolean }): number {
    const { directory, name } = this.#parent(path, 'open');
    let node = directory.seen.get(name);
    if (node === undefined) {
      if (!options.create) throw errnoError('ENOENT', 'open', path);
      node = newFile();
      node.links = 1;
      this.#change(directory, { kind: 'add', name, node });
    }
    if (!isFile(node)) throw errnoError('EISDIR', 'open', path);
    node.opens++;
    const fd = this.#nextFd++;
    this.#open.set(fd, { file: node, path, write: options.write });
    return fd;
  }

  close(fd: number): void {
    const { file } = this.#file(fd, 'close');
    this.#open.delete(fd);
    file.opens--;
    this.#release(file);
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    this.#takeStores();
    return this.#file(fd, 'read').file.seen.read(into.subarray(offset, offset + length), position);
  }

  write(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const { file, path } = this.#writable(fd, 'write');
    const data = new Uint8Array(buffers.reduce((sum, buffer) => sum + buffer.length, 0));
    let filled = 0;
    for (const buffer of buffers) {
      data.set(buffer, filled);
      filled += buffer.length;
    }
    // A full disk takes what fits, as write(2) does, and refuses when nothing fits.
    let fits = 0;
    let free = this.#freePages();
    while (fits < data.length) {
      const page = Math.floor((position + fits) / PAGE_SIZE);
      if (!file.seen.has(page) && free-- <= 0) break;
      fits = Math.min(data.length, (page + 1) * PAGE_SIZE - position);
    }
    if (fits === 0 && data.length > 0) throw errnoError('ENOSPC', 'write', path);
    this.#changeFile(file, { kind: 'write', position, data: data.subarray(0, fits) });
    return fits;
  }

  fdatasync(fd: number): void {
    this.#takeStores();
    const { file } = this.#file(fd, 'fdatasync');
    for (const change of file.unsynced) applyToFile(file.durable, change);
    file.unsynced = [];
  }

  fsync(fd: number): void {
    this.fdatasync(fd);
  }

  truncate(fd: number, size: number): void {
    this.#changeFile(this.#writable(fd, 'ftruncate').file, { kind: 'truncate', size });
  }

  allocate(fd: number, offset: number, length: number): void {
    const { file, path } = this.#writable(fd, 'fallocate');
    let needed = 0;
    for (let page = Math.floor(offset / PAGE_SIZE); page * PAGE_SIZE < offset + length; page++) {
      if (!file.seen.has(page)) needed++;
    }
    if (needed > this.#freePages()) throw errnoError('ENOSPC', 'fallocate', path);
    this.#changeFile(file, { kind: 'allocate', offset, length });
  }

  punchHole(fd: number, offset: number, length: number): void {
    this.#changeFile(this.#writable(fd, 'fallocate').file, { kind: 'punch', offset, length });
  }

  /** Hints change nothing that could be seen. */
  expectRandomReads(): void {}

  readAhead(): void {}

  map(fd: number, length: number): ArrayBuffer {
    const { file, path } = this.#writable(fd, 'mmap');
    // A real one would let the process die at the first touch behind the end.
    if (length > file.seen.size) throw errnoError('EINVAL', 'mmap', path);
    if (file.map === undefined) {
      file.map = { bytes: new Uint8Array(length), users: 0 };
      file.seen.read(file.map.bytes, 0);
      this.#mapped.add(file);
    }
    if (file.map.bytes.length !== length) throw errnoError('EINVAL', 'mmap', path);
    file.map.users++;
    file.opens++;
    return file.map.bytes.buffer;
  }

  unmap(buffer: ArrayBuffer): void {
    this.#takeStores();
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

  size(fd: number): number {
    return this.#file(fd, 'fstat').file.seen.size;
  }

  freeBytes(): number {
    this.#takeStores();
    return Math.max(0, this.#freePages() * PAGE_SIZE);
  }

  rename(from: string, to: string): void {
    const source = this.#parent(from, 'rename');
    const target = this.#parent(to, 'rename');
    const node = source.directory.seen.get(source.name);
    if (node === undefined) throw errnoError('ENOENT', 'rename', from);
    if (source.directory !== target.directory) throw errnoError('EXDEV', 'rename', from);
    if (source.name === target.name) return;
    const replaced = target.directory.seen.get(target.name);
    this.#change(source.directory, { kind: 'rename', from: source.name, to: target.name, node });
    if (replaced !== undefined) this.#unlinked(replaced);
  }

  link(from: string, to: string): boolean {
    const source = this.#fileAt(from, 'link');
    const { directory, name } = this.#parent(to, 'link');
    const replaced = directory.seen.get(name);
    source.links++;
    this.#change(directory, { kind: 'add', name, node: source });
    if (replaced !== undefined) this.#unlinked(replaced);
    return true;
  }

  unlink(path: string): void {
    const { directory, name } = this.#parent(path, 'unlink');
    const node = directory.seen.get(name);
    if (node === undefined) throw errnoError('ENOENT', 'unlink', path);
    if (!isFile(node)) throw errnoError('EISDIR', 'unlink', path);
    this.#change(directory, { kind: 'remove', name });
    this.#unlinked(node);
  }

  mkdir(path: string): void {
    const { directory, name } = this.#parent(path, 'mkdir');
    const node = directory.seen.get(name);
    if (node === undefined) this.#change(directory, { kind: 'add', name, node: newDirectory() });
    else if (isFile(node)) throw errnoError('EEXIST', 'mkdir', path);
  }

  list(path: string): string[] {
    return [...this.#directory(path, 'scandir').seen.keys()];
  }

  exists(path: string): boolean {
    return this.#node(path) !== undefined;
  }

  syncDirectory(path: string): void {
    const directory = this.#directory(path, 'fsync');
    directory.durable = new Map(directory.seen);
    directory.unsynced = [];
  }

  lock(fd: number, mode: 'shared' | 'exclusive'): boolean {
    const own = this.#file(fd, 'flock');
    for (const other of this.#open.values()) {
      if (other === own || other.file !== own.file || other.lock === undefined) continue;
      if (mode === 'exclusive' || other.lock === 'exclusive') return false;
    }
    own.lock = mode;
    return true;
  }

  isSameFile(fd: number, path: string): boolean {
    return this.#node(path) === this.#file(fd, 'fstat').file;
  }

  identify(directory: string): DirectoryIdentity {
    this.#directory(directory, 'stat');
    const boot = new Uint8Array(16).fill(this.boot);
    return { boot, device: BigInt(this.device), inode: BigInt(this.inode), mount: BigInt(this.mount) };
  }

  // Inside.

  #freePages(): number {
    return Math.floor(this.capacityBytes / PAGE_SIZE) - this.#usedPages;
  }

  /** Turns what was stored in mapped memory since the last look into changes of the files. */
  #takeStores(): void {
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
        this.#apply(file, { kind: 'write', position: at, data });
      }
    }
  }

  #changeFile(file: FileNode, change: FileChange): void {
    this.#takeStores();
    this.#apply(file, change);
    if (file.map !== undefined) file.seen.read(file.map.bytes, 0);
  }

  #apply(file: FileNode, change: FileChange): void {
    const before = file.seen.count;
    applyToFile(file.seen, change);
    file.unsynced.push(change);
    this.#usedPages += file.seen.count - before;
  }

  #change(directory: DirectoryNode, change: DirectoryChange): void {
    this.#takeStores();
    applyToDirectory(directory.seen, change);
    directory.unsynced.push(change);
  }

  #unlinked(node: Node): void {
    if (!isFile(node)) return;
    node.links--;
    this.#release(node);
  }

  #release(file: FileNode): void {
    if (file.links === 0 && file.opens === 0) this.#usedPages -= file.seen.count;
  }

  #file(fd: number, syscall: string): OpenFile {
    const open = this.#open.get(fd);
    if (open === undefined) throw errnoError('EBADF', syscall, String(fd));
    return open;
  }

  #writable(fd: number, syscall: string): OpenFile {
    const open = this.#file(fd, syscall);
    if (!open.write) throw errnoError('EBADF', syscall, open.path);
    return open;
  }

  #node(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path.split('/')) {
      if (part === '' || part === '.') continue;
      if (node === undefined || isFile(node)) return undefined;
      node = node.seen.get(part);
    }
    return node;
  }

  #directory(path: string, syscall: string): DirectoryNode {
    const node = this.#node(path);
    if (node === undefined) throw errnoError('ENOENT', syscall, path);
    if (isFile(node)) throw errnoError('ENOTDIR', syscall, path);
    return node;
  }

  #fileAt(path: string, syscall: string): FileNode {
    const node = this.#node(path);
    if (node === undefined) throw errnoError('ENOENT', syscall, path);
    if (!isFile(node)) throw errnoError('EISDIR', syscall, path);
    return node;
  }

  #parent(path: string, syscall: string): { directory: DirectoryNode; name: string } {
    const cut = path.replace(/\/+$/, '').lastIndexOf('/');
    const name = path.slice(cut + 1).replace(/\/+$/, '');
    return { directory: this.#directory(path.slice(0, Math.max(cut, 0)), syscall), name };
  }

  /** Copies the tree of nodes; each node is copied once, however many names lead to it. */
  #copy(
    copyFile: (file: FileNode) => FileNode,
    pick: (directory: DirectoryNode) => DirectoryNode,
  ): MemoryDisk {
    const disk = new MemoryDisk({ capacityBytes: this.capacityBytes });
    Object.assign(disk, { boot: this.boot, device: this.device, mount: this.mount, inode: this.inode });
    const copies = new Map<Node, Node>();
    const copyNode = (node: Node): Node => {
      const known = copies.get(node);
      if (known !== undefined) return known;
      if (isFile(node)) {
        const file = copyFile(node);
        copies.set(node, file);
        return file;
      }
      const copy = newDirectory();
      copies.set(node, copy);
      const picked = pick(node);
      for (const [name, child] of picked.seen) copy.seen.set(name, copyNode(child));
      for (const [name, child] of picked.durable) copy.durable.set(name, copyNode(child));
      copy.unsynced = picked.unsynced.map((change) =>
        'node' in change ? { ...change, node: copyNode(change.node) } : change,
      );
      return copy;
    };
    disk.#root = copyNode(this.#root) as DirectoryNode;
    disk.#count(disk.#root);
    return disk;
  }

  #count(directory: DirectoryNode): void {
    for (const node of directory.seen.values()) {
      if (!isFile(node)) this.#count(node);
      else if (node.links++ === 0) this.#usedPages += node.seen.count;
    }
  }
}
