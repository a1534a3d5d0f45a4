/**
 * Images of blobs that a store refers to, and that are not in it yet: who reads one asks for it, in shared memory, and sleeps until another
 * thread has fetched it. Who knows what he will want next says so beforehand, and does not wait.
 *
 * Invariants
 * - A place is FREE; or a reader's, from CLAIMED until it sets it FREE; only while it is ASKED the server may write there, which ends with
 *   DONE or FAILED.
 * - A hint is FREE; or a reader's while it is CLAIMED; or, ASKED, the server's until it sets it FREE. One for which there is no room is lost.
 * - Whoever waits looks now and then whether anybody serves still.
 */

import { SpinneyError } from '../errors.js';
import { BLOB_SIZE } from '../limits.js';
import { waitAsync } from '../shared/wait-async.js';
import type { BlobId } from './blob-store.js';

/** Where images are had that are not in their slots. */
export interface AbsentImages {
  /** Whether the blob's image of that generation was copied `into` it. @throws ERR_IO where it could be, but not now */
  fetch(id: BlobId, generation: number, into: Uint8Array): boolean;
  /** It will be fetched soon. Waits for nothing. */
  expect?(id: BlobId, generation: number): void;
}

const PLACES = 8;
const HINTS = 16;

// Words of the head.
const ASKED_COUNT = 0;
const FREED_COUNT = 1;
const HAS_ENDED = 2;
const HEAD_WORDS = 16;

// Words of a place.
const STATE = 0;
const ID = 1;
const GENERATION_DOUBLE = 1; // words 2 and 3
const TEXT_LENGTH = 4;
const PLACE_WORDS = 16;
// Hints have the first of these, and follow the places.
const HINT_WORDS = 4;

const FREE = 0;
const CLAIMED = 1;
const ASKED = 2;
const SERVED = 3;
const DONE = 4;
const NONE = 5;
const FAILED = 6;

const TEXT_BYTES = 1024;
const HINTS_AT = HEAD_WORDS + PLACES * PLACE_WORDS;
const TEXTS_AT = (HINTS_AT + HINTS * HINT_WORDS) * 4;
const IMAGES_AT = TEXTS_AT + PLACES * TEXT_BYTES;
const BYTES = IMAGES_AT + PLACES * BLOB_SIZE;

const HINTS_END = HINTS_AT + HINTS * HINT_WORDS;

const RECHECK_MS = 1_000;

export function makeImageBoard(): SharedArrayBuffer {
  return new SharedArrayBuffer(BYTES);
}

/** One that was asked for. */
export interface AskedImage {
  id: BlobId;
  generation: number;
}

export class ImageBoard implements AbsentImages {
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #bytes: Uint8Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer, 0, TEXTS_AT / 4);
    this.#doubles = new Float64Array(buffer, 0, TEXTS_AT / 8);
    this.#bytes = new Uint8Array(buffer);
  }

  /** Blocks the thread until it is there. Never to be called by the thread that serves. */
  fetch(id: BlobId, generation: number, into: Uint8Array): boolean {
    const words = this.#words;
    const place = this.#claim();
    if (place < 0) return false;
    const at = wordOf(place);
    try {
      words[at + ID] = id;
      this.#doubles[at / 2 + GENERATION_DOUBLE] = generation;
      Atomics.store(words, at + STATE, ASKED);
      Atomics.add(words, ASKED_COUNT, 1);
      Atomics.notify(words, ASKED_COUNT);
      for (;;) {
        const state = Atomics.load(words, at + STATE);
        if (state === DONE) {
          into.set(this.#image(place));
          return true;
        }
        if (state === NONE) return false;
        if (state === FAILED) throw new SpinneyError('ERR_IO', this.#text(place));
        if (this.#hasEnded) return false;
        Atomics.wait(words, at + STATE, state, RECHECK_MS);
      }
    } finally {
      Atomics.store(words, at + STATE, FREE);
      Atomics.add(words, FREED_COUNT, 1);
      Atomics.notify(words, FREED_COUNT);
    }
  }

  expect(id: BlobId, generation: number): void {
    const words = this.#words;
    for (let at = HINTS_AT; at < HINTS_END; at += HINT_WORDS) {
      if (Atomics.compareExchange(words, at + STATE, FREE, CLAIMED) !== FREE) continue;
      words[at + ID] = id;
      this.#doubles[at / 2 + GENERATION_DOUBLE] = generation;
      Atomics.store(words, at + STATE, ASKED);
      Atomics.add(words, ASKED_COUNT, 1);
      Atomics.notify(words, ASKED_COUNT);
      return;
    }
  }

  /** To be called once nobody serves any more, also by another thread than the one that did: whoever waits does not get it. */
  end(): void {
    Atomics.store(this.#words, HAS_ENDED, 1);
    for (let place = 0; place < PLACES; place++) Atomics.notify(this.#words, wordOf(place) + STATE);
    Atomics.notify(this.#words, FREED_COUNT);
  }

  // Of the thread that serves.

  /**
   * Calls `fetch` for whatever is asked for, as it comes, until the board has ended: it gives the image, or undefined where it knows of
   * none; what it throws is told to whoever asked. `expect` is told what will be asked for. Blocks nobody.
   */
  async serve(
    fetch: (asked: AskedImage) => Promise<Uint8Array | undefined>,
    expect: (asked: AskedImage) => void,
  ): Promise<void> {
    const words = this.#words;
    while (!this.#hasEnded) {
      const seen = Atomics.load(words, ASKED_COUNT);
      for (let place = 0; place < PLACES; place++) {
        const at = wordOf(place);
        if (Atomics.compareExchange(words, at + STATE, ASKED, SERVED) !== ASKED) continue;
        void this.#answer(place, fetch(this.#askedAt(at)));
      }
      for (let at = HINTS_AT; at < HINTS_END; at += HINT_WORDS) {
        if (Atomics.load(words, at + STATE) !== ASKED) continue;
        const asked = this.#askedAt(at);
        Atomics.store(words, at + STATE, FREE);
        expect(asked);
      }
      await waitAsync(words, ASKED_COUNT, seen, RECHECK_MS).value;
    }
  }

  #askedAt(at: number): AskedImage {
    return { id: this.#words[at + ID]! >>> 0, generation: this.#doubles[at / 2 + GENERATION_DOUBLE]! };
  }

  async #answer(place: number, fetched: Promise<Uint8Array | undefined>): Promise<void> {
    let state = FAILED;
    try {
      const image = await fetched;
      state = image === undefined ? NONE : DONE;
      if (image !== undefined) this.#image(place).set(image);
    } catch (error) {
      const text = Buffer.from(error instanceof Error ? error.message : String(error)).subarray(
        0,
        TEXT_BYTES,
      );
      this.#bytes.set(text, TEXTS_AT + place * TEXT_BYTES);
      this.#words[wordOf(place) + TEXT_LENGTH] = text.length;
    }
    Atomics.store(this.#words, wordOf(place) + STATE, state);
    Atomics.notify(this.#words, wordOf(place) + STATE);
  }

  get #hasEnded(): boolean {
    return Atomics.load(this.#words, HAS_ENDED) !== 0;
  }

  #claim(): number {
    const words = this.#words;
    while (!this.#hasEnded) {
      const seen = Atomics.load(words, FREED_COUNT);
      for (let place = 0; place < PLACES; place++) {
        if (Atomics.compareExchange(words, wordOf(place) + STATE, FREE, CLAIMED) === FREE) return place;
      }
      Atomics.wait(words, FREED_COUNT, seen, RECHECK_MS);
    }
    return -1;
  }

  #image(place: number): Uint8Array {
    const at = IMAGES_AT + place * BLOB_SIZE;
    return this.#bytes.subarray(at, at + BLOB_SIZE);
  }

  #text(place: number): string {
    const at = TEXTS_AT + place * TEXT_BYTES;
    return Buffer.from(this.#bytes.slice(at, at + this.#words[wordOf(place) + TEXT_LENGTH]!)).toString();
  }
}

function wordOf(place: number): number {
  return HEAD_WORDS + place * PLACE_WORDS;
}
