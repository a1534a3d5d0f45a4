/**
 * Views under way, and which images of blobs they need that have changed since.
 *
 * A view sees the tree as of its beginning: views are numbered (epochs), and before a blob is changed or leaves the tree
 * for the first time after a view began, its image is kept in one of a fixed number of slots, for the epochs since it
 * was last kept. A blob for which there is no such image has not changed.
 *
 * Rules: everything but `find` and `isExpired` happens under the tree lock. A slot is announced only once its image is
 * whole, and before the blob changes. Writers never wait for views: where all slots are taken the oldest view expires.
 * A view is marked expired before its slots are given to others, so whoever finds it unmarked after reading has read
 * the right images.
 */
import { C_VIEW_EPOCH, type Control } from '../shared/control.js';

/** Views at a time. */
const MOST_VIEWS = 64;
/** The number must fit into a word. */
const LAST_EPOCH = 0x7fffffff;
// Words of a view's row.
const V_EPOCH = 0;
const V_THREAD = 1;
const V_EXPIRED = 2;
const VIEW_ROW = 4;
// Words of a slot's row.
const S_BLOB = 0;
const S_FROM = 1;
const S_TO = 2;
const SLOT_ROW = 4;
const SLOTS_AT = MOST_VIEWS * VIEW_ROW;

export class ViewImages {
  readonly buffer: SharedArrayBuffer;
  readonly #control: Control;
  readonly #words: Int32Array;
  readonly #slots: number;

  /** `buffer` is the table of another thread. */
  constructor(control: Control, slots: number, buffer?: SharedArrayBuffer) {
    this.#control = control;
    this.buffer = buffer ?? new SharedArrayBuffer((SLOTS_AT + slots * SLOT_ROW) * 4);
    this.#words = new Int32Array(this.buffer);
    this.#slots = slots;
  }

  /** Begins a view by the thread of this number; returns its row, or -1 where as many as may be are under way. */
  begin(thread: number): number {
    const epoch = this.#latest + 1;
    for (let view = 0; view < MOST_VIEWS && epoch <= LAST_EPOCH; view++) {
      const at = view * VIEW_ROW;
      if (this.#words[at + V_EPOCH] !== 0) continue;
      this.#control.words[C_VIEW_EPOCH] = epoch;
      this.#words[at + V_THREAD] = thread;
      Atomics.store(this.#words, at + V_EXPIRED, 0);
      Atomics.store(this.#words, at + V_EPOCH, epoch);
      return view;
    }
    return -1;
  }

  /** Whether the epochs should be numbered anew, which can be done while no view goes on. */
  get mayRenumber(): boolean {
    if (this.#latest < LAST_EPOCH / 2) return false;
    for (let view = 0; view < MOST_VIEWS; view++) if (this.epochOf(view) !== 0) return false;
    return true;
  }

  epochOf(view: number): number {
    return Atomics.load(this.#words, view * VIEW_ROW + V_EPOCH);
  }

  isExpired(view: number): boolean {
    return Atomics.load(this.#words, view * VIEW_ROW + V_EXPIRED) !== 0;
  }

  end(view: number): void {
    Atomics.store(this.#words, view * VIEW_ROW + V_EPOCH, 0);
    this.#release();
  }

  /** No view under way can go on. */
  expireAll(): void {
    for (let view = 0; view < MOST_VIEWS; view++) {
      if (this.epochOf(view) !== 0) Atomics.store(this.#words, view * VIEW_ROW + V_EXPIRED, 1);
    }
    this.#release();
  }

  /** Ends the views of a thread that is gone. */
  endThose(thread: number): void {
    for (let view = 0; view < MOST_VIEWS; view++) {
      const at = view * VIEW_ROW;
      if (this.#words[at + V_EPOCH] !== 0 && this.#words[at + V_THREAD] === thread) this.end(view);
    }
  }

  /** The slot with the blob's image as of the epoch, or -1: it has not changed since. */
  find(blobId: number, epoch: number): number {
    const words = this.#words;
    for (let slot = 0; slot < this.#slots; slot++) {
      const at = SLOTS_AT + slot * SLOT_ROW;
      if (Atomics.load(words, at + S_BLOB) !== blobId) continue;
      const from = Atomics.load(words, at + S_FROM);
      const to = Atomics.load(words, at + S_TO);
      // A slot that is given to other epochs of the blob meanwhile has another beginning by the time its end is seen.
      if (from <= epoch && epoch <= to && Atomics.load(words, at + S_FROM) === from) return slot;
    }
    return -1;
  }

  /**
   * A free slot for the blob's image if a view needs one, which is one that began after epoch `since` and has none yet;
   * else -1. To be filled and then announced with `announce`.
   */
  take(blobId: number, since: number): number {
    while (this.#isNeeded(this.#keptTo(blobId, since) + 1, this.#latest)) {
      for (let slot = 0; slot < this.#slots; slot++) {
        if (this.#words[SLOTS_AT + slot * SLOT_ROW + S_BLOB] === 0) return slot;
      }
      this.#expireOldest();
    }
    return -1;
  }

  /** The image in the slot is the blob's as of every epoch since it was last kept, or since `since`. */
  announce(slot: number, blobId: number, since: number): void {
    const at = SLOTS_AT + slot * SLOT_ROW;
    const from = this.#keptTo(blobId, since) + 1;
    Atomics.store(this.#words, at + S_FROM, from);
    Atomics.store(this.#words, at + S_TO, this.#latest);
    Atomics.store(this.#words, at + S_BLOB, blobId);
  }

  get #latest(): number {
    return this.#control.words[C_VIEW_EPOCH] as number;
  }

  #keptTo(blobId: number, since: number): number {
    let to = since;
    for (let at = SLOTS_AT; at < this.#words.length; at += SLOT_ROW) {
      if (this.#words[at + S_BLOB] === blobId) to = Math.max(to, this.#words[at + S_TO] as number);
    }
    return to;
  }

  /** Whether a view that has not expired began at one of these epochs. */
  #isNeeded(from: number, to: number): boolean {
    for (let view = 0; view < MOST_VIEWS; view++) {
      const epoch = this.epochOf(view);
      if (epoch >= from && epoch <= to && epoch !== 0 && !this.isExpired(view)) return true;
    }
    return false;
  }

  #expireOldest(): void {
    let oldest = -1;
    for (let view = 0; view < MOST_VIEWS; view++) {
      if (this.epochOf(view) === 0 || this.isExpired(view)) continue;
      if (oldest < 0 || this.epochOf(view) < this.epochOf(oldest)) oldest = view;
    }
    Atomics.store(this.#words, oldest * VIEW_ROW + V_EXPIRED, 1);
    this.#release();
  }

  /** Frees the slots that no view needs any more. */
  #release(): void {
    for (let at = SLOTS_AT; at < this.#words.length; at += SLOT_ROW) {
      if (this.#words[at + S_BLOB] === 0) continue;
      const from = this.#words[at + S_FROM] as number;
      if (!this.#isNeeded(from, this.#words[at + S_TO] as number)) Atomics.store(this.#words, at + S_BLOB, 0);
    }
  }
}
