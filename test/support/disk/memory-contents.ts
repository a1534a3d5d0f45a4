/**
 * The calls on the contents of files, on the disk in memory: the same files and directories as MemoryDisk's, the same
 * descriptors, the same power cut.
 *
 *   const contents = new MemoryContents(disk);     // disk: a MemoryDisk
 *
 * A rename between directories is two changes, either of which a power cut may lose.
 */
import type {
  BackingAccess,
  ContentDisk,
  DiskEntry,
  DiskNode,
  DiskSpace,
  FileStatus,
} from '../../../mount/filesystem/contents/disk/content-disk.js';
import type { FileIdentity } from '../../../mount/filesystem/types.js';
import { errnoError, errnoOf } from './errors.js';
import type { MemoryDisk } from './memory-disk.js';
import { type DirectoryNode, isFile, makeDurable, type Node } from './nodes.js';
import { PAGE_SIZE } from './pages.js';
import type { Volume } from './volume.js';

const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const SEEK_DATA = 3;
/** Of a volume without a limit. */
const BLOCKS = 2 ** 28;
const STAT_BLOCKS_PER_PAGE = PAGE_SIZE / 512;

export class MemoryContents implements ContentDisk {
  readonly #volume: Volume;
  #last: Node;
  /** Whether files can share blocks. */
  clones = false;

  constructor(disk: MemoryDisk) {
    this.#volume = disk.volume;
    this.#last = disk.volume.root;
  }

  // What tests do to it.

  /** Another descriptor of the file, as the kernel has one of each file that it was passed. */
  duplicate(fd: number): number {
    const { node, path, write } = this.#volume.file(fd, 'dup');
    return this.#volume.newDescriptor(node, path, write);
  }

  // ContentDisk.

  bootId(): string {
    return `boot ${this.#volume.boot}`;
  }

  open(path: string, access: BackingAccess): number {
    const creates = access === 'create';
    let node = this.#volume.node(path);
    if (node === undefined) {
      const parent = this.#volume.node(path.slice(0, path.lastIndexOf('/')));
      if (!creates || parent === undefined || isFile(parent)) return -1;
      node = this.#volume.makeFile(parent, path.slice(path.lastIndexOf('/') + 1));
    }
    if (!isFile(node)) throw errnoError('EISDIR', 'open', path);
    const fd = this.#volume.newDescriptor(node, path, access !== 'read');
    if (creates && node.seen.size > 0) this.#volume.truncate(fd, 0);
    return fd;
  }

  openDirectory(path: string): number {
    return this.#volume.newDescriptor(this.#volume.directory(path, 'open'), path, false);
  }

  close(fd: number): void {
    this.#volume.close(fd);
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return this.#volume.read(fd, into.subarray(offset, offset + length), position);
  }

  write(fd: number, from: Uint8Array, offset: number, length: number, position: number): number {
    return this.#volume.write(fd, from.slice(offset, offset + length), position);
  }

  status(fd: number, out: FileStatus): void {
    this.#status(this.#volume.opened(fd, 'fstat').node, out);
  }

  statusAt(path: string, out: FileStatus): boolean {
    const node = this.#volume.node(path);
    if (node === undefined) return false;
    this.#status(node, out);
    return true;
  }

  #status(node: Node, out: FileStatus): void {
    this.#last = node;
    if (!isFile(node)) {
      Object.assign(out, { size: 0, blocks: 0, mtimeSeconds: 0, mtimeNanos: 0 });
      return;
    }
    const { size, count, times } = node.seen;
    out.size = size;
    out.blocks = count * STAT_BLOCKS_PER_PAGE;
    out.mtimeSeconds = times.mtimeSeconds;
    out.mtimeNanos = times.mtimeNanos;
  }

  lastIdentity(): FileIdentity {
    return { file: this.#last.number, birth: 0 };
  }

  lastWas({ file }: FileIdentity): boolean {
    return this.#last.number === file;
  }

  lastChangeSeconds(): number {
    return isFile(this.#last) ? this.#last.seen.times.ctimeSeconds : 0;
  }

  isWrittenElsewhere(fd: number): boolean {
    const { node } = this.#volume.file(fd, 'fcntl');
    for (const other of this.#volume.open.values()) if (other.node === node && other.write) return true;
    return false;
  }

  isOpenElsewhere(fd: number): boolean {
    const { node } = this.#volume.file(fd, 'fcntl');
    for (const [number, other] of this.#volume.open) if (other.node === node && number !== fd) return true;
    return false;
  }

  setModificationTime(fd: number, seconds: number, nanos: number): void {
    const { node } = this.#volume.writable(fd, 'futimens');
    const times = { mtimeSeconds: seconds, mtimeNanos: nanos, ctimeSeconds: this.#volume.clock.seconds };
    this.#volume.changeFile(node, { kind: 'times' }, times);
  }

  truncate(fd: number, size: number): void {
    this.#volume.truncate(fd, size);
  }

  allocate(fd: number, mode: number, offset: number, length: number): number {
    try {
      if (mode === (PUNCH_HOLE | KEEP_SIZE)) this.#volume.punch(fd, offset, length);
      else if (mode === 0 || mode === KEEP_SIZE)
        this.#volume.allocate(fd, offset, length, mode === KEEP_SIZE);
      else throw errnoError('EOPNOTSUPP', 'fallocate', String(mode));
      return 0;
    } catch (error) {
      return errnoOf(error);
    }
  }

  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    try {
      const bytes = new Uint8Array(length);
      const count = this.#volume.read(from, bytes, fromOffset);
      return count === 0 ? 0 : this.#volume.write(to, bytes.subarray(0, count), toOffset);
    } catch (error) {
      return errnoOf(error);
    }
  }

  clone(from: number, to: number): number {
    if (!this.clones) return errnoOf(errnoError('EOPNOTSUPP', 'ioctl', String(to)));
    const { node } = this.#volume.file(from, 'ioctl');
    const bytes = new Uint8Array(node.seen.size);
    this.#volume.read(from, bytes, 0);
    try {
      for (let done = 0; done < bytes.length; ) done += this.#volume.write(to, bytes.subarray(done), done);
    } catch (error) {
      return errnoOf(error);
    }
    // What is shared is on the disk, and the sharing is one transaction.
    this.#volume.sync(to);
    return 0;
  }

  seek(fd: number, offset: number, whence: number): number {
    const { seen } = this.#volume.file(fd, 'lseek').node;
    if (offset < 0 || offset >= seen.size) return errnoOf(errnoError('ENXIO', 'lseek', String(fd)));
    const isWanted = (page: number): boolean => seen.has(page) === (whence === SEEK_DATA);
    for (let at = offset; at < seen.size; at = (Math.floor(at / PAGE_SIZE) + 1) * PAGE_SIZE) {
      if (isWanted(Math.floor(at / PAGE_SIZE))) return at;
    }
    return whence === SEEK_DATA ? errnoOf(errnoError('ENXIO', 'lseek', String(fd))) : seen.size;
  }

  /** What is written back may be lost as well. */
  startWriteback(fd: number): void {
    this.#volume.file(fd, 'sync_file_range');
  }

  fsync(fd: number): void {
    this.#volume.sync(fd);
  }

  syncFilesystem(fd: number): void {
    this.#volume.opened(fd, 'syncfs');
    const makeAllDurable = (node: Node): void => {
      makeDurable(node);
      if (!isFile(node)) for (const child of node.seen.values()) makeAllDurable(child);
    };
    this.#volume.takeStores();
    makeAllDurable(this.#volume.root);
  }

  async syncFilesystemAsync(fd: number): Promise<number> {
    this.syncFilesystem(fd);
    return 0;
  }

  nodeAt(path: string): DiskNode | undefined {
    const node = this.#volume.node(path);
    if (node === undefined) return undefined;
    return { kind: isFile(node) ? 'file' : 'directory', uid: process.geteuid?.() ?? 0 };
  }

  rename(from: string, to: string): void {
    this.#volume.rename(from, to);
  }

  link(from: string, to: string): void {
    this.#volume.link(from, to);
  }

  remove(path: string): void {
    if (this.#volume.node(path) !== undefined) this.#volume.unlink(path);
  }

  makeDirectory(path: string): void {
    let directory = this.#volume.root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      const node = directory.seen.get(name);
      if (node !== undefined && isFile(node)) throw errnoError('ENOTDIR', 'mkdir', path);
      directory = node ?? this.#volume.makeDirectory(directory, name);
    }
  }

  removeDirectory(path: string): void {
    const node = this.#volume.node(path);
    if (node === undefined) return;
    if (isFile(node)) throw errnoError('ENOTDIR', 'rmdir', path);
    this.#empty(node);
    const { directory, name } = this.#volume.parent(path, 'rmdir');
    this.#volume.change(directory, { kind: 'remove', name });
  }

  #empty(directory: DirectoryNode): void {
    for (const [name, child] of [...directory.seen]) {
      if (!isFile(child)) this.#empty(child);
      this.#volume.change(directory, { kind: 'remove', name });
      this.#volume.unlinked(child);
    }
  }

  list(path: string): DiskEntry[] {
    const { seen } = this.#volume.directory(path, 'scandir');
    return [...seen].map(([name, node]) => ({ name, kind: isFile(node) ? 'file' : 'directory' }));
  }

  /** Says only where things are to lie. */
  spreadSubdirectories(): void {}

  space(): DiskSpace {
    const pages = Math.min(BLOCKS, Math.floor(this.#volume.capacityBytes / PAGE_SIZE));
    const bfree = Math.max(0, Math.min(BLOCKS, this.#volume.freePages));
    return { bsize: PAGE_SIZE, blocks: pages, bfree, bavail: bfree, files: BLOCKS, ffree: BLOCKS };
  }
}
