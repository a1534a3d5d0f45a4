/**
 * A disk around another one that records every call and makes the chosen ones fail, fall short, or be the
 * process's last.
 *
 *   const disk = new FaultDisk(new MemoryDisk());
 *   disk.failNth('fdatasync', 2, { error: 'EIO', lose: true });    // counted from now, 1 is the next one
 *   disk.onCall = (call) => (call.index === 17 ? { crash: 'before' } : undefined);
 *
 * After a crash every further call throws SimulatedCrash too, as nothing runs in a dead process. What is under test
 * may wrap it into an error of its own, so ask `crashed` rather than the error. Take the state with `inner.afterKill()` or `inner.afterPowerCut(...)`. `onCall` may also only look, for example to
 * take the state of the disk before every call.
 */
import type { Disk } from '../../../engine/disk/disk.js';
import type { DirectoryIdentity } from '../../../engine/disk/identity.js';
import { errnoError, MemoryDisk } from './memory-disk.js';

export type DiskCallName = keyof Disk;

export interface DiskCall {
  /** Number of the call since the FaultDisk was made, from 0. */
  index: number;
  name: DiskCallName;
  /** The path given, or the one that the descriptor was opened by; for a rename the new path. */
  path: string;
}

export type Fault =
  /**
   * The call throws this errno code. `done`: after it has done its work. `lose`, for fdatasync and fsync on a
   * MemoryDisk: what was unsynced stays visible and never becomes durable, as on Linux.
   */
  | { error: string; done?: boolean; lose?: boolean }
  /** A read or write does only this many bytes (at least 1 is sensible). */
  | { short: number }
  /** The process dies before or after the call. */
  | { crash: 'before' | 'after' };

/** Thrown by every call of a FaultDisk whose process has died. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

interface Trap {
  name: DiskCallName | 'any';
  path: RegExp;
  remaining: number;
  fault: Fault;
}

export class FaultDisk<Inner extends Disk = MemoryDisk> implements Disk {
  readonly inner: Inner;
  /** Every call so far, in order. */
  readonly calls: DiskCall[] = [];
  /** Sees every call before it is done; what it returns is done to the call. Consulted before `failNth`. */
  onCall: ((call: DiskCall) => Fault | undefined) | undefined;
  #paths = new Map<number, string>();
  #traps: Trap[] = [];
  #dead = false;

  constructor(inner: Inner) {
    this.inner = inner;
  }

  get crashed(): boolean {
    return this.#dead;
  }

  /** Does `fault` to the nth call (1 is the next one) of this name, once; `path` narrows which calls count. */
  failNth(name: DiskCallName | 'any', nth: number, fault: Fault, path: RegExp = /^/): void {
    this.#traps.push({ name, path, remaining: nth, fault });
  }

  /** Forgets `onCall` and every `failNth` that has not struck. */
  heal(): void {
    this.onCall = undefined;
    this.#traps = [];
  }

  open(path: string, options: { write: boolean; create?: boolean }): number {
    const fd = this.#call('open', path, () => this.inner.open(path, options));
    this.#paths.set(fd, path);
    return fd;
  }

  close(fd: number): void {
    this.#call('close', this.#path(fd), () => this.inner.close(fd));
    this.#paths.delete(fd);
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return this.#call('read', this.#path(fd), (short) =>
      this.inner.read(fd, into, offset, Math.min(length, short), position),
    );
  }

  write(fd: number, buffers: readonly Uint8Array[], position: number): number {
    return this.#call('write', this.#path(fd), (short) => {
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
    this.#call('fdatasync', this.#path(fd), () => this.inner.fdatasync(fd), fd);
  }

  fsync(fd: number): void {
    this.#call('fsync', this.#path(fd), () => this.inner.fsync(fd), fd);
  }

  truncate(fd: number, size: number): void {
    this.#call('truncate', this.#path(fd), () => this.inner.truncate(fd, size));
  }

  allocate(fd: number, offset: number, length: number): void {
    this.#call('allocate', this.#path(fd), () => this.inner.allocate(fd, offset, length));
  }

  punchHole(fd: number, offset: number, length: number): void {
    this.#call('punchHole', this.#path(fd), () => this.inner.punchHole(fd, offset, length));
  }

  map(fd: number, length: number): ArrayBuffer {
    return this.#call('map', this.#path(fd), () => this.inner.map(fd, length));
  }

  unmap(buffer: ArrayBuffer): void {
    this.#call('unmap', 'a mapping', () => this.inner.unmap(buffer));
  }

  expectRandomReads(fd: number): void {
    this.inner.expectRandomReads(fd);
  }

  readAhead(fd: number, offset: number, length: number): void {
    this.#call('readAhead', this.#path(fd), () => this.inner.readAhead(fd, offset, length));
  }

  size(fd: number): number {
    return this.#call('size', this.#path(fd), () => this.inner.size(fd));
  }

  rename(from: string, to: string): void {
    this.#call('rename', to, () => this.inner.rename(from, to));
  }

  link(from: string, to: string): boolean {
    return this.#call('link', to, () => this.inner.link(from, to));
  }

  freeBytes(path: string): number {
    return this.#call('freeBytes', path, () => this.inner.freeBytes(path));
  }

  unlink(path: string): void {
    this.#call('unlink', path, () => this.inner.unlink(path));
  }

  mkdir(path: string): void {
    this.#call('mkdir', path, () => this.inner.mkdir(path));
  }

  list(path: string): string[] {
    return this.#call('list', path, () => this.inner.list(path));
  }

  exists(path: string): boolean {
    return this.#call('exists', path, () => this.inner.exists(path));
  }

  syncDirectory(path: string): void {
    this.#call('syncDirectory', path, () => this.inner.syncDirectory(path));
  }

  lock(fd: number, mode: 'shared' | 'exclusive'): boolean {
    return this.#call('lock', this.#path(fd), () => this.inner.lock(fd, mode));
  }

  isSameFile(fd: number, path: string): boolean {
    return this.#call('isSameFile', path, () => this.inner.isSameFile(fd, path));
  }

  identify(directory: string): DirectoryIdentity {
    return this.#call('identify', directory, () => this.inner.identify(directory));
  }

  #path(fd: number): string {
    return this.#paths.get(fd) ?? `fd ${fd}`;
  }

  #call<T>(name: DiskCallName, path: string, run: (short: number) => T, fd?: number): T {
    if (this.#dead) throw new SimulatedCrash(`Cannot ${name} ${path}: the process has died`);
    const call: DiskCall = { index: this.calls.length, name, path };
    this.calls.push(call);
    const fault = this.onCall?.(call) ?? this.#spring(call);
    if (fault === undefined) return run(Number.POSITIVE_INFINITY);
    if ('short' in fault) return run(fault.short);
    if ('crash' in fault) {
      if (fault.crash === 'after') run(Number.POSITIVE_INFINITY);
      this.#dead = true;
      throw new SimulatedCrash(`Cannot ${name} ${path}: the process dies here`);
    }
    if (fault.done) run(Number.POSITIVE_INFINITY);
    if (fault.lose && fd !== undefined && this.inner instanceof MemoryDisk) this.inner.loseUnsynced(fd);
    throw errnoError(fault.error, name, path);
  }

  #spring(call: DiskCall): Fault | undefined {
    for (const trap of this.#traps) {
      if ((trap.name !== 'any' && trap.name !== call.name) || !trap.path.test(call.path)) continue;
      if (--trap.remaining > 0) continue;
      this.#traps = this.#traps.filter((other) => other !== trap);
      return trap.fault;
    }
    return undefined;
  }
}
