/**
 * A disk around another one that records every call and makes the chosen ones fail, fall short, or be the
 * process's last (see Faults).
 *
 *   const disk = new FaultDisk(new MemoryDisk());
 *   disk.failNth('fdatasync', 2, { error: 'EIO', lose: true });    // counted from now, 1 is the next one
 *   disk.onCall = (call) => (call.index === 17 ? { crash: 'before' } : undefined);
 *
 * Take the state with `inner.afterKill()` or `inner.afterPowerCut(...)`. `onCall` may also only look, for example to
 * take the state of the disk before every call.
 */
import type { Disk } from '../../../engine/disk/disk.js';
import type { DirectoryIdentity } from '../../../engine/disk/identity.js';
import { Faults } from './faults.js';
import { MemoryDisk } from './memory-disk.js';

export class FaultDisk<Inner extends Disk = MemoryDisk> extends Faults implements Disk {
  readonly inner: Inner;

  constructor(inner: Inner) {
    super();
    this.inner = inner;
  }

  open(path: string, options: { write: boolean; create?: boolean }): number {
    const fd = this.perform('open', path, () => this.inner.open(path, options));
    this.opened(fd, path);
    return fd;
  }

  close(fd: number): void {
    this.perform('close', this.pathOf(fd), () => this.inner.close(fd));
    this.closed(fd);
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return this.perform('read', this.pathOf(fd), (short) =>
      this.inner.read(fd, into, offset, Math.min(length, short), position),
    );
  }

  write(fd: number, buffers: readonly Uint8Array[], position: number): number {
    return this.perform('write', this.pathOf(fd), (short) => {
      let room = short;
      const taken: Uint8Array[] = [];
      for (const buffer of buffers) {
        taken.push(buffer.subarray(0, Math.min(buffer.length, room)));
        room -= Math.min(buffer.length, room);
      }
      return this.inner.write(fd, taken, position);
    });
  }

  fdatasync(fd: number): void {
    this.perform(
      'fdatasync',
      this.pathOf(fd),
      () => this.inner.fdatasync(fd),
      () => this.#lose(fd),
    );
  }

  fsync(fd: number): void {
    this.perform(
      'fsync',
      this.pathOf(fd),
      () => this.inner.fsync(fd),
      () => this.#lose(fd),
    );
  }

  truncate(fd: number, size: number): void {
    this.perform('truncate', this.pathOf(fd), () => this.inner.truncate(fd, size));
  }

  allocate(fd: number, offset: number, length: number): void {
    this.perform('allocate', this.pathOf(fd), () => this.inner.allocate(fd, offset, length));
  }

  punchHole(fd: number, offset: number, length: number): void {
    this.perform('punchHole', this.pathOf(fd), () => this.inner.punchHole(fd, offset, length));
  }

  map(fd: number, length: number): ArrayBuffer {
    return this.perform('map', this.pathOf(fd), () => this.inner.map(fd, length));
  }

  unmap(buffer: ArrayBuffer): void {
    this.perform('unmap', 'a mapping', () => this.inner.unmap(buffer));
  }

  expectRandomReads(fd: number): void {
    this.inner.expectRandomReads(fd);
  }

  readAhead(fd: number, offset: number, length: number): void {
    this.perform('readAhead', this.pathOf(fd), () => this.inner.readAhead(fd, offset, length));
  }

  size(fd: number): number {
    return this.perform('size', this.pathOf(fd), () => this.inner.size(fd));
  }

  rename(from: string, to: string): void {
    this.perform('rename', to, () => this.inner.rename(from, to));
  }

  link(from: string, to: string): boolean {
    return this.perform('link', to, () => this.inner.link(from, to));
  }

  freeBytes(path: string): number {
    return this.perform('freeBytes', path, () => this.inner.freeBytes(path));
  }

  unlink(path: string): void {
    this.perform('unlink', path, () => this.inner.unlink(path));
  }

  mkdir(path: string): void {
    this.perform('mkdir', path, () => this.inner.mkdir(path));
  }

  list(path: string): string[] {
    return this.perform('list', path, () => this.inner.list(path));
  }

  exists(path: string): boolean {
    return this.perform('exists', path, () => this.inner.exists(path));
  }

  syncDirectory(path: string): void {
    this.perform('syncDirectory', path, () => this.inner.syncDirectory(path));
  }

  lock(fd: number, mode: 'shared' | 'exclusive'): boolean {
    return this.perform('lock', this.pathOf(fd), () => this.inner.lock(fd, mode));
  }

  isSameFile(fd: number, path: string): boolean {
    return this.perform('isSameFile', path, () => this.inner.isSameFile(fd, path));
  }

  identify(directory: string): DirectoryIdentity {
    return this.perform('identify', directory, () => this.inner.identify(directory));
  }

  #lose(fd: number): void {
    if (this.inner instanceof MemoryDisk) this.inner.loseUnsynced(fd);
  }
}
