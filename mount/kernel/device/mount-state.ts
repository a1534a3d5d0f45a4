/**
 * What the threads of one mount share: requests to wake or stop, and counters. The main thread reads the
 * counters at any time and waits for nobody; the session worker alone writes them (whole 64-bit stores).
 */
import { descriptorLimit, openDescriptors } from '../../libc/descriptor-limit.js';
import * as libc from '../../libc/libc.js';
import { RequestFailures } from '../../request-failures.js';
import type { MountStats, RefusedChanges } from '../../types.js';
import { OPCODE_LIMIT, Opcode } from '../protocol/protocol.js';

// Flags, 32 bits each.
const WAKE = 0;
const STOP_SESSION = 1;
const STOP_IO = 2;
const IO_GONE = 3;
const ASLEEP = 4;
const PASSTHROUGH = 5;
const OPENING_FAILS = 6;
/** An even number, as counters of 64 bits follow. */
const FLAGS = 8;

// Counters, 64 bits each.
const REQUESTS = 0;
const OPEN_FILES = 1;
const NODES = 2;
const NODE_TABLE_BYTES = 3;
const LAST_OPCODE = 4;
const OPERATIONS = 5;
const FAILURES = OPERATIONS + OPCODE_LIMIT;
const FAILURES_SIZE = RequestFailures.size(OPCODE_LIMIT);

const wakeByte = new Uint8Array(1);

function newMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(FLAGS * 4 + (FAILURES + 2 * FAILURES_SIZE) * 8);
}

export interface MountStateMemory {
  shared: SharedArrayBuffer;
  /** The wake-up pipe: the session worker polls the reading end. Both ends are non-blocking. */
  readEnd: number;
  writeEnd: number;
}

export class MountState {
  readonly memory: MountStateMemory;
  readonly #flags: Int32Array;
  readonly #counters: Float64Array;
  /** As the session worker told it last. */
  #openingFails = false;
  /** Written by the session worker. */
  readonly failures: RequestFailures;
  /** Written by whoever answers syncs: the I/O worker, or, when that is dead, the session worker. */
  readonly syncFailures: RequestFailures;

  constructor(memory: MountStateMemory) {
    this.memory = memory;
    this.#flags = new Int32Array(memory.shared, 0, FLAGS);
    this.#counters = new Float64Array(memory.shared, FLAGS * 4);
    const sync = FAILURES + FAILURES_SIZE;
    this.failures = new RequestFailures(this.#counters.subarray(FAILURES, sync));
    this.syncFailures = new RequestFailures(this.#counters.subarray(sync, sync + FAILURES_SIZE));
  }

  static create(): MountState {
    const ends = new Int32Array(2);
    if (libc.pipe2(ends, libc.O_NONBLOCK | libc.O_CLOEXEC) !== 0) {
      throw new Error(`Cannot make the wake-up pipe: ${libc.errnoName(libc.errno())}`);
    }
    return new MountState({ shared: newMemory(), readEnd: ends[0]!, writeEnd: ends[1]! });
  }

  /** One that no other thread looks at, and without a pipe: nobody is woken. */
  static forNobody(): MountState {
    return new MountState({ shared: newMemory(), readEnd: -1, writeEnd: -1 });
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
    if (opcode < OPCODE_LIMIT) this.#counters[OPERATIONS + opcode]! += 1;
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

  /** A sync that waited in the queue was answered with 0 or a negative errno. */
  syncAnswered(result: number): void {
    if (result < 0) this.syncFailures.failed(Opcode.FSYNC, -result, true);
    else if (this.syncFailures.areAny) this.syncFailures.succeeded(Opcode.FSYNC);
  }

  /** `by` is 1 or -1. */
  countOpenFile(by: number): void {
    this.#counters[OPEN_FILES]! += by;
  }

  setNodes(nodes: number, bytes: number): void {
    this.#counters[NODES] = nodes;
    this.#counters[NODE_TABLE_BYTES] = bytes;
  }

  refused(): RefusedChanges[] {
    return [this.failures, this.syncFailures].flatMap((failures) => failures.refused(operationName));
  }

  stats(): MountStats {
    const operations: Record<string, number> = {};
    for (const [name, opcode] of Object.entries(Opcode)) {
      const count = this.#counters[OPERATIONS + opcode]!;
      if (count > 0) operations[name.toLowerCase()] = count;
    }
    const errorsByName: Record<string, number> = {};
    this.failures.addCounts(errorsByName);
    this.syncFailures.addCounts(errorsByName);
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
    };
  }
}

function operationName(of: number): string {
  return Object.entries(Opcode).find(([, opcode]) => opcode === of)?.[0] ?? `opcode ${of}`;
}
