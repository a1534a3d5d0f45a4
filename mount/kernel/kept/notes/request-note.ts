/**
 * The request under way, noted so that a process that is killed at any moment leaves behind whether it was done.
 *
 * Requests are served one after another, so one is noted at a time. Before anything is changed for it: what it asks, and the LSN of
 * the tree. When all is changed, and before the kernel is told: its reply. So of a request that the kernel sends again
 * - the reply is here: it was done, and gets this reply;
 * - it is the one that was begun: versions in the tree above the LSN tell whether its batch was made (resume.ts);
 * - else nothing was changed for it.
 *
 * A reply that is held back is set aside until the kernel has it. What the kernel sends again comes in no order, and others are
 * served before; so a process that goes on sets the reply of the one that was under way aside, too, until all have come.
 *
 * Invariant: the phase is stored last, and is NONE while the rest is being stored.
 */
import { InHeader, OutHeader } from '../../protocol/protocol.js';
import type { Reply } from '../../protocol/reply.js';
import type { Request } from '../../protocol/request.js';
import type { GrowingMemory } from '../growing-memory.js';
import { REPLIES, REQUEST_NOTE_BYTES, STATE_BYTES } from './state-layout.js';

/** Rows of the state table: these offsets in bytes. */
const PHASE = 0;
const UNIQUE_LOW = 4;
const UNIQUE_HIGH = 8;
const REQUEST_LENGTH = 12;
const REPLY_LENGTH = 16;
const LSN = 24; // f64
const BEFORE = 32; // f64
const HANDLE = 40; // f64
const REQUEST = 64;
/** Of a request: its names, and all before them. What may be longer is not needed once it is begun. */
const MOST_REQUEST_BYTES = 1024;
const REPLY = REQUEST + MOST_REQUEST_BYTES;
const MOST_REPLY_BYTES = 512;
const NOTE_BYTES = REPLY + MOST_REPLY_BYTES;
if (NOTE_BYTES > REQUEST_NOTE_BYTES) throw new Error('The note of a request is longer than its place');

/** A reply that is set aside: u32 length (0: none), unique low and high, and the reply. */
const SET_ASIDE = REPLIES;
const ASIDE_BYTES = 16 + MOST_REPLY_BYTES;
/** As many as replies are held at a time, and processes are killed after that before one has answered what came again. */
const MOST_ASIDE = 8;

const NONE = 0;
const BEGUN = 1;
const DONE = 2;

/** All of a unique's high word but RESENT. */
const UNMARKED = 0x7fff_ffff;

export class RequestNote {
  readonly #words: Uint32Array;
  readonly #numbers: Float64Array;
  readonly #bytes: Uint8Array;

  /** `memory` is that of the state, which never grows. */
  constructor({ buffer, start }: GrowingMemory) {
    this.#words = new Uint32Array(buffer, start, STATE_BYTES >> 2);
    this.#numbers = new Float64Array(buffer, start, STATE_BYTES >> 3);
    this.#bytes = new Uint8Array(buffer, start, STATE_BYTES);
  }

  /** The request of `length` bytes is about to be served. `before`: a number that its operation wants to know afterwards. */
  begin(request: Request, length: number, lsn: number, before: number): void {
    const words = this.#words;
    words[PHASE >> 2] = NONE;
    const kept = Math.min(length, MOST_REQUEST_BYTES);
    request.copyWords(words, REQUEST >> 2, (kept + 3) >> 2);
    words[REQUEST_LENGTH >> 2] = kept;
    this.#putUnique(request);
    this.#numbers[LSN >> 3] = lsn;
    this.#numbers[BEFORE >> 3] = before;
    this.#numbers[HANDLE >> 3] = 0;
    words[PHASE >> 2] = BEGUN;
  }

  /** The request under way got this handle. To be called before anything else tells of the handle. */
  opened(handle: number): void {
    this.#numbers[HANDLE >> 3] = handle;
  }

  /** All that the request changes is changed, and this is its reply. */
  done(request: Request, reply: Reply, length: number): void {
    if (length > MOST_REPLY_BYTES) return;
    const words = this.#words;
    words[PHASE >> 2] = NONE;
    this.#putUnique(request);
    reply.copyWords(words, REPLY >> 2, (length + 3) >> 2);
    words[REPLY_LENGTH >> 2] = length;
    words[PHASE >> 2] = DONE;
  }

  /** Nothing was changed for the request: it is served anew when it comes again. */
  clear(): void {
    this.#words[PHASE >> 2] = NONE;
  }

  get isBegun(): boolean {
    return this.#words[PHASE >> 2] === BEGUN;
  }
  get lsn(): number {
    return this.#numbers[LSN >> 3]!;
  }
  get before(): number {
    return this.#numbers[BEFORE >> 3]!;
  }
  /** 0: none. */
  get handle(): number {
    return this.#numbers[HANDLE >> 3]!;
  }

  /** The request as it was noted: of a longer one the beginning. */
  get request(): Uint8Array {
    return this.#bytes.subarray(REQUEST, REQUEST + this.#words[REQUEST_LENGTH >> 2]!);
  }

  /** Sets the reply of the request that was done aside, and forgets the request. False: there is no place for it. */
  setAside(): boolean {
    const words = this.#words;
    if (words[PHASE >> 2] !== DONE) return true;
    for (let at = SET_ASIDE; at < SET_ASIDE + MOST_ASIDE * ASIDE_BYTES; at += ASIDE_BYTES) {
      if (words[at >> 2] !== 0) continue;
      const length = words[REPLY_LENGTH >> 2]!;
      words[(at >> 2) + 1] = words[UNIQUE_LOW >> 2]!;
      words[(at >> 2) + 2] = words[UNIQUE_HIGH >> 2]!;
      this.#bytes.copyWithin(at + 16, REPLY, REPLY + length);
      words[at >> 2] = length;
      this.clear();
      return true;
    }
    return false;
  }

  /** All that the kernel had to send again has come. */
  dropAside(): void {
    for (let i = 0; i < MOST_ASIDE; i++) this.#words[(SET_ASIDE + i * ASIDE_BYTES) >> 2] = 0;
  }

  /** Whether the request, which the kernel sends again, was done: then its reply is in `reply`, and this its length; else 0. */
  replyAgain(request: Request, reply: Reply): number {
    const words = this.#words;
    for (let at = SET_ASIDE; at < SET_ASIDE + MOST_ASIDE * ASIDE_BYTES; at += ASIDE_BYTES) {
      const length = words[at >> 2]!;
      if (length === 0 || words[(at >> 2) + 1] !== request.uniqueLow) continue;
      if (words[(at >> 2) + 2] !== (request.uniqueHigh & UNMARKED)) continue;
      reply.bytes.set(this.#bytes.subarray(at + 16, at + 16 + length));
      const error = words[(at + 16 + OutHeader.ERROR) >> 2]! | 0;
      return reply.finish(request.uniqueLow, request.uniqueHigh, error, length - OutHeader.SIZE);
    }
    return 0;
  }

  /** What is wrong with what was read of it, if anything. */
  get problem(): string | undefined {
    const words = this.#words;
    const phase = words[PHASE >> 2]!;
    const [kept, length] = [words[REQUEST_LENGTH >> 2]!, words[REPLY_LENGTH >> 2]!];
    for (let i = 0; i < MOST_ASIDE; i++) {
      if (words[(SET_ASIDE + i * ASIDE_BYTES) >> 2]! > MOST_REPLY_BYTES)
        return 'a reply that was set aside is damaged';
    }
    const isSound =
      phase === NONE ||
      (phase === BEGUN && kept >= InHeader.SIZE && kept <= MOST_REQUEST_BYTES) ||
      (phase === DONE && length >= OutHeader.SIZE && length <= MOST_REPLY_BYTES);
    return isSound ? undefined : 'the note of the request under way is damaged';
  }

  #putUnique(request: Request): void {
    this.#words[UNIQUE_LOW >> 2] = request.uniqueLow;
    this.#words[UNIQUE_HIGH >> 2] = request.uniqueHigh & UNMARKED;
  }
}
