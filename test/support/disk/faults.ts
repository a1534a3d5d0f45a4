/**
 * What is done to the calls on a simulated disk: each is recorded, and the chosen ones fail, fall short, or are the process's
 * last.
 *
 * After a crash every further call throws SimulatedCrash too, as nothing runs in a dead process. What is under test
 * may wrap it into an error of its own, so ask `crashed` rather than the error.
 */
import type { Disk } from '../../../engine/disk/disk.js';
import type { ContentDisk } from '../../../mount/filesystem/contents/disk/content-disk.js';
import { errnoError } from './errors.js';

export type DiskCallName = keyof Disk | keyof ContentDisk;

export interface DiskCall {
  /** Number of the call since the disk was made, from 0. */
  index: number;
  name: DiskCallName;
  /** The path given, or the one that the descriptor was opened by; for a rename the new path. */
  path: string;
}

export type Fault =
  /**
   * The call throws this errno code. `done`: after it has done its work. `lose`, for syncs of a disk in memory: what was
   * unsynced stays visible and never becomes durable, as on Linux.
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

export class Faults {
  /** Every call so far, in order. */
  readonly calls: DiskCall[] = [];
  /** Sees every call before it is done; what it returns is done to the call. Consulted before `failNth`. */
  onCall: ((call: DiskCall) => Fault | undefined) | undefined;
  readonly #paths = new Map<number, string>();
  #traps: Trap[] = [];
  #dead = false;

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

  /** The path that the descriptor was opened by. */
  pathOf(fd: number): string {
    return this.#paths.get(fd) ?? `fd ${fd}`;
  }

  opened(fd: number, path: string): void {
    this.#paths.set(fd, path);
  }

  closed(fd: number): void {
    this.#paths.delete(fd);
  }

  /** Does a call, or what was chosen for it. `run` is told how much it may do, `lose` makes a sync in vain. */
  perform<T>(name: DiskCallName, path: string, run: (short: number) => T, lose?: () => void): T {
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
    if (fault.lose) lose?.();
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
