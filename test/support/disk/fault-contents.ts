/**
 * The calls on the contents of files around those of a disk in memory: recorded, and made to fail, with the calls of the
 * FaultDisk around the same disk, so that a crash ends both.
 *
 *   const disk = new FaultDisk(new MemoryDisk());
 *   const contents = new FaultContents(disk);
 *   disk.failNth('rename', 1, { error: 'ENOSPC' }, /content/);
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
import { errnoOf } from './errors.js';
import type { FaultDisk } from './fault-disk.js';
import type { Faults } from './faults.js';
import { MemoryContents } from './memory-contents.js';
import type { MemoryDisk } from './memory-disk.js';

export class FaultContents implements ContentDisk {
  readonly inner: MemoryContents;
  readonly #faults: Faults;
  readonly #disk: MemoryDisk;

  constructor(disk: FaultDisk) {
    this.#faults = disk;
    this.#disk = disk.inner;
    this.inner = new MemoryContents(disk.inner);
  }

  bootId(): string {
    return this.inner.bootId();
  }

  open(path: string, access: BackingAccess): number {
    return this.#opened(
      this.#faults.perform('open', path, () => this.inner.open(path, access)),
      path,
    );
  }

  openDirectory(path: string): number {
    return this.#opened(
      this.#faults.perform('openDirectory', path, () => this.inner.openDirectory(path)),
      path,
    );
  }

  #opened(fd: number, path: string): number {
    if (fd >= 0) this.#faults.opened(fd, path);
    return fd;
  }

  close(fd: number): void {
    this.#faults.perform('close', this.#pathOf(fd), () => this.inner.close(fd));
    this.#faults.closed(fd);
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return this.#faults.perform('read', this.#pathOf(fd), (short) =>
      this.inner.read(fd, into, offset, Math.min(length, short), position),
    );
  }

  write(fd: number, from: Uint8Array, offset: number, length: number, position: number): number {
    return this.#faults.perform('write', this.#pathOf(fd), (short) =>
      this.inner.write(fd, from, offset, Math.min(length, short), position),
    );
  }

  status(fd: number, out: FileStatus): void {
    this.#faults.perform('status', this.#pathOf(fd), () => this.inner.status(fd, out));
  }

  statusAt(path: string, out: FileStatus): boolean {
    return this.#faults.perform('statusAt', path, () => this.inner.statusAt(path, out));
  }

  lastIdentity(): FileIdentity {
    return this.inner.lastIdentity();
  }

  lastWas(identity: FileIdentity): boolean {
    return this.inner.lastWas(identity);
  }

  lastChangeSeconds(): number {
    return this.inner.lastChangeSeconds();
  }

  isWrittenElsewhere(fd: number): boolean {
    try {
      return this.#faults.perform('isWrittenElsewhere', this.#pathOf(fd), () =>
        this.inner.isWrittenElsewhere(fd),
      );
    } catch (error) {
      errnoOf(error);
      return true;
    }
  }

  isOpenElsewhere(fd: number): boolean {
    try {
      return this.#faults.perform('isOpenElsewhere', this.#pathOf(fd), () => this.inner.isOpenElsewhere(fd));
    } catch (error) {
      errnoOf(error);
      return true;
    }
  }

  setModificationTime(fd: number, seconds: number, nanos: number): void {
    this.#faults.perform('setModificationTime', this.#pathOf(fd), () =>
      this.inner.setModificationTime(fd, seconds, nanos),
    );
  }

  truncate(fd: number, size: number): void {
    this.#faults.perform('truncate', this.#pathOf(fd), () => this.inner.truncate(fd, size));
  }

  allocate(fd: number, mode: number, offset: number, length: number): number {
    return this.#answer('allocate', fd, () => this.inner.allocate(fd, mode, offset, length));
  }

  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    return this.#answer('copyRange', to, (short) =>
      this.inner.copyRange(from, fromOffset, to, toOffset, Math.min(length, short)),
    );
  }

  clone(from: number, to: number): number {
    return this.#answer('clone', to, () => this.inner.clone(from, to));
  }

  seek(fd: number, offset: number, whence: number): number {
    return this.#answer('seek', fd, () => this.inner.seek(fd, offset, whence));
  }

  startWriteback(fd: number): void {
    this.#faults.perform('startWriteback', this.#pathOf(fd), () => this.inner.startWriteback(fd));
  }

  fsync(fd: number): void {
    this.#faults.perform(
      'fsync',
      this.#pathOf(fd),
      () => this.inner.fsync(fd),
      () => this.#disk.loseUnsynced(fd),
    );
  }

  syncFilesystem(fd: number): void {
    this.#faults.perform('syncFilesystem', this.#pathOf(fd), () => this.inner.syncFilesystem(fd));
  }

  async syncFilesystemAsync(fd: number): Promise<number> {
    return this.#answer('syncFilesystemAsync', fd, () => {
      this.inner.syncFilesystem(fd);
      return 0;
    });
  }

  nodeAt(path: string): DiskNode | undefined {
    return this.#faults.perform('nodeAt', path, () => this.inner.nodeAt(path));
  }

  rename(from: string, to: string): void {
    this.#faults.perform('rename', to, () => this.inner.rename(from, to));
  }

  link(from: string, to: string): void {
    this.#faults.perform('link', to, () => this.inner.link(from, to));
  }

  remove(path: string): void {
    this.#faults.perform('remove', path, () => this.inner.remove(path));
  }

  makeDirectory(path: string): void {
    this.#faults.perform('makeDirectory', path, () => this.inner.makeDirectory(path));
  }

  removeDirectory(path: string): void {
    this.#faults.perform('removeDirectory', path, () => this.inner.removeDirectory(path));
  }

  list(path: string): DiskEntry[] {
    return this.#faults.perform('list', path, () => this.inner.list(path));
  }

  spreadSubdirectories(): void {}

  space(path: string): DiskSpace {
    return this.#faults.perform('space', path, () => this.inner.space());
  }

  /** Of calls that return their errno. */
  #answer(name: keyof ContentDisk, fd: number, run: (short: number) => number): number {
    try {
      return this.#faults.perform(name, this.#pathOf(fd), run);
    } catch (error) {
      return errnoOf(error);
    }
  }

  #pathOf(fd: number): string {
    return this.#faults.pathOf(fd);
  }
}
