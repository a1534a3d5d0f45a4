/**
 * Several writes by one system call: a small io_uring(7), which waits until all are done. Some systems have none, or forbid it:
 * kernels before 5.7, containers, kernel.io_uring_disabled.
 *
 * The ring, and the memory that is written from, stay mapped until the process ends.
 */
import { constants } from 'node:os';
import koffi from 'koffi';
import * as libc from './libc.js';

const { EAGAIN, EINTR } = constants.errno;

// The numbers of system calls from 424 on are the same on all machines.
const IO_URING_SETUP = 425;
const IO_URING_ENTER = 426;

const lib = koffi.load(null);
const setup = lib.func('syscall', 'long', ['long', 'uint', 'void *']) as (
  call: number,
  entries: number,
  params: Uint32Array,
) => number;
const enter = lib.func('syscall', 'long', ['long', 'int', 'uint', 'uint', 'uint', 'long', 'long']) as (
  call: number,
  ring: number,
  submitted: number,
  awaited: number,
  flags: number,
  argument: number,
  argumentSize: number,
) => number;
const mmap = lib.func('mmap', 'void *', ['void *', 'size_t', 'int', 'int', 'int', 'long']) as (
  address: null,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => unknown;

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x01;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_POPULATE = 0x8000;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** struct io_uring_params, in words: its two tables tell where in the ring's memory what is. */
const Params = { SQ_ENTRIES: 0, CQ_ENTRIES: 1, FEATURES: 5, SQ: 10, CQ: 20, WORDS: 30 } as const;
const SqOffset = { TAIL: 1, ARRAY: 6 } as const;
const CqOffset = { HEAD: 0, TAIL: 1, MASK: 2, CQES: 5 } as const;
/** One mapping has both queues; what cannot be done at once waits by poll. */
const NEEDED_FEATURES = (1 << 0) | (1 << 5);
const OFFSET_OF_SQES = 0x1000_0000;

/** struct io_uring_sqe, in words. */
const Sqe = { OPCODE: 0, FD: 1, ADDRESS: 4, LENGTH: 6, USER_DATA: 8, WORDS: 16 } as const;
const OP_WRITE = 23;
/** struct io_uring_cqe, in words. */
const Cqe = { USER_DATA: 0, RESULT: 2, WORDS: 4 } as const;
const ENTER_GETEVENTS = 1;

export class WriteRing {
  /** By place: what is written from there. */
  readonly buffers: readonly Uint8Array[];
  /** All buffers, one after the other. */
  readonly words: Uint32Array;
  /** Of the i-th write of the last `write`: bytes written, or a negative errno; -EAGAIN: it is to be done otherwise. */
  readonly results: Int32Array;
  readonly #ring: number;
  readonly #queues: Int32Array;
  readonly #sqes: Int32Array;
  readonly #mask: number;
  readonly #sqTail: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  #tail = 0;
  #isBroken = false;

  /** A ring for up to `most` writes at a time, a power of two, of up to `bufferBytes` each; undefined where there cannot be one. */
  static make(most: number, bufferBytes: number): WriteRing | undefined {
    const params = new Uint32Array(Params.WORDS);
    const ring = setup(IO_URING_SETUP, most, params);
    if (ring < 0) return undefined;
    try {
      if ((params[Params.FEATURES]! & NEEDED_FEATURES) === NEEDED_FEATURES) {
        return new WriteRing(ring, params, bufferBytes);
      }
    } catch {
      // It cannot be mapped.
    }
    libc.close(ring);
    return undefined;
  }

  private constructor(ring: number, params: Uint32Array, bufferBytes: number) {
    const entries = params[Params.SQ_ENTRIES]!;
    const array = params[Params.SQ + SqOffset.ARRAY]!;
    const completions = params[Params.CQ + CqOffset.CQES]!;
    const size = Math.max(array + 4 * entries, completions + 4 * Cqe.WORDS * params[Params.CQ_ENTRIES]!);
    this.#ring = ring;
    this.#mask = entries - 1;
    this.results = new Int32Array(entries);
    this.#queues = new Int32Array(map(size, ring, 0).memory);
    this.#sqes = new Int32Array(map(4 * Sqe.WORDS * entries, ring, OFFSET_OF_SQES).memory);
    const { memory, address } = map(entries * bufferBytes, -1, 0);
    this.words = new Uint32Array(memory);
    this.buffers = Array.from(
      { length: entries },
      (_, i) => new Uint8Array(memory, i * bufferBytes, bufferBytes),
    );
    this.#sqTail = params[Params.SQ + SqOffset.TAIL]! >> 2;
    this.#cqHead = params[Params.CQ + CqOffset.HEAD]! >> 2;
    this.#cqTail = params[Params.CQ + CqOffset.TAIL]! >> 2;
    this.#cqMask = this.#queues[params[Params.CQ + CqOffset.MASK]! >> 2]!;
    this.#cqes = completions >> 2;
    for (let place = 0; place < entries; place++) {
      // Each place of the queue has its own entry, and that its own buffer.
      this.#queues[(array >> 2) + place] = place;
      const at = place * Sqe.WORDS;
      const buffer = address + BigInt(place * bufferBytes);
      this.#sqes[at + Sqe.OPCODE] = OP_WRITE;
      this.#sqes[at + Sqe.ADDRESS] = Number(BigInt.asIntN(32, buffer));
      this.#sqes[at + Sqe.ADDRESS + 1] = Number(buffer >> 32n);
    }
  }

  /** Whether it did not do what it was told, and is to be left alone. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** The place of the i-th of the writes that come next. */
  placeOf(i: number): number {
    return (this.#tail + i) & this.#mask;
  }

  /**
   * Writes the first `lengths[i]` bytes of the i-th place's buffer to the descriptor, for the first `count`, in their order.
   * `results` tells how it went. Waits until all are done.
   */
  write(fd: number, lengths: Uint32Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const at = this.placeOf(i) * Sqe.WORDS;
      this.#sqes[at + Sqe.FD] = fd;
      this.#sqes[at + Sqe.LENGTH] = lengths[i]!;
      this.#sqes[at + Sqe.USER_DATA] = i;
      this.results[i] = -EAGAIN;
    }
    this.#tail = (this.#tail + count) | 0;
    Atomics.store(this.#queues, this.#sqTail, this.#tail);
    let submitted = 0;
    let done = 0;
    while (done < count) {
      const taken = enter(IO_URING_ENTER, this.#ring, count - submitted, count - done, ENTER_GETEVENTS, 0, 0);
      done += this.#takeResults();
      if (taken >= 0) submitted += taken;
      else if (libc.errno() !== EINTR && done === submitted) {
        this.#isBroken = true;
        return;
      }
    }
  }

  /** Returns how many there were. */
  #takeResults(): number {
    const queues = this.#queues;
    const head = queues[this.#cqHead]!;
    const count = (Atomics.load(queues, this.#cqTail) - head) | 0;
    for (let i = 0; i < count; i++) {
      const at = this.#cqes + ((head + i) & this.#cqMask) * Cqe.WORDS;
      this.results[queues[at + Cqe.USER_DATA]!] = queues[at + Cqe.RESULT]!;
    }
    Atomics.store(queues, this.#cqHead, (head + count) | 0);
    return count;
  }

  close(): void {
    this.#isBroken = true;
    libc.close(this.#ring);
  }
}

function map(length: number, fd: number, offset: number): { memory: ArrayBuffer; address: bigint } {
  const flags = fd < 0 ? MAP_PRIVATE_ANONYMOUS : MAP_SHARED | MAP_POPULATE;
  const at = mmap(null, length, PROT_READ_WRITE, flags, fd, offset);
  const address = koffi.address(at);
  if (address === MAP_FAILED) throw new Error(libc.errnoName(libc.errno()));
  return { memory: koffi.view(at, length), address };
}
