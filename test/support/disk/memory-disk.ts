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
 * `afterKill` and `afterPowerCut` leave the disk as it is and share its pages, so both are cheap: a test may
 * take `disk.afterKill()` at every call (see FaultDisk.onCall) and derive many power cuts from each.
 * Capacity, locks (flock semantics, per open) and `isSameFile` work. One thread only. The contents of files are used by other
 * calls: see MemoryContents.
 */
import { createHash } from 'node:crypto';
import type { Disk } from '../../../engine/disk/disk.js';
import type { DirectoryIdentity } from '../../../engine/disk/identity.js';
import { PAGES_FILE } from '../../../engine/store/file/names.js';
import { errnoError } from './errors.js';
import { type DirectoryNode, isFile, makeDurable } from './nodes.js';
import { PAGE_SIZE } from './pages.js';
import { afterKill, afterPowerCut, type Survivors } from './survival.js';
import { Volume, type VolumeClock } from './volume.js';

export class MemoryDisk implements Disk {
  readonly volume: Volume;

  constructor(options: { capacityBytes?: number; clock?: VolumeClock } = {}, volume = new Volume()) {
    this.volume = volume;
    if (options.capacityBytes !== undefined) volume.capacityBytes = options.capacityBytes;
    if (options.clock !== undefined) volume.clock = options.clock;
  }

  // What tests do to the disk.

  get usedBytes(): number {
    return this.volume.usedPages * PAGE_SIZE;
  }

  get capacityBytes(): number {
    return this.volume.capacityBytes;
  }

  set capacityBytes(bytes: number) {
    this.volume.capacityBytes = bytes;
  }

  /** The disk as the next process finds it after this one was killed: no open files, no locks. */
  afterKill(): MemoryDisk {
    return new MemoryDisk({}, afterKill(this.volume));
  }

  /**
   * The disk as the machine finds it after a power cut now. Everything that is left is durable.
   * @param tearBytes the pieces of which the last of a file's surviving writes may be left incomplete
   */
  afterPowerCut(survivors: Survivors, tearBytes = PAGE_SIZE): MemoryDisk {
    return new MemoryDisk({}, afterPowerCut(this.volume, survivors, tearBytes));
  }

  /**
   * What a failed fsync does on Linux: the unsynced changes of the file stay visible, but no later fsync makes
   * them durable. FaultDisk calls it for a failed `fdatasync` or `fsync` that is to lose data.
   */
  loseUnsynced(fd: number): void {
    this.volume.opened(fd, 'fsync').node.unsynced.length = 0;
  }

  /** The whole content of a file as a process sees it. */
  readFile(path: string): Uint8Array {
    this.volume.takeStores();
    const { seen } = this.volume.fileAt(path, 'read');
    const bytes = new Uint8Array(seen.size);
    seen.read(bytes, 0);
    return bytes;
  }

  /**
   * Disks with the same fingerprint look the same to a process that starts, but for a store's checksums of pages: these are never
   * synced, so that each cut leaves others, and nothing depends on them.
   */
  fingerprint(): string {
    this.volume.takeStores();
    const { boot, device, mount, inode, root } = this.volume;
    const hash = createHash('sha1').update(`${boot} ${device} ${mount} ${inode}`);
    const add = (directory: DirectoryNode): void => {
      for (const [name, node] of [...directory.seen].sort(([a], [b]) => (a < b ? -1 : 1))) {
        if (name === PAGES_FILE) continue;
        hash.update(`/${name}\n`);
        if (isFile(node)) hash.update(Float64Array.from(node.seen.sums()));
        else add(node);
      }
      hash.update('..');
    };
    add(root);
    return hash.digest('base64');
  }

  /** Sets the whole content of a file, which is made if missing, durably: damage as a test wants it. */
  writeFile(path: string, bytes: Uint8Array): void {
    const fd = this.open(path, { write: true, create: true });
    const { node } = this.volume.file(fd, 'write');
    this.truncate(fd, 0);
    this.write(fd, [bytes], 0);
    this.fsync(fd);
    this.close(fd);
    const { directory, name } = this.volume.parent(path, 'write');
    directory.durable.set(name, node);
    directory.unsynced = directory.unsynced.filter((change) => !('name' in change && change.name === name));
  }

  /** Descriptors not closed yet, by path: a test can check that nothing leaks. */
  openPaths(): string[] {
    return [...this.volume.open.values()].map(({ path }) => path);
  }

  /** Mappings not ended yet. */
  get mappings(): number {
    return this.volume.mappings;
  }

  // Disk.

  open(path: string, options: { write: boolean; create?: boolean }): number {
    const { directory, name } = this.volume.parent(path, 'open');
    let node = directory.seen.get(name);
    if (node === undefined) {
      if (!options.create) throw errnoError('ENOENT', 'open', path);
      node = this.volume.makeFile(directory, name);
    }
    if (!isFile(node)) throw errnoError('EISDIR', 'open', path);
    return this.volume.newDescriptor(node, path, options.write);
  }

  close(fd: number): void {
    this.volume.close(fd);
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return this.volume.read(fd, into.subarray(offset, offset + length), position);
  }

  write(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const data = new Uint8Array(buffers.reduce((sum, buffer) => sum + buffer.length, 0));
    let filled = 0;
    for (const buffer of buffers) {
      data.set(buffer, filled);
      filled += buffer.length;
    }
    return this.volume.write(fd, data, position);
  }

  fdatasync(fd: number): void {
    this.volume.sync(fd);
  }

  fsync(fd: number): void {
    this.volume.sync(fd);
  }

  truncate(fd: number, size: number): void {
    this.volume.truncate(fd, size);
  }

  allocate(fd: number, offset: number, length: number): void {
    this.volume.allocate(fd, offset, length, false);
  }

  punchHole(fd: number, offset: number, length: number): void {
    this.volume.punch(fd, offset, length);
  }

  /** Hints change nothing that could be seen. */
  expectRandomReads(): void {}

  readAhead(): void {}

  map(fd: number, length: number): ArrayBuffer {
    return this.volume.map(fd, length);
  }

  unmap(buffer: ArrayBuffer): void {
    this.volume.unmap(buffer);
  }

  size(fd: number): number {
    return this.volume.file(fd, 'fstat').node.seen.size;
  }

  freeBytes(): number {
    this.volume.takeStores();
    return Math.max(0, this.volume.freePages * PAGE_SIZE);
  }

  rename(from: string, to: string): void {
    this.volume.rename(from, to);
  }

  link(from: string, to: string): boolean {
    const source = this.volume.fileAt(from, 'link');
    const { directory, name } = this.volume.parent(to, 'link');
    const replaced = directory.seen.get(name);
    source.links++;
    this.volume.change(directory, { kind: 'add', name, node: source });
    if (replaced !== undefined) this.volume.unlinked(replaced);
    return true;
  }

  unlink(path: string): void {
    this.volume.unlink(path);
  }

  mkdir(path: string): void {
    const { directory, name } = this.volume.parent(path, 'mkdir');
    const node = directory.seen.get(name);
    if (node === undefined) this.volume.makeDirectory(directory, name);
    else if (isFile(node)) throw errnoError('EEXIST', 'mkdir', path);
  }

  list(path: string): string[] {
    return [...this.volume.directory(path, 'scandir').seen.keys()];
  }

  exists(path: string): boolean {
    return this.volume.node(path) !== undefined;
  }

  syncDirectory(path: string): void {
    makeDurable(this.volume.directory(path, 'fsync'));
  }

  lock(fd: number, mode: 'shared' | 'exclusive'): boolean {
    const own = this.volume.file(fd, 'flock');
    for (const other of this.volume.open.values()) {
      if (other === own || other.node !== own.node || other.lock === undefined) continue;
      if (mode === 'exclusive' || other.lock === 'exclusive') return false;
    }
    own.lock = mode;
    return true;
  }

  isSameFile(fd: number, path: string): boolean {
    return this.volume.node(path) === this.volume.file(fd, 'fstat').node;
  }

  identify(directory: string): DirectoryIdentity {
    this.volume.directory(directory, 'stat');
    const { boot, device, mount, inode } = this.volume;
    return {
      boot: new Uint8Array(16).fill(boot),
      device: BigInt(device),
      inode: BigInt(inode),
      mount: BigInt(mount),
    };
  }
}
