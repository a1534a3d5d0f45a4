/**
 * What the threads of one mount share: requests to wake or stop, and counters. The main thread reads the
 * counters at any time and waits for nobody; the session worker alone writes them (whole 64-bit stores).
 */
import { stopwatch } from '../../../engine/stopwatch.js';
import { descriptorLimit, openDescriptors } from '../../libc/descriptor-limit.js';
import * as libc from '../../libc/libc.js';
import { RequestLogMemory } from '../../request-log/memory.js';
import { RequestFailures, totalOf } from '../../requests/request-failures.js';
import { joined, RequestTimes } from '../../requests/request-times.js';
import type { MountStats, OperationFigures, RefusedChanges } from '../../types.js';
import { OPCODE_LIMIT, Opcode } from '../protocol/protocol.js';

// Flags, 32 bits each.
const WAKE = 0;
const STOP_SESSION = 1;
const STOP_IO = 2;
const IO_GONE = 3;
const ASLEEP = 4;
const PASSTHROUGH = 5;
const OPENING_FAILS = 6;
const SYNC_FAILED = 7;
/** An even number, as counters of 64 bits follow. */
const FLAGS = 8;

// Counters, 64 bits each.
const REQUESTS = 0;
const OPEN_FILES = 1;
const NODES = 2;
const NODE_TABLE_BYTES = 3;
const LAST_OPCODE = 4;
const PUT_ASIDE = 5;
const BYTES_READ = 6;
const BYTES_WRITTEN = 7;
const OPERATIONS = 8;
const FAILURES = OPERATIONS + OPCODE_LIMIT;
const FAILURES_SIZE = RequestFailures.size(OPCODE_LIMIT);
const TIMES = FAILURES + 2 * FAILURES_SIZE;
const TIMES_SIZE = RequestTimes.size(OPCODE_LIMIT);
const COUNTERS = TIMES + 2 * TIMES_SIZE;

/** In place of opcodes that are above the limit; the kernel has none with this number. */
const UNKNOWN = 0;

const wakeByte = new Uint8Array(1);

function newMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(FLAGS * 4 + COUNTERS * 8);
}

export interface MountStateMemory {
  shared: SharedArrayBuffer;
  /** The wake-up pipe: the session worker polls the reading end. Both ends are non-blocking. */
  readEnd: number;
  writeEnd: number;
  /** Whether requests are timed. */
  isTiming: boolean;
  /** Undefined: there is none. */
  requestLog: SharedArrayBuffer | undefined;
}

export class MountState {
  readonly memory: MountStateMemory;
  readonly #flags: Int32Array;
  readonly #counters: Float64Array;
  /** As the session worker told it last. */
  #openingFails = false;
  /** Written by the session worker. */
  readonly failures: RequestFailures;
  readonly #times: RequestTimes;
  /** Written by whoever answers syncs: the I/O worker, or, when that is dead, the session worker. */
  readonly syncFailures: RequestFailures;
  readonly #syncTimes: RequestTimes;
  readonly requestLog: RequestLogMemory | undefined;

  constructor(memory: MountStateMemory) {
    this.memory = memory;
    this.requestLog = memory.requestLog && new RequestLogMemory(memory.requestLog);
    this.#flags = new Int32Array(memory.shared, 0, FLAGS);
    this.#counters = new Float64Array(memory.shared, FLAGS * 4);
    const sync = FAILURES + FAILURES_SIZE;
    this.failures = new RequestFailures(this.#counters.subarray(FAILURES, sync));
    this.syncFailures = new RequestFailures(this.#counters.subarray(sync, sync + FAILURES_SIZE));
    const syncTimes = TIMES + TIMES_SIZE;
    this.#times = new RequestTimes(this.#counters.subarray(TIMES, syncTimes));
    this.#syncTimes = new RequestTimes(this.#counters.subarray(syncTimes, syncTimes + TIMES_SIZE));
  }

  static create(): MountState {
    const ends = new Int32Array(2);
    if (libc.pipe2(ends, libc.O_NONBLOCK | libc.O_CLOEXEC) !== 0) {
      throw new Error(`Cannot make the wake-up pipe: ${libc.errnoName(libc.errno())}`);
    }
    // What timing and the log cost is measured by mounts without (scripts/bench); nobody else wants one.
    const isTiming = process.env.SPINNEY_REQUEST_TIMES !== 'off';
    const requestLog = process.env.SPINNEY_REQUEST_LOG === 'off' ? undefined : new RequestLogMemory().shared;
    const [readEnd, writeEnd] = ends as unknown as [number, number];
    return new MountState({ shared: newMemory(), readEnd, writeEnd, isTiming, requestLog });
  }

  /** One that no other thread looks at, and without a pipe: nobody is woken. */
  static forNobody(): MountState {
    const memory = { shared: newMemory(), readEnd: -1, writeEnd: -1, isTiming: true, requestLog: undefined };
    return new MountState(memory);
  }

  /** Closes the pipe. Only when no other thread uses the state any more; what this one still does goes nowhere. */
  dispose(): void {
    const { readEnd, writeEnd } = this.memory;
    this.memory.readEnd = -1;
    this.memory.writeEnd = -1;
    libc.close(readEnd);
    libc.close(writeEnd);
  }

  /** Makes the session worker look around, also when it sleeps in poll. A full pipe wakes as well. */
  wakeSession(): void {
    Atomics.store(this.#flags, WAKE, 1);
    libc.write(this.memory.writeEnd, wakeByte, 1);
  }

  /** Whether someone woke the session worker since the last call. */
  takeWake(): boolean {
    return Atomics.load(this.#flags, WAKE) !== 0 && Atomics.exchange(this.#flags, WAKE, 0) !== 0;
  }

  /** Ends the request loop although the mount may still be there. */
  stopSession(): void {
    Atomics.store(this.#flags, STOP_SESSION, 1);
    this.wakeSession();
  }
  get sessionStopped(): boolean {
    return Atomics.load(this.#flags, STOP_SESSION) !== 0;
  }

  /** The I/O worker shall end; whoever calls this also wakes its queue. */
  stopIo(): void {
    Atomics.store(this.#flags, STOP_IO, 1);
  }
  get ioStopped(): boolean {
    return Atomics.load(this.#flags, STOP_IO) !== 0;
  }

  /** The I/O worker is dead: the session worker does its work from now on. */
  ioGone(): void {
    Atomics.store(this.#flags, IO_GONE, 1);
    this.wakeSession();
  }
  get isIoGone(): boolean {
    return Atomics.load(this.#flags, IO_GONE) !== 0;
  }

  countRequest(opcode: number): void {
    this.#counters[REQUESTS]! += 1;
    this.#counters[LAST_OPCODE] = opcode;
    this.#counters[OPERATIONS + operationOf(opcode)]! += 1;
  }

  /** Whether whoever serves requests starts the stopwatch for each. */
  get isTiming(): boolean {
    return this.memory.isTiming;
  }

  /**
   * A request was served, with this result: below 0, an errno. `changes`: it was to change something. What the thread's
   * stopwatch has is its time.
   */
  served(opcode: number, result: number, changes: boolean): void {
    const operation = operationOf(opcode);
    if (result < 0) this.failures.failed(operation, -result, changes);
    else if (this.failures.areAny) this.failures.succeeded(operation);
    if (!this.memory.isTiming) return;
    stopwatch.stop();
    this.#times.record(operation, stopwatch.times, stopwatch.isDivided);
  }

  /** So many requests are put aside. */
  setPutAside(requests: number): void {
    this.#counters[PUT_ASIDE] = requests;
  }

  /** Contents passed through the daemon, bytes each. */
  countRead(bytes: number): void {
    this.#counters[BYTES_READ]! += bytes;
  }
  countWritten(bytes: number): void {
    this.#counters[BYTES_WRITTEN]! += bytes;
  }

  /** The session worker goes to sleep, or has woken. */
  setAsleep(asleep: boolean): void {
    Atomics.store(this.#flags, ASLEEP, asleep ? 1 : 0);
  }
  get isAsleep(): boolean {
    return Atomics.load(this.#flags, ASLEEP) !== 0;
  }

  /** Whether the kernel reads and writes contents by itself. */
  setPassthrough(enabled: boolean): void {
    Atomics.store(this.#flags, PASSTHROUGH, enabled ? 1 : 0);
  }

  /** A file could not be opened for want of a descriptor, or one could again. */
  setOpeningFails(fails: boolean): void {
    if (fails === this.#openingFails) return;
    this.#openingFails = fails;
    Atomics.store(this.#flags, OPENING_FAILS, fails ? 1 : 0);
  }
  get isOpeningFailing(): boolean {
    return Atomics.load(this.#flags, OPENING_FAILS) !== 0;
  }

  /** Requests begun so far. */
  get requests(): number {
    return this.#counters[REQUESTS]!;
  }
  /** Name of the operation that was begun last. */
  get lastOperation(): string {
    return operationName(this.#counters[LAST_OPCODE]!);
  }

  /** A sync that waited in the queue is answered with 0 or a negative errno; `times` as a stopwatch has them. */
  syncAnswered(opcode: number, result: number, times: Float64Array): void {
    if (result < 0) this.syncFailed();
    if (result < 0) this.syncFailures.failed(opcode, -result, true);
    else if (this.syncFailures.areAny) this.syncFailures.succeeded(opcode);
    if (this.memory.isTiming) this.#syncTimes.record(opcode, times);
  }

  /** `by` is 1 or -1. */
  countOpenFile(by: number): void {
    this.#counters[OPEN_FILES]! += by;
  }

  setNodes(nodes: number, bytes: number): void {
    this.#counters[NODES] = nodes;
    this.#counters[NODE_TABLE_BYTES] = bytes;
  }

  /** A sync failed, and all later ones of the same are to fail as long as this process lives. */
  syncFailed(): void {
    Atomics.store(this.#flags, SYNC_FAILED, 1);
    this.wakeSession();
  }
  get hasSyncFailed(): boolean {
    return Atomics.load(this.#flags, SYNC_FAILED) !== 0;
  }

  refused(): RefusedChanges[] {
    return [this.failures, this.syncFailures].flatMap((failures) => failures.refused(operationName));
  }

  /** All but what the threads' queue and the kernel tell. */
  stats(): Omit<MountStats, 'queueDepth' | 'waitingInKernel' | 'requestLog'> {
    const operations: Record<string, number> = {};
    const latency: Record<string, OperationFigures> = {};
    const errors: Record<string, number>[] = [];
    for (let operation = 0; operation < OPCODE_LIMIT; operation++) {
      const count = this.#counters[OPERATIONS + operation]!;
      if (count === 0) continue;
      const name = operationName(operation).toLowerCase();
      operations[name] = count;
      const counts: Record<string, number> = {};
      this.failures.addCounts(operation, counts);
      this.syncFailures.addCounts(operation, counts);
      errors.push(counts);
      const times = joined(this.#times.of(operation), this.#syncTimes.of(operation));
      if (times.count > 0) latency[name] = { ...times, errors: counts };
    }
    const errorsByName = totalOf(errors);
    return {
      driver: 'kernel',
      requests: this.#counters[REQUESTS]!,
      errors: errorsByName.EIO ?? 0,
      errorsByName,
      refused: this.refused(),
      openFiles: this.#counters[OPEN_FILES]!,
      descriptors: openDescriptors(),
      descriptorLimit: descriptorLimit(),
      passthrough: Atomics.load(this.#flags, PASSTHROUGH) !== 0,
      nodes: this.#counters[NODES]!,
      nodeTableBytes: this.#counters[NODE_TABLE_BYTES]!,
      operations,
      latency,
      putAside: this.#counters[PUT_ASIDE]!,
      bytesRead: this.#counters[BYTES_READ]!,
      bytesWritten: this.#counters[BYTES_WRITTEN]!,
    };
  }
}

function operationOf(opcode: number): number {
  return opcode < OPCODE_LIMIT ? opcode : UNKNOWN;
}

/** Names of operations that this driver does not serve are numbers. */
function operationName(of: number): string {
  return Object.entries(Opcode).find(([, opcode]) => opcode === of)?.[0] ?? `OPCODE_${of}`;
}
